/* Spectra compared: see struct nn_fft_loss in device/nn_losses.h. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "math/fft.h"

#include <string.h>

/* Two complex images, taking turns: re, im, each [n][side][side][3]. */
struct fft_work {
    struct nn_fft_loss loss;
    float *from, *to;
    size_t plane;    /* numbers of re */
    int done, radix; /* of the stage */
    ptrdiff_t step;  /* numbers from place to place along the axis */
};

/* Runs of numbers that are turned alike: a range of all runs of all lines of the axis. */
static void fft_runs(void *context, int64_t first, int64_t last)
{
    const struct fft_work *w = context;
    int side = w->loss.side, runs = side / w->done;
    ptrdiff_t run = w->done * w->step, line = side * w->step;
    for (int64_t r = first; r < last; r++) {
        ptrdiff_t base = r / runs * line;
        int to = (int)(r % runs) * w->done;
        struct fft_sum sum = fft_sum_of(side, w->done, w->radix, to);
        float *restrict re = w->to + base + to * w->step;
        float *restrict im = re + w->plane;
        memset(re, 0, (size_t)run * sizeof *re);
        memset(im, 0, (size_t)run * sizeof *im);
        for (int k = 0; k < w->radix; k++) {
            const float *a = w->from + base + (sum.from + k * sum.apart) * w->step;
            const float *b = a + w->plane;
            const float *at = w->loss.turns + (ptrdiff_t)2 * fft_turn(&sum, k);
            const float turn[2] = {at[0], at[1]};
            for (ptrdiff_t i = 0; i < run; i++)
                fft_add(&re[i], &im[i], a[i], b[i], turn);
        }
    }
}

/* All stages along one axis, of lines whose places are `step` numbers apart. */
static void fft_axis(struct fft_work *w, ptrdiff_t step)
{
    int side = w->loss.side;
    int64_t lines = (int64_t)(w->plane / ((size_t)side * (size_t)step));
    w->step = step;
    for (w->done = 1; w->done < side; w->done *= w->radix) {
        w->radix = fft_radix(side, w->done);
        threads_for(lines * (side / w->done), threads_grain(4 * (int64_t)w->radix * w->done * step),
                    fft_runs, w);
        float *made = w->to;
        w->to = w->from;
        w->from = made;
    }
}

/* A range of images. */
static void fft_compare(void *context, int64_t first, int64_t last)
{
    const struct fft_work *w = context;
    int side = w->loss.side, half = fft_half(side);
    for (int64_t n = first; n < last; n++) {
        double sum = 0;
        for (int64_t row = n * side; row < (n + 1) * side; row++) {
            float *re = w->from + row * side * 3, *im = re + w->plane;
            for (int i = 0; i < 3 * half; i++)
                sum += fft_loss(&re[i], &im[i]);
            memset(re + 3 * half, 0, (size_t)(3 * (side - half)) * sizeof *re);
            memset(im + 3 * half, 0, (size_t)(3 * (side - half)) * sizeof *im);
        }
        w->loss.sums[n] = sum;
    }
}

static int cpu_fft_loss(struct device *device, const struct nn_fft_loss *loss)
{
    (void)device;
    TRY(nn_check_fft_loss(loss));
    struct fft_work w = {.loss = *loss, .from = loss->workspace};
    w.plane = 3 * (size_t)loss->n * (size_t)loss->side * (size_t)loss->side;
    w.to = w.from + 2 * w.plane;
    for (size_t i = 0; i < w.plane; i++)
        w.from[i] = loss->out[i] - loss->target[i];
    memset(w.from + w.plane, 0, w.plane * sizeof(float));
    fft_axis(&w, 3 * (ptrdiff_t)loss->side);
    fft_axis(&w, 3);
    threads_for(loss->n, 1, fft_compare, &w);
    fft_axis(&w, 3 * (ptrdiff_t)loss->side);
    fft_axis(&w, 3);
    for (size_t i = 0; i < w.plane; i++)
        loss->grad[i] += loss->weight * w.from[i];
    return OK;
}

void nn_install_fft_loss(struct nn_ops *ops)
{
    ops->fft_loss = cpu_fft_loss;
}
