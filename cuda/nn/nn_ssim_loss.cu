/* MS-SSIM as a loss: see struct nn_ssim_loss in device/nn_losses.h, and cpu/nn/nn_ssim_loss.c,
 * whose steps these are: a thread a number, but for the sums. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "cuda/reduce.h"
#include "math/ssim_scales.h"

enum { BLOCK = 256, ROW_BLOCK = 64 };

/* One scale of the images. */
struct ssim_scale {
    const float *x, *y;
    float *columns, *slopes;
    double *rows, *means;
    const double *factors;
    int n, side, scale, scales;
};

static __global__ void ssim_halve_kernel(float *x, float *y, const float *large_x,
                                         const float *large_y, int n, int large, int side)
{
    size_t at = (size_t)blockIdx.x * BLOCK + threadIdx.x, line = 3 * (size_t)side;
    if (at >= n * side * line) return;
    size_t row = at / line, i = at % line, first = row / side * large * large * 3 + i % 3;
    x[at] = ms_ssim_halved(large_x + first, large, 3, (int)(row % side), (int)(i / 3));
    y[at] = ms_ssim_halved(large_y + first, large, 3, (int)(row % side), (int)(i / 3));
}

static __global__ void ssim_columns_kernel(struct ssim_scale s)
{
    size_t windows = s.side - MS_SSIM_MARGIN, line = 3 * (size_t)s.side;
    size_t plane = s.n * windows * line, at = (size_t)blockIdx.x * BLOCK + threadIdx.x;
    if (at >= plane) return;
    size_t row = at / line, first = (row / windows * s.side + row % windows) * line + at % line;
    struct ms_ssim_moments m = ms_ssim_moments_of(s.x + first, s.y + first, (ptrdiff_t)line);
    s.columns[at] = m.x;
    s.columns[plane + at] = m.y;
    s.columns[2 * plane + at] = m.squares;
    s.columns[3 * plane + at] = m.product;
}

/* A block a row of windows. */
static __global__ void ssim_rows_kernel(struct ssim_scale s)
{
    size_t windows = s.side - MS_SSIM_MARGIN, padded = s.side + MS_SSIM_MARGIN;
    size_t line = 3 * (size_t)s.side, plane = s.n * windows * line, row = blockIdx.x;
    size_t slopes_plane = s.n * padded * padded * 3;
    const float *columns = s.columns + row * line;
    float *to =
        s.slopes +
        ((row / windows * padded + row % windows + MS_SSIM_MARGIN) * padded + MS_SSIM_MARGIN) * 3;
    double sums[3] = {0, 0, 0};
    for (size_t x = threadIdx.x; x < windows; x += ROW_BLOCK)
        for (int c = 0; c < 3; c++) {
            size_t i = 3 * x + c;
            float slopes[3];
            struct ms_ssim_moments m = ms_ssim_moments_along(columns + i, (ptrdiff_t)plane);
            sums[c] += (double)ms_ssim_window_value(&m, s.scale + 1 == s.scales, slopes);
            for (int k = 0; k < 3; k++)
                to[k * slopes_plane + i] = slopes[k];
        }
    for (int c = 0; c < 3; c++) {
        double sum = cuda_reduce_block_sum<ROW_BLOCK>(sums[c]);
        if (threadIdx.x == 0) s.rows[row * 3 + c] = sum;
    }
}

/* A block an image. */
static __global__ void ssim_mean_kernel(struct ssim_scale s)
{
    int windows = s.side - MS_SSIM_MARGIN;
    const double *rows = s.rows + (size_t)blockIdx.x * windows * 3;
    for (int c = 0; c < 3; c++) {
        double sum = 0;
        for (int y = threadIdx.x; y < windows; y += ROW_BLOCK)
            sum += rows[y * 3 + c];
        sum = cuda_reduce_block_sum<ROW_BLOCK>(sum);
        if (threadIdx.x == 0)
            s.means[(blockIdx.x * s.scales + s.scale) * 3 + c] = sum / ((double)windows * windows);
    }
}

struct ssim_sides {
    int side[MS_SSIM_SCALES];
};

/* A thread an image. */
static __global__ void ssim_end_kernel(double *sums, double *factors, const double *means, int n,
                                       int scales, struct ssim_sides sides, float weight)
{
    int image = blockIdx.x * ROW_BLOCK + threadIdx.x;
    if (image >= n) return;
    size_t first = (size_t)image * scales * 3;
    sums[image] = ms_ssim_loss(means + first, factors + first, sides.side, scales, weight);
}

static __global__ void ssim_columns_back_kernel(struct ssim_scale s)
{
    size_t padded = s.side + MS_SSIM_MARGIN, line = 3 * padded;
    size_t at = (size_t)blockIdx.x * BLOCK + threadIdx.x;
    if (at >= 3 * s.n * s.side * line) return;
    size_t row = at / line; /* of all three planes */
    s.columns[at] = ms_ssim_filter(
        s.slopes + (row / s.side * padded + row % s.side) * line + at % line, (ptrdiff_t)line);
}

/* smaller: the gradient of the next scale, or NULL. */
static __global__ void ssim_rows_back_kernel(float *grad, const float *smaller, struct ssim_scale s)
{
    size_t padded = s.side + MS_SSIM_MARGIN, line = 3 * (size_t)s.side;
    size_t at = (size_t)blockIdx.x * BLOCK + threadIdx.x, row = at / line, i = at % line;
    size_t plane = s.n * s.side * 3 * padded, image = row / s.side;
    if (at >= s.n * s.side * line) return;
    float own = ms_ssim_slope(s.columns + row * 3 * padded + i, (ptrdiff_t)plane, s.x[at], s.y[at]);
    own *= (float)s.factors[(image * s.scales + s.scale) * 3 + i % 3];
    if (smaller) {
        size_t half = (s.side + 1) / 2;
        own += ms_ssim_halved_adjoint(smaller + image * half * half * 3 + i % 3, s.side, 3,
                                      (int)(row % s.side), (int)(i / 3));
    }
    grad[at] = s.scale ? own : grad[at] + own;
}

static struct ssim_scale ssim_scale_of(const struct nn_ssim_loss *loss,
                                       const struct nn_ssim_layout *at, int scale)
{
    float *floats = (float *)loss->workspace;
    double *doubles = (double *)loss->workspace;
    return {scale ? floats + at->out[scale] : loss->out,
            scale ? floats + at->target[scale] : loss->target,
            floats + at->columns,
            floats + at->slopes[scale],
            doubles + at->rows,
            doubles + at->means,
            doubles + at->factors,
            loss->n,
            at->side[scale],
            scale,
            at->scales};
}

static int ssim_there(struct device *device, const struct nn_ssim_loss *loss,
                      const struct nn_ssim_layout *at, int scale)
{
    cudaStream_t stream = cuda_stream(device);
    struct ssim_scale s = ssim_scale_of(loss, at, scale);
    size_t side = s.side, windows = side - MS_SSIM_MARGIN, padded = side + MS_SSIM_MARGIN;
    if (scale > 0) {
        struct ssim_scale larger = ssim_scale_of(loss, at, scale - 1);
        LAUNCH(ssim_halve_kernel, cuda_blocks(3 * s.n * side * side, BLOCK), BLOCK, 0, stream,
               (float *)s.x, (float *)s.y, larger.x, larger.y, s.n, larger.side, s.side);
    }
    TRY(device->nn->zero(device, s.slopes, 9 * s.n * padded * padded * sizeof(float)));
    LAUNCH(ssim_columns_kernel, cuda_blocks(3 * s.n * windows * side, BLOCK), BLOCK, 0, stream, s);
    LAUNCH(ssim_rows_kernel, (unsigned)(s.n * windows), ROW_BLOCK, 0, stream, s);
    LAUNCH(ssim_mean_kernel, (unsigned)s.n, ROW_BLOCK, 0, stream, s);
    return OK;
}

static int cuda_ssim_loss(struct device *device, const struct nn_ssim_loss *loss)
{
    TRY(nn_check_ssim_loss(loss));
    const struct nn_ssim_layout at = nn_ssim_layout_of(loss->n, loss->side);
    float *floats = (float *)loss->workspace;
    double *doubles = (double *)loss->workspace;
    cudaStream_t stream = cuda_stream(device);
    struct ssim_sides sides;
    for (int i = 0; i < at.scales; i++)
        TRY(ssim_there(device, loss, &at, i));
    memcpy(sides.side, at.side, sizeof sides.side);
    LAUNCH(ssim_end_kernel, cuda_blocks(loss->n, ROW_BLOCK), ROW_BLOCK, 0, stream, loss->sums,
           doubles + at.factors, doubles + at.means, loss->n, at.scales, sides, loss->weight);
    for (int i = at.scales - 1; i >= 0; i--) {
        struct ssim_scale s = ssim_scale_of(loss, &at, i);
        size_t side = s.side, padded = side + MS_SSIM_MARGIN;
        LAUNCH(ssim_columns_back_kernel, cuda_blocks(9 * s.n * side * padded, BLOCK), BLOCK, 0,
               stream, s);
        LAUNCH(ssim_rows_back_kernel, cuda_blocks(3 * s.n * side * side, BLOCK), BLOCK, 0, stream,
               i ? floats + at.grad[i] : loss->grad,
               i + 1 < at.scales ? floats + at.grad[i + 1] : NULL, s);
    }
    return cuda_take_error();
}

void nn_cuda_install_ssim_loss(struct nn_ops *ops)
{
    ops->ssim_loss = cuda_ssim_loss;
}
