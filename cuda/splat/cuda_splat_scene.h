/* The workspace of one pass over an image on CUDA: Gaussians in the image's pixels, lists of them
 * for each region, and the image buffers of a band of rows, all taken from the caller's
 * workspace. Mirrors cpu/splat/splat_scene.h. */
#ifndef IMGTRAIN_CUDA_SPLAT_CUDA_SPLAT_SCENE_H
#define IMGTRAIN_CUDA_SPLAT_CUDA_SPLAT_SCENE_H

#include "cuda/cuda_device.h"
#include "math/gaussian_form.h"
#include "math/half.h"

enum {
    TILE = 16, /* pixels: a block of threads renders TILE x TILE of them */
    TILE_THREADS = TILE * TILE,
    REGION = 8 * TILE, /* pixels: Gaussians are listed by regions, tiles choose from these */
    BAND_ROWS = 256,   /* rows of a band, where the image is not done as a whole */
    FIRST_CHUNK = 5,   /* log2 of the fewest rows of a chunk */
    MAX_PARTS = 32,    /* chunks that a Gaussian's gradient is summed in at most */
};

/* Regions that a Gaussian's box touches, inclusive; x0 > x1: none. */
struct __align__(8) splat_reach
{
    short x0, y0, x1, y1;
};

/* Rows that a Gaussian reaches, cut into chunks of 2^shift rows of the image. So partial sums do
 * not depend on the bands. */
struct __align__(16) splat_chunks
{
    int first_row, last_row; /* inclusive */
    int shift, count;        /* count 0: not in the image */
};

/* What a step leaves: read by the host when it waits. */
struct splat_status {
    struct splat_sums sums;
    int64_t skipped; /* rows that Adam left alone */
    int stopped;     /* a loss was not finite: nothing is updated any more */
};

struct splat_scene {
    struct cuda_device *device; /* whose stream the kernels go to; they do not read it */
    int width, height, channels, count;
    int tiles_x, tiles_y, regions_x, regions_y;
    int parts;     /* chunks of a Gaussian at most */
    int band_rows; /* a multiple of BAND_ROWS, or all rows */
    bool half;     /* image buffers hold halves */
    float cut_power;
    struct splat_blend blend;
    const float *feat;               /* [count][channels] */
    const float *weights;            /* [count] of Gaussians; NULL: 0 */
    struct gaussian_form *form;      /* [count] */
    struct splat_reach *reach;       /* [count] */
    struct splat_chunks *row_chunks; /* [count] */
    int *region_count;               /* [regions]; -1: its list found no room, all are candidates */
    int *region_start, *list;        /* [regions], [list_room] */
    int *region_next;                /* [regions]: where the next Gaussian of its list goes */
    int list_room;
    float *record;       /* [count][parts][GAUSSIAN_SUMS + channels] */
    size_t record_bytes; /* sampling works in the same memory */
    void *color;         /* rows of a band and TILE more on either side, see splat_band */
    size_t color_bytes;
    void *gradient; /* [band_rows][channels][pitch]; of an image: rows to be shown */
    size_t gradient_bytes;
    void *threshold, *weight; /* [band_rows][pitch] */
    double *tile_sums;        /* [tiles][PIXEL_SUMS] */
    double *ssim_sums;        /* [splat_ssim_blocks][2]: all windows, inner ones */
    char *stream;             /* two buffers for a target that comes in bands: target_stream.h */
    size_t stream_bytes;      /* of one of them */
    void *staging;            /* host memory for as much */
    void *offload;            /* window for Adam's state: device/offload_stream.h */
    size_t offload_staging_bytes; /* 0: it lies on the device */
    struct splat_status *status;  /* beside the workspace: splat_cuda_statuses */
};

/* A part of the image in the image buffers: rows [first, last) are wanted, rows [y0, y0 + rows)
 * and columns [x0, x0 + pitch) are rendered: color[row - y0][channel][column - x0]. */
struct splat_band {
    int first, last, y0, rows, x0, pitch;
};

/* Lays the buffers out in `memory` (NULL: only counts) and returns the bytes they take. */
size_t splat_scene_layout(struct splat_scene *scene, const struct device *device, void *memory,
                          int width, int height, int channels, int64_t capacity,
                          const struct splat_storage *storage);

/* Lays out for `view` shown at width x height. ERR_INTERNAL when the workspace is too small. */
int splat_scene_open(struct splat_scene *scene, struct device *device,
                     const struct splat_workspace *workspace, const struct splat_view *view,
                     const struct splat_blend *blend, int width, int height);

/* Projects the view and lists its Gaussians by region. */
void splat_scene_project(const struct splat_scene *scene, const struct splat_view *view);

/* The band that begins with row `first`, with what SSIM needs around it; false behind the last one.
 * for (int first = 0; splat_scene_band(scene, first, ssim, &band); first = band.last) */
bool splat_scene_band(const struct splat_scene *scene, int first, bool ssim,
                      struct splat_band *band);

/* Blocks of the SSIM kernel for an image: see splat_ssim.cu. */
size_t splat_ssim_blocks(int width, int height, int channels);
/* Bytes that drawing pixels takes of the records' memory: see splat_sample.cu. */
size_t splat_cuda_sample_bytes(int height, int64_t capacity);

/* ---- what an image buffer holds: float or half ---- */

static __device__ __forceinline__ float cuda_splat_scene_image_load(const float *p)
{
    return *p;
}
static __device__ __forceinline__ float cuda_splat_scene_image_load(const uint16_t *p)
{
    return half_half_value(*p);
}
static __device__ __forceinline__ void image_store(float *p, float v)
{
    *p = v;
}
/* A value beyond its range becomes its largest, so that no infinity arises; NaN stays, so that the
 * loss is not finite. */
static __device__ __forceinline__ void image_store(uint16_t *p, float v)
{
    float kept = fminf(fmaxf(v, -HALF_MAX), HALF_MAX);
    *p = half_round(v == v ? kept : v);
}

/* ---- alpha ---- */

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) fmaf(a, b, c)
#include "math/gaussian_power.h"

/* Alpha where the pixel lies within the cut, else 0. The forward and the backward pass must agree
 * on every bit of it, so nothing here is left to the compiler to contract. */
static __device__ __forceinline__ float splat_alpha(float dx, float dy, float A, float B, float C,
                                                    float weight, float cut_power)
{
    float power = gaussian_power_f32(__fmul_rn(__fmul_rn(A, dx), dx), __fmul_rn(B, dx), dy,
                                     __fmul_rn(__fmul_rn(C, dy), dy));
    power = fmaxf(power, 0.0f); /* rounding of a form that is never negative */
    return power <= cut_power ? exp2f(-(power + weight)) : 0.0f;
}

static __device__ __forceinline__ float weight_load(const struct splat_scene &s, int i)
{
    return s.weights ? s.weights[i] : 0.0f;
}

/* In two loads: a form's floats are as many as two of them hold. */
static __device__ __forceinline__ struct gaussian_form form_load(const struct splat_scene &s, int i)
{
    const float4 *at = reinterpret_cast<const float4 *>(s.form + i);
    static_assert(sizeof(struct gaussian_form) == 2 * sizeof(float4), "two loads");
    float4 a = at[0], b = at[1];
    return {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
}

/* ---- sums ---- */

static __device__ __forceinline__ float warp_sum(float v)
{
    for (int step = 16; step > 0; step /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, step);
    return v;
}
static __device__ __forceinline__ double warp_sum(double v)
{
    for (int step = 16; step > 0; step /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, step);
    return v;
}

/* Sum over a block of full warps, in one order; `partial`: shared, one a warp. For thread 0. */
static __device__ inline double cuda_splat_scene_block_sum(double v, double *partial)
{
    v = warp_sum(v);
    __syncthreads(); /* the partial sums of a call before have been read */
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = v;
    __syncthreads();
    double sum = 0;
    if (threadIdx.x == 0)
        for (unsigned w = 0; w < blockDim.x / 32; w++)
            sum += partial[w];
    return sum;
}

/* out[k] = the sum of v[k] over a block of WARPS full warps, in one order: in fp32 within a warp,
 * in doubles from there on. partial: shared, N a warp; free for the next call behind a barrier. */
template <int WARPS, int N>
static __device__ inline void cuda_splat_scene_block_sums(const float (&v)[N], float *partial,
                                                          double *out)
{
    UNROLL
    for (int k = 0; k < N; k++) {
        float sum = warp_sum(v[k]);
        if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32 * N + k] = sum;
    }
    __syncthreads();
    if (threadIdx.x >= N) return;
    double sum = 0;
    UNROLL
    for (int w = 0; w < WARPS; w++)
        sum += (double)partial[w * N + (int)threadIdx.x];
    out[threadIdx.x] = sum;
}

/* Place of this thread among those of the block with `keep`, in their order; *total: how many.
 * counts: shared, one a warp; free for the next call when all threads have passed a barrier. */
static __device__ inline int block_place(bool keep, int *counts, int *total)
{
    unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    unsigned votes = __ballot_sync(0xffffffffu, keep);
    if (lane == 0) counts[warp] = __popc(votes);
    __syncthreads();
    int before = 0, sum = 0;
    for (unsigned w = 0; w < blockDim.x / 32; w++) {
        if (w < warp) before += counts[w];
        sum += counts[w];
    }
    *total = sum;
    return before + __popc(votes & ((1u << lane) - 1));
}

#endif
