/* By how much a pixel's squared error grows without one of its Gaussians. Without it the colour C
 * is (C D - a f) / (D - a) = C + part (C - f) of its alpha a, its colour f and the denominator D;
 * additive: C - a f. A template over REAL: see math/real.h; it also needs REAL_SET(x),
 * REAL_MIN(a, b) and REAL_MAX(a, b), which give b where a is NaN. */

/* inverse: 1 / D; least: the part of D that no Gaussian has. */
HOST_DEVICE static inline REAL FORMULA(importance_part)(REAL alpha, REAL inverse, REAL least)
{
    REAL own = alpha * inverse;
    return own / REAL_MAX(REAL_SET(1) - own, least * inverse);
}

/* Adds one channel: its colour changes by `change` and is `off` the target. */
HOST_DEVICE static inline REAL FORMULA(importance_add)(REAL change, REAL off, REAL share)
{
    return REAL_FMA(change, REAL_FMA(REAL_SET(2), off, change), share);
}

/* A pixel's share, cut at `most`, NaN as the least, times how much the pixel counts. */
HOST_DEVICE static inline REAL FORMULA(importance_counted)(REAL share, REAL most, REAL counts)
{
    return REAL_MIN(REAL_MAX(share, REAL_SET(0) - most), most) * counts;
}

#undef REAL
#undef FORMULA
#undef REAL_FMA
#undef REAL_SET
#undef REAL_MIN
#undef REAL_MAX
