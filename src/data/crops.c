#include "data/crops.h"

#include "base/error.h"
#include "base/random.h"
#include "math/resampling.h"

#include <stdlib.h>

int crop_source_open(struct crop_source *source, const struct pair *const *pairs, int count,
                     int scale)
{
    uint64_t sum = 0;
    *source = (struct crop_source){.pairs = pairs, .count = count, .scale = scale};
    source->areas = malloc((size_t)count * sizeof *source->areas);
    if (!source->areas) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < count; i++) {
        sum += (uint64_t)pairs[i]->w * (uint64_t)pairs[i]->h;
        source->areas[i] = sum;
    }
    return OK;
}

void crop_source_close(struct crop_source *source)
{
    free(source->areas);
    *source = (struct crop_source){.count = 0};
}

/* floor(word / 2^32 * count) */
static uint64_t crop_share(uint32_t word, uint64_t count)
{
    return word * (count >> 32) + (word * (count & 0xFFFFFFFFu) >> 32);
}

/* The pair that pixel `place` of the whole set is in. */
static const struct pair *crop_pair_at(const struct crop_source *source, uint64_t place)
{
    int low = 0, high = source->count - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (source->areas[middle] > place)
            high = middle;
        else
            low = middle + 1;
    }
    return source->pairs[low];
}

struct crop crop_draw(const struct crop_source *source, uint64_t seed, uint64_t step,
                      uint64_t index, int side, unsigned turns)
{
    struct philox4 draw = philox_draw(seed, STREAM_SR_BATCH, step, index);
    uint64_t all = source->areas[source->count - 1];
    const struct pair *pair = crop_pair_at(source, crop_share(draw.v[0], all));
    return (struct crop){.pair = pair,
                         .x = (int)crop_share(draw.v[1], (uint64_t)(pair->w - side + 1)),
                         .y = (int)crop_share(draw.v[2], (uint64_t)(pair->h - side + 1)),
                         .turn = draw.v[3] >> 29 & turns};
}

static float crop_sample(const void *samples, bool is_16, size_t at)
{
    return is_16 ? (float)((const uint16_t *)samples)[at] * (1.0f / 65535.0f)
                 : (float)((const uint8_t *)samples)[at] * (1.0f / 255.0f);
}

void crop_read(const struct pair *pair, bool gt, int scale, int x, int y, int w, int h, float *out)
{
    size_t width = (size_t)pair->w * (size_t)(gt ? scale : 1);
    const void *samples = gt ? pair->gt : pair->lq;
    bool is_16 = gt ? pair->gt_is_16 : pair->lq_is_16;
    for (int row = 0; row < h; row++) {
        size_t at = ((size_t)(y + row) * width + (size_t)x) * 3;
        for (size_t i = 0; i < 3 * (size_t)w; i++)
            *out++ = crop_sample(samples, is_16, at + i);
    }
}

/* One axis of a turned square: the coordinate of its first sample, 1 or -1 from one to the next,
 * how many the image has, and what lies between two of them. */
struct crop_axis {
    int first, step, count;
    size_t stride;
};

/* Beyond the border the image is mirrored, the last sample not twice. */
static size_t crop_place(const struct crop_axis *axis, int i)
{
    int at = axis->first + i * axis->step;
    if (at < 0 || at >= axis->count) at = resampling_reflected(at, axis->count);
    return (size_t)at * axis->stride;
}

/* is_16 is a constant wherever this is called. */
__attribute__((always_inline)) static inline void crop_square(const void *samples, bool is_16,
                                                              const struct crop_axis *across,
                                                              const struct crop_axis *down,
                                                              int side, float *out)
{
    bool is_row = across->step == 1 && across->stride == 3 && across->first >= 0 &&
                  across->first + side <= across->count;
    for (int y = 0; y < side; y++) {
        size_t row = crop_place(down, y), from = row + (size_t)across->first * 3;
        for (size_t i = 0; is_row && i < 3 * (size_t)side; i++)
            out[i] = crop_sample(samples, is_16, from + i);
        for (int x = 0; !is_row && x < side; x++) {
            size_t at = row + crop_place(across, x);
            for (size_t c = 0; c < 3; c++)
                out[3 * (size_t)x + c] = crop_sample(samples, is_16, at + c);
        }
        out += 3 * (size_t)side;
    }
}

/* A turned square: out (x, y) is in (x, y), or with CROP_TRANSPOSE (y, x), each mirrored first. */
static void crop_turn(const struct crop *crop, bool gt, int scale, int x0, int y0, int side,
                      float *out)
{
    const struct pair *pair = crop->pair;
    int width = pair->w * (gt ? scale : 1), height = pair->h * (gt ? scale : 1);
    bool mirrored = crop->turn & CROP_MIRROR, upside_down = crop->turn & CROP_UPSIDE_DOWN;
    struct crop_axis x = {x0, 1, width, 3}, y = {y0, 1, height, 3 * (size_t)width};
    if (mirrored) x.first += side - 1, x.step = -1;
    if (upside_down) y.first += side - 1, y.step = -1;
    const struct crop_axis *across = crop->turn & CROP_TRANSPOSE ? &y : &x;
    const struct crop_axis *down = crop->turn & CROP_TRANSPOSE ? &x : &y;
    if (gt ? pair->gt_is_16 : pair->lq_is_16)
        crop_square(gt ? pair->gt : pair->lq, true, across, down, side, out);
    else
        crop_square(gt ? pair->gt : pair->lq, false, across, down, side, out);
}

void crop_copy(const struct crop_source *source, const struct crop *crop, int side, float *lq,
               float *gt)
{
    int s = source->scale;
    crop_turn(crop, false, s, crop->x, crop->y, side, lq);
    crop_turn(crop, true, s, crop->x * s, crop->y * s, side * s, gt);
}

void crop_copy_around(const struct crop_source *source, const struct crop *crop, int side,
                      int around, int x, int y, float *out)
{
    bool transposed = crop->turn & CROP_TRANSPOSE;
    int before_x = transposed ? y : x, before_y = transposed ? x : y, s = source->scale;
    if (crop->turn & CROP_MIRROR) before_x = around - before_x;
    if (crop->turn & CROP_UPSIDE_DOWN) before_y = around - before_y;
    crop_turn(crop, true, s, (crop->x - before_x) * s, (crop->y - before_y) * s,
              (side + around) * s, out);
}
