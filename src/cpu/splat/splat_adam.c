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

static void splat_adam_update_row(const struct splat_adam *group, const struct adam_f32 *rate,
                                  int64_t row)
{
    struct adam_f32 scaled = *rate;
    scaled.step *= group->rate;
    for (int c = 0; c < group->columns; c++) {
        int64_t at = row * group->columns + c;
        float p = adam_update_f32(&scaled, ADAM_SQUARE_LAST, group->parameter[at],
                                  group->gradient[at], &group->first[at], &group->second[at]);
        float low = group->low[c & 1], high = group->high[c & 1];
        group->parameter[at] = p < low ? low : p > high ? high : p;
    }
}

struct adam_work {
    const struct splat_adam *groups;
    int group_count;
    const int32_t *born;
    int32_t t;
    double b2;
    int64_t bad;
};

static void update_rows(void *context, int64_t from, int64_t to)
{
    struct adam_work *work = context;
    int64_t bad = 0;
    int32_t updates = 0, t = work->t;
    struct adam_f32 rate = {0};
    const int32_t *born = work->born;
    for (int64_t row = from; row < to; row++) {
        if (t - born[row] != updates) rate = adam_after(updates = t - born[row], work->b2);
        if (!splat_adam_row_is_finite(work->groups, work->group_count, row)) {
            bad++;
            continue;
        }
        for (int k = 0; k < work->group_count; k++)
            splat_adam_update_row(&work->groups[k], &rate, row);
    }
    __atomic_fetch_add(&work->bad, bad, __ATOMIC_RELAXED);
}

int splat_cpu_adam(struct device *device, const struct splat_adam *groups, int group_count,
                   int64_t count, const int32_t *born, int32_t t, double b2, int64_t *skipped)
{
    (void)device;
    struct adam_work work = {groups, group_count, born, t, b2, 0};
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
