/* Operations on pictures: augmentation and its adjoint, batches of reals, sums for the penalty. */
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "math/augment.h"

#include <string.h>

static float cpu_pixel_mean(const float *pixel, int c)
{
    float sum = 0;
    for (int i = 0; i < c; i++)
        sum += pixel[i];
    return sum / (float)c;
}

static float cpu_picture_mean(const float *x, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)x[i];
    return (float)(sum / (double)count);
}

static void augment_picture(float *out, const float *in, const struct nn_augment *t, int h, int w,
                            int c, int linear)
{
    float mean = t->contrast == 1 ? 0 : cpu_picture_mean(in, (size_t)h * (size_t)w * (size_t)c);
    float b = linear ? 0 : t->brightness;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++, out += c) {
            int yy = y - t->dy, xx = x - t->dx;
            if (yy < 0 || yy >= h || xx < 0 || xx >= w || augment_cuts(t, y, x)) {
                memset(out, 0, (size_t)c * sizeof *out);
                continue;
            }
            const float *pixel = in + (size_t)(yy * w + xx) * (size_t)c;
            float grey = cpu_pixel_mean(pixel, c);
            for (int i = 0; i < c; i++)
                out[i] = augment_colour(t, b, pixel[i], grey, mean);
        }
}

/* n pictures of h x w x c; `count` values of each. */
struct picture_work {
    float *out;
    const float *in;
    ptrdiff_t out_stride, in_stride;
    const struct nn_augment *draws;
    const uint8_t *pictures, *flip;
    const float *factor;
    double *squares;
    int h, w, c, linear;
    size_t count;
};

static void augment_range(void *context, int64_t from, int64_t to)
{
    const struct picture_work *p = context;
    for (int64_t i = from; i < to; i++)
        augment_picture(p->out + i * p->out_stride, p->in + i * p->in_stride, &p->draws[i], p->h,
                        p->w, p->c, p->linear);
}

static void cpu_augment(float *out, ptrdiff_t out_stride, const float *in, ptrdiff_t in_stride,
                        const struct nn_augment *draws, int n, int h, int w, int c, int linear)
{
    struct picture_work work = {.out = out,
                                .in = in,
                                .out_stride = out_stride,
                                .in_stride = in_stride,
                                .draws = draws,
                                .h = h,
                                .w = w,
                                .c = c,
                                .linear = linear};
    threads_for(n, threads_grain(4 * (int64_t)h * w * c), augment_range, &work);
}

/* The picture's mean of the gradient after cutout and translation are undone. */
static float adjoint_mean(const float *in, const struct nn_augment *t, int h, int w, int c)
{
    double sum = 0;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int yy = y - t->dy, xx = x - t->dx;
            if (yy < 0 || yy >= h || xx < 0 || xx >= w || augment_cuts(t, y, x)) continue;
            for (int i = 0; i < c; i++)
                sum += (double)in[(y * w + x) * c + i];
        }
    return (float)(sum / ((double)h * w * c));
}

static void adjoint_picture(float *out, const float *in, const struct nn_augment *t, int h, int w,
                            int c)
{
    float mean = t->contrast == 1 ? 0 : adjoint_mean(in, t, h, w, c);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++, out += c) {
            int yy = y + t->dy, xx = x + t->dx;
            int kept = yy >= 0 && yy < h && xx >= 0 && xx < w && !augment_cuts(t, yy, xx);
            const float *pixel = kept ? in + (size_t)(yy * w + xx) * (size_t)c : NULL;
            float grey = kept ? cpu_pixel_mean(pixel, c) : 0;
            for (int i = 0; i < c; i++)
                out[i] = augment_colour_adjoint(t, kept ? pixel[i] : 0, grey, mean);
        }
}

static void adjoint_range(void *context, int64_t from, int64_t to)
{
    const struct picture_work *p = context;
    for (int64_t i = from; i < to; i++)
        adjoint_picture(p->out + i * p->out_stride, p->in + i * p->in_stride, &p->draws[i], p->h,
                        p->w, p->c);
}

static void cpu_augment_adjoint(float *out, ptrdiff_t out_stride, const float *in,
                                ptrdiff_t in_stride, const struct nn_augment *draws, int n, int h,
                                int w, int c)
{
    struct picture_work work = {.out = out,
                                .in = in,
                                .out_stride = out_stride,
                                .in_stride = in_stride,
                                .draws = draws,
                                .h = h,
                                .w = w,
                                .c = c};
    threads_for(n, threads_grain(4 * (int64_t)h * w * c), adjoint_range, &work);
}

static void u8_range(void *context, int64_t begin, int64_t end)
{
    const struct picture_work *p = context;
    int h = p->h, w = p->w, c = p->c;
    for (int i = (int)begin; i < (int)end; i++) {
        size_t one = (size_t)(h * w * c);
        float *to = p->out + (size_t)i * one;
        const uint8_t *picture = p->pictures + (size_t)i * one;
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                int from = p->flip && p->flip[i] ? w - 1 - x : x;
                for (int j = 0; j < c; j++)
                    *to++ = (float)(picture[(y * w + from) * c + j] - 128) * (1.0f / 128);
            }
    }
}

static void cpu_from_u8(float *out, const uint8_t *pictures, const uint8_t *flip, int n, int h,
                        int w, int c)
{
    struct picture_work work = {
        .out = out, .pictures = pictures, .flip = flip, .h = h, .w = w, .c = c};
    threads_for(n, threads_grain(2 * (int64_t)h * w * c), u8_range, &work);
}

static void scale_add_range(void *context, int64_t begin, int64_t end)
{
    const struct picture_work *p = context;
    for (int64_t i = begin; i < end; i++) {
        float f = p->factor[i], *to = p->out + (size_t)i * p->count;
        const float *from = p->in + (size_t)i * p->count;
        for (size_t j = 0; j < p->count; j++)
            to[j] += f * from[j];
    }
}

static void cpu_scale_add(float *x, const float *y, const float *factor, int n, size_t count)
{
    struct picture_work work = {.out = x, .in = y, .factor = factor, .count = count};
    threads_for(n, threads_grain((int64_t)count), scale_add_range, &work);
}

static void square_range(void *context, int64_t begin, int64_t end)
{
    const struct picture_work *p = context;
    for (int64_t i = begin; i < end; i++) {
        const float *from = p->in + (size_t)i * p->count;
        double sum = 0;
        for (size_t j = 0; j < p->count; j++)
            sum += (double)from[j] * (double)from[j];
        p->squares[i] = sum;
    }
}

static void cpu_square_sums(double *out, const float *x, int n, size_t count)
{
    struct picture_work work = {.squares = out, .in = x, .count = count};
    threads_for(n, threads_grain((int64_t)count), square_range, &work);
}

void nn_install_pictures(struct nn_ops *ops)
{
    ops->augment = cpu_augment;
    ops->augment_adjoint = cpu_augment_adjoint;
    ops->from_u8 = cpu_from_u8;
    ops->scale_add = cpu_scale_add;
    ops->square_sums = cpu_square_sums;
}
