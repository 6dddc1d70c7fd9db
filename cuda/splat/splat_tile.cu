/* Rendering: a block of threads has a tile, a thread one pixel. The block chooses the Gaussians
 * that reach the tile out of its region's list, in their order, and keeps them in shared memory. */
#include "cuda/splat/splat_tile.h"

/* Gaussians of a tile that are worked on at a time: TILE_THREADS candidates are looked at at once,
 * and more only while there is room for all of them. */
enum { CHUNK = 2 * (int)TILE_THREADS, GROUP = 4, DEFAULT_TOPK = 10 };

struct tile_chunk {
    float4 form[CHUNK]; /* mx, my, A, B */
    float C[CHUNK], weight[CHUNK];
    int id[CHUNK];
    int count, next; /* of Gaussians; first candidate that has not been looked at */
    int counts[TILE_THREADS / 32];
};

struct tile {
    int x0, y0;
    const int *list; /* candidates; NULL: all Gaussians */
    int candidates;
};

static __device__ struct tile find_tile(const struct splat_scene &s, const struct splat_band &b)
{
    struct tile t = {b.x0 + (int)blockIdx.x * TILE, b.y0 + (int)blockIdx.y * TILE, NULL, s.count};
    int region = t.y0 / REGION * s.regions_x + t.x0 / REGION, count = s.region_count[region];
    if (count >= 0) {
        t.list = s.list + s.region_start[region];
        t.candidates = count;
    }
    return t;
}

/* The power's least value on the horizontal or vertical line at distance `line` from the centre,
 * between `low` and `high` along it. */
static __device__ __forceinline__ float least_on_line(float across, float mixed, float along,
                                                      float line, float low, float high)
{
    float at = fminf(fmaxf(-mixed * line / (2 * along), low), high);
    return across * line * line + mixed * line * at + along * at * at;
}

/* Does the ellipse reach the centre of a pixel of the tile? May be true when it only nearly does:
 * the pixels decide. */
static __device__ bool cuda_splat_tile_reaches(const struct gaussian_form &g, int x0, int y0,
                                               float cut_power)
{
    float left = (float)x0 + 0.5f - g.mx, right = left + (TILE - 1);
    float top = (float)y0 + 0.5f - g.my, bottom = top + (TILE - 1), least = 0;
    bool beside = left > 0 || right<0, above = top> 0 || bottom < 0;
    if (beside) least = least_on_line(g.A, g.B, g.C, left > 0 ? left : right, top, bottom);
    if (above) {
        float v = least_on_line(g.C, g.B, g.A, top > 0 ? top : bottom, left, right);
        least = beside ? fminf(least, v) : v;
    }
    return least <= cut_power * 1.01f; /* rounding of a difference of large numbers */
}

/* Fills the chunk with the next Gaussians of the tile. Every thread of the block calls it. */
static __device__ void fill_chunk(struct tile_chunk *chunk, const struct splat_scene &s,
                                  const struct tile &t, int from)
{
    int kept = 0;
    __syncthreads(); /* all have done with what it held */
    while (from < t.candidates && kept <= CHUNK / 2) {
        int at = from + (int)threadIdx.x, id = -1, total;
        struct gaussian_form g;
        bool keep = false;
        if (at < t.candidates) {
            id = t.list ? t.list[at] : at;
            g = form_load(s, id);
            keep = (t.list || s.row_chunks[id].count > 0) &&
                   cuda_splat_tile_reaches(g, t.x0, t.y0, s.cut_power);
        }
        int place = kept + block_place(keep, chunk->counts, &total);
        if (keep) {
            chunk->form[place] = make_float4(g.mx, g.my, g.A, g.B);
            chunk->C[place] = g.C;
            chunk->weight[place] = weight_load(s, id);
            chunk->id[place] = id;
        }
        kept += total;
        from += TILE_THREADS;
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        chunk->count = kept;
        chunk->next = from;
    }
    __syncthreads();
}

static __device__ __forceinline__ float chunk_alpha(const struct tile_chunk *chunk, int k, float x,
                                                    float y, float cut_power)
{
    float4 f = chunk->form[k];
    return splat_alpha(x - f.x, y - f.y, f.z, f.w, chunk->C[k], chunk->weight[k], cut_power);
}

/* The K-th largest alpha of a pixel, 0 when there are no more than K; begins with what the chunk
 * holds. MOST: K is at most that; the list of the largest stays in registers. */
template <int MOST>
static __device__ float find_threshold(struct tile_chunk *chunk, const struct splat_scene &s,
                                       const struct tile &t, float x, float y)
{
    float best[MOST];
    int K = s.blend.topk;
    if (chunk->next >= t.candidates && chunk->count <= K) return 0;
    UNROLL
    for (int k = 0; k < MOST; k++)
        best[k] = 0;
    for (;;) {
        for (int j = 0; j < chunk->count; j++) {
            float a = chunk_alpha(chunk, j, x, y, s.cut_power);
            if (a <= best[MOST - 1]) continue;
            UNROLL
            for (int k = 0; k < MOST; k++) {
                float low = fminf(best[k], a);
                best[k] = fmaxf(best[k], a);
                a = low;
            }
        }
        if (chunk->next >= t.candidates) break;
        fill_chunk(chunk, s, t, chunk->next);
    }
    float threshold = 0;
    UNROLL
    for (int k = 0; k < MOST; k++)
        threshold = k < K ? best[k] : threshold; /* as best[K - 1], but from registers */
    return threshold;
}

/* Sums alpha and alpha c of channels channel .. channel + GROUP - 1 over the tile's Gaussians, from
 * what the chunk holds on. */
static __device__ void cuda_splat_tile_blend_group(struct tile_chunk *chunk,
                                                   const struct splat_scene &s,
                                                   const struct tile &t, float x, float y,
                                                   float threshold, int channel, float *sum,
                                                   float *weight)
{
    int left = s.channels - channel, group = left < GROUP ? left : GROUP;
    *weight = 0;
    UNROLL
    for (int k = 0; k < GROUP; k++)
        sum[k] = 0;
    for (;;) {
        for (int j = 0; j < chunk->count; j++) {
            float a = chunk_alpha(chunk, j, x, y, s.cut_power);
            if (!(a > 0) || a < threshold) continue;
            const float *c = s.feat + (int64_t)chunk->id[j] * s.channels + channel;
            *weight += a;
            UNROLL
            for (int k = 0; k < GROUP; k++)
                if (k < group) sum[k] = fmaf(a, c[k], sum[k]);
        }
        if (chunk->next >= t.candidates) break;
        fill_chunk(chunk, s, t, chunk->next);
    }
}

/* A threshold as it is kept: the forward pass must compare with what the backward pass will read.
 */
static __device__ __forceinline__ float kept_threshold(float v, float *)
{
    return v;
}
static __device__ __forceinline__ float kept_threshold(float v, uint16_t *)
{
    return half_half_value(half_floor(v));
}

/* MOST: 0 without top K, else K is at most that. T: what the image buffers hold. */
template <int MOST, typename T>
static __global__ void __launch_bounds__(TILE_THREADS, MOST > DEFAULT_TOPK ? 3 : 4)
    render_kernel(struct splat_scene s, struct splat_band b, bool keep)
{
    DYNAMIC_SHARED(struct tile_chunk, chunk);
    struct tile t = find_tile(s, b);
    int column = t.x0 + (int)threadIdx.x % TILE, row = t.y0 + (int)threadIdx.x / TILE;
    float x = (float)column + 0.5f, y = (float)row + 0.5f, threshold = 0, scale = 1;
    fill_chunk(chunk, s, t, 0);
    bool whole = chunk->next >= t.candidates; /* it holds all: no pass has to fill it again */
    if (MOST > 0)
        threshold =
            kept_threshold(find_threshold<(MOST > 0 ? MOST : 1)>(chunk, s, t, x, y), (T *)NULL);
    for (int c = 0; c < s.channels; c += GROUP) {
        float sum[GROUP], weight;
        if (!whole && (MOST > 0 || c > 0)) fill_chunk(chunk, s, t, 0);
        cuda_splat_tile_blend_group(chunk, s, t, x, y, threshold, c, sum, &weight);
        if (!s.blend.additive) scale = 1 / (weight + SPLAT_DENOMINATOR);
        T *out =
            (T *)s.color + ((int64_t)(row - b.y0) * s.channels + c) * b.pitch + (column - b.x0);
        UNROLL
        for (int k = 0; k < GROUP; k++)
            if (c + k < s.channels) image_store(out + (int64_t)k * b.pitch, sum[k] * scale);
    }
    if (!keep || row < b.first || row >= b.last) return;
    int64_t at = (int64_t)(row - b.first) * b.pitch + (column - b.x0);
    if (MOST > 0) image_store((T *)s.threshold + at, threshold);
    if (!s.blend.additive) image_store((T *)s.weight + at, scale);
}

template <typename T>
static void cuda_splat_tile_render(const struct splat_scene *s, const struct splat_band *b,
                                   bool keep)
{
    dim3 grid((unsigned)((b->pitch + TILE - 1) / TILE), (unsigned)(b->rows / TILE));
    size_t shared = sizeof(struct tile_chunk);
    int topk = s->blend.additive ? 0 : s->blend.topk;
    cudaStream_t stream = s->device->stream;
    if (topk == 0)
        LAUNCH((render_kernel<0, T>), grid, TILE_THREADS, shared, stream, *s, *b, keep);
    else if (topk <= DEFAULT_TOPK)
        LAUNCH((render_kernel<DEFAULT_TOPK, T>), grid, TILE_THREADS, shared, stream, *s, *b, keep);
    else
        LAUNCH((render_kernel<SPLAT_MAX_TOPK, T>), grid, TILE_THREADS, shared, stream, *s, *b,
               keep);
}

void splat_tile_render(const struct splat_scene *s, const struct splat_band *b, bool keep)
{
    if (s->half)
        cuda_splat_tile_render<uint16_t>(s, b, keep);
    else
        cuda_splat_tile_render<float>(s, b, keep);
}

void splat_tile_render_float(const struct splat_scene *s, const struct splat_band *b)
{
    cuda_splat_tile_render<float>(s, b, false);
}

/* ---- comparison ---- */

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) fmaf(a, b, c)
#define REAL_SET(x) (x)
#define REAL_ABS(x) fabsf(x)
#define REAL_SQRT(x) sqrtf(x)
#define REAL_SIGN(x) ((x) > 0 ? 1.0f : (x) < 0 ? -1.0f : 0.0f)
#include "math/pixel_loss.h"

/* A loss's weights as the kernel takes them. */
struct tile_loss {
    float pixel[PIXEL_LOSSES];
    bool ssim; /* its gradient is in the buffer already */
};

/* A pixel's part of the sums and, with `gradient`, its gradient. */
template <typename T>
static __device__ void compare_pixel(const struct splat_scene &s, const struct splat_band &b,
                                     const struct splat_target &target,
                                     const struct tile_loss &loss, bool gradient, float power,
                                     int row, int column, float (&sums)[PIXEL_SUMS])
{
    int x = column - b.x0;
    const T *color = (const T *)s.color + (int64_t)(row - b.y0) * s.channels * b.pitch + x;
    T *g = (T *)s.gradient + (int64_t)(row - b.first) * s.channels * b.pitch + x;
    T *weight = (T *)s.weight + (int64_t)(row - b.first) * b.pitch + x;
    float scale = gradient && !s.blend.additive ? cuda_splat_scene_image_load(weight) : 1.0f,
          blended = 0, part = splat_target_part(&target, row, column);
    for (int c = 0; c < s.channels; c++) {
        float v = splat_shown(cuda_splat_scene_image_load(color + (int64_t)c * b.pitch), power);
        float t = splat_shown(splat_target_sample(&target, row, column, c), power), d = v - t;
        float clamped = fminf(fmaxf(v, 0.0f), 1.0f) - t;
        pixel_loss_add_f32(d, sums);
        sums[PIXEL_MSE] = fmaf(clamped, clamped, sums[PIXEL_MSE]);
        if (!gradient) continue;
        T *gc = g + (int64_t)c * b.pitch;
        float gv = part * pixel_loss_slope_f32(d, loss.pixel);
        if (loss.ssim) gv += cuda_splat_scene_image_load(gc);
        image_store(gc, gv * scale);
        blended = fmaf(gv, v, blended);
    }
    for (int k = 0; k < PIXEL_SUMS; k++)
        sums[k] *= part;
    if (gradient && !s.blend.additive) image_store(weight, blended * scale);
}

template <typename T>
static __global__ void __launch_bounds__(TILE_THREADS)
    compare_kernel(struct splat_scene s, struct splat_band b, struct splat_target target,
                   struct tile_loss loss, bool gradient, float power)
{
    __shared__ float partial[TILE_THREADS / 32 * PIXEL_SUMS];
    int column = (int)blockIdx.x * TILE + (int)threadIdx.x % TILE;
    int row = b.first + (int)blockIdx.y * TILE + (int)threadIdx.x / TILE;
    float sums[PIXEL_SUMS] = {};
    if (column < s.width && row < s.height)
        compare_pixel<T>(s, b, target, loss, gradient, power, row, column, sums);
    int64_t tile = (int64_t)(b.first / TILE + blockIdx.y) * s.tiles_x + blockIdx.x;
    cuda_splat_scene_block_sums<TILE_THREADS / 32>(sums, partial, s.tile_sums + PIXEL_SUMS * tile);
}

void splat_tile_compare(const struct splat_scene *s, const struct splat_band *b,
                        const struct splat_target *target, const struct splat_loss *loss,
                        bool gradient, float power)
{
    dim3 grid((unsigned)s->tiles_x, (unsigned)((b->last - b->first + TILE - 1) / TILE));
    struct tile_loss weights = {{}, loss->ssim > 0};
    for (int k = 0; k < PIXEL_LOSSES; k++)
        weights.pixel[k] = (float)loss->pixel[k];
    if (s->half)
        LAUNCH(compare_kernel<uint16_t>, grid, TILE_THREADS, 0, s->device->stream, *s, *b, *target,
               weights, gradient, power);
    else
        LAUNCH(compare_kernel<float>, grid, TILE_THREADS, 0, s->device->stream, *s, *b, *target,
               weights, gradient, power);
}
