/* Adam (Kingma & Ba 2015), one number. A template over REAL: see math/real.h. */

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

#undef REAL
#undef FORMULA
#undef REAL_FMA
#undef REAL_SQRT
