/* Rows of numbers that become shares of 1: see nn_ops.softmax_forward. A block a row. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "cuda/reduce.h"
#include "math/softmax.h"

enum { BLOCK = 256 };

static __global__ void softmax_forward_kernel(float *x, int count, float scale)
{
    __shared__ float most[BLOCK];
    float *row = x + (size_t)blockIdx.x * count;
    int i = threadIdx.x;
    most[i] = i < count ? row[i] : row[0];
    for (int k = i + BLOCK; k < count; k += BLOCK)
        if (row[k] > most[i]) most[i] = row[k];
    __syncthreads();
    for (int step = BLOCK / 2; step > 0; step /= 2) {
        if (i < step && most[i + step] > most[i]) most[i] = most[i + step];
        __syncthreads();
    }
    double sum = 0;
    for (int k = i; k < count; k += BLOCK) {
        float value = softmax_part(row[k], most[0], scale);
        row[k] = value;
        sum += (double)value;
    }
    float share = (float)(1 / cuda_reduce_block_sum<BLOCK>(sum));
    for (int k = i; k < count; k += BLOCK)
        row[k] *= share;
}

static __global__ void softmax_dgrad_kernel(float *dy, const float *y, int count, float scale)
{
    size_t first = (size_t)blockIdx.x * count;
    double sum = 0;
    for (int k = threadIdx.x; k < count; k += BLOCK)
        sum += (double)dy[first + k] * (double)y[first + k];
    float whole = (float)cuda_reduce_block_sum<BLOCK>(sum);
    for (int k = threadIdx.x; k < count; k += BLOCK)
        dy[first + k] = softmax_slope(y[first + k], dy[first + k], whole, scale);
}

static int cuda_softmax_forward(struct device *device, float *x, int rows, int count, float scale)
{
    TRY(nn_check_sizes("softmax_forward", rows, 1, count));
    LAUNCH(softmax_forward_kernel, (unsigned)rows, BLOCK, 0, cuda_stream(device), x, count, scale);
    return cuda_take_error();
}

static int cuda_softmax_dgrad(struct device *device, float *dy, const float *y, int rows, int count,
                              float scale)
{
    TRY(nn_check_sizes("softmax_dgrad", rows, 1, count));
    LAUNCH(softmax_dgrad_kernel, (unsigned)rows, BLOCK, 0, cuda_stream(device), dy, y, count,
           scale);
    return cuda_take_error();
}

void nn_cuda_install_softmax(struct nn_ops *ops)
{
    ops->softmax_forward = cuda_softmax_forward;
    ops->softmax_dgrad = cuda_softmax_dgrad;
}
