/* SSIM within a pass: its maps for rows whose neighbours are there, and its gradient. */
#ifndef IMGTRAIN_CPU_SPLAT_SPLAT_SSIM_H
#define IMGTRAIN_CPU_SPLAT_SPLAT_SSIM_H

#include "cpu/splat/splat_pass.h"

/* Derivatives of SSIM by the moments for `rows` (1..SSIM_BLOCK) rows from y, into the thread's
 * maps; the sums of those rows that belong to this thread: own_from.. own_to - 1. */
void splat_ssim_maps(const struct splat_pass *pass, struct splat_thread *thread, int y, int rows,
                     int own_from, int own_to);

/* The gradient of SSIM, weighted by the loss, for `rows` rows from y, into the thread's
 * ssim_gradient. */
void splat_ssim_gradient(const struct splat_pass *pass, struct splat_thread *thread, int y,
                         int rows);

#endif
