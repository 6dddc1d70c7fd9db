/* The quadratic form of one pixel. A template over REAL: see math/real.h.
 *
 * In units of log2, so that alpha = 2^-power:
 *   power = A dx^2 + B dx dy + C dy^2 with (A, B, C) = (a, 2b, d) / (2 ln 2), conic (a, b, d).
 * A column of pixels shares column_square = A dx^2 and column_linear = B dx, a row
 * row_square = C dy^2. */
HOST_DEVICE static inline REAL FORMULA(gaussian_power)(REAL column_square, REAL column_linear,
                                                       REAL dy, REAL row_square)
{
    return REAL_FMA(column_linear, dy, column_square) + row_square;
}

#undef REAL
#undef FORMULA
#undef REAL_FMA
