/* The updates of a network, one number at a time. */
#ifndef IMGTRAIN_MATH_OPTIMISER_H
#define IMGTRAIN_MATH_OPTIMISER_H

#include "base/host_device.h"

#include <math.h>

/* Adam without a first moment (b1 = 0), as one step's operations read it. */
struct nn_adam {
    float lr, b2, rest; /* rest = 1 - b2 */
    float root;         /* 1 / sqrt(1 - product of all b2 so far) */
    float eps;
};

static inline struct nn_adam nn_adam_of(double lr, double b2, double missing)
{
    struct nn_adam a;
    a.lr = (float)lr;
    a.b2 = (float)b2;
    a.rest = 1 - a.b2;
    a.root = 1 / sqrtf((float)(1 - missing));
    a.eps = 1e-8f;
    return a;
}

HOST_DEVICE static inline void nn_adam_update(const struct nn_adam *a, float *p, float *v, float g)
{
    *v = a->b2 * *v + a->rest * (g * g);
    *p -= a->lr * g / (sqrtf(*v) * a->root + a->eps);
}

HOST_DEVICE static inline float nn_ema(float beta, float e, float p)
{
    return beta * e + (1 - beta) * p;
}

#endif
