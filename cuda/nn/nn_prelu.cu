/* The leaky ReLU with a learnt slope for each channel: see struct nn_prelu in device/nn_ops.h. */
#include "cuda/cuda_device.h"
#include "cuda/element.h"
#include "cuda/nn/image_sums.h"
#include "cuda/nn/nn_cuda.h"

enum { BLOCK = 256 };

/* Elements of one launch: whole pixels. */
static size_t prelu_part(const struct nn_prelu *p)
{
    size_t pixels = cuda_launch_most / p->c;
    return (pixels > 0 ? pixels : 1) * p->c;
}

/* N neighbouring channels a thread, 8 or 1; count: of those. */
template <int N, typename Z, typename Y>
static __global__ void prelu_forward_kernel(Y *y, const Z *z, const float *slopes, unsigned count,
                                            unsigned c)
{
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float v[N], slope[N];
    element_load<N>(v, z, i * N);
    element_load<N>(slope, slopes, i * N % c);
    UNROLL
    for (int k = 0; k < N; k++)
        v[k] = v[k] > 0 ? v[k] : slope[k] * v[k];
    element_store<N>(y, i * N, v);
}

template <int N, typename Z, typename Y>
static void prelu_launch_forward(cudaStream_t stream, const struct nn_prelu *p, Y *y)
{
    size_t count = (size_t)p->n * p->pixels * p->c, part = prelu_part(p);
    for (size_t first = 0; first < count; first += part) {
        unsigned some = (unsigned)((count - first < part ? count - first : part) / N);
        LAUNCH((prelu_forward_kernel<N, Z, Y>), cuda_blocks(some, BLOCK), BLOCK, 0, stream,
               y + first, (const Z *)p->z + first, p->slopes, some, (unsigned)p->c);
    }
}

static int cuda_prelu_forward(struct device *device, const struct nn_prelu *p, void *y)
{
    TRY(nn_check_sizes("prelu_forward", p->n, p->pixels, p->c));
    WITH_TYPE(p->y_type, Y, WITH_TYPE(p->z_type, Z, {
                  if (p->c % 8 == 0)
                      prelu_launch_forward<8, Z, Y>(cuda_stream(device), p, (Y *)y);
                  else
                      prelu_launch_forward<1, Z, Y>(cuda_stream(device), p, (Y *)y);
              }));
    return cuda_take_error();
}

template <int N, typename Z, typename Y>
static __global__ void prelu_dgrad_kernel(Z *dz, const Y *dy, const Z *z, const float *slopes,
                                          unsigned count, unsigned c, bool add)
{
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float v[N], at[N], slope[N], before[N];
    element_load<N>(v, dy, i * N);
    element_load<N>(at, z, i * N);
    element_load<N>(slope, slopes, i * N % c);
    if (add) element_load<N>(before, dz, i * N);
    UNROLL
    for (int k = 0; k < N; k++) {
        if (!(at[k] > 0)) v[k] *= slope[k];
        if (add) v[k] += before[k];
    }
    element_store<N>(dz, i * N, v);
}

template <int N, typename Z, typename Y>
static void prelu_launch_dgrad(cudaStream_t stream, const struct nn_prelu *p, Z *dz, const Y *dy,
                               bool add)
{
    size_t count = (size_t)p->n * p->pixels * p->c, part = prelu_part(p);
    for (size_t first = 0; first < count; first += part) {
        unsigned some = (unsigned)((count - first < part ? count - first : part) / N);
        LAUNCH((prelu_dgrad_kernel<N, Z, Y>), cuda_blocks(some, BLOCK), BLOCK, 0, stream,
               dz + first, dy + first, (const Z *)p->z + first, p->slopes, some, (unsigned)p->c,
               add);
    }
}

static int cuda_prelu_dgrad(struct device *device, const struct nn_prelu *p, void *dz,
                            const void *dy, bool add)
{
    TRY(nn_check_sizes("prelu_dgrad", p->n, p->pixels, p->c));
    WITH_TYPE(
        p->y_type, Y, WITH_TYPE(p->z_type, Z, {
            if (p->c % 8 == 0)
                prelu_launch_dgrad<8, Z, Y>(cuda_stream(device), p, (Z *)dz, (const Y *)dy, add);
            else
                prelu_launch_dgrad<1, Z, Y>(cuda_stream(device), p, (Z *)dz, (const Y *)dy, add);
        }));
    return cuda_take_error();
}

/* ---- slopes: pieces of an image's sum, then the pieces of each image in order ---- */

enum { SLOPE_PIECE = 256, SLOPE_ROWS = 8 }; /* pixels of a piece; threads of a channel */

/* sums[n][pieces][c] */
template <typename Z, typename Y>
static __global__ void slope_pieces(float *sums, const Y *dy, const Z *z, int pixels, int c)
{
    __shared__ float rows[SLOPE_ROWS][32];
    int lane = threadIdx.x, row = threadIdx.y, channel = blockIdx.z * 32 + lane;
    int first = blockIdx.x * SLOPE_PIECE, last = min(first + SLOPE_PIECE, pixels);
    size_t picture = (size_t)blockIdx.y * pixels * c;
    float sum = 0;
    if (channel < c)
        for (int p = first + row; p < last; p += SLOPE_ROWS) {
            size_t i = picture + (size_t)p * c + channel;
            float value = cuda_element_element(z, i);
            if (!(value > 0)) sum += value * cuda_element_element(dy, i);
        }
    rows[row][lane] = sum;
    __syncthreads();
    if (row > 0 || channel >= c) return;
    for (int r = 1; r < SLOPE_ROWS; r++)
        sum += rows[r][lane];
    sums[((size_t)blockIdx.y * gridDim.x + blockIdx.x) * c + channel] = sum;
}

static int cuda_prelu_grad(struct device *device, const struct nn_prelu *p, float *dslopes,
                           const void *dy)
{
    TRY(nn_check_sizes("prelu_grad", p->n, p->pixels, p->c));
    struct cuda_device *d = cuda_of(device);
    float *sums = (float *)d->partials;
    int c = p->c, pieces = (p->pixels + SLOPE_PIECE - 1) / SLOPE_PIECE;
    size_t most = CUDA_PARTIALS / sizeof(float) / ((size_t)pieces * c); /* images at a time */
    if (most < 1)
        return fail(ERR_USAGE, "prelu_grad: a picture of %d x %d is too large", p->pixels, c);
    if (most > MOST_IMAGES) most = MOST_IMAGES;
    for (int first = 0, some; first < p->n; first += some) {
        some = (size_t)(p->n - first) < most ? p->n - first : (int)most;
        size_t skip = (size_t)first * p->pixels * c;
        dim3 grid((unsigned)pieces, (unsigned)some, cuda_blocks((size_t)c, 32));
        WITH_TYPE(p->y_type, Y, WITH_TYPE(p->z_type, Z, {
                      LAUNCH((slope_pieces<Z, Y>), grid, dim3(32, SLOPE_ROWS), 0, d->stream, sums,
                             (const Y *)dy + skip, (const Z *)p->z + skip, p->pixels, c);
                  }));
        LAUNCH(image_sums_add, cuda_blocks((size_t)c, 32), dim3(32, IMAGE_ROWS), 0, d->stream,
               dslopes, sums, some, pieces, c);
    }
    return cuda_take_error();
}

/* ---- a convolution behind it: one after the other, so far ---- */

static size_t cuda_prelu_conv_workspace(const struct device *device, const struct nn_conv *s)
{
    return nn_composed_workspace(device->nn, device, s);
}

static int cuda_prelu_conv_forward(struct device *device, const struct nn_prelu_conv *p, void *out,
                                   const float *weights, const struct nn_epilogue *epilogue,
                                   void *workspace)
{
    return nn_composed_forward(device->nn, device, p, out, weights, epilogue, workspace);
}

static int cuda_prelu_conv_dgrad(struct device *device, const struct nn_prelu_conv *p, void *dz,
                                 const void *dout, const float *weights, float *dslopes,
                                 void *workspace)
{
    return nn_composed_dgrad(device->nn, device, p, dz, dout, weights, dslopes, workspace);
}

static int cuda_prelu_conv_wgrad(struct device *device, const struct nn_prelu_conv *p, float *dw,
                                 const void *dout, void *workspace)
{
    return nn_composed_wgrad(device->nn, device, p, dw, dout, workspace);
}

void nn_cuda_install_prelu(struct nn_ops *ops)
{
    ops->prelu_forward = cuda_prelu_forward;
    ops->prelu_dgrad = cuda_prelu_dgrad;
    ops->prelu_grad = cuda_prelu_grad;
    ops->prelu_conv_workspace = cuda_prelu_conv_workspace;
    ops->prelu_conv_forward = cuda_prelu_conv_forward;
    ops->prelu_conv_dgrad = cuda_prelu_conv_dgrad;
    ops->prelu_conv_wgrad = cuda_prelu_conv_wgrad;
}
