/* Adam for splats and the rounding of quantisation-aware training. */
#include "base/error.h"
#include "cpu/splat_cpu.h"
#include "math/quantize.h"
#include "math/real.h"

#include <math.h>
#include <stdlib.h>

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) FMA_F32(a, b, c)
#define REAL_SQRT(x) sqrtf(x)
#include "math/adam.h"

static bool row_is_finite(const struct splat_adam *groups, int group_count, int64_t row)
{
    for (int k = 0; k < group_count; k++)
        for (int c = 0; c < groups[k].columns; c++)
            if (!isfinite(groups[k].gradient[row * groups[k].columns + c])) return false;
    return true;
}

static void update_row(const struct splat_adam *group, const struct adam_rate_f32 *rate,
                       int64_t row)
{
    struct adam_rate_f32 scaled = *rate;
    scaled.step *= group->rate;
    for (int c = 0; c < group->columns; c++) {
        int64_t at = row * group->columns + c;
        float p = group->parameter[at] - adam_update_f32(&scaled, group->gradient[at],
                                                         &group->first[at], &group->second[at]);
        float low = group->low[c & 1], high = group->high[c & 1];
        group->parameter[at] = p < low ? low : p > high ? high : p;
    }
}

int splat_cpu_adam(struct device *device, const struct splat_adam *groups, int group_count,
                   int64_t count, const int32_t *born, int32_t t, double b2, int64_t *skipped)
{
    (void)device;
    int64_t bad = 0;
#pragma omp parallel reduction(+ : bad)
    {
        int32_t updates = 0;
        struct adam_rate_f32 rate = {0};
#pragma omp for schedule(static)
        for (int64_t row = 0; row < count; row++) {
            if (t - born[row] != updates) rate = adam_rate_after_f32(updates = t - born[row], b2);
            if (!row_is_finite(groups, group_count, row)) {
                bad++;
                continue;
            }
            for (int k = 0; k < group_count; k++)
                update_row(&groups[k], &rate, row);
        }
    }
    *skipped = bad;
    return OK;
}

int splat_cpu_fake_quantize(struct device *device, const float *values, int64_t count, int bits,
                            float *out)
{
    (void)device;
    float low = INFINITY, high = -INFINITY;
#pragma omp parallel for reduction(min : low) reduction(max : high)
    for (int64_t i = 0; i < count; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    struct quantizer quantizer = quantizer_of((double)low, (double)high, bits);
#pragma omp parallel for
    for (int64_t i = 0; i < count; i++)
        out[i] = quantized(&quantizer, values[i]);
    return OK;
}
