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

#define REAL vf
#define FORMULA(name) name##_vf
#define REAL_FMA(a, b, c) vf_fma(a, b, c)
#define REAL_SET(x) vf_set((float)(x))
#define REAL_ABS(x) vf_max(x, vf_set(0) - (x))
#define REAL_SQRT(x) vf_sqrt(x)
#define REAL_SIGN(x)                                                                               \
    (vf_keep(vf_lt(vf_set(0), x), vf_set(1)) - vf_keep(vf_lt(x, vf_set(0)), vf_set(1)))
#include "math/pixel_loss.h"

enum { MARGIN = TILE }; /* zeros before a workspace row, at least SSIM_RADIUS */

/* Lanes of the columns x.. that lie before `width`. */
static inline vm splat_loss_inside(int x, int width)
{
    return vf_lt(vf_set((float)x) + vf_iota(), vf_set((float)width));
}

/* The 11-tap window across a workspace row whose column 0 is at p. */
static inline vf splat_loss_window_across(const float *p)
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

static int splat_loss_rounded(int width)
{
    return (width + LANES - 1) / LANES * LANES;
}

/* The window downwards works on several output rows at once: every input row is loaded once and
 * added to all outputs that it reaches. */
#define OUTPUTS SSIM_BLOCK
#define INPUTS (OUTPUTS + SSIM_TAPS - 1)

static inline float splat_loss_weight_at(int distance)
{
    return ssim_window[distance < 0 ? -distance : distance];
}

/* Moments of x and t, window applied downwards, for output rows 0..OUTPUTS-1 whose windows begin at
 * input row 0..: workspace[output][moment]: mean of x, of t, of x^2 + t^2, of x t. */
static void moments_down(const float *const *x, const float *const *t, int width, int pitch,
                         float *workspace)
{
    for (int i = 0; i < width; i += LANES) {
        vf sum[OUTPUTS][4];
#pragma GCC unroll 4
        for (int o = 0; o < OUTPUTS; o++)
            for (int m = 0; m < 4; m++)
                sum[o][m] = vf_set(0);
#pragma GCC unroll 14
        for (int k = 0; k < INPUTS; k++) {
            vf xk = vf_load(x[k] + i), tk = vf_load(t[k] + i);
            vf squares = vf_fma(xk, xk, tk * tk), product = xk * tk;
#pragma GCC unroll 4
            for (int o = 0; o < OUTPUTS; o++) {
                if (k < o || k > o + SSIM_TAPS - 1) continue;
                vf w = vf_set(splat_loss_weight_at(k - o - SSIM_RADIUS));
                sum[o][0] = vf_fma(w, xk, sum[o][0]);
                sum[o][1] = vf_fma(w, tk, sum[o][1]);
                sum[o][2] = vf_fma(w, squares, sum[o][2]);
                sum[o][3] = vf_fma(w, product, sum[o][3]);
            }
        }
        vm keep = splat_loss_inside(i, width);
        for (int o = 0; o < OUTPUTS; o++)
            for (int m = 0; m < 4; m++)
                vf_store(workspace + (o * 4 + m) * pitch + MARGIN + i, vf_keep(keep, sum[o][m]));
    }
    for (int m = 0; m < 4 * OUTPUTS; m++)
        clear_margins(workspace + m * pitch, splat_loss_rounded(width), pitch);
}

static float ssim_across(const float *mean_x, int pitch, int width, float *d_mean, float *d_square,
                         float *d_product, float *s)
{
    const float *mean_t = mean_x + pitch, *square = mean_t + pitch, *product = square + pitch;
    vf total = vf_set(0);
    for (int i = 0; i < width; i += LANES) {
        vm keep = splat_loss_inside(i, width);
        vf dm, ds, dp;
        vf value = ssim_pixel_vf(splat_loss_window_across(mean_x + i),
                                 splat_loss_window_across(mean_t + i),
                                 splat_loss_window_across(square + i),
                                 splat_loss_window_across(product + i), &dm, &ds, &dp);
        value = vf_keep(keep, value);
        total = total + value;
        vf_store(s + i, value);
        vf_store(d_mean + i, vf_keep(keep, dm));
        vf_store(d_square + i, vf_keep(keep, ds));
        vf_store(d_product + i, vf_keep(keep, dp));
    }
    return vf_sum(total);
}

static void ssim_rows(const float *const *x, const float *const *t, int width, int rows,
                      float *workspace, float *const *d_mean, float *const *d_square,
                      float *const *d_product, float *const *s, float *sums)
{
    int pitch = ssim_workspace_pitch(splat_loss_rounded(width) + PITCH_PAD);
    moments_down(x, t, width, pitch, workspace);
    for (int o = 0; o < rows; o++)
        sums[o] = ssim_across(workspace + o * 4 * pitch + MARGIN, pitch, width, d_mean[o],
                              d_square[o], d_product[o], s[o]);
}

/* d sum S / dx(p) = sum_q w(p - q) (S_mean(q) + 2 x(p) S_square(q) + t(p) S_product(q)): the window
 * is symmetric, so the adjoint of the window is the window. */
static void ssim_adjoint_rows(const float *const *maps, const float *const *x,
                              const float *const *t, int width, int rows, float weight,
                              float *workspace, float *const *out)
{
    int pitch = ssim_workspace_pitch(splat_loss_rounded(width) + PITCH_PAD);
    for (int i = 0; i < width; i += LANES) { /* the maps are zero behind the width already */
        vf sum[OUTPUTS][3];
#pragma GCC unroll 4
        for (int o = 0; o < OUTPUTS; o++)
            for (int m = 0; m < 3; m++)
                sum[o][m] = vf_set(0);
#pragma GCC unroll 14
        for (int k = 0; k < INPUTS; k++) {
            vf a = vf_load(maps[k] + i), b = vf_load(maps[INPUTS + k] + i);
            vf c = vf_load(maps[2 * INPUTS + k] + i);
#pragma GCC unroll 4
            for (int o = 0; o < OUTPUTS; o++) {
                if (k < o || k > o + SSIM_TAPS - 1) continue;
                vf w = vf_set(splat_loss_weight_at(k - o - SSIM_RADIUS));
                sum[o][0] = vf_fma(w, a, sum[o][0]);
                sum[o][1] = vf_fma(w, b, sum[o][1]);
                sum[o][2] = vf_fma(w, c, sum[o][2]);
            }
        }
        for (int o = 0; o < OUTPUTS; o++)
            for (int m = 0; m < 3; m++)
                vf_store(workspace + (o * 4 + m) * pitch + MARGIN + i, sum[o][m]);
    }
    for (int m = 0; m < 4 * OUTPUTS; m++)
        clear_margins(workspace + m * pitch, splat_loss_rounded(width), pitch);
    vf w = vf_set(weight);
    for (int o = 0; o < rows; o++) {
        const float *mean = workspace + o * 4 * pitch + MARGIN, *square = mean + pitch;
        const float *product = square + pitch;
        for (int i = 0; i < width; i += LANES) {
            vf xi = vf_load(x[o] + i);
            vf g = vf_fma(xi + xi, splat_loss_window_across(square + i),
                          splat_loss_window_across(mean + i));
            vf_store(out[o] + i,
                     w * vf_fma(vf_load(t[o] + i), splat_loss_window_across(product + i), g));
        }
    }
}

/* Samples of one channel's row as floats 0..1. */
static void splat_loss_load_row(const void *samples, int bits, int width, float *row)
{
    const uint8_t *bytes = samples;
    const uint16_t *words = samples;
    if (bits == 8)
        for (int x = 0; x < width; x++)
            row[x] = (float)bytes[x] * (1.0f / 255.0f);
    else if (bits == 16)
        for (int x = 0; x < width; x++)
            row[x] = (float)words[x] * (1.0f / 65535.0f);
    else
        memcpy(row, samples, sizeof(float) * (size_t)width);
}

static void loss_row(const float *x, const float *t, const float *ssim, const float *inverse,
                     int width, const float *factor, float *g, float *blended, double *sums)
{
    vf zero = vf_set(0), one = vf_set(1), sum[PIXEL_SUMS];
    for (int k = 0; k < PIXEL_SUMS; k++)
        sum[k] = zero;
    for (int i = 0; i < width; i += LANES) {
        vm keep = splat_loss_inside(i, width);
        vf xi = vf_load(x + i), ti = vf_load(t + i);
        vf d = vf_keep(keep, xi - ti);
        pixel_loss_add_vf(d, sum);
        vf clamped = vf_keep(keep, vf_min(vf_max(xi, zero), one) - ti);
        sum[PIXEL_MSE] = vf_fma(clamped, clamped, sum[PIXEL_MSE]);
        if (!g) continue;
        vf gi = pixel_loss_slope_vf(d, factor);
        if (ssim) gi = vf_keep(keep, gi + vf_load(ssim + i));
        if (inverse) gi = gi * vf_load(inverse + i);
        vf_store(g + i, gi);
        if (blended) vf_store(blended + i, vf_load(blended + i) - gi * vf_keep(keep, xi));
    }
    for (int k = 0; k < PIXEL_SUMS; k++)
        sums[k] += (double)vf_sum(sum[k]);
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
    .share_item = ISA_NAME(splat_share_item),
    .ssim_rows = ssim_rows,
    .ssim_adjoint_rows = ssim_adjoint_rows,
    .load_row = splat_loss_load_row,
    .loss_row = loss_row,
};
