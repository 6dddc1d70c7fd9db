/* The quadratic form of one pixel. A template over REAL: see math/real.h.
 *
 * In units of log2, so that alpha = 2^-power:
 *   power = A dx^2 + B dx dy + C dy^2 with (A, B, C) = (a, 2b, d) / (2 ln 2), conic (a, b, d).
 * A row of pixels shares row_linear = B dy and row_constant = C dy^2. */
HOST_DEVICE static inline REAL FORMULA(gaussian_power)(REAL A, REAL row_linear, REAL row_constant,
                                                       REAL dx)
{
    return REAL_FMA(REAL_FMA(A, dx, row_linear), dx, row_constant);
}

#undef REAL
#undef FORMULA
#undef REAL_FMA
