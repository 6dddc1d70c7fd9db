/* The updates of parameters, one number at a time: of networks and of splats, on the host and on
 * devices. */
#ifndef IMGTRAIN_MATH_OPTIMISER_H
#define IMGTRAIN_MATH_OPTIMISER_H

#include "base/host_device.h"

/* Fused on GPUs, where nvcc would fuse products of its own choice, and nowhere else. */
#ifdef __CUDACC__
#define OPTIMISER_FMA(a, b, c) fmaf(a, b, c)
#else
#define OPTIMISER_FMA(a, b, c) ((a) * (b) + (c))
#endif

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) OPTIMISER_FMA(a, b, c)
#define REAL_SQRT(x) sqrtf(x)
#include "math/adam.h"

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) OPTIMISER_FMA(a, b, c)
#define REAL_SQRT(x) sqrtf(x)
#include "math/axes.h"

/* What a schedule says of a network's step. */
struct adam_rates {
    double lr, b1, b2; /* b1 0: without a first moment */
    double decay;      /* AdamW's weight decay, by which lr is multiplied; 0: none */
};

/* mean_missing, square_missing: the products of all b1 and of all b2 so far, this step's included.
 */
static inline struct adam_f32 adam_of_network(const struct adam_rates *rates, double mean_missing,
                                              double square_missing)
{
    struct adam_f32 a = {(float)rates->b1, (float)rates->b2, 1e-8f, 0, 0, 0};
    a.step = rates->b1 > 0 ? (float)(rates->lr / (1 - mean_missing)) : (float)rates->lr;
    a.root = 1 / sqrtf((float)(1 - square_missing));
    a.decay = (float)(rates->lr * rates->decay);
    return a;
}

/* Of a row of splats that has seen `updates`, this one included: bias corrections depend on that.
 * The learning rate is still to be multiplied into `step`. */
HOST_DEVICE static inline struct adam_f32 adam_after(int64_t updates, double b2)
{
    const double b1 = 0.9;
    struct adam_f32 a = {(float)b1, (float)b2, 1e-8f, 0, 0, 0};
    a.step = (float)(1 / (1 - pow(b1, (double)updates)));
    a.root = (float)(1 / sqrt(1 - pow(b2, (double)updates)));
    return a;
}

HOST_DEVICE static inline float ema_update(float beta, float e, float p)
{
    return beta * e + (1 - beta) * p;
}

#endif
