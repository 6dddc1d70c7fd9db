/* The loss of images beside those that they should be: see struct nn_image_loss in
 * device/nn_ops.h. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "cuda/reduce.h"
#include "math/image_loss.h"

enum { BLOCK = 256 };

struct loss_weights {
    float weight[NN_LOSS_TERMS];
};

/* A block an image: each thread has the same numbers of it whatever the batch. */
static __global__ void image_loss_kernel(double *sums, float *grad, const float *out,
                                         const float *target, size_t count,
                                         struct loss_weights weights)
{
    size_t first = blockIdx.x * count;
    double terms[NN_LOSS_TERMS] = {0};
    for (size_t i = first + threadIdx.x; i < first + count; i += BLOCK) {
        image_loss_add((double)out[i] - (double)target[i], terms);
        grad[i] = image_loss_slope(out[i] - target[i], weights.weight);
    }
    for (int t = 0; t < NN_LOSS_TERMS; t++) {
        double sum = cuda_reduce_block_sum<BLOCK>(terms[t]);
        if (threadIdx.x == 0) sums[blockIdx.x * NN_LOSS_TERMS + t] = sum;
        __syncthreads();
    }
}

static int cuda_image_loss(struct device *device, const struct nn_image_loss *loss)
{
    struct loss_weights weights;
    TRY(nn_check_image_loss(loss));
    for (int t = 0; t < NN_LOSS_TERMS; t++)
        weights.weight[t] = loss->weight[t];
    LAUNCH(image_loss_kernel, (unsigned)loss->n, BLOCK, 0, cuda_stream(device), loss->sums,
           loss->grad, loss->out, loss->target, loss->count, weights);
    return cuda_take_error();
}

void nn_cuda_install_image_loss(struct nn_ops *ops)
{
    ops->image_loss = cuda_image_loss;
}
