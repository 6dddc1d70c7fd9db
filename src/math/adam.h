/* Adam (Kingma & Ba 2015), one number. A template over REAL: see math/real.h. */
#include "base/host_device.h"

#include <math.h>
#include <stdint.h>

struct FORMULA(adam_rate) {
    REAL beta1, beta2, epsilon;
    REAL step; /* learning rate / (1 - beta1^t) */
    REAL root; /* 1 / sqrt(1 - beta2^t) */
};

/* Updates the moments m, v with gradient g and returns what to subtract from the parameter:
 * lr * mhat / (sqrt(vhat) + epsilon). */
HOST_DEVICE static inline REAL FORMULA(adam_update)(const struct FORMULA(adam_rate) * rate, REAL g,
                                                    REAL *m, REAL *v)
{
    *m = rate->beta1 * *m + (1 - rate->beta1) * g;
    *v = rate->beta2 * *v + (1 - rate->beta2) * g * g;
    return rate->step * *m / (REAL_SQRT(*v) * rate->root + rate->epsilon);
}

/* Bias corrections depend on how many updates a number has seen, this one included; the rate itself
 * is still to be multiplied into `step`. Kingma & Ba, and PyTorch, have beta2 .999. */
HOST_DEVICE static inline struct FORMULA(adam_rate)
    FORMULA(adam_rate_after)(int64_t updates, double beta2)
{
    const double beta1 = 0.9, epsilon = 1e-8;
    struct FORMULA(adam_rate) rate;
    rate.beta1 = (REAL)beta1;
    rate.beta2 = (REAL)beta2;
    rate.epsilon = (REAL)epsilon;
    rate.step = (REAL)(1 / (1 - pow(beta1, (double)updates)));
    rate.root = (REAL)(1 / sqrt(1 - pow(beta2, (double)updates)));
    return rate;
}

#undef REAL
#undef FORMULA
#undef REAL_FMA
#undef REAL_SQRT
