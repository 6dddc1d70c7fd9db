/* What a discriminator's training wants besides layers: see struct nn_score_loss, nn_spectral and
 * mask_slope in device/nn_ops.h. */
#include "cuda/cuda_device.h"
#include "cuda/element.h"
#include "cuda/nn/nn_cuda.h"
#include "cuda/reduce.h"
#include "math/spectral.h"

enum { BLOCK = 256 };

/* ---- losses: a block an image ---- */

static __global__ void score_loss_kernel(struct nn_score_loss loss)
{
    size_t first = blockIdx.x * loss.count;
    double sums[NN_SCORE_SUMS] = {0};
    for (size_t i = first + threadIdx.x; i < first + loss.count; i += BLOCK) {
        double x = (double)loss.scores[i];
        sums[0] += score_loss_value(loss.kind, loss.role, x);
        sums[1] += x;
        loss.grad[i] = (float)((double)loss.weight * score_loss_slope(loss.kind, loss.role, x));
    }
    for (int t = 0; t < NN_SCORE_SUMS; t++) {
        double sum = cuda_reduce_block_sum<BLOCK>(sums[t]);
        if (threadIdx.x == 0) loss.sums[blockIdx.x * NN_SCORE_SUMS + t] = sum;
    }
}

static int cuda_score_loss(struct device *device, const struct nn_score_loss *loss)
{
    TRY(nn_check_score_loss(loss));
    LAUNCH(score_loss_kernel, (unsigned)loss->n, BLOCK, 0, cuda_stream(device), *loss);
    return cuda_take_error();
}

/* ---- slopes by a mask: a thread has a byte's elements ---- */

template <typename T>
static __global__ void mask_slope_kernel(T *dx, const uint8_t *mask, float slope, size_t bytes)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    float v[8];
    if (i >= bytes) return;
    unsigned bits = mask[i];
    element_load8(v, dx, i * 8);
    UNROLL
    for (int k = 0; k < 8; k++)
        v[k] *= bits >> k & 1 ? 1 : slope;
    element_store8(dx, i * 8, v);
}

static int cuda_mask_slope(struct device *device, void *dx, enum nn_type type, const uint8_t *mask,
                           float slope, size_t count)
{
    if (count % 8) return fail(ERR_USAGE, "mask_slope: %zu is no multiple of 8", count);
    size_t bytes = count / 8;
    WITH_TYPE(type, T,
              LAUNCH((mask_slope_kernel<T>), cuda_blocks(bytes, BLOCK), BLOCK, 0,
                     cuda_stream(device), (T *)dx, mask, slope, bytes));
    return cuda_take_error();
}

/* ---- spectral normalisation ---- */

enum { COLUMN_ROWS = 8 }; /* threads of a column */

/* next_v = w' u; a block has 32 columns. */
static __global__ void spectral_columns_kernel(struct nn_spectral s)
{
    __shared__ float rows[COLUMN_ROWS][32];
    int lane = threadIdx.x, row = threadIdx.y, c = blockIdx.x * 32 + lane;
    float sum = 0;
    if (c < s.cols)
        for (int r = row; r < s.rows; r += COLUMN_ROWS)
            sum += s.u[r] * s.w[(size_t)r * s.cols + c];
    rows[row][lane] = sum;
    __syncthreads();
    if (row > 0 || c >= s.cols) return;
    for (int r = 1; r < COLUMN_ROWS; r++)
        sum += rows[r][lane];
    s.next_v[c] = sum;
}

/* next_u = w next_v; a block a row. */
static __global__ void spectral_rows_kernel(struct nn_spectral s)
{
    const float *row = s.w + (size_t)blockIdx.x * s.cols;
    double sum = 0;
    for (int c = threadIdx.x; c < s.cols; c += BLOCK)
        sum += (double)(row[c] * s.next_v[c]);
    sum = cuda_reduce_block_sum<BLOCK>(sum);
    if (threadIdx.x == 0) s.next_u[blockIdx.x] = (float)sum;
}

/* One block: makes a vector one of length 1; sigma NULL: not wanted. */
static __global__ void spectral_unit_kernel(float *x, int count, float *sigma)
{
    double squares = 0;
    for (int i = threadIdx.x; i < count; i += BLOCK)
        squares += (double)x[i] * (double)x[i];
    squares = cuda_reduce_block_sum<BLOCK>(squares);
    double length = spectral_length(squares);
    for (int i = threadIdx.x; i < count; i += BLOCK)
        x[i] = (float)((double)x[i] / length);
    if (sigma && threadIdx.x == 0) *sigma = (float)spectral_sigma(squares);
}

static __global__ void spectral_divide_kernel(struct nn_spectral s, size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) s.out[i] = s.w[i] / *s.sigma;
}

static int cuda_spectral_norm(struct device *device, const struct nn_spectral *s)
{
    TRY(nn_check_spectral(s));
    cudaStream_t stream = cuda_stream(device);
    size_t count = (size_t)s->rows * s->cols;
    LAUNCH(spectral_columns_kernel, cuda_blocks((size_t)s->cols, 32), dim3(32, COLUMN_ROWS), 0,
           stream, *s);
    LAUNCH(spectral_unit_kernel, 1, BLOCK, 0, stream, s->next_v, s->cols, (float *)NULL);
    LAUNCH(spectral_rows_kernel, (unsigned)s->rows, BLOCK, 0, stream, *s);
    LAUNCH(spectral_unit_kernel, 1, BLOCK, 0, stream, s->next_u, s->rows, s->sigma);
    LAUNCH(spectral_divide_kernel, cuda_blocks(count, BLOCK), BLOCK, 0, stream, *s, count);
    return cuda_take_error();
}

/* dots[row] of <g, out> */
static __global__ void spectral_dots_kernel(struct nn_spectral s, const float *g, double *dots)
{
    size_t row = (size_t)blockIdx.x * s.cols;
    double sum = 0;
    for (int c = threadIdx.x; c < s.cols; c += BLOCK)
        sum += (double)(g[row + c] * s.out[row + c]);
    sum = cuda_reduce_block_sum<BLOCK>(sum);
    if (threadIdx.x == 0) dots[blockIdx.x] = sum;
}

/* One block: the sum of the rows' into dots[rows]. */
static __global__ void spectral_dot_kernel(double *dots, int rows)
{
    double sum = 0;
    for (int r = threadIdx.x; r < rows; r += BLOCK)
        sum += dots[r];
    sum = cuda_reduce_block_sum<BLOCK>(sum);
    if (threadIdx.x == 0) dots[rows] = sum;
}

static __global__ void spectral_grad_kernel(struct nn_spectral s, float *g, const double *dot,
                                            size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    g[i] = spectral_slope(g[i], (float)*dot, s.next_u[i / s.cols], s.next_v[i % s.cols], *s.sigma);
}

static int cuda_spectral_grad(struct device *device, const struct nn_spectral *s, float *g)
{
    TRY(nn_check_spectral(s));
    struct cuda_device *d = cuda_of(device);
    size_t count = (size_t)s->rows * s->cols;
    double *dots = (double *)d->partials;
    if ((size_t)s->rows >= CUDA_PARTIALS / sizeof *dots)
        return fail(ERR_USAGE, "spectral_grad: %d rows are too many", s->rows);
    LAUNCH(spectral_dots_kernel, (unsigned)s->rows, BLOCK, 0, d->stream, *s, g, dots);
    LAUNCH(spectral_dot_kernel, 1, BLOCK, 0, d->stream, dots, s->rows);
    LAUNCH(spectral_grad_kernel, cuda_blocks(count, BLOCK), BLOCK, 0, d->stream, *s, g,
           dots + s->rows, count);
    return cuda_take_error();
}

void nn_cuda_install_discriminator(struct nn_ops *ops)
{
    ops->score_loss = cuda_score_loss;
    ops->mask_slope = cuda_mask_slope;
    ops->spectral_norm = cuda_spectral_norm;
    ops->spectral_grad = cuda_spectral_grad;
}
