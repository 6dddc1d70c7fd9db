/* The losses of a GAN's step: one block, each thread a pair, the sums one after the other. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "math/gan_loss.h"

enum { BLOCK = 128 };

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
    double *const to[4] = {sums + NN_SUM_LOSS, sums + NN_SUM_REAL, sums + NN_SUM_FAKE,
                           sums + NN_SUM_SIGN};
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

static void cuda_pair_loss(double *sums, float *seed, const float *scores, int n, int batch,
                           int generator)
{
    LAUNCH(pair_loss_kernel, 1, BLOCK, 0, cuda_stream(), sums, seed, scores, n, batch, generator);
}

/* Pictures alternate, real and fake: a thread for a pair. */
static __global__ void penalty_kernel(double *sums, float *factors, double *squares,
                                      const float *seed, const double *gamma, int n, int batch)
{
    __shared__ double lists[2][BLOCK];
    double *const to[2] = {sums + NN_SUM_R1, sums + NN_SUM_R2};
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

static void cuda_penalty(double *sums, float *factors, double *squares, const float *seed,
                         const double *gamma, int n, int batch)
{
    LAUNCH(penalty_kernel, 1, BLOCK, 0, cuda_stream(), sums, factors, squares, seed, gamma, n,
           batch);
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
    most = sums[NN_SUM_ERROR];
    for (int i = 0; i < BLOCK; i++)
        if (!(errors[i] <= most)) most = errors[i];
    sums[NN_SUM_ERROR] = most;
}

static void cuda_penalty_check(double *sums, const float *got, const float *scores,
                               const double *squares, const float *seed, const double *gamma, int n,
                               int batch)
{
    LAUNCH(penalty_check_kernel, 1, BLOCK, 0, cuda_stream(), sums, got, scores, squares, seed,
           gamma, n, batch);
}

void nn_cuda_install_loss(struct nn_ops *ops)
{
    ops->pair_loss = cuda_pair_loss;
    ops->penalty = cuda_penalty;
    ops->penalty_check = cuda_penalty_check;
}
