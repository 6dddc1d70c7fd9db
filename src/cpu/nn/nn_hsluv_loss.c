/* Colours compared in HSLuv: see struct nn_hsluv_loss in device/nn_losses.h. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "math/hsluv.h"

/* A range of the rows of all images. */
static void hsluv_rows(void *context, int64_t from, int64_t to)
{
    const struct nn_hsluv_loss *loss = context;
    for (int64_t row = from; row < to; row++) {
        const float *out = loss->out + 3 * row * loss->side;
        const float *target = loss->target + 3 * row * loss->side;
        float *grad = loss->grad + 3 * row * loss->side;
        double sum = 0, slope[3];
        for (int x = 0; x < loss->side; x++, out += 3, target += 3, grad += 3) {
            sum += hsluv_loss(out, target, slope);
            for (int c = 0; c < 3; c++)
                grad[c] += (float)((double)loss->weight * slope[c]);
        }
        loss->rows[row] = sum;
    }
}

static int cpu_hsluv_loss(struct device *device, const struct nn_hsluv_loss *loss)
{
    struct nn_hsluv_loss work = *loss;
    (void)device;
    TRY(nn_check_hsluv_loss(loss));
    threads_for((int64_t)loss->n * loss->side, threads_grain(400 * (int64_t)loss->side), hsluv_rows,
                &work);
    for (int n = 0; n < loss->n; n++) {
        loss->sums[n] = 0;
        for (int y = 0; y < loss->side; y++)
            loss->sums[n] += loss->rows[(size_t)n * (size_t)loss->side + (size_t)y];
    }
    return OK;
}

void nn_install_hsluv_loss(struct nn_ops *ops)
{
    ops->hsluv_loss = cpu_hsluv_loss;
}
