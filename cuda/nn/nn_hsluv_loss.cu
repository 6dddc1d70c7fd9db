/* Colours compared in HSLuv: see struct nn_hsluv_loss in device/nn_losses.h. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "cuda/reduce.h"
#include "math/hsluv.h"

enum { BLOCK = 128 };

/* A block a row of an image. */
static __global__ void hsluv_rows_kernel(struct nn_hsluv_loss loss)
{
    size_t first = 3 * (size_t)blockIdx.x * loss.side;
    double sum = 0, slope[3];
    for (int x = threadIdx.x; x < loss.side; x += BLOCK) {
        size_t at = first + 3 * (size_t)x;
        sum += hsluv_loss(loss.out + at, loss.target + at, slope);
        for (int c = 0; c < 3; c++)
            loss.grad[at + c] += (float)((double)loss.weight * slope[c]);
    }
    sum = cuda_reduce_block_sum<BLOCK>(sum);
    if (threadIdx.x == 0) loss.rows[blockIdx.x] = sum;
}

/* A block an image. */
static __global__ void hsluv_sums_kernel(struct nn_hsluv_loss loss)
{
    const double *rows = loss.rows + (size_t)blockIdx.x * loss.side;
    double sum = 0;
    for (int y = threadIdx.x; y < loss.side; y += BLOCK)
        sum += rows[y];
    sum = cuda_reduce_block_sum<BLOCK>(sum);
    if (threadIdx.x == 0) loss.sums[blockIdx.x] = sum;
}

static int cuda_hsluv_loss(struct device *device, const struct nn_hsluv_loss *loss)
{
    TRY(nn_check_hsluv_loss(loss));
    cudaStream_t stream = cuda_stream(device);
    LAUNCH(hsluv_rows_kernel, (unsigned)loss->n * (unsigned)loss->side, BLOCK, 0, stream, *loss);
    LAUNCH(hsluv_sums_kernel, (unsigned)loss->n, BLOCK, 0, stream, *loss);
    return cuda_take_error();
}

void nn_cuda_install_hsluv_loss(struct nn_ops *ops)
{
    ops->hsluv_loss = cuda_hsluv_loss;
}
