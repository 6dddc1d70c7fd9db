/* SSIM over a band and its gradient. Mirrors cpu/splat/splat_ssim.h. */
#ifndef IMGTRAIN_CUDA_SPLAT_CUDA_SPLAT_SSIM_H
#define IMGTRAIN_CUDA_SPLAT_CUDA_SPLAT_SSIM_H

#include "cuda/splat/cuda_splat_gradient.h"

/* Of those windows around rows [first, last): ssim_sums, and with weight != 0 scene->gradient =
 * weight x the number of samples x the derivative of the mean of SSIM by each sample. power: as in
 * splat_tile_compare. */
void splat_ssim_band(const struct splat_scene *scene, const struct splat_band *band,
                     const struct splat_target *target, const struct splat_windows *windows,
                     float weight, float power);

#endif
