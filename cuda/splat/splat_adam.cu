/* From sums over pixels to parameters: the chain rule and Adam, a thread for a Gaussian; and the
 * rounding of quantisation-aware training. Mirrors cpu/splat/splat_adam.c. */
#include "cuda/splat/cuda_splat_gradient.h"
#include "math/optimiser.h"
#include "math/quantize.h"

enum { BLOCK = 128, QUANTIZE_BLOCK = 1024 };

/* Adds the chunks of Gaussian i in their order and applies the chain rule. The gradient in the
 * pixels was that of the sum over samples, not of their mean: `scale`. */
static __device__ void finish_row(const struct splat_scene &s, const struct splat_view &v,
                                  const struct splat_gradients &out, int64_t i, float scale)
{
    int floats = GAUSSIAN_SUMS + s.channels, parts = s.row_chunks[i].count;
    const float *record = s.record + i * s.parts * floats;
    float sums[GAUSSIAN_SUMS];
    for (int f = 0; f < floats; f++) {
        float sum = 0;
        for (int part = 0; part < parts; part++)
            sum += record[part * floats + f];
        sum *= scale;
        if (f < GAUSSIAN_SUMS)
            sums[f] = sum;
        else
            out.feat[i * s.channels + f - GAUSSIAN_SUMS] = sum;
    }
    gaussian_form_adjoint(sums, v.scale + 2 * i, v.rot[i], v.sigma_scale, s.width, s.height,
                          out.xy + 2 * i, out.scale + 2 * i, out.rot + i);
}

static __device__ bool cuda_splat_adam_row_is_finite(const struct splat_update &u, int64_t row)
{
    for (int k = 0; k < u.groups; k++)
        for (int c = 0; c < u.group[k].columns; c++)
            if (!isfinite(u.group[k].gradient[row * u.group[k].columns + c])) return false;
    return true;
}

static __device__ void cuda_splat_adam_update_row(const struct splat_update &u, int64_t row,
                                                  int64_t *skipped)
{
    const struct splat_rates *rates = u.rates;
    if (!cuda_splat_adam_row_is_finite(u, row)) {
        atomicAdd((unsigned long long *)skipped, 1ull);
        return;
    }
    struct adam_f32 rate = adam_after(rates->t - u.born[row - u.first], rates->b2);
    for (int k = 0; k < u.groups; k++) {
        const struct splat_adam &g = u.group[k];
        struct adam_f32 scaled = rate;
        scaled.step *= rates->rate[k];
        for (int c = 0; c < g.columns; c++) {
            int64_t at = row * g.columns + c, state = at - u.first * g.columns;
            float p = adam_update_f32(&scaled, ADAM_SQUARE_LAST, g.parameter[at], g.gradient[at],
                                      &g.first[state], &g.second[state]);
            float low = rates->low[k][c & 1], high = rates->high[k][c & 1];
            g.parameter[at] = p < low ? low : p > high ? high : p;
        }
    }
}

static __global__ void finish_kernel(struct splat_scene s, struct splat_view v,
                                     struct splat_gradients out, struct splat_update u, float scale,
                                     int64_t first, int64_t end)
{
    int64_t i = first + (int64_t)blockIdx.x * BLOCK + threadIdx.x;
    if (i >= end) return;
    finish_row(s, v, out, i, scale);
    if (u.groups > 0 && !s.status->stopped) cuda_splat_adam_update_row(u, i, &s.status->skipped);
}

static __global__ void cuda_splat_adam_adam_kernel(struct splat_update u, int64_t count,
                                                   int64_t *skipped)
{
    int64_t i = (int64_t)blockIdx.x * BLOCK + threadIdx.x;
    if (i < count) cuda_splat_adam_update_row(u, i, skipped);
}

void splat_gradient_finish(const struct splat_scene *s, const struct splat_view *view,
                           const struct splat_gradients *gradients,
                           const struct splat_update *update, int64_t first, int64_t count)
{
    struct splat_update none;
    memset(&none, 0, sizeof none);
    float scale = (float)(1 / ((double)s->width * s->height * s->channels));
    if (count == 0) return;
    LAUNCH(finish_kernel, cuda_blocks((size_t)count, BLOCK), BLOCK, 0, s->device->stream, *s, *view,
           *gradients, update ? *update : none, scale, first, first + count);
}

void splat_adam_rows(struct cuda_device *device, const struct splat_update *update, int64_t count,
                     int64_t *skipped)
{
    if (count > 0)
        LAUNCH(cuda_splat_adam_adam_kernel, cuda_blocks((size_t)count, BLOCK), BLOCK, 0,
               device->stream, *update, count, skipped);
}

/* ---- quantisation ---- */

/* A block has a list: it is small, and its least and greatest value come first. */
static __global__ void __launch_bounds__(QUANTIZE_BLOCK) quantize_kernel(struct splat_quantizing q)
{
    __shared__ float lows[QUANTIZE_BLOCK / 32], highs[QUANTIZE_BLOCK / 32];
    const float *values = q.values[blockIdx.x];
    float *out = q.out[blockIdx.x], low = INFINITY, high = -INFINITY;
    int64_t count = q.count[blockIdx.x];
    for (int64_t i = threadIdx.x; i < count; i += QUANTIZE_BLOCK) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    for (int step = 16; step > 0; step /= 2) {
        low = fminf(low, __shfl_xor_sync(0xffffffffu, low, step));
        high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, step));
    }
    if (threadIdx.x % 32 == 0) {
        lows[threadIdx.x / 32] = low;
        highs[threadIdx.x / 32] = high;
    }
    __syncthreads();
    for (int w = 0; w < QUANTIZE_BLOCK / 32; w++) {
        low = fminf(low, lows[w]);
        high = fmaxf(high, highs[w]);
    }
    struct quantizer z = quantizer_of((double)low, (double)high, q.bits[blockIdx.x]);
    for (int64_t i = threadIdx.x; i < count; i += QUANTIZE_BLOCK)
        out[i] = quantize_quantized(&z, values[i]);
}

void splat_quantize(struct cuda_device *device, const struct splat_quantizing *q)
{
    if (q->lists > 0)
        LAUNCH(quantize_kernel, (unsigned)q->lists, QUANTIZE_BLOCK, 0, device->stream, *q);
}
