/* Resampling: the mean over the covered area where an axis shrinks, Catmull-Rom where it grows; or
 * MATLAB's bicubic. Row by row: the rows below one output row are summed at full width, then that
 * sum is resampled along x. So a thread needs one row of memory, and no output row depends on
 * another. */
#include "base/error.h"
#include "base/threads.h"
#include "image/rows.h"
#include "math/resampling.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- weights along one axis ---- */

struct taps {
    int first, count; /* input samples first .. first + count - 1 */
    size_t weights;   /* where their weights begin */
};

struct axis {
    struct taps *taps; /* [out] */
    double *weights;
};

static void axis_free(struct axis *axis)
{
    free(axis->taps);
    free(axis->weights);
    *axis = (struct axis){0};
}

/* Output i covers input [i in/out, (i+1) in/out). In units of 1/out all bounds are integers, so the
 * weights are exact up to the last division. Returns the number of weights. */
static int area_taps(int i, int in, int out, int *first, double *weights)
{
    int64_t low = (int64_t)i * in, high = low + in;
    *first = (int)(low / out);
    int count = 0;
    for (int64_t j = *first; j * out < high; j++) {
        int64_t from = j * out > low ? j * out : low;
        int64_t to = (j + 1) * out < high ? (j + 1) * out : high;
        weights[count++] = (double)(to - from) / in;
    }
    return count;
}

/* Taps beyond the border count for the sample at the border. */
static int cubic_taps(int i, int in, int out, int *first, double *weights)
{
    double centre = ((double)i + 0.5) * in / out - 0.5;
    int base = (int)floor(centre) - 1;
    int low = base < 0 ? 0 : base, high = base + 3 > in - 1 ? in - 1 : base + 3;
    memset(weights, 0, 4 * sizeof *weights);
    for (int j = base; j < base + 4; j++) {
        int clamped = j < low ? low : j > high ? high : j;
        weights[clamped - low] += resampling_cubic(centre - j);
    }
    *first = low;
    return high - low + 1;
}

/* As MATLAB's imresize has them: where the axis shrinks the kernel is as wide as 4 output samples.
 */
static int matlab_taps(int i, int in, double scale, int *first, double *weights)
{
    double narrow = scale < 1.0 ? scale : 1.0, width = 4.0 / narrow, sum = 0.0;
    double centre = (i + 0.5) / scale - 0.5;
    int base = (int)floor(centre - width / 2.0), end = base + (int)ceil(width) + 2;
    int low = in, high = -1;
    for (int j = base; j < end; j++) {
        int at = resampling_mirrored(j, in);
        if (resampling_cubic(narrow * (centre - j)) == 0.0) continue;
        if (at < low) low = at;
        if (at > high) high = at;
    }
    memset(weights, 0, (size_t)(high - low + 1) * sizeof *weights);
    for (int j = base; j < end; j++) {
        double weight = resampling_cubic(narrow * (centre - j));
        if (weight != 0.0) weights[resampling_mirrored(j, in) - low] += weight;
        sum += weight;
    }
    for (int k = 0; k <= high - low; k++)
        weights[k] /= sum;
    *first = low;
    return high - low + 1;
}

static int axis_allocate(struct axis *axis, int out, size_t each)
{
    axis->taps = malloc((size_t)out * sizeof *axis->taps);
    axis->weights = malloc((size_t)out * each * sizeof *axis->weights);
    if (axis->taps && axis->weights) return OK;
    axis_free(axis);
    return fail(ERR_SYSTEM, "out of memory for resizing");
}

static int axis_create_matlab(struct axis *axis, int in, int out, double scale)
{
    double width = 4.0 / (scale < 1.0 ? scale : 1.0) + 3.0; /* and no wider than the image */
    size_t each = width < in ? (size_t)width : (size_t)in, used = 0;
    TRY(axis_allocate(axis, out, each));
    for (int i = 0; i < out; i++, used += each) {
        struct taps *taps = &axis->taps[i];
        taps->weights = used;
        taps->count = matlab_taps(i, in, scale, &taps->first, axis->weights + used);
    }
    return OK;
}

static int axis_create(struct axis *axis, int in, int out)
{
    size_t each = in > out ? (size_t)(in / out) + 2 : 4;
    TRY(axis_allocate(axis, out, each));
    size_t used = 0;
    for (int i = 0; i < out; i++) {
        struct taps *taps = &axis->taps[i];
        taps->weights = used;
        taps->count = in > out ? area_taps(i, in, out, &taps->first, axis->weights + used)
                               : cubic_taps(i, in, out, &taps->first, axis->weights + used);
        used += each;
    }
    return OK;
}

/* ---- rows ---- */

/* sum[i] += weight * from[i] in the units of the samples. With `alpha` (the number of colour
 * channels before it; 0: none) colour is multiplied by the alpha of its pixel. */
#define DEFINE_ADD_ROW(name, type)                                                                 \
    static void name(double *sum, const void *row, size_t samples, double weight, size_t alpha)    \
    {                                                                                              \
        const type *from = row;                                                                    \
        if (!alpha) {                                                                              \
            for (size_t i = 0; i < samples; i++)                                                   \
                sum[i] += weight * (double)from[i];                                                \
            return;                                                                                \
        }                                                                                          \
        for (size_t i = 0; i < samples; i += alpha + 1) {                                          \
            double opaque = weight * (double)from[i + alpha];                                      \
            for (size_t c = 0; c < alpha; c++)                                                     \
                sum[i + c] += opaque * (double)from[i + c];                                        \
            sum[i + alpha] += opaque;                                                              \
        }                                                                                          \
    }
DEFINE_ADD_ROW(add_row_u8, uint8_t)
DEFINE_ADD_ROW(add_row_u16, uint16_t)
DEFINE_ADD_ROW(add_row_f32, float)

/* Adds row y of an image, which is held as a ring of in->height rows. */
static void resize_add_row(double *sum, const struct image *in, int y, double weight)
{
    size_t samples = (size_t)in->width * (size_t)in->channels;
    size_t alpha = image_has_alpha(in) ? (size_t)in->channels - 1 : 0;
    size_t at = (size_t)(y % in->height);
    const uint8_t *row = (const uint8_t *)in->data + at * samples * sample_bytes(in->type);
    switch (in->type) {
    case SAMPLE_U8: add_row_u8(sum, row, samples, weight, alpha); break;
    case SAMPLE_U16: add_row_u16(sum, row, samples, weight, alpha); break;
    case SAMPLE_F32: add_row_f32(sum, row, samples, weight, alpha); break;
    }
}

static void image_resize_store(const struct image *out, size_t index, double v)
{
    double top = out->type == SAMPLE_U8 ? 255.0 : 65535.0;
    double clamped = v > 0.0 ? (v < top ? v : top) : 0.0;
    switch (out->type) {
    case SAMPLE_U8: ((uint8_t *)out->data)[index] = (uint8_t)(clamped + 0.5); break;
    case SAMPLE_U16: ((uint16_t *)out->data)[index] = (uint16_t)(clamped + 0.5); break;
    case SAMPLE_F32: ((float *)out->data)[index] = (float)v; break;
    }
}

/* One output pixel: the weighted sum of `sum` along x, colour divided by alpha again. */
static void store_pixel(const struct image *out, size_t index, const double *sum,
                        const struct taps *taps, const double *weights)
{
    double pixel[IMAGE_MAX_CHANNELS] = {0};
    int channels = out->channels;
    const double *from = sum + (size_t)taps->first * (size_t)channels;
    for (int k = 0; k < taps->count; k++, from += channels)
        for (int c = 0; c < channels; c++)
            pixel[c] += weights[k] * from[c];
    if (image_has_alpha(out)) {
        double alpha = pixel[channels - 1];
        for (int c = 0; c < channels - 1; c++)
            pixel[c] = alpha > 0.0 ? pixel[c] / alpha : 0.0;
        double opaque = out->type == SAMPLE_F32 ? 1.0 : DBL_MAX; /* integers clamp in store() */
        pixel[channels - 1] = alpha > 0.0 ? fmin(alpha, opaque) : 0.0;
    }
    for (int c = 0; c < channels; c++)
        image_resize_store(out, index + (size_t)c, pixel[c]);
}

/* Output row first + y goes to row y of `out`. */
static void resize_row(const struct image *out, const struct image *in, const struct axis *across,
                       const struct axis *down, int first, int y, double *sum)
{
    const struct taps *rows = &down->taps[first + y];
    memset(sum, 0, (size_t)in->width * (size_t)in->channels * sizeof *sum);
    for (int k = 0; k < rows->count; k++)
        resize_add_row(sum, in, rows->first + k, down->weights[rows->weights + (size_t)k]);
    for (int x = 0; x < out->width; x++) {
        size_t index = ((size_t)y * (size_t)out->width + (size_t)x) * (size_t)out->channels;
        const struct taps *taps = &across->taps[x];
        store_pixel(out, index, sum, taps, across->weights + taps->weights);
    }
}

struct resizing {
    const struct image *out, *in;
    const struct axis *across, *down;
    int first;
    double *sums; /* a row of the input for each thread */
};

static void resize_range(void *context, int64_t from, int64_t to)
{
    const struct resizing *r = context;
    size_t row = (size_t)r->in->width * (size_t)r->in->channels;
    double *sum = r->sums + (size_t)threads_self() * row;
    for (int y = (int)from; y < (int)to; y++)
        resize_row(r->out, r->in, r->across, r->down, r->first, y, sum);
}

static int resize_rows(const struct image *out, const struct image *in, const struct axis *across,
                       const struct axis *down, int first)
{
    struct resizing work = {out, in, across, down, first, NULL};
    size_t row = (size_t)in->width * (size_t)in->channels;
    work.sums = malloc((size_t)threads_count() * row * sizeof *work.sums);
    if (!work.sums) return fail(ERR_SYSTEM, "out of memory for resizing");
    threads_for(out->height, threads_grain((int64_t)row), resize_range, &work);
    free(work.sums);
    return OK;
}

int image_resize(struct image *out, const struct image *in, int width, int height)
{
    if (width == in->width && height == in->height) {
        TRY(image_create(out, width, height, in->channels, in->type));
        memcpy(out->data, in->data, image_bytes(in));
        return OK;
    }
    struct axis across = {0}, down = {0};
    struct image made;
    TRY(image_create(&made, width, height, in->channels, in->type));
    int code;
    TRY_CLEANUP(axis_create(&across, in->width, width));
    TRY_CLEANUP(axis_create(&down, in->height, height));
    TRY_CLEANUP(resize_rows(&made, in, &across, &down, 0));
    *out = made;
    made.data = NULL;
cleanup:
    axis_free(&across);
    axis_free(&down);
    image_free(&made);
    return code;
}

/* What MATLAB makes of a side: the next whole number of pixels. */
static int matlab_side(int in, double scale, int *out)
{
    double side = ceil(in * scale);
    if (!(scale >= 1.0 / IMAGE_MAX_SIDE && side <= IMAGE_MAX_SIDE))
        return fail(ERR_DATA, "a side of %d pixels cannot be resized by %g", in, scale);
    *out = (int)side;
    return OK;
}

int image_resize_bicubic(struct image *out, const struct image *in, double scale)
{
    struct axis across = {0}, down = {0};
    struct image made;
    int width = 0, height = 0, code;
    TRY(matlab_side(in->width, scale, &width));
    TRY(matlab_side(in->height, scale, &height));
    TRY(image_create(&made, width, height, in->channels, in->type));
    TRY_CLEANUP(axis_create_matlab(&across, in->width, width, scale));
    TRY_CLEANUP(axis_create_matlab(&down, in->height, height, scale));
    TRY_CLEANUP(resize_rows(&made, in, &across, &down, 0));
    *out = made;
    made.data = NULL;
cleanup:
    axis_free(&across);
    axis_free(&down);
    image_free(&made);
    return code;
}

/* ---- row by row ---- */

struct image_scaler {
    struct image in;   /* shape of the image that comes */
    struct image ring; /* its newest rows, row y at y % height */
    struct image out;  /* room for some rows of the scaled one */
    int width, height; /* scaled */
    int got, made;     /* rows put, rows made of them */
    int most;          /* input rows that an output row needs */
    struct axis across, down;
    struct image_sink to;
};

/* scale: MATLAB's; 0: none. */
static int image_scaler_start(struct image_scaler **out, const struct image *in, int width,
                              int height, double scale, const struct image_sink *to)
{
    *out = NULL;
    struct image_scaler *s = calloc(1, sizeof *s);
    if (!s) return fail(ERR_SYSTEM, "out of memory for resizing");
    *s = (struct image_scaler){.in = *in, .width = width, .height = height, .most = 1, .to = *to};
    struct image shape = {width, height, in->channels, in->type, NULL};
    int code = OK;
    if (scale > 0.0) {
        TRY_CLEANUP(axis_create_matlab(&s->across, in->width, width, scale));
        TRY_CLEANUP(axis_create_matlab(&s->down, in->height, height, scale));
    } else {
        TRY_CLEANUP(axis_create(&s->across, in->width, width));
        TRY_CLEANUP(axis_create(&s->down, in->height, height));
    }
    for (int y = 0; y < height; y++)
        if (s->down.taps[y].count > s->most) s->most = s->down.taps[y].count;
    int rows = s->most + image_band_rows(in);
    if (rows > in->height) rows = in->height;
    TRY_CLEANUP(image_create(&s->ring, in->width, rows, in->channels, in->type));
    TRY_CLEANUP(image_create(&s->out, width, image_band_rows(&shape), in->channels, in->type));
    if (to->begin) TRY_CLEANUP(to->begin(to->argument, &shape));
    *out = s;
    s = NULL;
cleanup:
    image_scaler_close(s);
    return code;
}

int image_scaler_open(struct image_scaler **scaler, const struct image *in, int width, int height,
                      const struct image_sink *to)
{
    return image_scaler_start(scaler, in, width, height, 0.0, to);
}

int image_scaler_open_bicubic(struct image_scaler **scaler, const struct image *in, double scale,
                              const struct image_sink *to)
{
    int width = 0, height = 0;
    *scaler = NULL;
    TRY(matlab_side(in->width, scale, &width));
    TRY(matlab_side(in->height, scale, &height));
    return image_scaler_start(scaler, in, width, height, scale, to);
}

/* Makes the output rows whose input rows are there; at the end all. */
static int make_rows(struct image_scaler *s)
{
    for (;;) {
        int ready = 0;
        while (s->made + ready < s->height && ready < image_band_rows(&s->out)) {
            const struct taps *taps = &s->down.taps[s->made + ready];
            if (taps->first + taps->count > s->got) break;
            ready++;
        }
        if (ready == 0) return OK;
        int room = s->out.height;
        s->out.height = ready;
        int code = resize_rows(&s->out, &s->ring, &s->across, &s->down, s->made);
        if (code == OK) code = s->to.put(s->to.argument, &s->out, s->made);
        if (!s->out.data && code == OK && s->made + ready < s->height)
            code = fail(ERR_INTERNAL, "a band of rows was taken over");
        s->out.height = room;
        s->made += ready;
        TRY(code);
        if (s->made == s->height) return OK;
    }
}

int image_scaler_put(struct image_scaler *s, const struct image *rows)
{
    size_t row = image_bytes(rows) / (size_t)rows->height;
    int free_rows = s->ring.height - s->most + 1;
    for (int y = 0; y < rows->height; y++) {
        memcpy((uint8_t *)s->ring.data + (size_t)(s->got % s->ring.height) * row,
               (const uint8_t *)rows->data + (size_t)y * row, row);
        s->got++;
        if (s->got % free_rows == 0 || s->got == s->in.height) TRY(make_rows(s));
    }
    return OK;
}

void image_scaler_close(struct image_scaler *scaler)
{
    if (!scaler) return;
    image_free(&scaler->ring);
    image_free(&scaler->out);
    axis_free(&scaler->across);
    axis_free(&scaler->down);
    free(scaler);
}
