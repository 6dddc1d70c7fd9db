/* A fit whose target has weights: what is multiplied by them, in rows of pixels. */
#ifndef IMGTRAIN_CPU_SPLAT_SPLAT_MASK_H
#define IMGTRAIN_CPU_SPLAT_SPLAT_MASK_H

#include "device/splat_ops.h"

/* As the kernels' loss_row, with pixel losses, their slopes and `sums` weighted: weights[x] x unit.
 * What comes from SSIM has been weighted. */
void splat_mask_loss_row(const float *x, const float *t, const float *ssim, const float *inverse,
                         const uint8_t *weights, float unit, int width, const float *factor,
                         float *g, float *blended, double *sums);

/* Multiplies a row of SSIM and its three maps by the weights; returns the sum of that SSIM over
 * columns from.. to - 1. */
double splat_mask_ssim_row(float *s, float *const *maps, const uint8_t *weights, float unit,
                           int width, int from, int to);

#endif
