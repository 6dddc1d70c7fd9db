/* Rows of numbers that become shares of 1: see nn_ops.softmax_forward. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "math/softmax.h"

struct softmax_work {
    float *x; /* or dy */
    const float *y;
    int count;
    float scale;
};

static void softmax_row(float *x, int count, float scale)
{
    float most = x[0];
    double sum = 0;
    for (int i = 1; i < count; i++)
        if (x[i] > most) most = x[i];
    for (int i = 0; i < count; i++) {
        x[i] = softmax_part(x[i], most, scale);
        sum += (double)x[i];
    }
    float share = (float)(1 / sum);
    for (int i = 0; i < count; i++)
        x[i] *= share;
}

static void softmax_row_dgrad(float *dy, const float *y, int count, float scale)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += (double)dy[i] * (double)y[i];
    for (int i = 0; i < count; i++)
        dy[i] = softmax_slope(y[i], dy[i], (float)sum, scale);
}

static void softmax_rows(void *context, int64_t begin, int64_t end)
{
    const struct softmax_work *w = context;
    for (int64_t row = begin; row < end; row++)
        if (w->y)
            softmax_row_dgrad(w->x + row * w->count, w->y + row * w->count, w->count, w->scale);
        else
            softmax_row(w->x + row * w->count, w->count, w->scale);
}

static int cpu_softmax_forward(struct device *device, float *x, int rows, int count, float scale)
{
    struct softmax_work work = {.x = x, .count = count, .scale = scale};
    (void)device;
    TRY(nn_check_sizes("softmax_forward", rows, 1, count));
    threads_for(rows, threads_grain(16 * (int64_t)count), softmax_rows, &work);
    return OK;
}

static int cpu_softmax_dgrad(struct device *device, float *dy, const float *y, int rows, int count,
                             float scale)
{
    struct softmax_work work = {.x = dy, .y = y, .count = count, .scale = scale};
    (void)device;
    TRY(nn_check_sizes("softmax_dgrad", rows, 1, count));
    threads_for(rows, threads_grain(2 * (int64_t)count), softmax_rows, &work);
    return OK;
}

void nn_install_softmax(struct nn_ops *ops)
{
    ops->softmax_forward = cpu_softmax_forward;
    ops->softmax_dgrad = cpu_softmax_dgrad;
}
