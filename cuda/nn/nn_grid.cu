/* Resampling by two, weights for each channel and pixel, embeddings, gradients of biases. */
#include "cuda/cuda_device.h"
#include "cuda/element.h"
#include "cuda/nn/image_sums.h"
#include "cuda/nn/nn_cuda.h"
#include "math/fir.h"

enum { BLOCK = 256 };

/* ---- FIR: a thread has N neighbouring channels of an output pixel, 8 or 1 ---- */

/* Channels k .. k + N - 1 at column x of a row that is mixed vertically: 3/8 near + 1/8 far;
 * outside 0, or (repeat) those of the edge. */
template <int N, typename T>
static __device__ inline void cuda_mix(float *out, const T *near_row, const T *far_row, int x,
                                       int w, int c, int k, bool repeat)
{
    float far_values[N];
    if (repeat) x = min(max(x, 0), w - 1);
    size_t at = (size_t)x * c + k;
    bool inside = x >= 0 && x < w;
    UNROLL
    for (int j = 0; j < N; j++)
        out[j] = 0;
    if (!inside) return;
    element_load<N>(out, near_row, at);
    UNROLL
    for (int j = 0; j < N; j++)
        out[j] *= FIR_NEAR;
    if (!far_row) return;
    element_load<N>(far_values, far_row, at);
    UNROLL
    for (int j = 0; j < N; j++)
        out[j] += FIR_FAR * far_values[j];
}

/* h, w: of the input. */
template <int N, typename O, typename I>
static __global__ void fir_up_kernel(O *out, const I *in, unsigned count, unsigned h, unsigned w,
                                     unsigned c, float scale, bool repeat)
{
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    unsigned parts = c / N, pixel = i / parts, k = (i - pixel * parts) * N;
    unsigned line = pixel / (2 * w), xx = pixel - line * (2 * w);
    unsigned image = line / (2 * h), yy = line - image * (2 * h), y = yy / 2;
    int x = (int)xx / 2;
    size_t row = (size_t)w * c;
    const I *here = in + (image * h + y) * row;
    const I *beside = yy % 2 ? (y + 1 < h ? here + row : NULL) : (y > 0 ? here - row : NULL);
    if (repeat && !beside) beside = here;
    float near_values[N], far_values[N];
    cuda_mix<N>(near_values, here, beside, x, w, c, k, repeat);
    cuda_mix<N>(far_values, here, beside, xx % 2 ? x + 1 : x - 1, w, c, k, repeat);
    UNROLL
    for (int j = 0; j < N; j++)
        near_values[j] = scale * fir_mix(near_values[j], far_values[j]);
    element_store<N>(out, (size_t)i * N, near_values);
}

template <int N, typename O, typename I>
static void launch_up(cudaStream_t stream, const struct nn_fir *f)
{
    size_t small = (size_t)f->h * f->w * f->c, large = 4 * small;
    for (int first = 0, some; first < f->n; first += some) {
        some = cuda_images_at_once(f->n - first, large);
        unsigned count = (unsigned)(some * large / N);
        LAUNCH((fir_up_kernel<N, O, I>), cuda_blocks(count, BLOCK), BLOCK, 0, stream,
               (O *)f->out + first * large, (const I *)f->in + first * small, count, (unsigned)f->h,
               (unsigned)f->w, (unsigned)f->c, f->scale, f->repeat);
    }
}

static int check_fir(const struct nn_fir *f)
{
    TRY(nn_check_fir(f));
    if ((int64_t)f->h * f->w * f->c <= INT32_MAX / 4) return OK;
    return fail(ERR_USAGE, "fir: a tensor of %d x %d x %d is too large", f->h, f->w, f->c);
}

static int cuda_fir_up(struct device *device, const struct nn_fir *f)
{
    TRY(check_fir(f));
    WITH_TYPE(f->out_type, O, WITH_TYPE(f->in_type, I, {
                  if (f->c % 8 == 0)
                      launch_up<8, O, I>(cuda_stream(device), f);
                  else
                      launch_up<1, O, I>(cuda_stream(device), f);
              }));
    return cuda_take_error();
}

/* sum += weight x the column x of the input (2w wide), its four rows mixed; outside 0, or (repeat)
 * the edge. */
template <int N, typename T>
static __device__ inline void add_column(float *sum, float weight, const T *const rows[4], int x,
                                         int w, int c, int k, bool repeat)
{
    if (repeat) x = min(max(x, 0), 2 * w - 1);
    const float weights[4] = {FIR_FAR, FIR_NEAR, FIR_NEAR, FIR_FAR};
    if (x < 0 || x >= 2 * w) return;
    size_t at = (size_t)x * c + k;
    UNROLL
    for (int r = 0; r < 4; r++) {
        float v[N];
        if (!rows[r]) continue;
        element_load<N>(v, rows[r], at);
        UNROLL
        for (int j = 0; j < N; j++)
            sum[j] += weight * weights[r] * v[j];
    }
}

/* h, w: of the output. */
template <int N, typename O, typename I>
static __global__ void fir_down_kernel(O *out, const I *in, unsigned count, unsigned h, unsigned w,
                                       unsigned c, float scale, bool repeat)
{
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    unsigned parts = c / N, pixel = i / parts, k = (i - pixel * parts) * N;
    unsigned line = pixel / w, y = line % h;
    int x = (int)(pixel - line * w);
    size_t row = (size_t)2 * w * c;
    const I *top = in + (size_t)line * 2 * row;
    const I *above = repeat ? top : NULL, *below = repeat ? top + row : NULL;
    const I *const rows[4] = {y > 0 ? top - row : above, top, top + row,
                              y + 1 < h ? top + 2 * row : below};
    float sum[N];
    UNROLL
    for (int j = 0; j < N; j++)
        sum[j] = 0;
    add_column<N>(sum, FIR_FAR, rows, 2 * x - 1, w, c, k, repeat);
    add_column<N>(sum, FIR_NEAR, rows, 2 * x, w, c, k, repeat);
    add_column<N>(sum, FIR_NEAR, rows, 2 * x + 1, w, c, k, repeat);
    add_column<N>(sum, FIR_FAR, rows, 2 * x + 2, w, c, k, repeat);
    UNROLL
    for (int j = 0; j < N; j++)
        sum[j] *= scale;
    element_store<N>(out, (size_t)i * N, sum);
}

template <int N, typename O, typename I>
static void launch_down(cudaStream_t stream, const struct nn_fir *f)
{
    size_t small = (size_t)f->h * f->w * f->c, large = 4 * small;
    for (int first = 0, some; first < f->n; first += some) {
        some = cuda_images_at_once(f->n - first, large);
        unsigned count = (unsigned)(some * small / N);
        LAUNCH((fir_down_kernel<N, O, I>), cuda_blocks(count, BLOCK), BLOCK, 0, stream,
               (O *)f->out + first * small, (const I *)f->in + first * large, count, (unsigned)f->h,
               (unsigned)f->w, (unsigned)f->c, f->scale, f->repeat);
    }
}

static int cuda_fir_down(struct device *device, const struct nn_fir *f)
{
    TRY(check_fir(f));
    WITH_TYPE(f->out_type, O, WITH_TYPE(f->in_type, I, {
                  if (f->c % 8 == 0)
                      launch_down<8, O, I>(cuda_stream(device), f);
                  else
                      launch_down<1, O, I>(cuda_stream(device), f);
              }));
    return cuda_take_error();
}

/* ---- biases: chunks of one image, each cut into pieces by its size alone ---- */

enum { BIAS_ROWS = 8, BIAS_PIECE = 2048 };

/* sums[image][piece][c]; a block has 32 channels and BIAS_ROWS rows of threads. */
template <typename T>
static __global__ void bias_pieces(float *sums, const T *dout, int pixels, int c)
{
    __shared__ float rows[BIAS_ROWS][32];
    int lane = threadIdx.x, row = threadIdx.y, channel = blockIdx.z * 32 + lane;
    int first = blockIdx.x * BIAS_PIECE, last = min(first + BIAS_PIECE, pixels);
    const T *from = dout + (size_t)blockIdx.y * pixels * c;
    float sum = 0;
    if (channel < c)
        for (int p = first + row; p < last; p += BIAS_ROWS)
            sum += cuda_element_element(from, (size_t)p * c + channel);
    rows[row][lane] = sum;
    __syncthreads();
    if (row > 0 || channel >= c) return;
    for (int r = 1; r < BIAS_ROWS; r++)
        sum += rows[r][lane];
    sums[((size_t)blockIdx.y * gridDim.x + blockIdx.x) * c + channel] = sum;
}

static int cuda_bias_grad(struct device *device, float *db, const void *dout, enum nn_type type,
                          int n, int pixels, int c)
{
    TRY(nn_check_sizes("bias_grad", n, pixels, c));
    struct cuda_device *d = cuda_of(device);
    float *sums = (float *)d->partials;
    int pieces = (pixels + BIAS_PIECE - 1) / BIAS_PIECE;
    int most = (int)(CUDA_PARTIALS / sizeof(float)) / (pieces * c); /* images at a time */
    if (most < 1) return fail(ERR_USAGE, "bias_grad: %d channels are too many", c);
    if (most > MOST_IMAGES) most = MOST_IMAGES;
    for (int first = 0; first < n; first += most) {
        int some = n - first < most ? n - first : most;
        size_t skip = (size_t)first * pixels * c;
        dim3 grid((unsigned)pieces, (unsigned)some, cuda_blocks((size_t)c, 32));
        WITH_TYPE(type, T,
                  LAUNCH((bias_pieces<T>), grid, dim3(32, BIAS_ROWS), 0, d->stream, sums,
                         (const T *)dout + skip, pixels, c));
        LAUNCH(image_sums_add, cuda_blocks((size_t)c, 32), dim3(32, IMAGE_ROWS), 0, d->stream, db,
               sums, some, pieces, c);
    }
    return cuda_take_error();
}

/* ---- a weight for each channel and pixel ---- */

template <typename T>
static __global__ void spatial_map_expand_kernel(T *out, const float *s, const float *table,
                                                 unsigned pixels, unsigned c)
{
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x, p = i / c, j = i - p * c;
    size_t picture = blockIdx.y;
    if (p >= pixels) return;
    element_set(out, picture * pixels * c + i, table[(size_t)j * pixels + p] * s[picture * c + j]);
}

static int cuda_spatial_map_expand(struct device *device, void *out, enum nn_type type,
                                   const float *s, const float *table, int n, int pixels, int c)
{
    TRY(nn_check_sizes("spatial_map_expand", n, pixels, c));
    size_t count = (size_t)pixels * c;
    if (count > INT32_MAX)
        return fail(ERR_USAGE, "spatial_map_expand: %d x %d are too many", pixels, c);
    for (int first = 0; first < n; first += MOST_IMAGES) {
        int some = n - first < MOST_IMAGES ? n - first : MOST_IMAGES;
        dim3 grid(cuda_blocks(count, BLOCK), (unsigned)some);
        WITH_TYPE(type, T,
                  LAUNCH((spatial_map_expand_kernel<T>), grid, BLOCK, 0, cuda_stream(device),
                         (T *)out + first * count, s + (size_t)first * c, table, (unsigned)pixels,
                         (unsigned)c));
    }
    return cuda_take_error();
}

template <typename T>
static __global__ void spatial_map_contract_kernel(float *out, const T *x, const float *table,
                                                   size_t count, int pixels, int c)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int j = (int)(i % c);
    const T *picture = x + i / c * pixels * c;
    float sum = 0;
    for (int p = 0; p < pixels; p++)
        sum += table[(size_t)j * pixels + p] * cuda_element_element(picture, (size_t)p * c + j);
    out[i] = sum;
}

static int cuda_spatial_map_contract(struct device *device, float *out, const void *x,
                                     enum nn_type type, const float *table, int n, int pixels,
                                     int c)
{
    TRY(nn_check_sizes("spatial_map_contract", n, pixels, c));
    size_t count = (size_t)n * c;
    WITH_TYPE(type, T,
              LAUNCH((spatial_map_contract_kernel<T>), cuda_blocks(count, 64), 64, 0,
                     cuda_stream(device), out, (const T *)x, table, count, pixels, c));
    return cuda_take_error();
}

template <typename T>
static __global__ void spatial_map_grad_kernel(float *dtable, const float *s, const T *x,
                                               size_t count, int n, int pixels, int c)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; /* [p][c] */
    if (i >= count) return;
    int j = (int)(i % c), p = (int)(i / c);
    float *to = dtable + (size_t)j * pixels + p, sum = *to;
    for (int picture = 0; picture < n; picture++)
        sum += s[(size_t)picture * c + j] * cuda_element_element(x, (size_t)picture * count + i);
    *to = sum;
}

static int cuda_spatial_map_grad(struct device *device, float *dtable, const float *s,
                                 const void *x, enum nn_type type, int n, int pixels, int c)
{
    TRY(nn_check_sizes("spatial_map_grad", n, pixels, c));
    size_t count = (size_t)pixels * c;
    WITH_TYPE(type, T,
              LAUNCH((spatial_map_grad_kernel<T>), cuda_blocks(count, 64), 64, 0,
                     cuda_stream(device), dtable, s, (const T *)x, count, n, pixels, c));
    return cuda_take_error();
}

/* ---- embeddings: a thread for each number, or for each row of the table ---- */

static __global__ void embed_gather_kernel(float *out, const float *table, struct nn_labels labels,
                                           size_t count, int e, int k, int stride)
{
    size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count) return;
    size_t i = at / e, j = at % e;
    out[i * stride + j] = label_entry(label_columns_of(labels, (int)i), table, k, (int)j);
}

static int cuda_embed_gather(struct device *device, float *out, const float *table,
                             struct nn_labels labels, int n, int e, int k, int stride)
{
    TRY(nn_check_embedding("embed_gather", n, e, k, stride));
    size_t count = (size_t)n * e;
    LAUNCH(embed_gather_kernel, cuda_blocks(count, 64), 64, 0, cuda_stream(device), out, table,
           labels, count, e, k, stride);
    return cuda_take_error();
}

static __global__ void embed_grad_kernel(float *dtable, const float *d, struct nn_labels labels,
                                         int n, int e, int k, int stride)
{
    int j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= e) return;
    for (int i = 0; i < n; i++)
        label_entry_grad(label_columns_of(labels, i), dtable, d[(size_t)i * stride + j], 1, k, j);
}

static int cuda_embed_grad(struct device *device, float *dtable, const float *d,
                           struct nn_labels labels, int n, int e, int k, int stride)
{
    TRY(nn_check_embedding("embed_grad", n, e, k, stride));
    LAUNCH(embed_grad_kernel, cuda_blocks((size_t)e, 32), 32, 0, cuda_stream(device), dtable, d,
           labels, n, e, k, stride);
    return cuda_take_error();
}

static __global__ void cuda_project_kernel(float *out, const float *f, const float *table,
                                           struct nn_labels labels, int n, int e, int k)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    struct label_columns columns = label_columns_of(labels, i);
    float sum = 0;
    for (int j = 0; j < e; j++)
        sum += f[(size_t)i * e + j] * label_entry(columns, table, k, j);
    out[i] = sum;
}

static int cuda_project(struct device *device, float *out, const float *f, const float *table,
                        struct nn_labels labels, int n, int e, int k)
{
    TRY(nn_check_embedding("project", n, e, k, e));
    LAUNCH(cuda_project_kernel, cuda_blocks((size_t)n, 32), 32, 0, cuda_stream(device), out, f,
           table, labels, n, e, k);
    return cuda_take_error();
}

static __global__ void project_dgrad_kernel(float *df, const float *dout, const float *table,
                                            struct nn_labels labels, size_t count, int e, int k)
{
    size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count) return;
    size_t i = at / e, j = at % e;
    df[at] = dout[i] * label_entry(label_columns_of(labels, (int)i), table, k, (int)j);
}

static int cuda_project_dgrad(struct device *device, float *df, const float *dout,
                              const float *table, struct nn_labels labels, int n, int e, int k)
{
    TRY(nn_check_embedding("project_dgrad", n, e, k, e));
    size_t count = (size_t)n * e;
    LAUNCH(project_dgrad_kernel, cuda_blocks(count, 64), 64, 0, cuda_stream(device), df, dout,
           table, labels, count, e, k);
    return cuda_take_error();
}

static __global__ void project_grad_kernel(float *dtable, const float *dout, const float *f,
                                           struct nn_labels labels, int n, int e, int k)
{
    int j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= e) return;
    for (int i = 0; i < n; i++)
        label_entry_grad(label_columns_of(labels, i), dtable, dout[i], f[(size_t)i * e + j], k, j);
}

static int cuda_project_grad(struct device *device, float *dtable, const float *dout,
                             const float *f, struct nn_labels labels, int n, int e, int k)
{
    TRY(nn_check_embedding("project_grad", n, e, k, e));
    LAUNCH(project_grad_kernel, cuda_blocks((size_t)e, 32), 32, 0, cuda_stream(device), dtable,
           dout, f, labels, n, e, k);
    return cuda_take_error();
}

void nn_cuda_install_grid(struct nn_ops *ops)
{
    ops->fir_up = cuda_fir_up;
    ops->fir_down = cuda_fir_down;
    ops->bias_grad = cuda_bias_grad;
    ops->spatial_map_expand = cuda_spatial_map_expand;
    ops->spatial_map_contract = cuda_spatial_map_contract;
    ops->spatial_map_grad = cuda_spatial_map_grad;
    ops->embed_gather = cuda_embed_gather;
    ops->embed_grad = cuda_embed_grad;
    ops->project = cuda_project;
    ops->project_dgrad = cuda_project_dgrad;
    ops->project_grad = cuda_project_grad;
}
