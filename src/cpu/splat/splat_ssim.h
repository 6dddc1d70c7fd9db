/* SSIM within a pass: its maps for rows whose neighbours are there, and its gradient. */
#ifndef IMGTRAIN_CPU_SPLAT_SPLAT_SSIM_H
#define IMGTRAIN_CPU_SPLAT_SPLAT_SSIM_H

#include "cpu/splat/splat_scene.h"

/* Derivatives of SSIM by the moments for `rows` (1..SSIM_BLOCK) rows from y, into the thread's
 * maps; the sums of those rows that belong to this thread: own_from.. own_to - 1. inner: also the
 * sum over windows inside the image. */
void splat_ssim_maps(struct splat_scene *scene, const struct splat_target *target,
                     struct splat_thread *thread, int y, int rows, int own_from, int own_to,
                     bool inner);

/* `factor` x the derivative of the sum of SSIM for `rows` rows from y, into the thread's
 * ssim_gradient. */
void splat_ssim_gradient(const struct splat_scene *scene, struct splat_thread *thread, int y,
                         int rows, float factor);

#endif
