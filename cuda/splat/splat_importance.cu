/* The importance of every Gaussian: the pixels that it reaches are visited as for its gradient, a
 * warp for a chunk of its rows. What the pixel's squared error would grow by without it follows
 * from the colour C, the denominator D, its alpha a and its colour f alone: without it the colour
 * is (C D - a f) / (D - a) = C + d with d = a (C - f) / (D - a), so the share is d (d + 2 (C - t)).
 * Mirrors cpu/splat/splat_importance.c. */
#include "cuda/splat/splat_cuda.h"
#include "cuda/splat/target_stream.h"

enum { BLOCK = 256, PATCH_X = 8, PATCH_Y = 32 / PATCH_X };

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
        float own = alpha * inverse;
        part = own / fmaxf(1.0f - own, SPLAT_DENOMINATOR * inverse);
    }
    for (int c = 0; c < s.channels; c++) {
        float shown = color[(int64_t)c * b.pitch];
        float change = part * (s.blend.additive ? feat[c] : shown - feat[c]);
        float off = shown - splat_target_sample(&target, row, column, c);
        share = fmaf(change, fmaf(2.0f, off, change), share);
    }
    share = fminf(fmaxf(share, -SPLAT_SHARE_MOST), SPLAT_SHARE_MOST); /* NaN: the least */
    return (int64_t)(share * (float)(1 / SPLAT_SHARE_UNIT));
}

/* This lane's pixels of rows [from, to] of a Gaussian. */
static __device__ int64_t importance_rows(const struct splat_scene &s, const struct splat_band &b,
                                          const struct splat_target &target, int i, int from,
                                          int to)
{
    int lane = (int)threadIdx.x % 32, dx0 = lane % PATCH_X, dy0 = lane / PATCH_X;
    bool limited = !s.blend.additive && s.blend.topk > 0;
    const struct gaussian_form g = form_load(s, i);
    const float *feat = s.feat + (int64_t)i * s.channels;
    int64_t units = 0;
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
        const float *threshold =
            (const float *)s.threshold + (int64_t)(row - b.first) * b.pitch - b.x0;
        for (int x = first / PATCH_X * PATCH_X + dx0; x <= last && x < s.width; x += PATCH_X) {
            if (row > to) break;
            float alpha = splat_alpha((float)x + 0.5f - g.mx, dy, g.A, g.B, g.C, s.cut_power);
            if (!(alpha > 0) || (limited && alpha < threshold[x])) continue;
            units += importance_share(s, b, target, feat, row, x, alpha);
        }
    }
    return units;
}

/* Warps and chunks as in gather_kernel; whole numbers are added in any order. */
static __global__ void __launch_bounds__(BLOCK)
    importance_kernel(struct splat_scene s, struct splat_band b, struct splat_target target,
                      unsigned long long *sums)
{
    int64_t warp = ((int64_t)blockIdx.x * BLOCK + threadIdx.x) / 32;
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
        int from = max(max(chunk << k.shift, k.first_row), b.first);
        int to = min(min(((chunk + 1) << k.shift) - 1, k.last_row), b.last - 1);
        if (from > to) continue;
        int64_t units = importance_rows(s, b, target, i, from, to);
        for (int step = 16; step > 0; step /= 2)
            units += __shfl_xor_sync(0xffffffffu, units, step);
        if (lane == 0) atomicAdd(&sums[i], (unsigned long long)units);
    }
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
