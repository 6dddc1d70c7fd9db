/* The gradient of every Gaussian, gathered from the pixels it reaches, and what it does to the
 * parameters. Mirrors cpu/splat/splat_gradient.h and cpu/splat/splat_adam.c. */
#ifndef IMGTRAIN_CUDA_SPLAT_CUDA_SPLAT_GRADIENT_H
#define IMGTRAIN_CUDA_SPLAT_CUDA_SPLAT_GRADIENT_H

#include "cuda/splat/cuda_splat_scene.h"

/* What may change from one step to the next without a new graph. */
struct splat_rates {
    int t;
    double b2;
    float rate[SPLAT_GROUPS];
    float low[SPLAT_GROUPS][2], high[SPLAT_GROUPS][2], unit[SPLAT_GROUPS];
    int ssim_rows; /* enum splat_ssim_rows */
};

/* Which rows SSIM's windows lie around: those of `rates` (device memory), which change from step to
 * step of a graph, or without them `rows`. */
struct splat_windows {
    enum splat_ssim_rows rows;
    const struct splat_rates *rates;
};

HOST_DEVICE static inline enum splat_ssim_rows splat_windows_around(const struct splat_windows *w)
{
    if (!w->rates) return w->rows;
    int rows = w->rates->ssim_rows; /* any number, where the kernel that writes it is wrong */
    return rows < 0 || rows > SPLAT_SSIM_FOURTH_3 ? SPLAT_SSIM_ALL : (enum splat_ssim_rows)rows;
}

/* Adam for some groups; the rates and bounds of `rates` (device memory) stand above the groups'. */
struct splat_update {
    struct splat_adam group[SPLAT_GROUPS];
    int groups;
    struct splat_rows rows;
    int columns; /* in axes; 0: there are none */
    const struct splat_rates *rates;
    int64_t first; /* row that the arrays of Adam's state begin with */
};

/* The part of an update that only the step's operations know: rows, and what is in axes. */
static inline void splat_update_rows(struct splat_update *update, const struct splat_rows *rows)
{
    update->rows = *rows;
    update->columns = splat_axes_used(update->group, update->groups, rows);
}

/* Sums each Gaussian's pixels of the band into its records. */
void splat_gradient_band(const struct splat_scene *scene, const struct splat_band *band);

/* For Gaussians [first, first + count): from the records to the gradient by the parameters; with
 * `update` then Adam, unless status->stopped; rows left alone are added to status->skipped. */
void splat_gradient_finish(const struct splat_scene *scene, const struct splat_view *view,
                           const struct splat_gradients *gradients,
                           const struct splat_update *update, int64_t first, int64_t count);

/* From the sums of tiles and strips to status->sums. loss: not finite sets status->stopped, and
 * once that is set nothing changes; NULL: no such check. */
void splat_gradient_sums(const struct splat_scene *scene, bool ssim,
                         const struct splat_windows *windows, const struct splat_loss *loss);

/* Adam alone; rows left alone are added to *skipped (device memory). */
void splat_adam_rows(struct cuda_device *device, const struct splat_update *update, int64_t count,
                     int64_t *skipped);

/* Rounds up to SPLAT_GROUPS lists of values, see splat_ops.fake_quantize. */
struct splat_quantizing {
    const float *values[SPLAT_GROUPS];
    float *out[SPLAT_GROUPS];
    int64_t count[SPLAT_GROUPS];
    int bits[SPLAT_GROUPS], lists;
};
void splat_quantize(struct cuda_device *device, const struct splat_quantizing *quantizing);

#endif
