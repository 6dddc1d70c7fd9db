/* The loss of images beside those that they should be. */
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "math/image_loss.h"

#include <string.h>

enum { LOSS_LANES = 8 }; /* partial sums of an image, so that the loop is vectors */

static void image_loss_images(void *context, int64_t from, int64_t to)
{
    const struct nn_image_loss *loss = context;
    for (int64_t n = from; n < to; n++) {
        const float *out = loss->out + (size_t)n * loss->count;
        const float *target = loss->target + (size_t)n * loss->count;
        float *grad = loss->grad + (size_t)n * loss->count;
        double sums[NN_LOSS_TERMS][LOSS_LANES] = {{0}};
        for (size_t i = 0; i < loss->count; i++) {
            double d = (double)out[i] - (double)target[i], one[NN_LOSS_TERMS] = {0};
            image_loss_add(d, one);
            for (int t = 0; t < NN_LOSS_TERMS; t++)
                sums[t][i % LOSS_LANES] += one[t];
        }
        for (size_t i = 0; i < loss->count; i++)
            grad[i] = image_loss_slope(out[i] - target[i], loss->weight);
        for (int t = 0; t < NN_LOSS_TERMS; t++) {
            double sum = 0;
            for (int lane = 0; lane < LOSS_LANES; lane++)
                sum += sums[t][lane];
            loss->sums[n * NN_LOSS_TERMS + t] = sum;
        }
    }
}

static int cpu_image_loss(struct device *device, const struct nn_image_loss *loss)
{
    struct nn_image_loss work = *loss;
    (void)device;
    int code = nn_check_image_loss(loss);
    if (code < 0) return code;
    threads_for(loss->n, 1, image_loss_images, &work);
    return 0;
}

void nn_install_image_loss(struct nn_ops *ops)
{
    ops->image_loss = cpu_image_loss;
}
