/* The loss of images beside those that they should be: see struct nn_image_loss in
 * device/nn_ops.h. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "cuda/reduce.h"
#include "math/image_loss.h"

enum { BLOCK = 256, PIECE = 64 * BLOCK };

struct loss_weights {
    float weight[NN_LOSS_TERMS];
};

/* A block a piece of an image (blockIdx.y): each thread has the same numbers of it whatever the
 * batch. */
static __global__ void image_loss_kernel(double *pieces, float *grad, const float *out,
                                         const float *target, size_t count,
                                         struct loss_weights weights)
{
    size_t image = blockIdx.y * count, first = (size_t)blockIdx.x * PIECE;
    size_t last = min(first + PIECE, count);
    double terms[NN_LOSS_TERMS] = {0};
    for (size_t i = image + first + threadIdx.x; i < image + last; i += BLOCK) {
        image_loss_add((double)out[i] - (double)target[i], terms);
        grad[i] = image_loss_slope(out[i] - target[i], weights.weight);
    }
    for (int t = 0; t < NN_LOSS_TERMS; t++) {
        double sum = cuda_reduce_block_sum<BLOCK>(terms[t]);
        if (threadIdx.x == 0)
            pieces[((size_t)blockIdx.y * gridDim.x + blockIdx.x) * NN_LOSS_TERMS + t] = sum;
    }
}

/* A block an image: its pieces' sums. */
static __global__ void image_loss_sums(double *sums, const double *pieces, int count)
{
    const double *from = pieces + (size_t)blockIdx.x * count * NN_LOSS_TERMS;
    for (int t = 0; t < NN_LOSS_TERMS; t++) {
        double sum = 0;
        for (int p = threadIdx.x; p < count; p += BLOCK)
            sum += from[(size_t)p * NN_LOSS_TERMS + t];
        sum = cuda_reduce_block_sum<BLOCK>(sum);
        if (threadIdx.x == 0) sums[blockIdx.x * NN_LOSS_TERMS + t] = sum;
    }
}

static int cuda_image_loss(struct device *device, const struct nn_image_loss *loss)
{
    struct loss_weights weights;
    TRY(nn_check_image_loss(loss));
    for (int t = 0; t < NN_LOSS_TERMS; t++)
        weights.weight[t] = loss->weight[t];
    struct cuda_device *d = cuda_of(device);
    double *sums = (double *)d->partials;
    size_t pieces = (loss->count + PIECE - 1) / PIECE;
    size_t most = CUDA_PARTIALS / sizeof *sums / NN_LOSS_TERMS / pieces; /* images at a time */
    if (most < 1) return fail(ERR_USAGE, "image_loss: %zu numbers are too many", loss->count);
    if (most > MOST_IMAGES) most = MOST_IMAGES;
    for (int first = 0, some; first < loss->n; first += some) {
        some = (size_t)(loss->n - first) < most ? loss->n - first : (int)most;
        size_t skip = (size_t)first * loss->count;
        LAUNCH(image_loss_kernel, dim3((unsigned)pieces, (unsigned)some), BLOCK, 0, d->stream, sums,
               loss->grad + skip, loss->out + skip, loss->target + skip, loss->count, weights);
        LAUNCH(image_loss_sums, (unsigned)some, BLOCK, 0, d->stream,
               loss->sums + (size_t)first * NN_LOSS_TERMS, sums, (int)pieces);
    }
    return cuda_take_error();
}

void nn_cuda_install_image_loss(struct nn_ops *ops)
{
    ops->image_loss = cuda_image_loss;
}
