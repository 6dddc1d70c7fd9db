/* SSIM within a pass: its maps for rows whose neighbours are there, and its gradient. */
#ifndef IMGTRAIN_CPU_SPLAT_SPLAT_SSIM_H
#define IMGTRAIN_CPU_SPLAT_SPLAT_SSIM_H

#include "cpu/splat/splat_scene.h"

struct ssim_wanted {
    int from, to; /* rows whose sums belong to this thread: from.. to - 1 */
    bool inner;   /* also the sum over windows inside the image */
    bool slopes;  /* derivatives of SSIM by the moments, windowed across, into the thread's maps */
    enum splat_ssim_rows rows;
};

/* SSIM of `rows` (1..SSIM_BLOCK) of the wanted rows from y, which is one of them. */
void splat_ssim_maps(struct splat_scene *scene, const struct splat_target *target,
                     struct splat_thread *thread, int y, int rows,
                     const struct ssim_wanted *wanted);

/* `factor` x the derivative of the sum of SSIM, of windows around the rows `of`, for `rows` rows
 * from y, into the thread's ssim_gradient. */
void splat_ssim_gradient(const struct splat_scene *scene, struct splat_thread *thread, int y,
                         int rows, enum splat_ssim_rows of, float factor);

#endif
