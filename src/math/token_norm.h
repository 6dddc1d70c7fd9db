/* Norms of rows, scaled by what belongs to the row's sample, and gates: each beside its adjoint.
 * A template over REAL: see math/real.h.
 *
 *   n = (x - mean) r, r = (mean of (x - mean)^2 + eps)^-1/2     (RMS: mean = 0)
 *   y = n weight (1 + scale) + shift
 * With g = dy weight (1 + scale): dx = r (g - mean of g - n mean of (g n)), without the middle term
 * for RMS; dweight = sum dy n (1 + scale), dscale = sum dy n weight. */
#ifndef IMGTRAIN_MATH_TOKEN_NORM_H
#define IMGTRAIN_MATH_TOKEN_NORM_H
/* What the adjoint needs of a row; mean_g is 0 for RMS. */
struct token_norm_row {
    float mean, r, mean_g, mean_gn;
};
#endif

#ifdef REAL

HOST_DEVICE static inline REAL FORMULA(token_norm_unit)(REAL x, REAL mean, REAL r)
{
    return (x - mean) * r;
}

HOST_DEVICE static inline REAL FORMULA(token_norm_scaled)(REAL n, REAL weight, REAL scale)
{
    return n * weight * (REAL_SET(1) + scale);
}

HOST_DEVICE static inline REAL FORMULA(token_norm_dx)(REAL g, REAL n, REAL r, REAL mean_g,
                                                      REAL mean_gn)
{
    return r * (g - mean_g - n * mean_gn);
}

/* y = x + t u, t the gate's tanh; du = t dy, dgate = (1 - t^2) sum of dy u. A plain gate is t
 * itself, and dgate the sum. */
HOST_DEVICE static inline REAL FORMULA(token_gated)(REAL x, REAL t, REAL u)
{
    return REAL_FMA(t, u, x);
}

HOST_DEVICE static inline REAL FORMULA(token_dgate)(REAL t, REAL sum)
{
    return (REAL_SET(1) - t * t) * sum;
}

#undef REAL
#undef FORMULA
#undef REAL_FMA
#undef REAL_SET
#endif
