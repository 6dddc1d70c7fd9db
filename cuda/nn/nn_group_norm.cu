/* Normalisation of groups of channels: see struct nn_group_norm in device/nn_ops.h. Sums are made
 * of each row, then the rows are added in order. */
#include "cuda/cuda_device.h"
#include "cuda/element.h"
#include "cuda/nn/nn_cuda.h"
#include "cuda/reduce.h"
#include "math/formulas_f32.h"
#include "math/group_moments.h"

enum { BLOCK = 256, SUM_BLOCK = 128, SLOPE_LANES = 32, SLOPE_PIXELS = 8 };

/* What kernels know of struct nn_group_norm: the images of one launch. */
struct norm_images {
    const float *weight, *bias;
    const double *sums;
    int rows, width, c, groups;
    double pixels;
    float eps;
    bool silu;
};

static struct norm_images norm_images_of(const struct nn_group_norm *g, int first, int rows)
{
    return {g->weight, g->bias,   g->sums ? g->sums + (size_t)first * g->groups * 2 : NULL,
            rows,      g->width,  g->c,
            g->groups, g->pixels, g->eps,
            g->silu};
}

static __device__ inline struct group_norm_moments norm_moments(const struct norm_images &g,
                                                                size_t image, int channel)
{
    int width = g.c / g.groups;
    const double *sums = g.sums + (image * g.groups + channel / width) * 2;
    return group_norm_moments_of(sums, g.pixels * width, g.eps);
}

/* The gradient in front of the SiLU, if there is one. */
static __device__ inline float norm_gradient(const struct norm_images &g, float normal, int channel,
                                             float dy)
{
    if (!g.silu) return dy;
    return dy * pointwise_silu_slope_f32(normal * g.weight[channel] + g.bias[channel]);
}

/* A block a row of a group: rows[image][row][group][2]. */
template <typename X>
static __global__ void norm_row_sums(double *rows, const X *x, struct norm_images g)
{
    int width = g.c / g.groups, group = blockIdx.y;
    size_t row = blockIdx.x, first = row * g.width * g.c + (size_t)group * width;
    double sum = 0, squares = 0;
    for (size_t i = threadIdx.x; i < (size_t)g.width * width; i += SUM_BLOCK) {
        double value = (double)cuda_element_element(x, first + i / width * g.c + i % width);
        sum += value;
        squares += value * value;
    }
    sum = cuda_reduce_block_sum<SUM_BLOCK>(sum);
    squares = cuda_reduce_block_sum<SUM_BLOCK>(squares);
    if (threadIdx.x > 0) return;
    rows[(row * g.groups + group) * 2] = sum;
    rows[(row * g.groups + group) * 2 + 1] = squares;
}

/* sums[image][count] += rows[image][row][count], a row after the other. */
static __global__ void norm_add_rows(double *sums, const double *rows, int images, int row_count,
                                     int count)
{
    size_t i = (size_t)blockIdx.x * BLOCK + threadIdx.x;
    if (i >= (size_t)images * count) return;
    const double *from = rows + i / count * row_count * count + i % count;
    double sum = sums[i];
    for (int row = 0; row < row_count; row++)
        sum += from[(size_t)row * count];
    sums[i] = sum;
}

/* A block 32 channels of a row: rows[image][row][c][2]. */
template <typename X, typename Y>
static __global__ void norm_row_slopes(double *rows, const Y *dy, const X *x, struct norm_images g)
{
    __shared__ double sums[2][SLOPE_PIXELS][SLOPE_LANES];
    int lane = threadIdx.x, channel = blockIdx.y * SLOPE_LANES + lane;
    size_t row = blockIdx.x, first = row * g.width * g.c + channel;
    double sum = 0, product = 0;
    if (channel < g.c) {
        struct group_norm_moments m = norm_moments(g, row / g.rows, channel);
        for (int p = threadIdx.y; p < g.width; p += SLOPE_PIXELS) {
            size_t i = first + (size_t)p * g.c;
            float normal = group_norm_value(cuda_element_element(x, i), m);
            float slope = norm_gradient(g, normal, channel, cuda_element_element(dy, i));
            sum += (double)slope;
            product += (double)slope * (double)normal;
        }
    }
    sums[0][threadIdx.y][lane] = sum;
    sums[1][threadIdx.y][lane] = product;
    __syncthreads();
    if (threadIdx.y > 1 || channel >= g.c) return;
    double total = 0;
    for (int p = 0; p < SLOPE_PIXELS; p++)
        total += sums[threadIdx.y][p][lane];
    rows[(row * g.c + channel) * 2 + threadIdx.y] = total;
}

/* moments[image][group]: once each, as they are made of doubles. */
static __global__ void norm_moments_kernel(struct group_norm_moments *moments, int images,
                                           struct norm_images g)
{
    int i = blockIdx.x * BLOCK + threadIdx.x;
    if (i >= images * g.groups) return;
    moments[i] = norm_moments(g, i / g.groups, i % g.groups * (g.c / g.groups));
}

/* Where number i of whole images lies. */
struct norm_place {
    int channel;
    size_t group; /* of all images' */
};

static __device__ inline struct norm_place norm_place_of(const struct norm_images &g, size_t i)
{
    unsigned pixels = (unsigned)g.rows * (unsigned)g.width, width = (unsigned)(g.c / g.groups);
    size_t pixel = i / (unsigned)g.c; /* what fits is divided in 32 bits */
    unsigned channel = (unsigned)(i - pixel * (unsigned)g.c);
    return {(int)channel, pixel / pixels * (unsigned)g.groups + channel / width};
}

template <typename X, typename Y>
static __global__ void norm_forward_kernel(Y *y, const X *x,
                                           const struct group_norm_moments *moments, size_t count,
                                           struct norm_images g)
{
    size_t i = (size_t)blockIdx.x * BLOCK + threadIdx.x;
    if (i >= count) return;
    struct norm_place place = norm_place_of(g, i);
    int channel = place.channel;
    struct group_norm_moments m = moments[place.group];
    float value =
        group_norm_value(cuda_element_element(x, i), m) * g.weight[channel] + g.bias[channel];
    element_set(y, i, g.silu ? pointwise_silu_f32(value) : value);
}

/* means[image][group]: of w dy, and of w dy times the normalised value. */
struct norm_means {
    struct group_norm_moments moments;
    float dy, product;
};

static __global__ void norm_means_kernel(struct norm_means *means, const double *slopes, int images,
                                         struct norm_images g)
{
    int i = blockIdx.x * BLOCK + threadIdx.x, width = g.c / g.groups;
    if (i >= images * g.groups) return;
    double dy = 0, product = 0;
    const double *from = slopes + (size_t)i * width * 2;
    for (int k = 0; k < width; k++) {
        double w = (double)g.weight[i % g.groups * width + k];
        dy += w * from[2 * k];
        product += w * from[2 * k + 1];
    }
    means[i] = {norm_moments(g, i / g.groups, i % g.groups * width),
                (float)(dy / (g.pixels * width)), (float)(product / (g.pixels * width))};
}

template <typename X, typename Y>
static __global__ void norm_dgrad_kernel(X *dx, const Y *dy, const X *x,
                                         const struct norm_means *means, size_t count, bool add,
                                         struct norm_images g)
{
    size_t i = (size_t)blockIdx.x * BLOCK + threadIdx.x;
    if (i >= count) return;
    struct norm_place place = norm_place_of(g, i);
    int channel = place.channel;
    struct norm_means mean = means[place.group];
    struct group_norm_moments m = mean.moments;
    float value = cuda_element_element(x, i);
    float slope =
        norm_gradient(g, group_norm_value(value, m), channel, cuda_element_element(dy, i));
    float dvalue = group_norm_slope(value, g.weight[channel], slope, m, mean.dy, mean.product);
    element_set(dx, i, add ? cuda_element_element(dx, i) + dvalue : dvalue);
}

static __global__ void norm_grad_kernel(float *dweight, float *dbias, const double *slopes, int n,
                                        int c)
{
    int channel = blockIdx.x * BLOCK + threadIdx.x;
    if (channel >= c) return;
    float weight = dweight[channel], bias = dbias[channel];
    for (int image = 0; image < n; image++) {
        const double *from = slopes + ((size_t)image * c + channel) * 2;
        bias += (float)from[0];
        weight += (float)from[1];
    }
    dweight[channel] = weight;
    dbias[channel] = bias;
}

/* ---- operations ---- */

/* Rows of one launch: all of some images, or some of one image that is large. */
struct norm_rows {
    int first, images; /* images */
    int row, rows;     /* of each */
    size_t skip;       /* numbers before them */
};

/* The next ones, whose sums, `doubles` of each, have room beside one another; false behind the
 * last. Sums are added row after row all the same. */
static bool norm_next(const struct nn_group_norm *g, size_t doubles, struct norm_rows *at)
{
    size_t most = CUDA_PARTIALS / sizeof(double) / doubles;
    at->row += at->rows;
    if (at->row >= g->rows) {
        at->first += at->images;
        at->row = 0;
    }
    size_t rows = (size_t)(g->rows - at->row), images = (size_t)(g->n - at->first);
    at->rows = (int)(rows < most ? rows : most);
    most = at->rows == g->rows ? most / rows : 1;
    at->images = (int)(images < most ? images : most);
    at->skip = ((size_t)at->first * g->rows + at->row) * g->width * g->c;
    return images > 0;
}

static int cuda_group_norm_sums(struct device *device, const struct nn_group_norm *norm,
                                double *sums)
{
    TRY(nn_check_group_norm(norm));
    struct cuda_device *d = cuda_of(device);
    double *rows = (double *)d->partials;
    int count = 2 * norm->groups;
    for (struct norm_rows at = {}; norm_next(norm, (size_t)count, &at);) {
        dim3 grid((unsigned)(at.images * at.rows), (unsigned)norm->groups);
        WITH_TYPE(norm->x_type, X, {
            LAUNCH((norm_row_sums<X>), grid, SUM_BLOCK, 0, d->stream, rows,
                   (const X *)norm->x + at.skip, norm_images_of(norm, at.first, at.rows));
        });
        LAUNCH(norm_add_rows, cuda_blocks((size_t)at.images * count, BLOCK), BLOCK, 0, d->stream,
               sums + (size_t)at.first * count, rows, at.images, at.rows, count);
    }
    return cuda_take_error();
}

static int cuda_group_norm_forward(struct device *device, const struct nn_group_norm *norm, void *y)
{
    TRY(nn_check_group_norm(norm));
    struct cuda_device *d = cuda_of(device);
    struct group_norm_moments *moments = (struct group_norm_moments *)d->partials;
    size_t of_image = (size_t)norm->rows * norm->width * norm->c;
    int most = (int)(CUDA_PARTIALS / sizeof *moments / (size_t)norm->groups);
    for (int first = 0, some = 0; first < norm->n; first += some) {
        some = cuda_images_at_once(norm->n - first, of_image);
        if (some > most) some = most;
        size_t skip = first * of_image, count = some * of_image;
        struct norm_images images = norm_images_of(norm, first, norm->rows);
        LAUNCH(norm_moments_kernel, cuda_blocks((size_t)some * norm->groups, BLOCK), BLOCK, 0,
               d->stream, moments, some, images);
        WITH_TYPE(norm->x_type, X, WITH_TYPE(norm->y_type, Y, {
                      LAUNCH((norm_forward_kernel<X, Y>), cuda_blocks(count, BLOCK), BLOCK, 0,
                             d->stream, (Y *)y + skip, (const X *)norm->x + skip, moments, count,
                             images);
                  }));
    }
    return cuda_take_error();
}

static int cuda_group_norm_slopes(struct device *device, const struct nn_group_norm *norm,
                                  double *slopes, const void *dy)
{
    TRY(nn_check_group_norm(norm));
    struct cuda_device *d = cuda_of(device);
    double *rows = (double *)d->partials;
    int count = 2 * norm->c;
    for (struct norm_rows at = {}; norm_next(norm, (size_t)count, &at);) {
        dim3 grid((unsigned)(at.images * at.rows), cuda_blocks((size_t)norm->c, SLOPE_LANES));
        WITH_TYPE(norm->x_type, X, WITH_TYPE(norm->y_type, Y, {
                      LAUNCH((norm_row_slopes<X, Y>), grid, dim3(SLOPE_LANES, SLOPE_PIXELS), 0,
                             d->stream, rows, (const Y *)dy + at.skip, (const X *)norm->x + at.skip,
                             norm_images_of(norm, at.first, at.rows));
                  }));
        LAUNCH(norm_add_rows, cuda_blocks((size_t)at.images * count, BLOCK), BLOCK, 0, d->stream,
               slopes + (size_t)at.first * count, rows, at.images, at.rows, count);
    }
    return cuda_take_error();
}

static int cuda_group_norm_dgrad(struct device *device, const struct nn_group_norm *norm, void *dx,
                                 const void *dy, const double *slopes, bool add)
{
    TRY(nn_check_group_norm(norm));
    struct cuda_device *d = cuda_of(device);
    struct norm_means *means = (struct norm_means *)d->partials;
    size_t of_image = (size_t)norm->rows * norm->width * norm->c;
    int most = (int)(CUDA_PARTIALS / sizeof *means / (size_t)norm->groups);
    for (int first = 0, some = 0; first < norm->n; first += some) {
        some = cuda_images_at_once(norm->n - first, of_image);
        if (some > most) some = most;
        size_t skip = first * of_image, count = some * of_image;
        struct norm_images images = norm_images_of(norm, first, norm->rows);
        LAUNCH(norm_means_kernel, cuda_blocks((size_t)some * norm->groups, BLOCK), BLOCK, 0,
               d->stream, means, slopes + (size_t)first * norm->c * 2, some, images);
        WITH_TYPE(norm->x_type, X, WITH_TYPE(norm->y_type, Y, {
                      LAUNCH((norm_dgrad_kernel<X, Y>), cuda_blocks(count, BLOCK), BLOCK, 0,
                             d->stream, (X *)dx + skip, (const Y *)dy + skip,
                             (const X *)norm->x + skip, means, count, add, images);
                  }));
    }
    return cuda_take_error();
}

static int cuda_group_norm_grad(struct device *device, float *dweight, float *dbias,
                                const double *slopes, int n, int c)
{
    TRY(nn_check_sizes("group_norm_grad", n, 1, c));
    LAUNCH(norm_grad_kernel, cuda_blocks((size_t)c, BLOCK), BLOCK, 0, cuda_stream(device), dweight,
           dbias, slopes, n, c);
    return cuda_take_error();
}

void nn_cuda_install_group_norm(struct nn_ops *ops)
{
    ops->group_norm_sums = cuda_group_norm_sums;
    ops->group_norm_forward = cuda_group_norm_forward;
    ops->group_norm_slopes = cuda_group_norm_slopes;
    ops->group_norm_dgrad = cuda_group_norm_dgrad;
    ops->group_norm_grad = cuda_group_norm_grad;
}
