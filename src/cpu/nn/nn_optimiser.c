/* Operations on flat ranges of parameters. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "math/clip.h"
#include "math/optimiser.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 16384 }; /* floats of one partial sum */

static int cpu_zero(struct device *device, void *x, size_t bytes)
{
    (void)device;
    memset(x, 0, bytes);
    return OK;
}

static int cpu_copy_bytes(struct device *device, void *out, const void *in, size_t bytes)
{
    (void)device;
    memcpy(out, in, bytes);
    return OK;
}

struct update_work {
    float *p, *m, *v;
    const float *g;
    struct adam_f32 rates;
    float beta;
};

/* One loop for each use: without a mean it is all vectors. */
#define ADAM_RANGE(name, mean, decays)                                                             \
    static void name(void *context, int64_t from, int64_t to)                                      \
    {                                                                                              \
        const struct update_work u = *(const struct update_work *)context;                         \
        struct adam_f32 rates = u.rates;                                                           \
        if (!(decays)) rates.decay = 0;                                                            \
        for (int64_t i = from; i < to; i++)                                                        \
            u.p[i] = adam_update_f32(&rates, ADAM_SQUARE_FIRST, u.p[i], u.g[i],                    \
                                     (mean) ? u.m + i : NULL, u.v + i);                            \
    }
ADAM_RANGE(adam_range, false, false)
ADAM_RANGE(adam_range_decaying, false, true)
ADAM_RANGE(adam_range_with_mean, true, false)
ADAM_RANGE(adam_range_with_both, true, true)

static int cpu_adam(struct device *device, float *p, float *m, float *v, const float *g,
                    size_t count, const struct adam_f32 *rates)
{
    (void)device;
    struct update_work work = {.p = p, .m = m, .v = v, .g = g, .rates = *rates};
    threads_body *range = m ? adam_range_with_mean : adam_range;
    if (rates->decay != 0) range = m ? adam_range_with_both : adam_range_decaying;
    threads_for((int64_t)count, threads_grain(4), range, &work);
    return OK;
}

static void ema_range(void *context, int64_t from, int64_t to)
{
    const struct update_work u = *(const struct update_work *)context;
    for (int64_t i = from; i < to; i++)
        u.v[i] = ema_update(u.beta, u.v[i], u.g[i]);
}

static int cpu_ema(struct device *device, float *e, const float *p, size_t count, const float *beta)
{
    (void)device;
    struct update_work work = {.v = e, .g = p, .beta = *beta};
    threads_for((int64_t)count, threads_grain(2), ema_range, &work);
    return OK;
}

static int cpu_norm2(struct device *device, double *sum, const float *x, size_t count)
{
    (void)device;
    double total = 0;
    for (size_t first = 0; first < count; first += CHUNK) {
        size_t last = count - first < CHUNK ? count : first + CHUNK;
        double part = 0;
        for (size_t i = first; i < last; i++)
            part += (double)x[i] * (double)x[i];
        total += part;
    }
    *sum = total;
    return OK;
}

struct clip_work {
    float *x, factor;
};

static void clip_range(void *context, int64_t from, int64_t to)
{
    const struct clip_work w = *(const struct clip_work *)context;
    for (int64_t i = from; i < to; i++)
        w.x[i] *= w.factor;
}

static int cpu_clip_norm(struct device *device, float *x, size_t count, double most, double *norm2)
{
    TRY(cpu_norm2(device, norm2, x, count));
    struct clip_work work = {x, clip_factor(*norm2, most)};
    if (work.factor < 1) threads_for((int64_t)count, threads_grain(1), clip_range, &work);
    return OK;
}

void nn_install_optimiser(struct nn_ops *ops)
{
    ops->zero = cpu_zero;
    ops->copy = cpu_copy_bytes;
    ops->adam = cpu_adam;
    ops->ema = cpu_ema;
    ops->norm2 = cpu_norm2;
    ops->clip_norm = cpu_clip_norm;
}
