/* Rendering of a band, and its comparison with the target. Mirrors cpu/isa/splat_tile.c. */
#ifndef IMGTRAIN_CUDA_SPLAT_SPLAT_TILE_H
#define IMGTRAIN_CUDA_SPLAT_SPLAT_TILE_H

#include "cuda/splat/cuda_splat_scene.h"

/* Renders the band's rows and columns into scene->color. keep: also writes threshold and weight
 * (1 / D) of the rows [first, last). */
void splat_tile_render(const struct splat_scene *scene, const struct splat_band *band, bool keep);
/* The same in floats, whatever the buffers hold else, and without SSIM's rows around it. */
void splat_tile_render_float(const struct splat_scene *scene, const struct splat_band *band);

/* Compares rows [first, last): tile_sums, and with `gradient` turns scene->gradient from SSIM's
 * part (left out without `ssim`) into that of the whole loss, times the number of samples and 1 /
 * D, and scene->weight into the sum of gradient x colour. power: as in splat_pass, 0 for training.
 */
void splat_tile_compare(const struct splat_scene *scene, const struct splat_band *band,
                        const struct splat_target *target, const struct splat_loss *loss,
                        bool gradient, float power);

/* As a viewer sees it: clamped, raised to `power`; 0: as it is. */
static __device__ __forceinline__ float splat_shown(float v, float power)
{
    if (power <= 0) return v;
    v = v > 0 ? (v < 1 ? v : 1.0f) : 0.0f;
    return power < 1 || power > 1 ? powf(v, power) : v;
}

#endif
