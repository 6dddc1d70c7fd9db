/* Operations on batches of images. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"

enum { BLOCK = 256 };

static __global__ void from_u8_kernel(float *out, const uint8_t *pictures, const uint8_t *flip,
                                      size_t count, int h, int w, int c)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    size_t line = i / c / w, from = i;
    int x = (int)(i / c % w);
    if (flip && flip[line / h]) from = (line * w + (w - 1 - x)) * c + i % c;
    out[i] = (float)((int)pictures[from] - 128) * (1.0f / 128);
}

static int cuda_from_u8(struct device *device, float *out, const uint8_t *pictures,
                        const uint8_t *flip, int n, int h, int w, int c)
{
    TRY(nn_check_sizes("from_u8", n, h > 0 && w > 0, c));
    size_t count = (size_t)n * h * w * c;
    LAUNCH(from_u8_kernel, cuda_blocks(count, BLOCK), BLOCK, 0, cuda_stream(device), out, pictures,
           flip, count, h, w, c);
    return cuda_take_error();
}

static __global__ void scale_add_kernel(float *x, const float *y, const float *factor, size_t count,
                                        size_t total)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < total) x[i] += factor[i / count] * y[i];
}

static int cuda_scale_add(struct device *device, float *x, const float *y, const float *factor,
                          int n, size_t count)
{
    TRY(nn_check_sizes("scale_add", n, 1, 1));
    size_t total = (size_t)n * count;
    LAUNCH(scale_add_kernel, cuda_blocks(total, BLOCK), BLOCK, 0, cuda_stream(device), x, y, factor,
           count, total);
    return cuda_take_error();
}

void nn_cuda_install_images(struct nn_ops *ops)
{
    ops->from_u8 = cuda_from_u8;
    ops->scale_add = cuda_scale_add;
}
