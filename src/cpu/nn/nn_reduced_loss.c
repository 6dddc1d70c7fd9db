/* Reduced images compared: see struct nn_reduced_loss in device/nn_losses.h. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "math/reduced_loss.h"

/* ---- reduced images ---- */

struct reduced_work {
    struct nn_reduced_loss loss;
    int reduced;  /* pixels of a reduced side */
    float *lines; /* [n][side][reduced][3]: reduced along x; later the gradient of that */
    float *small; /* [n][reduced][reduced][3]: the gradient of the reduced image */
};

static struct reduced_work reduced_work_of(const struct nn_reduced_loss *loss)
{
    int reduced = loss->side / loss->reduction.factor;
    size_t lines = 3 * (size_t)loss->n * (size_t)loss->side * (size_t)reduced;
    return (struct reduced_work){*loss, reduced, loss->workspace, loss->workspace + lines};
}

/* A range of the rows of all images. */
static void reduce_rows(void *context, int64_t from, int64_t to)
{
    const struct reduced_work *w = context;
    int side = w->loss.side, count = w->reduced;
    for (int64_t row = from; row < to; row++) {
        const float *out = w->loss.out + 3 * row * side, *target = w->loss.target + 3 * row * side;
        for (int x = 0; x < count; x++)
            for (int c = 0; c < 3; c++)
                w->lines[3 * (row * count + x) + c] =
                    reduction_pixel(&w->loss.reduction, out + c, target + c, 3, side, x);
    }
}

/* A range of images: the loss, and its gradient by the reduced pixels. */
static void compare_reduced(void *context, int64_t from, int64_t to)
{
    const struct reduced_work *w = context;
    int side = w->loss.side, count = w->reduced;
    ptrdiff_t line = 3 * (ptrdiff_t)count;
    for (int64_t n = from; n < to; n++) {
        const float *lines = w->lines + n * side * line;
        float *small = w->small + n * count * line;
        double sum = 0;
        for (int y = 0; y < count; y++)
            for (int x = 0; x < count; x++, small += 3) {
                float d[3];
                for (int c = 0; c < 3; c++)
                    d[c] =
                        reduction_pixel(&w->loss.reduction, lines + 3 * x + c, NULL, line, side, y);
                sum += loss_colour(w->loss.colour, d, w->loss.weight, small);
            }
        w->loss.sums[n] = sum;
    }
}

/* The way back along y, then along x. */
static void widen_columns(void *context, int64_t from, int64_t to)
{
    const struct reduced_work *w = context;
    int side = w->loss.side, count = w->reduced;
    ptrdiff_t line = 3 * (ptrdiff_t)count;
    for (int64_t row = from; row < to; row++) {
        const float *small = w->small + row / side * count * line;
        for (ptrdiff_t i = 0; i < line; i++)
            w->lines[row * line + i] =
                reduction_adjoint(&w->loss.reduction, small + i, line, side, (int)(row % side));
    }
}

static void widen_rows(void *context, int64_t from, int64_t to)
{
    const struct reduced_work *w = context;
    int side = w->loss.side, count = w->reduced;
    for (int64_t row = from; row < to; row++)
        for (int x = 0; x < side; x++)
            for (int c = 0; c < 3; c++)
                w->loss.grad[3 * (row * side + x) + c] += reduction_adjoint(
                    &w->loss.reduction, w->lines + 3 * row * count + c, 3, side, x);
}

static int cpu_reduced_loss(struct device *device, const struct nn_reduced_loss *loss)
{
    (void)device;
    TRY(nn_check_reduced_loss(loss));
    struct reduced_work work = reduced_work_of(loss);
    int64_t rows = (int64_t)loss->n * loss->side, grain = threads_grain(24 * (int64_t)loss->side);
    threads_for(rows, grain, reduce_rows, &work);
    threads_for(loss->n, 1, compare_reduced, &work);
    threads_for(rows, grain, widen_columns, &work);
    threads_for(rows, grain, widen_rows, &work);
    return OK;
}

void nn_install_reduced_loss(struct nn_ops *ops)
{
    ops->reduced_loss = cpu_reduced_loss;
}
