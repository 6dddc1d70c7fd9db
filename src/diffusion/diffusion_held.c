/* Loss of the averaged network on held-out images, with noise that is the same in every
 * measurement: comparable from step to step and between runs. */
#include "base/error.h"
#include "config/config.h"
#include "data/dataset.h"
#include "device/device.h"
#include "diffusion/diffusion_task.h"
#include "task/task.h"

#include <math.h>

double diffusion_level(int index)
{
    return 0.1 + 0.2 * index;
}

void diffusion_held_forget(struct diffusion_held *held)
{
    for (int i = 0; i < DIFFUSION_LEVELS; i++)
        held->loss[i] = (double)NAN;
    held->mean = (double)NAN;
    diffusion_measure_forget(&held->samples);
}

bool diffusion_held_is_due(const struct task_state *s, int64_t steps_done)
{
    int64_t total = diffusion_steps(s);
    return steps_done % diffusion_eval_every(s->config, total) == 0 || steps_done == total;
}

/* The squared errors of `n` images from `first` on at one level, added to *sum. */
static int held_measure_some(struct task_state *s, double level, int first, int n, double *sum)
{
    size_t image = diffusion_image_floats(&s->design);
    const struct diffusion_samples all = diffusion_core_samples(s->core);
    int rows = s->design.conditions.rows_most;
    for (int i = 0; i < n; i++) {
        const struct diffusion_samples one = {.noisy = all.noisy + (size_t)i * image,
                                              .target = all.target + (size_t)i * image,
                                              .time = all.time + i,
                                              .condition = all.condition + (ptrdiff_t)i * rows,
                                              .length = all.length + i};
        diffusion_feed_held(&s->feed, first + i, level, &one);
    }
    TRY(diffusion_core_predict(s->core, n, s->predicted));
    for (size_t i = 0; i < (size_t)n * image; i++) {
        double error = (double)s->predicted[i] - (double)all.target[i];
        *sum += error * error;
    }
    return OK;
}

static int held_measure_level(struct task_state *s, double level, double *loss)
{
    int count = dataset_measured_count(s->data.set), micro = s->core->mode.micro;
    double sum = 0;
    for (int first = 0; first < count; first += micro) {
        int n = count - first < micro ? count - first : micro;
        TRY(held_measure_some(s, level, first, n, &sum));
    }
    *loss = sum / ((double)count * (double)diffusion_image_floats(&s->design));
    return OK;
}

int diffusion_held_measure(struct task_state *s, int64_t steps_done)
{
    struct diffusion_held *held = &s->held;
    double mean = 0;
    int code = s->device->synchronize(s->device);
    s->core->stop_requested = s->stop_requested;
    for (int i = 0; i < DIFFUSION_LEVELS && code == OK; i++) {
        code = held_measure_level(s, diffusion_level(i), &held->loss[i]);
        mean += held->loss[i] / DIFFUSION_LEVELS;
    }
    if (code == OK && s->config->diffusion.eval_samples > 0)
        code = diffusion_measure_samples(s, &held->samples);
    s->core->stop_requested = NULL;
    held->pending = code == ERR_STOPPED ? steps_done : 0;
    if (code < 0) diffusion_held_forget(held);
    if (code == ERR_STOPPED) return OK;
    TRY(code);
    held->mean = mean;
    if (!isfinite(mean) || mean >= held->best) return OK;
    held->best = mean;
    held->step = steps_done;
    return device_fetch(s->device, held->ema, s->core->net.ema,
                        s->core->net.net.floats * sizeof(float));
}

int diffusion_complete(struct task_state *s, struct task_report *report)
{
    TRY(diffusion_held_measure(s, s->steps_done));
    diffusion_fill_report(s, s->steps_done - 1, report);
    return OK;
}
