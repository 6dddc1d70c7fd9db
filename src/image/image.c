/* Images in memory: creation, size, conversion between sample types. */
#include "image/image.h"

#include "base/error.h"
#include "base/threads.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

size_t sample_bytes(enum sample_type type)
{
    return type == SAMPLE_U8 ? 1 : type == SAMPLE_U16 ? 2 : 4;
}

static size_t image_samples(const struct image *image)
{
    return (size_t)image->width * (size_t)image->height * (size_t)image->channels;
}

size_t image_bytes(const struct image *image)
{
    return image_samples(image) * sample_bytes(image->type);
}

bool image_has_alpha(const struct image *image)
{
    return image->channels == 2 || image->channels == 4;
}

/* Memory is promised generously by the kernel and taken back by killing: ask first. */
static int check_memory(size_t bytes)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages <= 0 || page <= 0 || bytes / (size_t)page < (size_t)pages) return OK;
    return fail(ERR_SYSTEM, "an image of %.1f GiB does not fit into this machine's memory",
                (double)bytes / 0x1p30);
}

int image_create(struct image *image, int width, int height, int channels, enum sample_type type)
{
    memset(image, 0, sizeof *image);
    if (width < 1 || height < 1 || width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE ||
        channels < 1 || channels > IMAGE_MAX_CHANNELS)
        return fail(ERR_DATA, "an image of %dx%d with %d channels is outside the limits (%d, %d)",
                    width, height, channels, IMAGE_MAX_SIDE, IMAGE_MAX_CHANNELS);
    struct image made = {width, height, channels, type, NULL};
    size_t bytes = image_bytes(&made); /* < 2^34 * 2^6 * 4: no overflow */
    TRY(check_memory(bytes));
    made.data = calloc(bytes, 1);
    if (!made.data)
        return fail(ERR_SYSTEM, "out of memory for an image of %dx%dx%d", width, height, channels);
    *image = made;
    return OK;
}

void image_free(struct image *image)
{
    free(image->data);
    memset(image, 0, sizeof *image);
}

struct row_work {
    const struct image *out, *in;
};

static void rows_over_black(void *context, int64_t from, int64_t to)
{
    const struct row_work *work = context;
    const struct image *out = work->out, *in = work->in;
    size_t width = (size_t)in->width, channels = (size_t)in->channels;
    size_t colours = (size_t)out->channels;
    bool alpha = image_has_alpha(in);
    float *pixel = (float *)out->data + (size_t)from * width * colours;
    for (size_t i = (size_t)from * width; i < (size_t)to * width; i++) {
        float opaque = alpha ? image_sample(in, i * channels + channels - 1) : 1.0f;
        for (size_t c = 0; c < colours; c++)
            *pixel++ = image_sample(in, i * channels + c) * opaque;
    }
}

int image_over_black(struct image *out, const struct image *in)
{
    if (in->channels > 4)
        return fail(ERR_USAGE, "an image of %d channels has no one colour", in->channels);
    int colours = in->channels <= 2 ? 1 : 3;
    TRY(image_create(out, in->width, in->height, colours, SAMPLE_F32));
    struct row_work work = {out, in};
    threads_for(in->height, threads_grain((int64_t)in->width * in->channels), rows_over_black,
                &work);
    return OK;
}

static void premultiply_rows(void *context, int64_t from, int64_t to)
{
    const struct row_work *work = context;
    const struct image *in = work->in;
    size_t width = (size_t)in->width, channels = (size_t)in->channels;
    float *pixel = (float *)work->out->data + (size_t)from * width * channels;
    for (size_t i = (size_t)from * width; i < (size_t)to * width; i++) {
        float opaque = image_sample(in, i * channels + channels - 1);
        for (size_t c = 0; c + 1 < channels; c++)
            *pixel++ = image_sample(in, i * channels + c) * opaque;
        *pixel++ = opaque;
    }
}

int image_premultiply(struct image *out, const struct image *in)
{
    TRY(image_create(out, in->width, in->height, in->channels, SAMPLE_F32));
    struct row_work work = {out, in};
    threads_for(in->height, threads_grain((int64_t)in->width * in->channels), premultiply_rows,
                &work);
    return OK;
}

void sample_extent_add(struct sample_extent *extent, const struct image *rows, float from, float to)
{
    size_t count = image_samples(rows);
    const float *samples = rows->data;
    for (size_t i = 0; i < count && rows->type == SAMPLE_F32; i++) {
        float v = samples[i];
        bool first = extent->samples++ == 0;
        if (first || v < extent->low) extent->low = v;
        if (first || v > extent->high) extent->high = v;
        extent->outside += v < from || v > to;
    }
}

/* Clamps to 0..1; a NaN becomes 0. */
static float image_unit_clamp(float v)
{
    return v > 0.0f ? (v < 1.0f ? v : 1.0f) : 0.0f;
}

static void convert_samples(const struct image *out, const struct image *in, size_t first,
                            size_t count)
{
    uint8_t *u8 = out->data;
    uint16_t *u16 = out->data;
    float *f32 = out->data;
    for (size_t i = first; i < first + count; i++) {
        float v = image_unit_clamp(image_sample(in, i));
        switch (out->type) {
        case SAMPLE_U8: u8[i] = (uint8_t)(v * 255.0f + 0.5f); break;
        case SAMPLE_U16: u16[i] = (uint16_t)(v * 65535.0f + 0.5f); break;
        case SAMPLE_F32: f32[i] = v; break;
        }
    }
}

static void convert_rows(void *context, int64_t from, int64_t to)
{
    const struct row_work *work = context;
    size_t row = (size_t)work->in->width * (size_t)work->in->channels;
    convert_samples(work->out, work->in, (size_t)from * row, (size_t)(to - from) * row);
}

int image_convert(struct image *out, const struct image *in, enum sample_type type)
{
    struct image made;
    TRY(image_create(&made, in->width, in->height, in->channels, type));
    if (type == in->type && type != SAMPLE_F32) {
        memcpy(made.data, in->data, image_bytes(in));
    } else {
        struct row_work work = {&made, in};
        threads_for(in->height, threads_grain((int64_t)in->width * in->channels), convert_rows,
                    &work);
    }
    *out = made;
    return OK;
}
