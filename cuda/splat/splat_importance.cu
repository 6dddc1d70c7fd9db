/* The importance of every Gaussian: the pixels that it reaches are visited as for its gradient, a
 * warp for a chunk of its rows. Mirrors cpu/splat/splat_importance.c. */
#include "cuda/splat/splat_cuda.h"
#include "cuda/splat/splat_pixels.h"
#include "cuda/splat/target_stream.h"

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) FMA_F32(a, b, c)
#define REAL_SET(x) (x)
#define REAL_MIN(a, b) fminf(a, b)
#define REAL_MAX(a, b) fmaxf(a, b)
#include "math/importance.h"

enum { BLOCK = 256 };

/* The share of a pixel, in units. */
static __device__ int64_t importance_share(const struct splat_scene &s, const struct splat_band &b,
                                           const struct splat_target &target, const float *feat,
                                           int row, int column, float alpha)
{
    int x = column - b.x0;
    const float *color = (const float *)s.color + (int64_t)(row - b.y0) * s.channels * b.pitch + x;
    float part = -alpha, share = 0; /* additive: d = -a f */
    if (!s.blend.additive) {
        float inverse = ((const float *)s.weight)[(int64_t)(row - b.first) * b.pitch + x];
        part = importance_part_f32(alpha, inverse, SPLAT_DENOMINATOR);
    }
    for (int c = 0; c < s.channels; c++) {
        float shown = color[(int64_t)c * b.pitch];
        float change = part * (s.blend.additive ? feat[c] : shown - feat[c]);
        float off = shown - splat_target_sample(&target, row, column, c);
        share = importance_add_f32(change, off, share);
    }
    share =
        importance_counted_f32(share, SPLAT_SHARE_MOST, splat_target_weight(&target, row, column));
    return (int64_t)(share * (float)(1 / SPLAT_SHARE_UNIT));
}

/* Whole numbers are added in any order. */
static __global__ void __launch_bounds__(BLOCK)
    importance_kernel(struct splat_scene s, struct splat_band b, struct splat_target target,
                      unsigned long long *sums)
{
    int64_t warp = ((int64_t)blockIdx.x * BLOCK + threadIdx.x) / 32;
    splat_chunks_visit(s, warp, [&](int i, int, int top, int bottom) {
        int from = max(top, b.first), to = min(bottom, b.last - 1);
        if (from > to) return;
        const struct gaussian_form g = form_load(s, i);
        const float *feat = s.feat + (int64_t)i * s.channels;
        int64_t units = 0;
        auto add = [&](int row, int column, float, float, float alpha) {
            units += importance_share(s, b, target, feat, row, column, alpha);
        };
        splat_pixels_visit<float>(s, b, g, weight_load(s, i), from, to, add);
        for (int step = 16; step > 0; step /= 2)
            units += __shfl_xor_sync(0xffffffffu, units, step);
        if (threadIdx.x % 32 == 0) atomicAdd(&sums[i], (unsigned long long)units);
    });
}

/* The most rows of a band that the image buffers hold in floats. */
static int importance_rows_at_once(const struct splat_scene *s)
{
    int rows = s->half ? s->band_rows / 2 / TILE * TILE : s->band_rows;
    return rows > TILE ? rows : TILE;
}

/* The band in steps of so many rows: rendered in floats whatever the buffers hold else, as the
 * difference of two errors is small beside either. */
static void importance_band(const struct splat_scene *s, const struct splat_band *band,
                            const struct splat_target *target, unsigned long long *sums)
{
    struct splat_scene floats = *s;
    struct splat_band b = *band;
    int at_once = importance_rows_at_once(s);
    floats.half = false;
    for (b.first = band->first; b.first < band->last; b.first = b.last) {
        b.y0 = b.first;
        b.last = b.first + at_once < band->last ? b.first + at_once : band->last;
        b.rows = (b.last - b.first + TILE - 1) / TILE * TILE;
        splat_tile_render(&floats, &b, true);
        LAUNCH(importance_kernel, cuda_blocks((size_t)s->count * 32, BLOCK), BLOCK, 0,
               s->device->stream, floats, b, *target, sums);
    }
}

int splat_cuda_importance(struct device *device, const struct splat_workspace *workspace,
                          const struct splat_view *view, const struct splat_blend *blend,
                          const struct splat_target *target, double *importance)
{
    struct splat_scene s;
    struct splat_band b;
    struct target_stream stream;
    size_t bytes = (size_t)view->count * sizeof(int64_t);
    static_assert(sizeof(int64_t) == sizeof(double), "sums come down in the result's place");
    if (target->width != view->width || target->height != view->height)
        return fail(ERR_INTERNAL, "importance needs the target at the model's size");
    TRY(splat_scene_open(&s, device, workspace, view, blend, target->width, target->height));
    if (view->count == 0) return OK;
    splat_scene_project(&s, view);
    unsigned long long *sums = (unsigned long long *)s.record; /* free between steps */
    cuda_check(cudaMemsetAsync(sums, 0, bytes, s.device->stream));
    TRY(target_stream_open(&stream, &s, target));
    for (int first = 0; splat_scene_band(&s, first, false, &b); first = b.last) {
        struct splat_target rows;
        TRY(target_stream_acquire(&stream, &rows));
        importance_band(&s, &b, &rows, sums);
        TRY(target_stream_release(&stream));
    }
    TRY(device->download(device, importance, sums, bytes));
    TRY(device->synchronize(device));
    for (int64_t i = 0; i < view->count; i++) {
        int64_t units;
        memcpy(&units, &importance[i], sizeof units);
        importance[i] = (double)units * SPLAT_SHARE_UNIT;
    }
    return OK;
}
