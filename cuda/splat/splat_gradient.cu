/* Gradients without atomics: a warp has a chunk of a Gaussian's rows and gathers from its pixels in
 * a fixed order; the chunks are added in order. */
#include "cuda/splat/cuda_splat_gradient.h"
#include "cuda/splat/splat_pixels.h"
#include "math/ssim_window.h"

enum {
    BLOCK = 256,
    GROUP = 4, /* channels whose sums stay in registers */
};

/* Adds the band's pixels of rows [from, to] to sums: those of geometry (with channel == 0), then
 * those of channels channel .. channel + N - 1. */
template <typename T, int N>
static __device__ void
cuda_splat_gradient_gather(const struct splat_scene &s, const struct splat_band &b,
                           const struct gaussian_form &g, const float *feat, float weight,
                           int channel, int from, int to, float *sums)
{
    bool additive = s.blend.additive;
    const int channels = N < GROUP ? N : s.channels;
    if (N < GROUP) channel = 0; /* a constant */
    float own[N];               /* the Gaussian's colour, where all of it fits into registers */
    UNROLL
    for (int k = 0; k < N; k++)
        own[k] = N < GROUP ? feat[k] : 0.0f;
    auto add = [&](int row, int column, float dx, float dy, float w) {
        const int64_t line = (int64_t)(row - b.first) * b.pitch, x = column - b.x0;
        const T *gradient = (const T *)s.gradient + line * channels + x;
        float each[N]; /* of the channels that are summed, each loaded once */
        UNROLL
        for (int k = 0; k < N; k++)
            each[k] = N < GROUP || channel + k < channels
                          ? cuda_splat_scene_image_load(gradient + (int64_t)(channel + k) * b.pitch)
                          : 0.0f;
        if (channel == 0) {
            const T *blended = (const T *)s.weight + line + x;
            float dot = additive ? 0.0f : -cuda_splat_scene_image_load(blended);
            if (N < GROUP) {
                UNROLL
                for (int k = 0; k < N; k++)
                    dot = fmaf(each[k], own[k], dot);
            } else {
                for (int c = 0; c < channels; c++)
                    dot = fmaf(cuda_splat_scene_image_load(gradient + (int64_t)c * b.pitch),
                               feat[c], dot);
            }
            float v = dot * w, vx = v * dx, vy = v * dy;
            sums[0] += vx;
            sums[1] += vy;
            sums[2] = fmaf(vx, dx, sums[2]);
            sums[3] = fmaf(vx, dy, sums[3]);
            sums[4] = fmaf(vy, dy, sums[4]);
            sums[GAUSSIAN_SUM_WEIGHT] += v;
        }
        UNROLL
        for (int k = 0; k < N; k++)
            sums[GAUSSIAN_SUMS + k] = fmaf(each[k], w, sums[GAUSSIAN_SUMS + k]);
    };
    splat_pixels_visit<T>(s, b, g, weight, from, to, add);
}

/* Adds the band's pixels of rows [from, to] to the record; begins: sets it. N: channels at once;
 * fewer than GROUP: all that there are. */
template <typename T, int N>
static __device__ void gather_rows(const struct splat_scene &s, const struct splat_band &b,
                                   const struct gaussian_form &g, float weight, const float *feat,
                                   int from, int to, bool begins, float *record)
{
    const int channels = N < GROUP ? N : s.channels;
    for (int channel = 0; channel < channels; channel += N) {
        float sums[GAUSSIAN_SUMS + N];
        UNROLL
        for (int f = 0; f < GAUSSIAN_SUMS + N; f++)
            sums[f] = 0;
        cuda_splat_gradient_gather<T, N>(s, b, g, feat, weight, channel, from, to, sums);
        UNROLL
        for (int f = 0; f < GAUSSIAN_SUMS + N; f++) {
            float sum = warp_sum(sums[f]);
            bool geometry = f < GAUSSIAN_SUMS;
            if (threadIdx.x % 32 != 0 || (geometry && channel > 0)) continue;
            if (!geometry && channel + f - GAUSSIAN_SUMS >= s.channels) continue;
            float *out = record + (geometry ? f : channel + f);
            *out = begins ? sum : *out + sum;
        }
    }
}

/* Chunk `part` of Gaussian i. One that is higher than a band is summed as bands would cut it. */
template <typename T, int N>
static __device__ void gather_chunk(const struct splat_scene &s, const struct splat_band &b, int i,
                                    int part, int from, int to)
{
    struct gaussian_form g = form_load(s, i);
    /* A chunk may lie in several bands: the first one to reach it begins its record. */
    bool begins = from >= b.first;
    float *record = s.record + ((int64_t)i * s.parts + part) * (GAUSSIAN_SUMS + s.channels);
    const float *feat = s.feat + (int64_t)i * s.channels;
    from = max(from, b.first);
    to = min(to, b.last - 1);
    for (int top = from, bottom; top <= to; top = bottom + 1) {
        bottom = min(to, top | (BAND_ROWS - 1));
        gather_rows<T, N>(s, b, g, weight_load(s, i), feat, top, bottom, begins && top == from,
                          record);
    }
}

template <typename T, int N>
static __global__ void __launch_bounds__(BLOCK, 4)
    gather_kernel(struct splat_scene s, struct splat_band b)
{
    int64_t warp = ((int64_t)blockIdx.x * BLOCK + threadIdx.x) / 32;
    splat_chunks_visit(s, warp, [&](int i, int part, int top, int bottom) {
        gather_chunk<T, N>(s, b, i, part, top, bottom);
    });
}

template <typename T>
static void cuda_splat_gradient_launch(const struct splat_scene *s, const struct splat_band *b)
{
    unsigned blocks = cuda_blocks((size_t)s->count * 32, BLOCK);
    cudaStream_t stream = s->device->stream;
    switch (s->channels) {
    case 1: LAUNCH((gather_kernel<T, 1>), blocks, BLOCK, 0, stream, *s, *b); break;
    case 3: LAUNCH((gather_kernel<T, 3>), blocks, BLOCK, 0, stream, *s, *b); break;
    default: LAUNCH((gather_kernel<T, GROUP>), blocks, BLOCK, 0, stream, *s, *b); break;
    }
}

void splat_gradient_band(const struct splat_scene *s, const struct splat_band *b)
{
    if (s->count == 0) return;
    if (s->half)
        cuda_splat_gradient_launch<uint16_t>(s, b);
    else
        cuda_splat_gradient_launch<float>(s, b);
}

/* ---- sums of the image ---- */

static __global__ void sums_kernel(struct splat_scene s, int64_t ssim_blocks, bool ssim,
                                   struct splat_windows windows, struct splat_loss loss, bool check)
{
    __shared__ double partial[BLOCK / 32];
    enum { SUMS = PIXEL_SUMS + 2 }; /* SSIM: all windows, inner ones */
    double sums[SUMS] = {};
    if (check && s.status->stopped) return;
    for (int64_t k = threadIdx.x; k < (int64_t)s.tiles_x * s.tiles_y; k += BLOCK)
        for (int f = 0; f < PIXEL_SUMS; f++)
            sums[f] += s.tile_sums[PIXEL_SUMS * k + f];
    for (int64_t k = threadIdx.x; ssim && k < ssim_blocks; k += BLOCK)
        for (int f = 0; f < 2; f++)
            sums[PIXEL_SUMS + f] += s.ssim_sums[2 * k + f];
    for (int f = 0; f < SUMS; f++)
        sums[f] = cuda_splat_scene_block_sum(sums[f], partial);
    if (threadIdx.x > 0) return;
    bool small = s.width < SSIM_TAPS || s.height < SSIM_TAPS;
    double n = (double)s.width * s.height * s.channels, inner = n;
    if (!small) inner = (double)(s.width - SSIM_TAPS + 1) * (s.height - SSIM_TAPS + 1) * s.channels;
    struct splat_sums *out = &s.status->sums;
    for (int f = 0; f < PIXEL_SUMS; f++)
        out->pixel[f] = sums[f] / n;
    int rows = splat_ssim_row_count(splat_windows_around(&windows), s.height);
    out->ssim = sums[PIXEL_SUMS] / ((double)s.width * rows * s.channels);
    out->ssim_inner = sums[PIXEL_SUMS + 1] / inner;
    s.status->skipped = 0;
    s.status->stopped = check && !isfinite(splat_loss_of(&loss, out));
}

void splat_gradient_sums(const struct splat_scene *s, bool ssim,
                         const struct splat_windows *windows, const struct splat_loss *loss)
{
    struct splat_loss none = {};
    int64_t blocks = (int64_t)splat_ssim_blocks(s->width, s->height, s->channels);
    LAUNCH(sums_kernel, 1, BLOCK, 0, s->device->stream, *s, blocks, ssim, *windows,
           loss ? *loss : none, loss != NULL);
}
