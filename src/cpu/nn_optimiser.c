/* Operations on flat ranges of parameters. */
#include "cpu/nn_cpu.h"
#include "math/optimiser.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 16384 }; /* floats of one partial sum */

static void zero(void *x, size_t bytes)
{
    memset(x, 0, bytes);
}

static void copy(void *out, const void *in, size_t bytes)
{
    memcpy(out, in, bytes);
}

static void adam(float *p, float *v, const float *g, size_t count, const struct nn_adam *rates)
{
    const struct nn_adam a = *rates;
#pragma omp parallel for
    for (size_t i = 0; i < count; i++)
        nn_adam_update(&a, &p[i], &v[i], g[i]);
}

static void ema(float *e, const float *p, size_t count, const float *beta)
{
    const float b = *beta;
#pragma omp parallel for
    for (size_t i = 0; i < count; i++)
        e[i] = nn_ema(b, e[i], p[i]);
}

static double norm2(const float *x, size_t count)
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
    ops->zero = zero;
    ops->copy = copy;
    ops->adam = adam;
    ops->ema = ema;
    ops->norm2 = norm2;
}
