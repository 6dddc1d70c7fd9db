/* The pixels that Gaussians reach: a warp takes a chunk of a Gaussian's rows and looks at patches
 * of pixels, one a lane. For what is gathered per Gaussian: its gradient, its importance. */
#ifndef IMGTRAIN_CUDA_SPLAT_SPLAT_PIXELS_H
#define IMGTRAIN_CUDA_SPLAT_SPLAT_PIXELS_H

#include "cuda/splat/cuda_splat_scene.h"

enum { PATCH_X = 8, PATCH_Y = 32 / PATCH_X };

/* Calls visit(row, column, dx, dy, alpha) for this lane's pixels of rows [from, to] that the
 * Gaussian is blended into. Every lane of the warp calls it. T: what the image buffers hold. */
template <typename T, typename Visit>
static __device__ __forceinline__ void
splat_pixels_visit(const struct splat_scene &s, const struct splat_band &b,
                   const struct gaussian_form &g, float weight, int from, int to,
                   const Visit &visit)
{
    int lane = (int)threadIdx.x % 32, dx0 = lane % PATCH_X, dy0 = lane / PATCH_X;
    bool limited = !s.blend.additive && s.blend.topk > 0;
    for (int y0 = from; y0 <= to; y0 += PATCH_Y) {
        int row = y0 + dy0;
        float dy = (float)row + 0.5f - g.my, half = gaussian_row_half(&g, s.cut_power, dy);
        float centre = fmaf(g.slope, dy, g.mx);
        float low = row <= to ? centre - half : 1e30f, high = row <= to ? centre + half : -1e30f;
        for (int step = PATCH_X; step < 32; step *= 2) { /* over the patch's rows */
            low = fminf(low, __shfl_xor_sync(0xffffffffu, low, step));
            high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, step));
        }
        int first = low > 0 ? (low < (float)s.width ? (int)low : s.width) : 0;
        int last = high < (float)s.width ? (high > 0 ? (int)high : -1) : s.width - 1;
        const T *threshold = (const T *)s.threshold + (int64_t)(row - b.first) * b.pitch - b.x0;
        for (int x0 = first / PATCH_X * PATCH_X; x0 <= last; x0 += PATCH_X) {
            int column = x0 + dx0;
            if (row > to || column >= s.width) continue;
            float dx = (float)column + 0.5f - g.mx;
            float alpha = splat_alpha(dx, dy, g.A, g.B, g.C, weight, s.cut_power);
            if (!(alpha > 0)) continue;
            if (limited && alpha < cuda_splat_scene_image_load(threshold + column)) continue;
            visit(row, column, dx, dy, alpha);
        }
    }
}

/* Calls visit(i, part, top, bottom) for chunk `part` of Gaussian i, rows [top, bottom] of the
 * image, with a whole warp. Warp i takes chunk 0 of Gaussian i, and chunk p of the Gaussian p
 * strides before it: so the many chunks of a large one fall to warps far apart, without a list. */
template <typename Visit>
static __device__ __forceinline__ void splat_chunks_visit(const struct splat_scene &s, int64_t warp,
                                                          const Visit &visit)
{
    int lane = (int)threadIdx.x % 32;
    if (warp >= s.count) return;
    int64_t stride = s.count / MAX_PARTS + 1, mine = (warp - lane * stride) % s.count;
    if (mine < 0) mine += s.count;
    unsigned todo = __ballot_sync(0xffffffffu, lane < s.row_chunks[mine].count);
    while (todo) {
        int part = __ffs((int)todo) - 1, i = __shfl_sync(0xffffffffu, (int)mine, part);
        todo &= todo - 1;
        struct splat_chunks k = s.row_chunks[i];
        int chunk = (k.first_row >> k.shift) + part;
        visit(i, part, max(chunk << k.shift, k.first_row),
              min(((chunk + 1) << k.shift) - 1, k.last_row));
    }
}

#endif
