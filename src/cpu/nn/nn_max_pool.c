/* Halving by the largest: see nn_ops.max_pool_forward. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "math/pool_place.h"

struct pool_work {
    float *to; /* out, or din */
    const float *in, *dout;
    int h, w, c;
};

/* Rows of the smaller images. */
static void pool_rows(void *context, int64_t begin, int64_t end)
{
    const struct pool_work p = *(const struct pool_work *)context;
    int rows = p.h / 2, pixels = p.w / 2;
    ptrdiff_t line = (ptrdiff_t)p.w * p.c;
    for (int64_t row = begin; row < end; row++)
        for (int x = 0; x < pixels; x++) {
            ptrdiff_t small = (row * pixels + x) * p.c;
            ptrdiff_t large = (row / rows * p.h + row % rows * 2) * line + (ptrdiff_t)2 * x * p.c;
            for (int c = 0; c < p.c; c++) {
                const float *in = p.in + large + c;
                ptrdiff_t place = max_pool_place(in, line, p.c);
                if (p.dout)
                    p.to[large + c + place] += p.dout[small + c];
                else
                    p.to[small + c] = in[place];
            }
        }
}

static int cpu_max_pool_forward(struct device *device, float *out, const float *in, int n, int h,
                                int w, int c)
{
    (void)device;
    TRY(nn_check_sizes("max_pool_forward", n, h > 1 && w > 1, c));
    struct pool_work work = {.to = out, .in = in, .h = h, .w = w, .c = c};
    threads_for((int64_t)n * (h / 2), threads_grain(4 * (int64_t)w * c), pool_rows, &work);
    return OK;
}

static int cpu_max_pool_dgrad(struct device *device, float *din, const float *dout, const float *in,
                              int n, int h, int w, int c)
{
    (void)device;
    TRY(nn_check_sizes("max_pool_dgrad", n, h > 1 && w > 1, c));
    struct pool_work work = {.to = din, .in = in, .dout = dout, .h = h, .w = w, .c = c};
    threads_for((int64_t)n * (h / 2), threads_grain(4 * (int64_t)w * c), pool_rows, &work);
    return OK;
}

void nn_install_max_pool(struct nn_ops *ops)
{
    ops->max_pool_forward = cpu_max_pool_forward;
    ops->max_pool_dgrad = cpu_max_pool_dgrad;
}
