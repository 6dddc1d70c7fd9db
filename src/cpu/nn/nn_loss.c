/* The losses of a GAN's step and what follows from them for every picture. */
#include "cpu/nn/nn_cpu.h"
#include "math/gan_loss.h"

static void cpu_pair_loss(double *sums, float *seed, const float *scores, int n, int batch,
                          int generator)
{
    for (int i = 0; i < n; i++) {
        double real = (double)scores[generator ? n + i : 2 * i];
        double fake = (double)scores[generator ? i : 2 * i + 1];
        double margin = generator ? fake - real : real - fake;
        float c = gan_seed(margin, batch);
        if (generator) {
            seed[i] = -c;
        } else {
            seed[2 * i] = -c;
            seed[2 * i + 1] = c;
        }
        sums[NN_SUM_LOSS] += gan_softplus(-margin) / batch;
        sums[NN_SUM_REAL] += real / batch;
        sums[NN_SUM_FAKE] += fake / batch;
        sums[NN_SUM_SIGN] += gan_sign(real - fake) / batch;
    }
}

static void cpu_penalty(double *sums, float *factors, double *squares, const float *seed,
                        const double *gamma, int n, int batch)
{
    for (int i = 0; i < n; i++) {
        double c = (double)seed[i];
        factors[i] = gan_tangent_factor(*gamma, batch, c);
        squares[i] /= c * c;
        sums[i % 2 ? NN_SUM_R2 : NN_SUM_R1] += squares[i] / batch;
    }
}

static void cpu_penalty_check(double *sums, const float *got, const float *scores,
                              const double *squares, const float *seed, const double *gamma, int n,
                              int batch)
{
    for (int i = 0; i < n; i++) {
        double error = gan_identity_error((double)got[i], (double)scores[i], squares[i], *gamma,
                                          batch, (double)seed[i]);
        if (!(error <= sums[NN_SUM_ERROR])) sums[NN_SUM_ERROR] = error;
    }
}

void nn_install_loss(struct nn_ops *ops)
{
    ops->pair_loss = cpu_pair_loss;
    ops->penalty = cpu_penalty;
    ops->penalty_check = cpu_penalty_check;
}
