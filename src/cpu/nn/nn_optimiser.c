/* Operations on flat ranges of parameters. */
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "math/optimiser.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 16384 }; /* floats of one partial sum */

static void cpu_zero(void *x, size_t bytes)
{
    memset(x, 0, bytes);
}

static void cpu_copy_bytes(void *out, const void *in, size_t bytes)
{
    memcpy(out, in, bytes);
}

struct update_work {
    float *p, *v;
    const float *g;
    struct nn_adam rates;
    float beta;
};

static void adam_range(void *context, int64_t from, int64_t to)
{
    const struct update_work u = *(const struct update_work *)context;
    for (int64_t i = from; i < to; i++)
        nn_adam_update(&u.rates, &u.p[i], &u.v[i], u.g[i]);
}

static void cpu_adam(float *p, float *v, const float *g, size_t count, const struct nn_adam *rates)
{
    struct update_work work = {.p = p, .v = v, .g = g, .rates = *rates};
    threads_for((int64_t)count, threads_grain(4), adam_range, &work);
}

static void ema_range(void *context, int64_t from, int64_t to)
{
    const struct update_work u = *(const struct update_work *)context;
    for (int64_t i = from; i < to; i++)
        u.v[i] = nn_ema(u.beta, u.v[i], u.g[i]);
}

static void cpu_ema(float *e, const float *p, size_t count, const float *beta)
{
    struct update_work work = {.v = e, .g = p, .beta = *beta};
    threads_for((int64_t)count, threads_grain(2), ema_range, &work);
}

static double cpu_norm2(const float *x, size_t count)
{
    double total = 0;
    for (size_t first = 0; first < count; first += CHUNK) {
        size_t last = count - first < CHUNK ? count : first + CHUNK;
        double sum = 0;
        for (size_t i = first; i < last; i++)
            sum += (double)x[i] * (double)x[i];
        total += sum;
    }
    return total;
}

void nn_install_optimiser(struct nn_ops *ops)
{
    ops->zero = cpu_zero;
    ops->copy = cpu_copy_bytes;
    ops->adam = cpu_adam;
    ops->ema = cpu_ema;
    ops->norm2 = cpu_norm2;
}
