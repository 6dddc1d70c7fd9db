/* Spectra compared: see struct nn_fft_loss in device/nn_losses.h, and cpu/nn/nn_fft_loss.c. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "cuda/reduce.h"
#include "math/fft.h"

enum { BLOCK = 256 };

static __global__ void fft_begin_kernel(float *re, const float *out, const float *target,
                                        size_t plane)
{
    size_t i = (size_t)blockIdx.x * BLOCK + threadIdx.x;
    if (i >= plane) return;
    re[i] = out[i] - target[i];
    re[plane + i] = 0;
}

/* A stage: a thread a number. Places along the axis are `step` numbers apart. */
static __global__ void fft_stage_kernel(float *to, const float *from, const float *turns,
                                        size_t plane, size_t step, int side, int done, int radix)
{
    size_t i = (size_t)blockIdx.x * BLOCK + threadIdx.x;
    if (i >= plane) return;
    size_t line = side * step, base = i / line * line + i % step;
    struct fft_sum sum = fft_sum_of(side, done, radix, (int)(i % line / step));
    float re = 0, im = 0;
    for (int k = 0; k < radix; k++) {
        const float *a = from + base + (sum.from + k * sum.apart) * step;
        fft_add(&re, &im, a[0], a[plane], turns + 2 * fft_turn(&sum, k));
    }
    to[i] = re;
    to[plane + i] = im;
}

/* A block an image. */
static __global__ void fft_compare_kernel(double *sums, float *re, size_t plane, int side)
{
    size_t all = 3 * (size_t)side * side, half = 3 * (size_t)fft_half(side);
    float *own = re + blockIdx.x * all;
    double sum = 0;
    for (size_t i = threadIdx.x; i < all; i += BLOCK) {
        float a = own[i], b = own[plane + i];
        bool within = i % (3 * (size_t)side) < half;
        if (within) sum += fft_loss(&a, &b);
        own[i] = within ? a : 0;
        own[plane + i] = within ? b : 0;
    }
    sum = cuda_reduce_block_sum<BLOCK>(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

static __global__ void fft_end_kernel(float *grad, const float *re, float weight, size_t plane)
{
    size_t i = (size_t)blockIdx.x * BLOCK + threadIdx.x;
    if (i < plane) grad[i] += weight * re[i];
}

/* Both axes; returns where the result is. */
static float *fft_queue(const struct nn_fft_loss *loss, float *from, float *to, size_t plane,
                        cudaStream_t stream)
{
    for (int axis = 0; axis < 2; axis++) {
        size_t step = axis ? 3 : 3 * (size_t)loss->side;
        for (int done = 1, radix; done < loss->side; done *= radix) {
            radix = fft_radix(loss->side, done);
            LAUNCH(fft_stage_kernel, cuda_blocks(plane, BLOCK), BLOCK, 0, stream, to, from,
                   loss->turns, plane, step, loss->side, done, radix);
            float *made = to;
            to = from;
            from = made;
        }
    }
    return from;
}

static int cuda_fft_loss(struct device *device, const struct nn_fft_loss *loss)
{
    TRY(nn_check_fft_loss(loss));
    size_t plane = 3 * (size_t)loss->n * loss->side * loss->side;
    float *first = loss->workspace, *second = first + 2 * plane;
    cudaStream_t stream = cuda_stream(device);
    LAUNCH(fft_begin_kernel, cuda_blocks(plane, BLOCK), BLOCK, 0, stream, first, loss->out,
           loss->target, plane);
    float *made = fft_queue(loss, first, second, plane, stream);
    LAUNCH(fft_compare_kernel, (unsigned)loss->n, BLOCK, 0, stream, loss->sums, made, plane,
           loss->side);
    made = fft_queue(loss, made, made == first ? second : first, plane, stream);
    LAUNCH(fft_end_kernel, cuda_blocks(plane, BLOCK), BLOCK, 0, stream, loss->grad, made,
           loss->weight, plane);
    return cuda_take_error();
}

void nn_cuda_install_fft_loss(struct nn_ops *ops)
{
    ops->fft_loss = cuda_fft_loss;
}
