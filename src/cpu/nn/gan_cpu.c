/* What GANs alone want of the CPU: losses of a step, what the penalty wants of every image,
 * augmentation and its adjoint. */
#include "base/error.h"
#include "base/threads.h"
#include "device/gan_ops.h"
#include "math/augment.h"
#include "math/gan_loss.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* ---- augmentation ---- */

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
    bool means = t->contrast != 1 && c != 4;
    float mean = means ? cpu_picture_mean(in, (size_t)h * (size_t)w * (size_t)c) : 0;
    float b = linear ? 0 : t->brightness, outside = augment_outside(c, linear);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++, out += c) {
            int yy = y - t->dy, xx = x - t->dx;
            if (yy < 0 || yy >= h || xx < 0 || xx >= w || augment_cuts(t, y, x)) {
                for (int i = 0; i < c; i++)
                    out[i] = outside;
                continue;
            }
            const float *pixel = in + (size_t)(yy * w + xx) * (size_t)c;
            if (c == 4) {
                memcpy(out, pixel, 4 * sizeof *out);
                augment_covered(t, out, linear);
                continue;
            }
            float grey = cpu_pixel_mean(pixel, c);
            for (int i = 0; i < c; i++)
                out[i] = augment_colour(t, b, pixel[i], grey, mean);
        }
}

static void augment_range(void *context, int64_t from, int64_t to)
{
    const struct gan_augmentation *a = context;
    for (int64_t i = from; i < to; i++)
        augment_picture(a->out + i * a->out_stride, a->in + i * a->in_stride, &a->draws[i], a->h,
                        a->w, a->c, a->linear);
}

static int cpu_augment(struct device *device, const struct gan_augmentation *a)
{
    (void)device;
    TRY(gan_check_augmentation("augment", a));
    struct gan_augmentation work = *a;
    threads_for(a->n, threads_grain(4 * (int64_t)a->h * a->w * a->c), augment_range, &work);
    return OK;
}

/* The image's mean of the gradient after cutout and translation are undone. */
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
    float mean = t->contrast == 1 || c == 4 ? 0 : adjoint_mean(in, t, h, w, c);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++, out += c) {
            int yy = y + t->dy, xx = x + t->dx;
            int kept = yy >= 0 && yy < h && xx >= 0 && xx < w && !augment_cuts(t, yy, xx);
            const float *pixel = kept ? in + (size_t)(yy * w + xx) * (size_t)c : NULL;
            if (c == 4) {
                for (int i = 0; i < 4; i++)
                    out[i] = kept ? pixel[i] : 0;
                augment_covered_adjoint(t, out);
                continue;
            }
            float grey = kept ? cpu_pixel_mean(pixel, c) : 0;
            for (int i = 0; i < c; i++)
                out[i] = augment_colour_adjoint(t, kept ? pixel[i] : 0, grey, mean);
        }
}

static void adjoint_range(void *context, int64_t from, int64_t to)
{
    const struct gan_augmentation *a = context;
    for (int64_t i = from; i < to; i++)
        adjoint_picture(a->out + i * a->out_stride, a->in + i * a->in_stride, &a->draws[i], a->h,
                        a->w, a->c);
}

static int cpu_augment_adjoint(struct device *device, const struct gan_augmentation *a)
{
    (void)device;
    TRY(gan_check_augmentation("augment_adjoint", a));
    struct gan_augmentation work = *a;
    threads_for(a->n, threads_grain(4 * (int64_t)a->h * a->w * a->c), adjoint_range, &work);
    return OK;
}

/* ---- losses ---- */

struct square_work {
    double *sums;
    const float *x;
    size_t count;
};

static void square_range(void *context, int64_t begin, int64_t end)
{
    const struct square_work *work = context;
    for (int64_t i = begin; i < end; i++) {
        const float *from = work->x + (size_t)i * work->count;
        double sum = 0;
        for (size_t j = 0; j < work->count; j++)
            sum += (double)from[j] * (double)from[j];
        work->sums[i] = sum;
    }
}

static int cpu_square_sums(struct device *device, double *out, const float *x, int n, size_t count)
{
    (void)device;
    TRY(gan_check_pictures("square_sums", n, 1));
    struct square_work work = {out, x, count};
    threads_for(n, threads_grain((int64_t)count), square_range, &work);
    return OK;
}

static int cpu_pair_loss(struct device *device, double *sums, float *seed, const float *scores,
                         int n, int batch, int generator)
{
    (void)device;
    TRY(gan_check_pictures("pair_loss", n, batch));
    for (int i = 0; i < n; i++) {
        double real = (double)scores[generator ? n + i : 2 * i];
        double fake = (double)scores[generator ? i : 2 * i + 1];
        double margin = generator ? fake - real : real - fake;
        float c = gan_seed(margin, batch);
        if (generator) {
            seed[i] = -c;
        } else {
            seed[2 * i] = -c;
            seed[2 * i + 1] = c;
        }
        sums[GAN_SUM_LOSS] += gan_softplus(-margin) / batch;
        sums[GAN_SUM_REAL] += real / batch;
        sums[GAN_SUM_FAKE] += fake / batch;
        sums[GAN_SUM_SIGN] += gan_sign(real - fake) / batch;
    }
    return OK;
}

static int cpu_penalty(struct device *device, const struct gan_penalty *p)
{
    (void)device;
    TRY(gan_check_pictures("penalty", p->n, p->batch));
    for (int i = 0; i < p->n; i++) {
        double c = (double)p->seed[i];
        p->factors[i] = gan_tangent_factor(*p->gamma, p->batch, c);
        p->squares[i] /= c * c;
        p->sums[i % 2 ? GAN_SUM_R2 : GAN_SUM_R1] += p->squares[i] / p->batch;
    }
    return OK;
}

static int cpu_penalty_check(struct device *device, const struct gan_penalty *p)
{
    (void)device;
    TRY(gan_check_pictures("penalty_check", p->n, p->batch));
    for (int i = 0; i < p->n; i++) {
        double error = gan_identity_error((double)p->got[i], (double)p->scores[i], p->squares[i],
                                          *p->gamma, p->batch, (double)p->seed[i]);
        if (!(error <= p->sums[GAN_SUM_ERROR])) p->sums[GAN_SUM_ERROR] = error;
    }
    return OK;
}

const struct gan_ops *gan_ops_cpu(void)
{
    static const struct gan_ops table = {
        .augment = cpu_augment,
        .augment_adjoint = cpu_augment_adjoint,
        .square_sums = cpu_square_sums,
        .pair_loss = cpu_pair_loss,
        .penalty = cpu_penalty,
        .penalty_check = cpu_penalty_check,
    };
    return &table;
}
