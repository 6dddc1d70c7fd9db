/* Reduced images compared: see struct nn_reduced_loss in device/nn_losses.h. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "cuda/reduce.h"
#include "math/reduced_loss.h"

enum { BLOCK = 256 };

/* ---- reduced images: a thread a number, but for the sums ---- */

static __global__ void reduce_rows_kernel(float *lines, struct nn_reduced_loss loss, int reduced)
{
    size_t at = (size_t)blockIdx.x * BLOCK + threadIdx.x, line = 3 * (size_t)reduced;
    size_t row = at / line;
    if (row >= (size_t)loss.n * loss.side) return;
    int i = (int)(at % line);
    size_t first = 3 * row * loss.side + i % 3;
    lines[at] = reduction_pixel(&loss.reduction, loss.out + first, loss.target + first, 3,
                                loss.side, i / 3);
}

/* A block an image. */
static __global__ void compare_reduced_kernel(float *small, const float *lines,
                                              struct nn_reduced_loss loss, int reduced)
{
    size_t line = 3 * (size_t)reduced, pixels = (size_t)reduced * reduced;
    double sum = 0;
    lines += blockIdx.x * (size_t)loss.side * line;
    small += blockIdx.x * (size_t)reduced * line;
    for (size_t p = threadIdx.x; p < pixels; p += BLOCK) {
        float d[3];
        for (int c = 0; c < 3; c++)
            d[c] = reduction_pixel(&loss.reduction, lines + p % reduced * 3 + c, NULL,
                                   (ptrdiff_t)line, loss.side, (int)(p / reduced));
        sum += loss_colour(loss.colour, d, loss.weight, small + 3 * p);
    }
    sum = cuda_reduce_block_sum<BLOCK>(sum);
    if (threadIdx.x == 0) loss.sums[blockIdx.x] = sum;
}

static __global__ void widen_columns_kernel(float *lines, const float *small,
                                            struct nn_reduced_loss loss, int reduced)
{
    size_t at = (size_t)blockIdx.x * BLOCK + threadIdx.x, line = 3 * (size_t)reduced;
    size_t row = at / line;
    if (row >= (size_t)loss.n * loss.side) return;
    lines[at] =
        reduction_adjoint(&loss.reduction, small + row / loss.side * reduced * line + at % line,
                          (ptrdiff_t)line, loss.side, (int)(row % loss.side));
}

static __global__ void widen_rows_kernel(const float *lines, struct nn_reduced_loss loss,
                                         int reduced)
{
    size_t at = (size_t)blockIdx.x * BLOCK + threadIdx.x, row = at / (3 * (size_t)loss.side);
    if (row >= (size_t)loss.n * loss.side) return;
    int i = (int)(at % (3 * (size_t)loss.side));
    loss.grad[at] +=
        reduction_adjoint(&loss.reduction, lines + 3 * row * reduced + i % 3, 3, loss.side, i / 3);
}

static int cuda_reduced_loss(struct device *device, const struct nn_reduced_loss *loss)
{
    TRY(nn_check_reduced_loss(loss));
    int reduced = loss->side / loss->reduction.factor;
    size_t rows = (size_t)loss->n * loss->side, line = 3 * (size_t)reduced;
    float *lines = loss->workspace, *small = lines + rows * line;
    cudaStream_t stream = cuda_stream(device);
    LAUNCH(reduce_rows_kernel, cuda_blocks(rows * line, BLOCK), BLOCK, 0, stream, lines, *loss,
           reduced);
    LAUNCH(compare_reduced_kernel, (unsigned)loss->n, BLOCK, 0, stream, small, lines, *loss,
           reduced);
    LAUNCH(widen_columns_kernel, cuda_blocks(rows * line, BLOCK), BLOCK, 0, stream, lines, small,
           *loss, reduced);
    LAUNCH(widen_rows_kernel, cuda_blocks(rows * 3 * loss->side, BLOCK), BLOCK, 0, stream, lines,
           *loss, reduced);
    return cuda_take_error();
}

void nn_cuda_install_reduced_loss(struct nn_ops *ops)
{
    ops->reduced_loss = cuda_reduced_loss;
}
