/* Halving by the largest: see nn_ops.max_pool_forward. A thread a number of the smaller images. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "math/pool_place.h"

enum { BLOCK = 256 };

/* dout NULL: to is the smaller images; else the gradient of the larger ones, added to. */
static __global__ void max_pool_kernel(float *to, const float *in, const float *dout, size_t count,
                                       int h, int w, int c)
{
    size_t small = (size_t)blockIdx.x * BLOCK + threadIdx.x;
    if (small >= count) return;
    size_t pixels = w / 2, rows = h / 2, channel = small % c, x = small / c % pixels;
    size_t row = small / c / pixels, line = (size_t)w * c;
    size_t large = (row / rows * h + row % rows * 2) * line + 2 * x * c + channel;
    ptrdiff_t place = max_pool_place(in + large, (ptrdiff_t)line, c);
    if (dout)
        to[large + place] += dout[small];
    else
        to[small] = in[large + place];
}

static int max_pool_queue(struct device *device, float *to, const float *in, const float *dout,
                          const int *shape)
{
    size_t count = (size_t)shape[0] * (shape[1] / 2) * (shape[2] / 2) * shape[3];
    LAUNCH(max_pool_kernel, cuda_blocks(count, BLOCK), BLOCK, 0, cuda_stream(device), to, in, dout,
           count, shape[1], shape[2], shape[3]);
    return cuda_take_error();
}

static int cuda_max_pool_forward(struct device *device, float *out, const float *in, int n, int h,
                                 int w, int c)
{
    const int shape[4] = {n, h, w, c};
    TRY(nn_check_sizes("max_pool_forward", n, h > 1 && w > 1, c));
    return max_pool_queue(device, out, in, NULL, shape);
}

static int cuda_max_pool_dgrad(struct device *device, float *din, const float *dout,
                               const float *in, int n, int h, int w, int c)
{
    const int shape[4] = {n, h, w, c};
    TRY(nn_check_sizes("max_pool_dgrad", n, h > 1 && w > 1, c));
    return max_pool_queue(device, din, in, dout, shape);
}

void nn_cuda_install_max_pool(struct nn_ops *ops)
{
    ops->max_pool_forward = cuda_max_pool_forward;
    ops->max_pool_dgrad = cuda_max_pool_dgrad;
}
