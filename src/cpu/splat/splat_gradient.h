/* From the sums of a pass to gradients by the parameters. */
#ifndef IMGTRAIN_CPU_SPLAT_SPLAT_GRADIENT_H
#define IMGTRAIN_CPU_SPLAT_SPLAT_GRADIENT_H

#include "cpu/splat/splat_scene.h"

/* Overwrites gradients from the records that a pass with gradients left in the scene. The scene's
 * image must have the view's size. */
void splat_gradient_finish(struct splat_scene *scene, const struct splat_view *view,
                           const struct splat_gradients *gradients);

#endif
