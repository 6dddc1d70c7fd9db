/* SSIM and pixel losses, a row at a time, and this instruction set's table of splat kernels. */
#include "cpu/isa/simd.h"
#include "cpu/isa/splat_isa.h"
#include "math/real.h"
#include "math/ssim_window.h"

#define REAL vf
#define FORMULA(name) name##_vf
#define REAL_FMA(a, b, c) vf_fma(a, b, c)
#define REAL_SET(x) vf_set((float)(x))
#include "math/ssim.h"

enum { MARGIN = TILE }; /* zeros before a scratch row, at least SSIM_RADIUS */

/* Lanes of the columns x.. that lie before `width`. */
static inline vm inside(int x, int width)
{
    return vf_lt(vf_set((float)x) + vf_iota(), vf_set((float)width));
}

/* The 11-tap window across a scratch row whose column 0 is at p. */
static inline vf window_across(const float *p)
{
    vf sum = vf_load(p) * vf_set(ssim_window[0]);
#pragma GCC unroll 5
    for (int k = 1; k <= SSIM_RADIUS; k++)
        sum = vf_fma(vf_set(ssim_window[k]), vf_load(p - k) + vf_load(p + k), sum);
    return sum;
}

static void clear_margins(float *row, int from, int pitch)
{
    memset(row, 0, sizeof(float) * MARGIN);
    memset(row + MARGIN + from, 0, sizeof(float) * (size_t)(pitch - MARGIN - from));
}

static int rounded(int width)
{
    return (width + LANES - 1) / LANES * LANES;
}

/* Moments of the 11 rows, window applied downwards: mean of x, of t, of x^2 + t^2, of x t. */
static void moments_down(const float *const *x, const float *const *t, int width, int pitch,
                         float *scratch)
{
    float *mean_x = scratch + MARGIN, *mean_t = mean_x + pitch;
    float *square = mean_t + pitch, *product = square + pitch;
    for (int i = 0; i < width; i += LANES) {
        vm keep = inside(i, width);
        vf xa = vf_load(x[SSIM_RADIUS] + i), ta = vf_load(t[SSIM_RADIUS] + i);
        vf w = vf_set(ssim_window[0]);
        vf mx = xa * w, mt = ta * w, ss = vf_fma(xa, xa, ta * ta) * w, xt = xa * ta * w;
#pragma GCC unroll 5
        for (int k = 1; k <= SSIM_RADIUS; k++) {
            xa = vf_load(x[SSIM_RADIUS - k] + i);
            ta = vf_load(t[SSIM_RADIUS - k] + i);
            vf xb = vf_load(x[SSIM_RADIUS + k] + i), tb = vf_load(t[SSIM_RADIUS + k] + i);
            w = vf_set(ssim_window[k]);
            mx = vf_fma(w, xa + xb, mx);
            mt = vf_fma(w, ta + tb, mt);
            vf squares = vf_fma(xa, xa, vf_fma(xb, xb, vf_fma(ta, ta, tb * tb)));
            ss = vf_fma(w, squares, ss);
            xt = vf_fma(w, vf_fma(xa, ta, xb * tb), xt);
        }
        vf_store(mean_x + i, vf_keep(keep, mx));
        vf_store(mean_t + i, vf_keep(keep, mt));
        vf_store(square + i, vf_keep(keep, ss));
        vf_store(product + i, vf_keep(keep, xt));
    }
    for (int m = 0; m < 4; m++)
        clear_margins(scratch + m * pitch, rounded(width), pitch);
}

static float ssim_row(const float *const *x, const float *const *t, int width, float *scratch,
                      float *d_mean, float *d_square, float *d_product, float *s)
{
    int pitch = ssim_scratch_pitch(rounded(width) + PITCH_PAD);
    moments_down(x, t, width, pitch, scratch);
    const float *mean_x = scratch + MARGIN, *mean_t = mean_x + pitch;
    const float *square = mean_t + pitch, *product = square + pitch;
    vf total = vf_set(0);
    for (int i = 0; i < width; i += LANES) {
        vm keep = inside(i, width);
        vf dm, ds, dp;
        vf value =
            ssim_pixel_vf(window_across(mean_x + i), window_across(mean_t + i),
                          window_across(square + i), window_across(product + i), &dm, &ds, &dp);
        value = vf_keep(keep, value);
        total = total + value;
        vf_store(s + i, value);
        vf_store(d_mean + i, vf_keep(keep, dm));
        vf_store(d_square + i, vf_keep(keep, ds));
        vf_store(d_product + i, vf_keep(keep, dp));
    }
    return vf_sum(total);
}

static inline vf window_down(const float *const *rows, int i)
{
    vf sum = vf_load(rows[SSIM_RADIUS] + i) * vf_set(ssim_window[0]);
#pragma GCC unroll 5
    for (int k = 1; k <= SSIM_RADIUS; k++)
        sum = vf_fma(vf_set(ssim_window[k]),
                     vf_load(rows[SSIM_RADIUS - k] + i) + vf_load(rows[SSIM_RADIUS + k] + i), sum);
    return sum;
}

/* d sum S / dx(p) = sum_q w(p - q) (S_mean(q) + 2 x(p) S_square(q) + t(p) S_product(q)): the window
 * is symmetric, so the adjoint of the window is the window. */
static void ssim_adjoint_row(const float *const *d_mean, const float *const *d_square,
                             const float *const *d_product, const float *x, const float *t,
                             int width, float weight, float *scratch, float *out)
{
    int pitch = ssim_scratch_pitch(rounded(width) + PITCH_PAD);
    float *mean = scratch + MARGIN, *square = mean + pitch, *product = square + pitch;
    for (int i = 0; i < width; i += LANES) { /* the rows are zero behind the width already */
        vf_store(mean + i, window_down(d_mean, i));
        vf_store(square + i, window_down(d_square, i));
        vf_store(product + i, window_down(d_product, i));
    }
    for (int m = 0; m < 3; m++)
        clear_margins(scratch + m * pitch, rounded(width), pitch);
    vf w = vf_set(weight);
    for (int i = 0; i < width; i += LANES) {
        vf xi = vf_load(x + i);
        vf g = vf_fma(xi + xi, window_across(square + i), window_across(mean + i));
        vf_store(out + i, w * vf_fma(vf_load(t + i), window_across(product + i), g));
    }
}

static void loss_row(const float *x, const float *t, const float *ssim, int width, float l1,
                     float l2, float *g, float *blended, double *sums)
{
    vf zero = vf_set(0), one = vf_set(1);
    vf sum1 = zero, sum2 = zero, sum_clamped = zero;
    for (int i = 0; i < width; i += LANES) {
        vm keep = inside(i, width);
        vf xi = vf_load(x + i), ti = vf_load(t + i);
        vf d = vf_keep(keep, xi - ti);
        sum1 = sum1 + vf_max(d, zero - d);
        sum2 = vf_fma(d, d, sum2);
        vf clamped = vf_keep(keep, vf_min(vf_max(xi, zero), one) - ti);
        sum_clamped = vf_fma(clamped, clamped, sum_clamped);
        if (!g) continue;
        vf sign = vf_keep(vf_lt(zero, d), one) - vf_keep(vf_lt(d, zero), one);
        vf gi = vf_fma(vf_set(l1), sign, vf_set(2 * l2) * d);
        if (ssim) gi = vf_keep(keep, gi + vf_load(ssim + i));
        vf_store(g + i, gi);
        if (blended) vf_store(blended + i, vf_fma(gi, vf_keep(keep, xi), vf_load(blended + i)));
    }
    sums[0] += (double)vf_sum(sum1);
    sums[1] += (double)vf_sum(sum2);
    sums[2] += (double)vf_sum(sum_clamped);
}

const struct splat_kernels ISA_NAME(splat_kernels) = {
#if defined(ISA_avx512)
    .isa = "avx512",
#elif defined(ISA_avx2)
    .isa = "avx2",
#else
    .isa = "base",
#endif
    .spans = ISA_NAME(splat_spans),
    .render_tile = ISA_NAME(splat_render_tile),
    .backward_item = ISA_NAME(splat_backward_item),
    .ssim_row = ssim_row,
    .ssim_adjoint_row = ssim_adjoint_row,
    .loss_row = loss_row,
};
