/* SSIM, pixel losses and rows of bytes, a row at a time, and this instruction set's table of splat
 * kernels. */
#include "cpu/isa/simd_bytes.h"
#include "cpu/isa/splat_isa.h"
#include "math/real.h"
#include "math/shown_sample.h"
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

/* The window downwards makes several output rows of the input rows that they share. Sums first:
 * half of the products, and additions have units of their own. */
#define OUTPUTS SSIM_BLOCK
#define INPUTS (OUTPUTS + SSIM_TAPS - 1)

static inline __attribute__((always_inline)) void splat_loss_window_down(const vf *in, int step,
                                                                         vf *out)
{
#pragma GCC unroll 4
    for (int o = 0; o < OUTPUTS; o++) {
        const vf *middle = in + o * step + SSIM_RADIUS;
        out[o] = middle[0] * vf_set(ssim_window[0]);
#pragma GCC unroll 5
        for (int k = 1; k <= SSIM_RADIUS; k++)
            out[o] = vf_fma(vf_set(ssim_window[k]), middle[-k] + middle[k], out[o]);
    }
}

/* The four moments of x and t; the first two are x and t themselves. */
static inline __attribute__((always_inline)) vf splat_loss_moment(int moment, vf x, vf t)
{
    if (moment == 0) return x;
    if (moment == 1) return t;
    if (moment == 2) return vf_fma(x, x, t * t);
    return x * t;
}

/* Moments of x and t, window applied downwards, for output rows 0..OUTPUTS-1 whose windows begin at
 * input row 0, step, ...: mean of x, of t, of x^2 + t^2, of x t; zeros around them. */
static inline __attribute__((always_inline)) void splat_loss_moments_down(const float *const *x,
                                                                          const float *const *t,
                                                                          int width, int step,
                                                                          float *workspace)
{
    for (int i = 0; i < width; i += LANES)
#pragma GCC unroll 4
        for (int m = 0; m < 4; m++) {
            vf in[SSIM_INPUTS_MOST], out[OUTPUTS];
#pragma GCC unroll 17
            for (int k = 0; k < ssim_inputs(step); k++)
                in[k] = splat_loss_moment(m, vf_load(x[k] + i), vf_load(t[k] + i));
            splat_loss_window_down(in, step, out);
            for (int o = 0; o < OUTPUTS; o++)
                vf_store(ssim_moment_row(workspace, width, o, m) + i, out[o]);
        }
    for (int row = 0; row < SSIM_WORKSPACE_ROWS; row++)
        ssim_clear_margins(workspace, width, row);
}

/* The same where windows begin four rows apart: at most three of them share an input row, so that
 * all their sums stay in registers and each row is read once. */
static void splat_loss_moments_down_fourths(const float *const *x, const float *const *t, int width,
                                            float *workspace)
{
    for (int i = 0; i < width; i += LANES) {
        vf out[OUTPUTS][SSIM_MOMENTS];
#pragma GCC unroll 23
        for (int k = 0; k < SSIM_INPUTS_MOST; k++) {
            vf xk = vf_load(x[k] + i), tk = vf_load(t[k] + i);
#pragma GCC unroll 4
            for (int o = 0; o < OUTPUTS; o++) {
                int tap = k - 4 * o;
                if (tap < 0 || tap >= SSIM_TAPS) continue;
                vf w =
                    vf_set(ssim_window[tap < SSIM_RADIUS ? SSIM_RADIUS - tap : tap - SSIM_RADIUS]);
#pragma GCC unroll 4
                for (int m = 0; m < SSIM_MOMENTS; m++) {
                    vf value = splat_loss_moment(m, xk, tk);
                    if (tap == 0) out[o][m] = vf_set(0);
                    out[o][m] = vf_fma(w, value, out[o][m]);
                    if (tap == SSIM_TAPS - 1)
                        vf_store(ssim_moment_row(workspace, width, o, m) + i, out[o][m]);
                }
            }
        }
    }
    for (int row = 0; row < SSIM_WORKSPACE_ROWS; row++)
        ssim_clear_margins(workspace, width, row);
}

/* A row's S, and its derivatives by the moments, which replace those of the row before. */
static float ssim_across(const float *mean_x, ptrdiff_t pitch, int width, int from, int to,
                         float *d_mean, float *s)
{
    const float *mean_t = mean_x + pitch, *square = mean_t + pitch, *product = square + pitch;
    float *d_square = d_mean + pitch, *d_product = d_square + pitch;
    vf total = vf_set(0);
    for (int i = 0; i < width; i += LANES) {
        vm keep = splat_loss_inside(i, width);
        vf dm, ds, dp;
        vf value = ssim_pixel_vf(splat_loss_window_across(mean_x + i),
                                 splat_loss_window_across(mean_t + i),
                                 splat_loss_window_across(square + i),
                                 splat_loss_window_across(product + i), &dm, &ds, &dp);
        value = vf_keep(keep, value);
        if (i >= from && i < to) total = total + value; /* they are whole tiles, or the end */
        vf_store(s + i, value);
        vf_store(d_mean + i, vf_keep(keep, dm));
        vf_store(d_square + i, vf_keep(keep, ds));
        vf_store(d_product + i, vf_keep(keep, dp));
    }
    return vf_sum(total);
}

static void ssim_rows(const float *const *x, const float *const *t, int width, int from, int to,
                      int rows, int step, float *workspace, float *const *s, float *sums)
{
    if (step == 1)
        splat_loss_moments_down(x, t, width, 1, workspace);
    else if (step == 2)
        splat_loss_moments_down(x, t, width, 2, workspace);
    else
        splat_loss_moments_down_fourths(x, t, width, workspace);
    for (int o = 0; o < rows; o++)
        sums[o] = ssim_across(ssim_moment_row(workspace, width, o, 0), ssim_row_pitch(width), width,
                              from, to, ssim_slope_row(workspace, width, o, 0), s[o]);
}

static void ssim_slopes_across(const float *slopes, int width, float *out)
{
    for (int i = 0; i < width; i += LANES)
        vf_store(out + i, splat_loss_window_across(slopes + i));
}

/* Whether a row of a list is S's: see ssim_adjoint_rows in splat_kernels.h. */
static inline bool splat_loss_has_row(int step, int first, int k)
{
    return (k & (step - 1)) == first;
}

/* The window downwards over the rows that are S's, of those k above and below the ones that are. */
static inline __attribute__((always_inline)) void splat_loss_adjoint_down(const vf *in, int step,
                                                                          int first, vf *out)
{
#pragma GCC unroll 4
    for (int o = 0; o < OUTPUTS; o++) {
        int row = o + SSIM_RADIUS;
        out[o] = vf_set(0);
        if (splat_loss_has_row(step, first, row)) out[o] = in[row] * vf_set(ssim_window[0]);
#pragma GCC unroll 5
        for (int k = 1; k <= SSIM_RADIUS; k++) {
            bool above = splat_loss_has_row(step, first, row - k);
            bool below = splat_loss_has_row(step, first, row + k);
            if (!above && !below) continue;
            vf both = in[above ? row - k : row + k];
            if (above && below) both = both + in[row + k];
            out[o] = vf_fma(vf_set(ssim_window[k]), both, out[o]);
        }
    }
}

/* d sum S / dx(p) = sum_q w(p - q) (S_mean(q) + 2 x(p) S_square(q) + t(p) S_product(q)): the window
 * is symmetric, so the adjoint of the window is the window. */
static inline __attribute__((always_inline)) void
splat_loss_adjoint_rows(const float *const *maps, const float *const *x, const float *const *t,
                        int width, int rows, int step, int first, float weight, float *const *out)
{
    vf w = vf_set(weight);
    for (int i = 0; i < width; i += LANES) {
        vf total[OUTPUTS];
#pragma GCC unroll 3
        for (int m = 0; m < 3; m++) {
            vf in[INPUTS], sum[OUTPUTS];
#pragma GCC unroll 14
            for (int k = 0; k < INPUTS; k++)
                if (splat_loss_has_row(step, first, k)) in[k] = vf_load(maps[m * INPUTS + k] + i);
            splat_loss_adjoint_down(in, step, first, sum);
#pragma GCC unroll 4
            for (int o = 0; o < OUTPUTS; o++) {
                if (o >= rows) break;
                vf g = w * sum[o];
                if (m == 1) g = g * (vf_load(x[o] + i) + vf_load(x[o] + i));
                if (m == 2) g = g * vf_load(t[o] + i);
                if (m > 0) g = g + total[o];
                total[o] = g;
            }
        }
        for (int o = 0; o < rows; o++)
            vf_store(out[o] + i, total[o]);
    }
}

static void ssim_adjoint_rows(const float *const *maps, const float *const *x,
                              const float *const *t, int width, int rows, int step, int first,
                              float weight, float *const *out)
{
#define ADJOINT(step, first)                                                                       \
    splat_loss_adjoint_rows(maps, x, t, width, rows, step, first, weight, out)
    switch (step - 1 + first) {
    case 0: ADJOINT(1, 0); break;
    case 1: ADJOINT(2, 0); break;
    case 2: ADJOINT(2, 1); break;
    case 3: ADJOINT(4, 0); break;
    case 4: ADJOINT(4, 1); break;
    case 5: ADJOINT(4, 2); break;
    default: ADJOINT(4, 3); break;
    }
#undef ADJOINT
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

/* shown_level, of 255, before it is made whole. */
static inline vf splat_loss_level(const float *p)
{
    vf clamped = vf_min(vf_max(vf_load(p), vf_set(0)), vf_set(1));
    return clamped * vf_set(255) + vf_set(0.5f);
}

static void splat_loss_show_row(const float *const *color, int channels, int width, uint8_t *out)
{
    int x = 0;
    for (; channels == 3 && x + LANES <= width; x += LANES)
        vf_store_triples(out + 3 * x, splat_loss_level(color[0] + x),
                         splat_loss_level(color[1] + x), splat_loss_level(color[2] + x));
    for (; x < width; x++)
        for (int c = 0; c < channels; c++)
            out[x * channels + c] = (uint8_t)shown_level(color[c][x], 255.0f);
}

/* The vectors at from.. of a row: see loss_row in splat_kernels.h. partial: they may reach behind
 * `width`. */
static inline __attribute__((always_inline)) void
splat_loss_vectors(const float *x, const float *t, const float *ssim, const float *inverse,
                   int from, int to, int width, bool partial, const float *factor, float *g,
                   float *blended, vf *sum)
{
    vf zero = vf_set(0), one = vf_set(1);
    for (int i = from; i < to; i += LANES) {
        vm keep = splat_loss_inside(i, width);
        vf xi = vf_load(x + i), ti = vf_load(t + i);
        vf d = xi - ti, clamped = vf_min(vf_max(xi, zero), one) - ti;
        if (partial) d = vf_keep(keep, d), clamped = vf_keep(keep, clamped);
        pixel_loss_add_vf(d, sum);
        sum[PIXEL_MSE] = vf_fma(clamped, clamped, sum[PIXEL_MSE]);
        if (!g) continue;
        vf gi = pixel_loss_slope_vf(d, factor);
        if (ssim) gi = gi + vf_load(ssim + i);
        if (ssim && partial) gi = vf_keep(keep, gi);
        if (inverse) gi = gi * vf_load(inverse + i);
        vf_store(g + i, gi);
        if (!blended) continue;
        if (partial) xi = vf_keep(keep, xi);
        vf_store(blended + i, vf_load(blended + i) - gi * xi);
    }
}

static void loss_row(const float *x, const float *t, const float *ssim, const float *inverse,
                     int width, const float *factor, float *g, float *blended, double *sums)
{
    int whole = width - width % LANES;
    vf sum[PIXEL_SUMS];
    for (int k = 0; k < PIXEL_SUMS; k++)
        sum[k] = vf_set(0);
    splat_loss_vectors(x, t, ssim, inverse, 0, whole, width, false, factor, g, blended, sum);
    splat_loss_vectors(x, t, ssim, inverse, whole, width, width, true, factor, g, blended, sum);
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
    .ssim_slopes_across = ssim_slopes_across,
    .ssim_adjoint_rows = ssim_adjoint_rows,
    .show_row = splat_loss_show_row,
    .load_row = splat_loss_load_row,
    .loss_row = loss_row,
};
