#include "cpu/splat/splat_mask.h"

#include "math/real.h"

#include <math.h>

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) FMA_F32(a, b, c)
#define REAL_SET(x) (x)
#define REAL_ABS(x) fabsf(x)
#define REAL_SQRT(x) sqrtf(x)
#define REAL_SIGN(x) ((float)(((x) > 0) - ((x) < 0)))
#include "math/pixel_loss.h"
void splat_mask_loss_row(const float *x, const float *t, const float *ssim, const float *inverse,
                         const uint8_t *weights, float unit, int width, const float *factor,
                         float *g, float *blended, double *sums)
{
    for (int i = 0; i < width; i++) {
        float w = (float)weights[i] * unit, d = x[i] - t[i], terms[PIXEL_LOSSES] = {0};
        float clamped = (x[i] > 0 ? x[i] < 1 ? x[i] : 1 : 0) - t[i];
        pixel_loss_add_f32(d, terms);
        for (int k = 0; k < PIXEL_LOSSES; k++)
            sums[k] += (double)(w * terms[k]);
        sums[PIXEL_MSE] += (double)(w * (clamped * clamped));
        if (!g) continue;
        g[i] = w * pixel_loss_slope_f32(d, factor);
        if (ssim) g[i] += ssim[i];
        if (inverse) g[i] *= inverse[i];
        if (blended) blended[i] -= g[i] * x[i];
    }
}

double splat_mask_ssim_row(float *s, float *const *maps, const uint8_t *weights, float unit,
                           int width, int from, int to)
{
    double sum = 0;
    for (int i = 0; i < width; i++) {
        float w = (float)weights[i] * unit;
        s[i] *= w;
        for (int m = 0; m < 3; m++)
            maps[m][i] *= w;
        if (i >= from && i < to) sum += (double)s[i];
    }
    return sum;
}
