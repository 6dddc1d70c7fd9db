/* From sums over pixels to parameters: the chain rule and Adam, a thread for a Gaussian; and the
 * rounding of quantisation-aware training. Mirrors cpu/splat/splat_adam.c. */
#include "cuda/splat/cuda_splat_gradient.h"
#include "math/optimiser.h"
#include "math/quantize.h"

enum {
    BLOCK = 128,
    QUANTIZE_BLOCK = 256,
    QUANTIZE_EACH = 4,    /* values of a thread, where there are blocks enough */
    QUANTIZE_PARTS = 128, /* blocks of a list at most: no more than have threads to add up */
};

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
    if (out.weight) out.weight[i] = gaussian_weight_adjoint(sums);
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

static __device__ void cuda_splat_adam_set(const struct splat_update &u, int k, int c, float *to,
                                           float p)
{
    float low = u.rates->low[k][c & 1], high = u.rates->high[k][c & 1];
    *to = p < low ? low : p > high ? high : p;
}

/* Axes of a row's first update. */
static __device__ void cuda_splat_adam_begin_axes(const struct splat_update &u, int64_t row)
{
    float mean[AXES_MOST], square[AXES_MOST]; /* they are 0 */
    const int n = u.columns;
    axes_begin_f32(n, u.rows.moments + (row - u.first) * axes_moments(n),
                   u.rows.axes + (row - u.first) * n * n, mean, square);
}

/* The groups in axes: gathered into one list of columns and scattered again. */
static __device__ void cuda_splat_adam_update_axes(const struct splat_update &u, int64_t row,
                                                   const struct adam_f32 *rate, int updates)
{
    float gradient[AXES_MOST], mean[AXES_MOST], square[AXES_MOST], change[AXES_MOST];
    const int n = u.columns;
    int at = 0;
    float *moments = u.rows.moments + (row - u.first) * axes_moments(n);
    float *axes = u.rows.axes + (row - u.first) * n * n;
    for (int k = 0; k < u.groups; k++) {
        const struct splat_adam &g = u.group[k];
        for (int c = 0; g.in_axes && c < g.columns; c++, at++) {
            int64_t from = row * g.columns + c, state = from - u.first * g.columns;
            gradient[at] = g.gradient[from] * u.rates->unit[k];
            mean[at] = g.first[state];
            square[at] = g.second[state];
        }
    }
    if (updates == 1) axes_begin_f32(n, moments, axes, mean, square);
    axes_update_f32(rate, n, updates, gradient, moments, axes, mean, square, change);
    at = 0;
    for (int k = 0; k < u.groups; k++) {
        const struct splat_adam &g = u.group[k];
        for (int c = 0; g.in_axes && c < g.columns; c++, at++) {
            int64_t to = row * g.columns + c, state = to - u.first * g.columns;
            g.first[state] = mean[at];
            g.second[state] = square[at];
            cuda_splat_adam_set(u, k, c, &g.parameter[to],
                                g.parameter[to] - u.rates->rate[k] * change[at]);
        }
    }
}

/* IN_AXES: there are groups in axes. */
template <bool IN_AXES>
static __device__ void cuda_splat_adam_update_row(const struct splat_update &u, int64_t row,
                                                  int64_t *skipped)
{
    const struct splat_rates *rates = u.rates;
    int updates = rates->t - u.rows.born[row - u.first];
    if (!cuda_splat_adam_row_is_finite(u, row)) {
        if (IN_AXES && updates == 1) cuda_splat_adam_begin_axes(u, row);
        atomicAdd((unsigned long long *)skipped, 1ull);
        return;
    }
    struct adam_f32 rate = adam_after(updates, rates->b2);
    if (IN_AXES) cuda_splat_adam_update_axes(u, row, &rate, updates);
    for (int k = 0; k < u.groups; k++) {
        const struct splat_adam &g = u.group[k];
        if (IN_AXES && g.in_axes) continue;
        struct adam_f32 scaled = rate;
        scaled.step *= rates->rate[k];
        for (int c = 0; c < g.columns; c++) {
            int64_t at = row * g.columns + c, state = at - u.first * g.columns;
            float p = adam_update_f32(&scaled, ADAM_SQUARE_LAST, g.parameter[at], g.gradient[at],
                                      &g.first[state], &g.second[state]);
            cuda_splat_adam_set(u, k, c, &g.parameter[at], p);
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
    if (u.groups > 0 && u.columns == 0 && !s.status->stopped)
        cuda_splat_adam_update_row<false>(u, i, &s.status->skipped);
}

/* Rows [first, end); stopped: NULL, or whether nothing is to change. */
template <bool IN_AXES>
static __global__ void cuda_splat_adam_adam_kernel(struct splat_update u, int64_t first,
                                                   int64_t end, const int *stopped,
                                                   int64_t *skipped)
{
    int64_t i = first + (int64_t)blockIdx.x * BLOCK + threadIdx.x;
    if (i >= end || (stopped && *stopped)) return;
    cuda_splat_adam_update_row<IN_AXES>(u, i, skipped);
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
    if (update &&
        update->columns > 0) /* a kernel of its own: it takes a stack, where this has none */
        LAUNCH(cuda_splat_adam_adam_kernel<true>, cuda_blocks((size_t)count, BLOCK), BLOCK, 0,
               s->device->stream, *update, first, first + count, &s->status->stopped,
               &s->status->skipped);
}

void splat_adam_rows(struct cuda_device *device, const struct splat_update *update, int64_t count,
                     int64_t *skipped)
{
    if (count == 0) return;
    if (update->columns > 0)
        LAUNCH(cuda_splat_adam_adam_kernel<true>, cuda_blocks((size_t)count, BLOCK), BLOCK, 0,
               device->stream, *update, 0, count, (const int *)NULL, skipped);
    else
        LAUNCH(cuda_splat_adam_adam_kernel<false>, cuda_blocks((size_t)count, BLOCK), BLOCK, 0,
               device->stream, *update, 0, count, (const int *)NULL, skipped);
}

/* ---- quantisation ---- */

/* Least (x) and greatest (y) value over a block, for all of its threads. */
static __device__ float2 block_range(float2 range)
{
    __shared__ float2 ranges[QUANTIZE_BLOCK / 32];
    for (int step = 16; step > 0; step /= 2) {
        range.x = fminf(range.x, __shfl_xor_sync(0xffffffffu, range.x, step));
        range.y = fmaxf(range.y, __shfl_xor_sync(0xffffffffu, range.y, step));
    }
    if (threadIdx.x % 32 == 0) ranges[threadIdx.x / 32] = range;
    __syncthreads();
    for (int w = 0; w < QUANTIZE_BLOCK / 32; w++) {
        range.x = fminf(range.x, ranges[w].x);
        range.y = fmaxf(range.y, ranges[w].y);
    }
    return range;
}

/* Block (k, list) finds the range of each gridDim.x-th QUANTIZE_BLOCK of values. */
static __global__ void __launch_bounds__(QUANTIZE_BLOCK)
    range_kernel(struct splat_quantizing q, float2 *ranges)
{
    const float *values = q.values[blockIdx.y];
    float2 range = make_float2(INFINITY, -INFINITY);
    int64_t count = q.count[blockIdx.y], stride = (int64_t)gridDim.x * QUANTIZE_BLOCK;
    for (int64_t i = (int64_t)blockIdx.x * QUANTIZE_BLOCK + threadIdx.x; i < count; i += stride) {
        float v = values[i];
        range.x = v < range.x ? v : range.x;
        range.y = v > range.y ? v : range.y;
    }
    range = block_range(range);
    if (threadIdx.x == 0) ranges[blockIdx.y * gridDim.x + blockIdx.x] = range;
}

static __global__ void __launch_bounds__(QUANTIZE_BLOCK)
    quantize_kernel(struct splat_quantizing q, const float2 *ranges)
{
    const float *values = q.values[blockIdx.y];
    float *out = q.out[blockIdx.y];
    int64_t count = q.count[blockIdx.y], stride = (int64_t)gridDim.x * QUANTIZE_BLOCK;
    float2 range = make_float2(INFINITY, -INFINITY);
    if (threadIdx.x < gridDim.x) range = ranges[blockIdx.y * gridDim.x + threadIdx.x];
    range = block_range(range);
    struct quantizer z = quantizer_of((double)range.x, (double)range.y, q.bits[blockIdx.y]);
    for (int64_t i = (int64_t)blockIdx.x * QUANTIZE_BLOCK + threadIdx.x; i < count; i += stride)
        out[i] = quantize_quantized(&z, values[i]);
}

void splat_quantize(struct cuda_device *device, const struct splat_quantizing *q)
{
    int64_t most = 1;
    static_assert(QUANTIZE_PARTS <= QUANTIZE_BLOCK, "a thread takes one range");
    static_assert((size_t)SPLAT_GROUPS * QUANTIZE_PARTS * sizeof(float2) <= CUDA_PARTIALS, "room");
    if (q->lists == 0) return;
    for (int k = 0; k < q->lists; k++)
        most = q->count[k] > most ? q->count[k] : most;
    unsigned blocks = cuda_blocks((size_t)most, QUANTIZE_BLOCK * QUANTIZE_EACH);
    dim3 grid(blocks < QUANTIZE_PARTS ? blocks : (unsigned)QUANTIZE_PARTS, (unsigned)q->lists);
    float2 *ranges = (float2 *)device->partials;
    LAUNCH(range_kernel, grid, QUANTIZE_BLOCK, 0, device->stream, *q, ranges);
    LAUNCH(quantize_kernel, grid, QUANTIZE_BLOCK, 0, device->stream, *q, ranges);
}
