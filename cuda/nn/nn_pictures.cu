/* Operations on pictures: augmentation and its adjoint, batches of reals, sums for the penalty. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "cuda/reduce.h"
#include "math/augment.h"

enum { BLOCK = 256, PICTURE = 512 };

static __device__ inline float cuda_pixel_mean(const float *pixel, int c)
{
    float sum = 0;
    for (int i = 0; i < c; i++)
        sum += pixel[i];
    return sum / (float)c;
}

/* Does T show the picture's own pixel (y, x) at all? It comes from (y - dy, x - dx). */
static __device__ inline bool cuda_shown(const struct nn_augment *t, int y, int x, int h, int w)
{
    int yy = y - t->dy, xx = x - t->dx;
    return yy >= 0 && yy < h && xx >= 0 && xx < w && !augment_cuts(t, y, x);
}

/* The picture's mean for T, or (adjoint) that of what remains of the gradient; 0 where T does not
 * need it. */
static __device__ float cuda_picture_mean(const float *in, const struct nn_augment *t, int h, int w,
                                          int c, bool adjoint)
{
    if (t->contrast == 1) return 0; /* all threads of the block alike */
    double sum = 0;
    for (int p = threadIdx.x; p < h * w; p += PICTURE) {
        if (adjoint && !cuda_shown(t, p / w, p % w, h, w)) continue;
        for (int i = 0; i < c; i++)
            sum += (double)in[(size_t)p * c + i];
    }
    return (float)(cuda_reduce_block_sum<PICTURE>(sum) / ((double)h * w * c));
}

/* A block for each picture. */
static __global__ void augment_kernel(float *out, ptrdiff_t out_stride, const float *in,
                                      ptrdiff_t in_stride, const struct nn_augment *draws, int h,
                                      int w, int c, int linear)
{
    struct nn_augment t = draws[blockIdx.x];
    out += blockIdx.x * out_stride;
    in += blockIdx.x * in_stride;
    float mean = cuda_picture_mean(in, &t, h, w, c, false), b = linear ? 0 : t.brightness;
    for (int p = threadIdx.x; p < h * w; p += PICTURE) {
        int y = p / w, x = p % w;
        float *to = out + (size_t)p * c;
        if (!cuda_shown(&t, y, x, h, w)) {
            for (int i = 0; i < c; i++)
                to[i] = 0;
            continue;
        }
        const float *pixel = in + (size_t)((y - t.dy) * w + x - t.dx) * c;
        float grey = cuda_pixel_mean(pixel, c);
        for (int i = 0; i < c; i++)
            to[i] = augment_colour(&t, b, pixel[i], grey, mean);
    }
}

static void cuda_augment(float *out, ptrdiff_t out_stride, const float *in, ptrdiff_t in_stride,
                         const struct nn_augment *draws, int n, int h, int w, int c, int linear)
{
    LAUNCH(augment_kernel, (unsigned)n, PICTURE, 0, cuda_stream(), out, out_stride, in, in_stride,
           draws, h, w, c, linear);
}

static __global__ void adjoint_kernel(float *out, ptrdiff_t out_stride, const float *in,
                                      ptrdiff_t in_stride, const struct nn_augment *draws, int h,
                                      int w, int c)
{
    struct nn_augment t = draws[blockIdx.x];
    out += blockIdx.x * out_stride;
    in += blockIdx.x * in_stride;
    float mean = cuda_picture_mean(in, &t, h, w, c, true);
    for (int p = threadIdx.x; p < h * w; p += PICTURE) {
        int yy = p / w + t.dy, xx = p % w + t.dx;
        bool kept = yy >= 0 && yy < h && xx >= 0 && xx < w && !augment_cuts(&t, yy, xx);
        const float *pixel = kept ? in + (size_t)(yy * w + xx) * c : NULL;
        float grey = kept ? cuda_pixel_mean(pixel, c) : 0;
        for (int i = 0; i < c; i++)
            out[(size_t)p * c + i] = augment_colour_adjoint(&t, kept ? pixel[i] : 0, grey, mean);
    }
}

static void cuda_augment_adjoint(float *out, ptrdiff_t out_stride, const float *in,
                                 ptrdiff_t in_stride, const struct nn_augment *draws, int n, int h,
                                 int w, int c)
{
    LAUNCH(adjoint_kernel, (unsigned)n, PICTURE, 0, cuda_stream(), out, out_stride, in, in_stride,
           draws, h, w, c);
}

static __global__ void from_u8_kernel(float *out, const uint8_t *pictures, const uint8_t *flip,
                                      size_t count, int h, int w, int c)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    size_t line = i / c / w, from = i;
    int x = (int)(i / c % w);
    if (flip && flip[line / h]) from = (line * w + (w - 1 - x)) * c + i % c;
    out[i] = (float)((int)pictures[from] - 128) * (1.0f / 128);
}

static void cuda_from_u8(float *out, const uint8_t *pictures, const uint8_t *flip, int n, int h,
                         int w, int c)
{
    size_t count = (size_t)n * h * w * c;
    LAUNCH(from_u8_kernel, cuda_blocks(count, BLOCK), BLOCK, 0, cuda_stream(), out, pictures, flip,
           count, h, w, c);
}

static __global__ void scale_add_kernel(float *x, const float *y, const float *factor, size_t count,
                                        size_t total)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < total) x[i] += factor[i / count] * y[i];
}

static void cuda_scale_add(float *x, const float *y, const float *factor, int n, size_t count)
{
    size_t total = (size_t)n * count;
    LAUNCH(scale_add_kernel, cuda_blocks(total, BLOCK), BLOCK, 0, cuda_stream(), x, y, factor,
           count, total);
}

static __global__ void square_sums_kernel(double *out, const float *x, size_t count)
{
    const float *from = x + blockIdx.x * count;
    double sum = 0;
    for (size_t i = threadIdx.x; i < count; i += PICTURE)
        sum += (double)from[i] * (double)from[i];
    sum = cuda_reduce_block_sum<PICTURE>(sum);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

static void cuda_square_sums(double *out, const float *x, int n, size_t count)
{
    LAUNCH(square_sums_kernel, (unsigned)n, PICTURE, 0, cuda_stream(), out, x, count);
}

void nn_cuda_install_pictures(struct nn_ops *ops)
{
    ops->augment = cuda_augment;
    ops->augment_adjoint = cuda_augment_adjoint;
    ops->from_u8 = cuda_from_u8;
    ops->scale_add = cuda_scale_add;
    ops->square_sums = cuda_square_sums;
}
