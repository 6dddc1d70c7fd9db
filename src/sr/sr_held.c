#include "sr/sr_held.h"

#include "base/error.h"
#include "base/file.h"
#include "base/threads.h"
#include "data/crops.h"

#include <math.h>
#include <stdlib.h>

enum { HELD_SIDE = 1024 };                    /* pixels of GT a side, at most */
static const uint64_t HELD_STEP = 0xFFFFFFFF; /* beyond the steps of any run */
/* No plan is there yet: images are degraded by as many threads at once as keep within this, one at
 * least. While a view is opened, the file's own image, of up to four floats a pixel, is beside it.
 */
enum { DECODING = 4 };
static const size_t HELD_BYTES = (size_t)256 << 20;

static struct pair held_middle(const struct pair *whole, int scale)
{
    int most = HELD_SIDE / scale;
    struct pair middle = *whole;
    if (middle.w > most) middle.w = most;
    if (middle.h > most) middle.h = most;
    middle.lq = middle.gt = NULL;
    middle.files = NULL;
    return middle;
}

static size_t held_samples(const struct pair *pair, int scale)
{
    return (size_t)pair->w * (size_t)pair->h * (size_t)scale * (size_t)scale * 3;
}

/* What one image becomes: GT in its own depth, LQ of 8 bits. */
struct held_one {
    uint8_t *lq;
    void *gt;
    int code;
    char *fault; /* its message, which belongs to the thread that failed */
};

struct held_work {
    const struct pair *const *whole;
    const struct pair *middle;
    struct held_one *results;
    const struct degrade_choices *choices;
    uint64_t seed;
    int first;
};

static int held_degrade(const struct held_work *work, int i, struct held_one *out)
{
    const struct pair *whole = work->whole[i], *middle = &work->middle[i];
    int s = work->choices->scale, w = middle->w, h = middle->h;
    size_t count = held_samples(middle, s);
    float *memory = malloc(degrade_window_bytes(work->choices, w, h));
    struct pair_view view;
    out->gt = malloc(count * (whole->gt_is_16 ? 2 : 1));
    out->lq = malloc((size_t)w * (size_t)h * 3);
    int code = memory && out->gt && out->lq ? OK : fail(ERR_SYSTEM, "out of memory");
    TRY_CLEANUP(code);
    TRY_CLEANUP(pair_view_open(&view, whole));
    crop_read(&view.pair, true, s, (whole->w - w) / 2 * s, (whole->h - h) / 2 * s, w * s, h * s,
              memory);
    pair_view_close(&view);
    for (size_t k = 0; k < count; k++)
        if (whole->gt_is_16)
            ((uint16_t *)out->gt)[k] = (uint16_t)lrintf(memory[k] * 65535.0f);
        else
            ((uint8_t *)out->gt)[k] = (uint8_t)lrintf(memory[k] * 255.0f);
    struct degrade_recipe recipe;
    const float *lq;
    degrade_recipe_draw(&recipe, work->choices, work->seed, HELD_STEP, (uint32_t)i);
    TRY_CLEANUP(degrade_window(&lq, memory, w, h, work->choices, &recipe));
    for (size_t k = 0; k < (size_t)w * (size_t)h * 3; k++)
        out->lq[k] = (uint8_t)lrintf(lq[k] * 255.0f);
cleanup:
    free(memory);
    return code;
}

static void held_degrade_some(void *context, int64_t from, int64_t to)
{
    struct held_work *work = context;
    for (int64_t i = from; i < to; i++) {
        struct held_one *one = &work->results[i];
        one->code = held_degrade(work, work->first + (int)i, one);
        if (one->code < 0) one->fault = string_format("%s", error_message());
    }
}

static int held_write(struct sr_held *held, struct held_one *one, struct pair *pair, int scale)
{
    size_t lq = (size_t)pair->w * (size_t)pair->h * 3;
    size_t gt = held_samples(pair, scale) * (pair->gt_is_16 ? 2 : 1), odd = (lq + gt) % 2;
    if (one->code < 0)
        return fail(one->code, "%s: cannot be degraded: %s", pair->name,
                    one->fault ? one->fault : "out of memory");
    TRY(spill_write(&held->samples, one->gt, gt));
    TRY(spill_write(&held->samples, one->lq, lq));
    return odd ? spill_write(&held->samples, "", 1) : OK;
}

static size_t held_bytes(const struct held_work *work, int i)
{
    const struct pair *middle = &work->middle[i];
    size_t made = held_samples(middle, work->choices->scale) * (middle->gt_is_16 ? 2 : 1) +
                  (size_t)middle->w * (size_t)middle->h * 3;
    return degrade_window_bytes(work->choices, middle->w, middle->h) + made +
           DECODING * pair_view_bytes(work->whole[i]);
}

static int held_at_once(const struct sr_held *held, const struct held_work *work)
{
    size_t most = 1, threads = (size_t)threads_count();
    for (int i = 0; i < held->count; i++) {
        size_t bytes = held_bytes(work, i);
        if (bytes > most) most = bytes;
    }
    size_t fit = HELD_BYTES / most;
    return fit < 1 ? 1 : (int)(fit < threads ? fit : threads);
}

static int held_fill(struct sr_held *held, struct held_work *work)
{
    int at_once = held_at_once(held, work), code = OK;
    work->results = calloc((size_t)at_once, sizeof *work->results);
    if (!work->results) return fail(ERR_SYSTEM, "out of memory");
    for (work->first = 0; work->first < held->count && code == OK; work->first += at_once) {
        int left = held->count - work->first, n = left < at_once ? left : at_once;
        threads_for(n, 1, held_degrade_some, work);
        for (int i = 0; i < n; i++) {
            struct held_one *one = &work->results[i];
            if (code == OK)
                code = held_write(held, one, &held->pairs[work->first + i], work->choices->scale);
            free(one->lq);
            free(one->gt);
            free(one->fault);
            *one = (struct held_one){.code = OK};
        }
    }
    free(work->results);
    return code;
}

int sr_held_open(struct sr_held *held, const struct pair *const *pairs, int count,
                 const struct degrade_choices *choices, uint64_t seed, const char *spill_dir,
                 bool sizes_only)
{
    struct held_work work = {.whole = pairs, .choices = choices, .seed = seed};
    size_t bytes = 0;
    held->pairs = calloc((size_t)count + 1, sizeof *held->pairs);
    held->count = count;
    if (!held->pairs) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < count; i++) {
        held->pairs[i] = held_middle(pairs[i], choices->scale);
        size_t gt = held_samples(&held->pairs[i], choices->scale) * (pairs[i]->gt_is_16 ? 2 : 1);
        bytes += (gt + (size_t)held->pairs[i].w * (size_t)held->pairs[i].h * 3 + 1) / 2 * 2;
    }
    if (sizes_only || count == 0) return OK;
    work.middle = held->pairs;
    TRY(spill_open(&held->samples, spill_dir, bytes));
    TRY(held_fill(held, &work));
    TRY(spill_end(&held->samples));
    const uint8_t *at = held->samples.data;
    for (int i = 0; i < count; i++) {
        struct pair *pair = &held->pairs[i];
        pair->gt = at;
        at += held_samples(pair, choices->scale) * (pair->gt_is_16 ? 2 : 1);
        pair->lq = at;
        pair->lq_is_16 = false;
        at += (size_t)pair->w * (size_t)pair->h * 3;
        at += (at - (const uint8_t *)held->samples.data) % 2;
    }
    return OK;
}

void sr_held_close(struct sr_held *held)
{
    if (held->pairs) spill_free(&held->samples);
    free(held->pairs);
    *held = (struct sr_held){.count = 0};
}
