/* Adam for splats and the rounding of quantisation-aware training. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/splat/splat_cpu.h"
#include "math/optimiser.h"
#include "math/quantize.h"

#include <math.h>
#include <stdlib.h>

static bool splat_adam_row_is_finite(const struct splat_adam *groups, int group_count, int64_t row)
{
    for (int k = 0; k < group_count; k++)
        for (int c = 0; c < groups[k].columns; c++)
            if (!isfinite(groups[k].gradient[row * groups[k].columns + c])) return false;
    return true;
}

static float splat_adam_clamped(const struct splat_adam *group, int c, float p)
{
    float low = group->low[c & 1], high = group->high[c & 1];
    return p < low ? low : p > high ? high : p;
}

static void splat_adam_update_row(const struct splat_adam *group, const struct adam_f32 *rate,
                                  int64_t row)
{
    struct adam_f32 scaled = *rate;
    scaled.step *= group->rate;
    for (int c = 0; c < group->columns; c++) {
        int64_t at = row * group->columns + c;
        float p = adam_update_f32(&scaled, ADAM_SQUARE_LAST, group->parameter[at],
                                  group->gradient[at], &group->first[at], &group->second[at]);
        group->parameter[at] = splat_adam_clamped(group, c, p);
    }
}

struct adam_work {
    const struct splat_adam *groups;
    int group_count, columns; /* in axes */
    const struct splat_rows *rows;
    int32_t t;
    double b2;
    int64_t bad;
};

/* Axes of a row's first update. */
static void splat_adam_begin_axes(const struct adam_work *work, int64_t row)
{
    float mean[AXES_MOST], square[AXES_MOST]; /* they are 0 */
    int n = work->columns;
    axes_begin_f32(n, work->rows->moments + row * axes_moments(n), work->rows->axes + row * n * n,
                   mean, square);
}

/* Of the groups in axes: gathered into one list of columns and scattered again. */
static void splat_adam_update_axes(const struct adam_work *work, const struct adam_f32 *rate,
                                   int updates, int64_t row)
{
    float gradient[AXES_MOST], mean[AXES_MOST], square[AXES_MOST], change[AXES_MOST];
    int n = work->columns, at = 0;
    float *moments = work->rows->moments + row * axes_moments(n);
    float *axes = work->rows->axes + row * n * n;
    for (int k = 0; k < work->group_count; k++) {
        const struct splat_adam *group = &work->groups[k];
        for (int c = 0; group->in_axes && c < group->columns; c++, at++) {
            int64_t from = row * group->columns + c;
            gradient[at] = group->gradient[from] * group->unit;
            mean[at] = group->first[from];
            square[at] = group->second[from];
        }
    }
    if (updates == 1) axes_begin_f32(n, moments, axes, mean, square);
    if (n == 9)
        axes_update_f32(rate, 9, updates, gradient, moments, axes, mean, square, change);
    else
        axes_update_f32(rate, n, updates, gradient, moments, axes, mean, square, change);
    at = 0;
    for (int k = 0; k < work->group_count; k++) {
        const struct splat_adam *group = &work->groups[k];
        for (int c = 0; group->in_axes && c < group->columns; c++, at++) {
            int64_t to = row * group->columns + c;
            group->first[to] = mean[at];
            group->second[to] = square[at];
            group->parameter[to] =
                splat_adam_clamped(group, c, group->parameter[to] - group->rate * change[at]);
        }
    }
}

static void update_rows(void *context, int64_t from, int64_t to)
{
    struct adam_work *work = context;
    int64_t bad = 0;
    int32_t updates = 0, t = work->t;
    struct adam_f32 rate = {0};
    const int32_t *born = work->rows->born;
    for (int64_t row = from; row < to; row++) {
        if (t - born[row] != updates) rate = adam_after(updates = t - born[row], work->b2);
        if (!splat_adam_row_is_finite(work->groups, work->group_count, row)) {
            if (work->columns && updates == 1) splat_adam_begin_axes(work, row);
            bad++;
            continue;
        }
        if (work->columns) splat_adam_update_axes(work, &rate, updates, row);
        for (int k = 0; k < work->group_count; k++)
            if (!work->columns || !work->groups[k].in_axes)
                splat_adam_update_row(&work->groups[k], &rate, row);
    }
    __atomic_fetch_add(&work->bad, bad, __ATOMIC_RELAXED);
}

int splat_cpu_adam(struct device *device, const struct splat_adam *groups, int group_count,
                   int64_t count, const struct splat_rows *rows, int32_t t, double b2,
                   int64_t *skipped)
{
    (void)device;
    int columns = splat_axes_used(groups, group_count, rows);
    struct adam_work work = {groups, group_count, columns, rows, t, b2, 0};
    threads_for(count, threads_grain(128), update_rows, &work);
    *skipped = work.bad;
    return OK;
}

struct quantizing {
    pthread_mutex_t lock; /* of low and high */
    const float *values;
    float low, high;
    struct quantizer quantizer;
    float *out;
};

static void find_ends(void *context, int64_t from, int64_t to)
{
    struct quantizing *q = context;
    float low = INFINITY, high = -INFINITY;
    for (int64_t i = from; i < to; i++) {
        low = q->values[i] < low ? q->values[i] : low;
        high = q->values[i] > high ? q->values[i] : high;
    }
    pthread_mutex_lock(&q->lock);
    q->low = low < q->low ? low : q->low;
    q->high = high > q->high ? high : q->high;
    pthread_mutex_unlock(&q->lock);
}

static void quantize_range(void *context, int64_t from, int64_t to)
{
    const struct quantizing *q = context;
    for (int64_t i = from; i < to; i++)
        q->out[i] = quantize_quantized(&q->quantizer, q->values[i]);
}

int splat_cpu_fake_quantize(struct device *device, const float *values, int64_t count, int bits,
                            float *out)
{
    (void)device;
    struct quantizing q = {.lock = PTHREAD_MUTEX_INITIALIZER,
                           .values = values,
                           .low = INFINITY,
                           .high = -INFINITY,
                           .out = out};
    threads_for(count, threads_grain(4), find_ends, &q);
    q.quantizer = quantizer_of((double)q.low, (double)q.high, bits);
    threads_for(count, threads_grain(16), quantize_range, &q);
    return OK;
}
