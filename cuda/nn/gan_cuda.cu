/* What GANs alone want: augmentation and its adjoint, a block for each image; the losses of a
 * step, one block in all, each thread a pair, the sums one after the other. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "cuda/reduce.h"
#include "math/augment.h"
#include "math/gan_loss.h"

enum { BLOCK = 128, PICTURE = 512 };

/* ---- augmentation ---- */

static __device__ inline float cuda_pixel_mean(const float *pixel, int c)
{
    float sum = 0;
    for (int i = 0; i < c; i++)
        sum += pixel[i];
    return sum / (float)c;
}

/* Does T show the image's own pixel (y, x) at all? It comes from (y - dy, x - dx). */
static __device__ inline bool cuda_shown(const struct nn_augment *t, int y, int x, int h, int w)
{
    int yy = y - t->dy, xx = x - t->dx;
    return yy >= 0 && yy < h && xx >= 0 && xx < w && !augment_cuts(t, y, x);
}

/* The image's mean for T, or (adjoint) that of what remains of the gradient; 0 where T does not
 * need it. */
static __device__ float cuda_picture_mean(const float *in, const struct nn_augment *t, int h, int w,
                                          int c, bool adjoint)
{
    if (t->contrast == 1 || c == 4) return 0; /* all threads of the block alike */
    double sum = 0;
    for (int p = threadIdx.x; p < h * w; p += PICTURE) {
        if (adjoint && !cuda_shown(t, p / w, p % w, h, w)) continue;
        for (int i = 0; i < c; i++)
            sum += (double)in[(size_t)p * c + i];
    }
    return (float)(cuda_reduce_block_sum<PICTURE>(sum) / ((double)h * w * c));
}

/* A block for each image. */
static __global__ void augment_kernel(float *out, ptrdiff_t out_stride, const float *in,
                                      ptrdiff_t in_stride, const struct nn_augment *draws, int h,
                                      int w, int c, bool linear)
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
                to[i] = augment_outside(c, linear);
            continue;
        }
        const float *pixel = in + (size_t)((y - t.dy) * w + x - t.dx) * c;
        if (c == 4) {
            for (int i = 0; i < 4; i++)
                to[i] = pixel[i];
            augment_covered(&t, to, linear);
            continue;
        }
        float grey = cuda_pixel_mean(pixel, c);
        for (int i = 0; i < c; i++)
            to[i] = augment_colour(&t, b, pixel[i], grey, mean);
    }
}

static int cuda_augment(struct device *device, const struct gan_augmentation *a)
{
    TRY(gan_check_augmentation("augment", a));
    LAUNCH(augment_kernel, (unsigned)a->n, PICTURE, 0, cuda_stream(device), a->out, a->out_stride,
           a->in, a->in_stride, a->draws, a->h, a->w, a->c, a->linear);
    return cuda_take_error();
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
        if (c == 4) {
            for (int i = 0; i < 4; i++)
                out[(size_t)p * 4 + i] = kept ? pixel[i] : 0;
            augment_covered_adjoint(&t, out + (size_t)p * 4);
            continue;
        }
        float grey = kept ? cuda_pixel_mean(pixel, c) : 0;
        for (int i = 0; i < c; i++)
            out[(size_t)p * c + i] = augment_colour_adjoint(&t, kept ? pixel[i] : 0, grey, mean);
    }
}

static int cuda_augment_adjoint(struct device *device, const struct gan_augmentation *a)
{
    TRY(gan_check_augmentation("augment_adjoint", a));
    LAUNCH(adjoint_kernel, (unsigned)a->n, PICTURE, 0, cuda_stream(device), a->out, a->out_stride,
           a->in, a->in_stride, a->draws, a->h, a->w, a->c);
    return cuda_take_error();
}

/* ---- losses ---- */

static __global__ void square_sums_kernel(double *out, const float *x, size_t count)
{
    const float *from = x + blockIdx.x * count;
    double sum = 0;
    for (size_t i = threadIdx.x; i < count; i += PICTURE)
        sum += (double)from[i] * (double)from[i];
    sum = cuda_reduce_block_sum<PICTURE>(sum);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

static int cuda_square_sums(struct device *device, double *out, const float *x, int n, size_t count)
{
    TRY(gan_check_pictures("square_sums", n, 1));
    LAUNCH(square_sums_kernel, (unsigned)n, PICTURE, 0, cuda_stream(device), out, x, count);
    return cuda_take_error();
}

/* Adds the first `count` values of each list to a sum, in their order: one thread a sum. */
template <int LISTS>
static __device__ inline void add_lists(double *const sums[LISTS], double lists[LISTS][BLOCK],
                                        int count)
{
    __syncthreads();
    if (threadIdx.x < LISTS) {
        double sum = *sums[threadIdx.x];
        for (int i = 0; i < count; i++)
            sum += lists[threadIdx.x][i];
        *sums[threadIdx.x] = sum;
    }
    __syncthreads();
}

static __global__ void pair_loss_kernel(double *sums, float *seed, const float *scores, int n,
                                        int batch, int generator)
{
    __shared__ double lists[4][BLOCK];
    double *const to[4] = {sums + GAN_SUM_LOSS, sums + GAN_SUM_REAL, sums + GAN_SUM_FAKE,
                           sums + GAN_SUM_SIGN};
    for (int first = 0; first < n; first += BLOCK) {
        int i = first + threadIdx.x;
        if (i < n) {
            double real = (double)scores[generator ? n + i : 2 * i];
            double fake = (double)scores[generator ? i : 2 * i + 1];
            double margin = generator ? fake - real : real - fake;
            float c = gan_seed(margin, batch);
            seed[generator ? i : 2 * i] = -c;
            if (!generator) seed[2 * i + 1] = c;
            lists[0][threadIdx.x] = gan_softplus(-margin) / batch;
            lists[1][threadIdx.x] = real / batch;
            lists[2][threadIdx.x] = fake / batch;
            lists[3][threadIdx.x] = gan_sign(real - fake) / batch;
        }
        add_lists<4>(to, lists, min(n - first, (int)BLOCK));
    }
}

static int cuda_pair_loss(struct device *device, double *sums, float *seed, const float *scores,
                          int n, int batch, int generator)
{
    TRY(gan_check_pictures("pair_loss", n, batch));
    LAUNCH(pair_loss_kernel, 1, BLOCK, 0, cuda_stream(device), sums, seed, scores, n, batch,
           generator);
    return cuda_take_error();
}

/* Pictures alternate, real and fake: a thread for a pair. */
static __global__ void penalty_kernel(double *sums, float *factors, double *squares,
                                      const float *seed, const double *gamma, int n, int batch)
{
    __shared__ double lists[2][BLOCK];
    double *const to[2] = {sums + GAN_SUM_R1, sums + GAN_SUM_R2};
    int pairs = n / 2;
    for (int first = 0; first < pairs; first += BLOCK) {
        int pair = first + threadIdx.x;
        for (int k = 0; k < 2 && pair < pairs; k++) {
            int i = 2 * pair + k;
            double c = (double)seed[i];
            factors[i] = gan_tangent_factor(*gamma, batch, c);
            squares[i] /= c * c;
            lists[k][threadIdx.x] = squares[i] / batch;
        }
        add_lists<2>(to, lists, min(pairs - first, (int)BLOCK));
    }
}

static int cuda_penalty(struct device *device, const struct gan_penalty *p)
{
    TRY(gan_check_pictures("penalty", p->n, p->batch));
    LAUNCH(penalty_kernel, 1, BLOCK, 0, cuda_stream(device), p->sums, p->factors, p->squares,
           p->seed, p->gamma, p->n, p->batch);
    return cuda_take_error();
}

static __global__ void penalty_check_kernel(double *sums, const float *got, const float *scores,
                                            const double *squares, const float *seed,
                                            const double *gamma, int n, int batch)
{
    __shared__ double errors[BLOCK];
    double most = 0;
    for (int i = threadIdx.x; i < n; i += BLOCK) {
        double error = gan_identity_error((double)got[i], (double)scores[i], squares[i], *gamma,
                                          batch, (double)seed[i]);
        if (!(error <= most)) most = error;
    }
    errors[threadIdx.x] = most;
    __syncthreads();
    if (threadIdx.x > 0) return;
    most = sums[GAN_SUM_ERROR];
    for (int i = 0; i < BLOCK; i++)
        if (!(errors[i] <= most)) most = errors[i];
    sums[GAN_SUM_ERROR] = most;
}

static int cuda_penalty_check(struct device *device, const struct gan_penalty *p)
{
    TRY(gan_check_pictures("penalty_check", p->n, p->batch));
    LAUNCH(penalty_check_kernel, 1, BLOCK, 0, cuda_stream(device), p->sums, p->got, p->scores,
           p->squares, p->seed, p->gamma, p->n, p->batch);
    return cuda_take_error();
}

const struct gan_ops gan_ops_cuda = {
    cuda_augment,   cuda_augment_adjoint, cuda_square_sums,
    cuda_pair_loss, cuda_penalty,         cuda_penalty_check,
};
