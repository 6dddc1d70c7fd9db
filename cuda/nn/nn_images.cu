/* Operations on batches of images. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"

enum { BLOCK = 256 };

/* Images `first` on: one for each of the blocks' second number, of `count` samples. */
static __global__ void from_u8_kernel(float *out, const uint8_t *pictures, const uint8_t *flip,
                                      unsigned count, unsigned w, unsigned c)
{
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x, from = i;
    size_t image = (size_t)blockIdx.y * count;
    if (i >= count) return;
    if (flip && flip[blockIdx.y]) {
        unsigned pixel = i / c, x = pixel % w;
        from = i + (w - 1 - 2 * x) * c; /* modulo 2^32, as what is taken off may be more */
    }
    out[image + i] = (float)((int)pictures[image + from] - 128) * (1.0f / 128);
}

static int cuda_from_u8(struct device *device, float *out, const uint8_t *pictures,
                        const uint8_t *flip, int n, int h, int w, int c)
{
    TRY(nn_check_sizes("from_u8", n, h > 0 && w > 0, c));
    size_t count = (size_t)h * w * c;
    if (count > INT32_MAX) return fail(ERR_USAGE, "from_u8: images of %d x %d are too large", w, h);
    for (int first = 0; first < n; first += MOST_IMAGES) {
        int some = n - first < MOST_IMAGES ? n - first : MOST_IMAGES;
        dim3 grid(cuda_blocks(count, BLOCK), (unsigned)some);
        LAUNCH(from_u8_kernel, grid, BLOCK, 0, cuda_stream(device), out + first * count,
               pictures + first * count, flip ? flip + first : NULL, (unsigned)count, (unsigned)w,
               (unsigned)c);
    }
    return cuda_take_error();
}

static __global__ void scale_add_kernel(float *x, const float *y, const float *factor, size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x, image = blockIdx.y * count;
    if (i < count) x[image + i] += factor[blockIdx.y] * y[image + i];
}

static int cuda_scale_add(struct device *device, float *x, const float *y, const float *factor,
                          int n, size_t count)
{
    TRY(nn_check_sizes("scale_add", n, 1, 1));
    for (int first = 0; first < n; first += MOST_IMAGES) {
        int some = n - first < MOST_IMAGES ? n - first : MOST_IMAGES;
        dim3 grid(cuda_blocks(count, BLOCK), (unsigned)some);
        LAUNCH(scale_add_kernel, grid, BLOCK, 0, cuda_stream(device), x + first * count,
               y + first * count, factor + first, count);
    }
    return cuda_take_error();
}

void nn_cuda_install_images(struct nn_ops *ops)
{
    ops->from_u8 = cuda_from_u8;
    ops->scale_add = cuda_scale_add;
}
