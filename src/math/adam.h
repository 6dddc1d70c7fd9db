/* Adam (Kingma & Ba 2015), with AdamW's decay (Loshchilov & Hutter 2019), one number. A template
 * over REAL: see math/real.h. */
#include "base/host_device.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* As one step's operations read it. */
struct FORMULA(adam) {
    REAL b1, b2, eps; /* b1 0: there is no first moment, and no memory for one */
    REAL step;        /* learning rate / (1 - product of all b1 so far) */
    REAL root;        /* 1 / sqrt(1 - product of all b2 so far) */
    REAL decay;       /* learning rate * weight decay; 0: none */
};

/* In which order three factors are rounded, and on a GPU which product is fused with the sum: runs
 * that exist depend on the last bit. */
#ifndef IMGTRAIN_MATH_ADAM_SQUARE
#define IMGTRAIN_MATH_ADAM_SQUARE
enum adam_square { ADAM_SQUARE_FIRST, ADAM_SQUARE_LAST }; /* (1 - b2) (g g), ((1 - b2) g) g */
#endif

/* The parameter p after a step with gradient g; updates the moments m (NULL: none) and v. */
HOST_DEVICE static inline REAL FORMULA(adam_update)(const struct FORMULA(adam) * a,
                                                    enum adam_square square, REAL p, REAL g,
                                                    REAL *m, REAL *v)
{
    REAL share = 1 - a->b2;
    REAL mean = g;
    if (m) mean = *m = REAL_FMA(1 - a->b1, g, a->b1 * *m);
    if (square == ADAM_SQUARE_FIRST)
        *v = REAL_FMA(a->b2, *v, share * (g * g));
    else
        *v = REAL_FMA(share * g, g, a->b2 * *v);
    REAL change = a->step * mean / REAL_FMA(REAL_SQRT(*v), a->root, a->eps);
    return a->decay != 0 ? p - (change + a->decay * p) : p - change;
}

#undef REAL
#undef FORMULA
#undef REAL_FMA
#undef REAL_SQRT
