/* SSIM: a block walks down a strip of one channel, a thread has a column. Each row is filtered
 * across through shared memory and downwards in registers, so a sample is loaded once for its
 * moments and the maps of derivatives are never stored. */
#include "cuda/splat/cuda_splat_ssim.h"
#include "cuda/splat/splat_tile.h"
#include "math/ssim_window.h"

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) fmaf(a, b, c)
#define REAL_SET(x) ((float)(x))
#include "math/ssim.h"

enum {
    THREADS = 128,
    MARGIN = 2 * SSIM_RADIUS,       /* columns and rows that a gradient depends on */
    COLUMNS = THREADS - 2 * MARGIN, /* that a block is for */
    ROWS = 64,                      /* likewise, at least */
};

/* Blocks that fill a large GPU: strips are taller only where there are more. */
int cuda_ssim_blocks = 900;

/* Rows of shared memory, with room on either side that no result depends on. */
struct ssim_rows {
    float4 moments[THREADS + 2 * SSIM_RADIUS];  /* x, t, x^2 + t^2, x t */
    float4 partials[THREADS + 2 * SSIM_RADIUS]; /* of S by mean, squares, product */
    double partial[THREADS / 32];
};

static unsigned cuda_splat_ssim_strips(int width)
{
    return (unsigned)((width + COLUMNS - 1) / COLUMNS);
}

static size_t blocks_of(int width, int height, int channels, int rows)
{
    return (size_t)cuda_splat_ssim_strips(width) * (size_t)((height + rows - 1) / rows) *
           (size_t)channels;
}

/* Rows that a block is for, by the image's shape alone: a block has MARGIN more on either side, so
 * tall strips are less work. The taller they are, the more blocks have to be left, as the last ones
 * to end are longer. */
static int strip_rows(int width, int height, int channels)
{
    static_assert(BAND_ROWS % ROWS == 0 && (BAND_ROWS / ROWS & 1) == 0, "bands have whole strips");
    int rows = ROWS;
    for (size_t enough = (size_t)cuda_ssim_blocks; rows < BAND_ROWS; rows *= 2, enough *= 3)
        if (blocks_of(width, height, channels, 2 * rows) < enough) break;
    return rows;
}

size_t splat_ssim_blocks(int width, int height, int channels)
{
    return blocks_of(width, height, channels, strip_rows(width, height, channels));
}

static __device__ __forceinline__ float window_weight(int distance)
{
    const float weights[SSIM_RADIUS + 1] = SSIM_WINDOW;
    return weights[distance < 0 ? -distance : distance];
}

/* The window across a row at its middle `p`. */
static __device__ __forceinline__ float4 cuda_splat_ssim_window_across(const float4 *p)
{
    float w = window_weight(0);
    float4 sum = make_float4(w * p->x, w * p->y, w * p->z, w * p->w);
    UNROLL
    for (int k = 1; k <= SSIM_RADIUS; k++) {
        float4 a = p[-k], b = p[k];
        w = window_weight(k);
        sum.x = fmaf(w, a.x + b.x, sum.x);
        sum.y = fmaf(w, a.y + b.y, sum.y);
        sum.z = fmaf(w, a.z + b.z, sum.z);
        sum.w = fmaf(w, a.w + b.w, sum.w);
    }
    return sum;
}

static __device__ __forceinline__ float4 scaled_sum(float w, float4 v, float4 sum)
{
    return make_float4(fmaf(w, v.x, sum.x), fmaf(w, v.y, sum.y), fmaf(w, v.z, sum.z),
                       fmaf(w, v.w, sum.w));
}

/* The window downwards: `row` is added to the SSIM_TAPS rows of the result that it reaches; the one
 * it is the last for is complete and returned: SSIM_RADIUS rows further up. */
static __device__ __forceinline__ float4 window_down(float4 *sums, float4 row)
{
    UNROLL
    for (int k = 0; k < SSIM_TAPS - 1; k++)
        sums[k] = scaled_sum(window_weight(SSIM_RADIUS - k), row, sums[k + 1]);
    sums[SSIM_TAPS - 1] = scaled_sum(window_weight(SSIM_RADIUS), row, make_float4(0, 0, 0, 0));
    return sums[0];
}

/* The strip that a block is for. */
struct strip {
    int column, channel, first, last; /* the thread's column; rows [first, last) */
    bool own, inside;                 /* the block is for this column; it lies in the image */
};

template <typename T>
static __device__ __forceinline__ float cuda_splat_ssim_rendered(const struct splat_scene &s,
                                                                 const struct splat_band &b,
                                                                 const struct strip &p, int row)
{
    return cuda_splat_scene_image_load(
        (const T *)s.color + ((int64_t)(row - b.y0) * s.channels + p.channel) * b.pitch + p.column);
}

/* S of a window times `part` and its partial derivatives; part 0: outside the image. */
static __device__ __forceinline__ float4 partials_of(float4 m, float part, float *value)
{
    float4 d;
    *value = part * ssim_pixel_f32(m.x, m.y, m.z, m.w, &d.x, &d.y, &d.z);
    d = make_float4(part * d.x, part * d.y, part * d.z, 0);
    if (part == 0) *value = 0;
    return part == 0 ? make_float4(0, 0, 0, 0) : d;
}

template <typename T>
static __global__ void __launch_bounds__(THREADS, 4) /* blocks, as registers leave */
    ssim_kernel(struct splat_scene s, struct splat_band b, struct splat_target target, int rows,
                struct splat_windows windows, float weight, float power)
{
    DYNAMIC_SHARED(struct ssim_rows, shared);
    enum splat_ssim_rows around = splat_windows_around(&windows);
    weight *= (float)s.height / (float)splat_ssim_row_count(around, s.height);
    int lane = (int)threadIdx.x, strip_row = b.first / rows + (int)blockIdx.y;
    struct strip p;
    p.column = (int)blockIdx.x * COLUMNS - MARGIN + lane;
    p.channel = (int)blockIdx.z;
    p.first = strip_row * rows;
    p.last = min(p.first + rows, s.height);
    p.inside = p.column >= 0 && p.column < s.width;
    p.own = p.inside && lane >= MARGIN && lane < MARGIN + COLUMNS;
    bool small = s.width < SSIM_TAPS || s.height < SSIM_TAPS;
    int border = small ? 0 : SSIM_RADIUS; /* inner windows lie inside the image */
    bool inner = p.own && p.column >= border && p.column < s.width - border;
    float4 zero = make_float4(0, 0, 0, 0), moments[SSIM_TAPS], maps[SSIM_TAPS];
    double sum = 0, inner_sum = 0;
    UNROLL
    for (int k = 0; k < SSIM_TAPS; k++)
        moments[k] = maps[k] = zero;
    if (lane < 2 * SSIM_RADIUS) /* the room at the sides is read, but by no column that counts */
        shared->moments[lane < SSIM_RADIUS ? lane : THREADS + lane] =
            shared->partials[lane < SSIM_RADIUS ? lane : THREADS + lane] = zero;
    float4 *row_moments = shared->moments + SSIM_RADIUS + lane;
    float4 *row_partials = shared->partials + SSIM_RADIUS + lane;
    for (int row = p.first - MARGIN; row < p.last + MARGIN; row++) {
        float4 m = zero;
        if (p.inside && row >= 0 && row < s.height) {
            float x = splat_shown(cuda_splat_ssim_rendered<T>(s, b, p, row), power);
            float t = splat_shown(splat_target_sample(&target, row, p.column, p.channel), power);
            m = make_float4(x, t, fmaf(x, x, t * t), x * t);
        }
        *row_moments = m;
        __syncthreads();
        int middle = row - SSIM_RADIUS, done = row - MARGIN;
        bool counts = splat_ssim_has_row(around, middle); /* for the whole block */
        float value, part = 0;
        float4 window = window_down(moments, cuda_splat_ssim_window_across(row_moments));
        if (counts && p.inside && middle >= 0 && middle < s.height)
            part = splat_target_part(&target, middle, p.column);
        if (counts) *row_partials = partials_of(window, part, &value);
        if (counts && p.own && middle >= p.first && middle < p.last) {
            sum += (double)value;
            if (inner && middle >= border && middle < s.height - border) inner_sum += (double)value;
        }
        __syncthreads();
        if (weight == 0.0f) continue;
        float4 g = window_down(maps, counts ? cuda_splat_ssim_window_across(row_partials) : zero);
        if (!p.own || done < p.first || done >= p.last) continue;
        float x = cuda_splat_ssim_rendered<T>(s, b, p, done);
        float t = splat_target_sample(&target, done, p.column, p.channel);
        T *out = (T *)s.gradient + ((int64_t)(done - b.first) * s.channels + p.channel) * b.pitch +
                 p.column;
        image_store(out, weight * fmaf(t, g.z, fmaf(x + x, g.y, g.x)));
    }
    double *sums =
        s.ssim_sums + 2 * (((int64_t)strip_row * gridDim.z + blockIdx.z) * gridDim.x + blockIdx.x);
    double total = cuda_splat_scene_block_sum(sum, shared->partial),
           total_inner = cuda_splat_scene_block_sum(inner_sum, shared->partial);
    if (lane == 0) {
        sums[0] = total;
        sums[1] =
            target.weights ? total_inner * (double)(target.inner_unit / target.unit) : total_inner;
    }
}

void splat_ssim_band(const struct splat_scene *s, const struct splat_band *b,
                     const struct splat_target *target, const struct splat_windows *windows,
                     float weight, float power)
{
    int rows = strip_rows(s->width, s->height, s->channels);
    dim3 grid(cuda_splat_ssim_strips(s->width), (unsigned)((b->last - b->first + rows - 1) / rows),
              (unsigned)s->channels);
    size_t shared = sizeof(struct ssim_rows);
    if (s->half)
        LAUNCH(ssim_kernel<uint16_t>, grid, THREADS, shared, s->device->stream, *s, *b, *target,
               rows, *windows, weight, power);
    else
        LAUNCH(ssim_kernel<float>, grid, THREADS, shared, s->device->stream, *s, *b, *target, rows,
               *windows, weight, power);
}
