/* Norms of rows: see struct token_norm in device/token_ops.h. A row has a warp, a wide one a block:
 * which, depends on the width alone. */
#include "cuda/token/column_sums.h"
#include "cuda/token/token_cuda.h"

enum { NORM_THREADS = 256, NORM_WARP_MOST = 512 }; /* width of a row that a warp is enough for */

/* The sum over the threads of a row, in each of them. */
template <int LANES> static __device__ inline float norm_row_sum(float value)
{
    for (int step = 16; step > 0; step /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    if constexpr (LANES == NORM_THREADS) {
        __shared__ float warps[NORM_THREADS / 32];
        __syncthreads(); /* the sum before this one has been read */
        if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
        __syncthreads();
        value = 0;
        for (int warp = 0; warp < NORM_THREADS / 32; warp++)
            value += warps[warp];
    }
    return value;
}

static __device__ inline int norm_sample(const struct token_norm &n, int row)
{
    return row / (n.rows_per_sample ? n.rows_per_sample : n.rows);
}

/* 1 + scale comes of a number, and the weight: what n is multiplied by. */
static __device__ inline float norm_scale_at(const struct token_norm &n, int sample, int column)
{
    if (!n.scale) return 0;
    return n.scale[(size_t)sample * (n.scale_stride ? n.scale_stride : n.width) + column];
}

static __device__ inline float norm_shifted(const struct token_norm &n, int sample, int column,
                                            float value)
{
    if (!n.shift) return value;
    return value + n.shift[(size_t)sample * (n.scale_stride ? n.scale_stride : n.width) + column];
}

static __device__ inline float norm_weight_at(const struct token_norm &n, int column)
{
    return n.weight ? n.weight[column] : 1;
}

template <int LANES>
static __device__ inline void norm_measure(const struct token_norm &n, const float *x, int lane,
                                           struct token_norm_row *row)
{
    float mean = 0, squares = 0;
    if (n.kind == TOKEN_LAYER) {
        for (int j = lane; j < n.width; j += LANES)
            mean += x[j];
        mean = norm_row_sum<LANES>(mean) / n.width;
    }
    for (int j = lane; j < n.width; j += LANES)
        squares += (x[j] - mean) * (x[j] - mean);
    row->mean = mean;
    row->r = 1 / sqrtf(norm_row_sum<LANES>(squares) / n.width + n.eps);
}

template <int LANES>
static __global__ void __launch_bounds__(NORM_THREADS)
    norm_forward_kernel(struct token_norm n, float *y, const float *x)
{
    int row = blockIdx.x * (NORM_THREADS / LANES) + threadIdx.x / LANES, lane = threadIdx.x % LANES;
    if (row >= n.rows) return;
    int sample = norm_sample(n, row);
    struct token_norm_row s;
    x += (size_t)row * n.width, y += (size_t)row * n.width;
    norm_measure<LANES>(n, x, lane, &s);
    for (int j = lane; j < n.width; j += LANES)
        y[j] =
            norm_shifted(n, sample, j,
                         token_norm_scaled_f32(token_norm_unit_f32(x[j], s.mean, s.r),
                                               norm_weight_at(n, j), norm_scale_at(n, sample, j)));
}

static unsigned norm_blocks(const struct token_norm *n)
{
    int rows = n->width <= NORM_WARP_MOST ? NORM_THREADS / 32 : 1;
    return cuda_blocks((size_t)n->rows, (unsigned)rows);
}

static int cuda_norm_forward(struct device *device, const struct token_norm *n, float *y,
                             const float *x)
{
    TRY(token_check_norm(n, false));
    if (n->width <= NORM_WARP_MOST)
        LAUNCH((norm_forward_kernel<32>), norm_blocks(n), NORM_THREADS, 0, cuda_stream(device), *n,
               y, x);
    else
        LAUNCH((norm_forward_kernel<NORM_THREADS>), norm_blocks(n), NORM_THREADS, 0,
               cuda_stream(device), *n, y, x);
    return cuda_take_error();
}

static size_t cuda_norm_workspace(const struct device *device, const struct token_norm *n)
{
    (void)device;
    return (size_t)n->rows * sizeof(struct token_norm_row);
}

template <int LANES>
static __global__ void __launch_bounds__(NORM_THREADS)
    norm_measure_kernel(struct token_norm n, struct token_norm_row *rows, const float *x,
                        const float *dy)
{
    int row = blockIdx.x * (NORM_THREADS / LANES) + threadIdx.x / LANES, lane = threadIdx.x % LANES;
    if (row >= n.rows) return;
    int sample = norm_sample(n, row);
    float g_sum = 0, gn_sum = 0;
    struct token_norm_row s;
    x += (size_t)row * n.width, dy += (size_t)row * n.width;
    norm_measure<LANES>(n, x, lane, &s);
    for (int j = lane; j < n.width; j += LANES) {
        float g = token_norm_scaled_f32(dy[j], norm_weight_at(n, j), norm_scale_at(n, sample, j));
        g_sum += g;
        gn_sum += g * token_norm_unit_f32(x[j], s.mean, s.r);
    }
    s.mean_g = n.kind == TOKEN_LAYER ? norm_row_sum<LANES>(g_sum) / n.width : 0;
    s.mean_gn = norm_row_sum<LANES>(gn_sum) / n.width;
    if (lane == 0) rows[row] = s;
}

static __global__ void norm_dx_kernel(struct token_norm n, const struct token_norm_row *rows,
                                      float *dx, const float *x, const float *dy, bool add)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)n.rows * n.width) return;
    int j, row = token_row_at(i, n.width, &j);
    struct token_norm_row s = rows[row];
    float g = token_norm_scaled_f32(dy[i], norm_weight_at(n, j),
                                    norm_scale_at(n, norm_sample(n, row), j));
    float unit = token_norm_unit_f32(x[i], s.mean, s.r);
    float slope = token_norm_dx_f32(g, unit, s.r, s.mean_g, s.mean_gn);
    dx[i] = add ? dx[i] + slope : slope;
}

/* Of a column: sums of dweight and of dscale. */
struct norm_columns {
    struct token_norm n;
    const struct token_norm_row *rows;
    const float *x, *dy;
    float *dweight, *dscale;

    __device__ void column_terms(float term[2], int row, int sample, int column) const
    {
        size_t i = (size_t)row * n.width + column;
        float unit = dy[i] * token_norm_unit_f32(x[i], rows[row].mean, rows[row].r);
        term[0] = unit * (1 + norm_scale_at(n, sample, column));
        term[1] = unit * norm_weight_at(n, column);
    }
    __device__ void column_add(int i, int sample, int column, float sum) const
    {
        size_t stride = n.scale_stride ? n.scale_stride : n.width;
        if (i == 0 && dweight) dweight[column] += sum;
        if (i == 1 && dscale) dscale[(size_t)sample * stride + column] += sum;
    }
};

/* Sums before dx, which may lie in dy's place. */
static int cuda_norm_backward(struct device *device, const struct token_norm *n,
                              const struct token_norm_grads *grads)
{
    TRY(token_check_norm(n, true));
    struct token_norm_row *rows = (struct token_norm_row *)grads->workspace;
    cudaStream_t stream = cuda_stream(device);
    if (n->width <= NORM_WARP_MOST)
        LAUNCH((norm_measure_kernel<32>), norm_blocks(n), NORM_THREADS, 0, stream, *n, rows,
               grads->x, grads->dy);
    else
        LAUNCH((norm_measure_kernel<NORM_THREADS>), norm_blocks(n), NORM_THREADS, 0, stream, *n,
               rows, grads->x, grads->dy);
    struct norm_columns columns = {*n, rows, grads->x, grads->dy, grads->dweight, grads->dscale};
    int per_sample = token_sample_rows(n->rows_per_sample, n->rows);
    if (grads->dweight || grads->dscale)
        TRY(column_sums<2>(device, "norm", columns, column_rows_of(n->rows, per_sample, n->chunk),
                           n->width));
    LAUNCH(norm_dx_kernel, cuda_blocks((size_t)n->rows * n->width, NORM_THREADS), NORM_THREADS, 0,
           stream, *n, rows, grads->dx, grads->x, grads->dy, grads->add);
    return cuda_take_error();
}

void token_cuda_install_norms(struct token_ops *ops)
{
    ops->norm_forward = cuda_norm_forward;
    ops->norm_workspace = cuda_norm_workspace;
    ops->norm_backward = cuda_norm_backward;
}
