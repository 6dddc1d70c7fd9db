/* Functions of one number that transformers apply, beside SiLU (math/pointwise.h), and how two
 * halves of a feed-forward layer become one: h = silu(a) c. A template over REAL: see math/real.h.
 * It also needs REAL_SIGMOID(x) = 1 / (1 + exp(-x)). */
#ifdef REAL

HOST_DEVICE static inline REAL FORMULA(activation_silu)(REAL x)
{
    return x * REAL_SIGMOID(x);
}

/* 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))); (1 + tanh(u)) / 2 is the sigmoid of 2 u. */
HOST_DEVICE static inline REAL FORMULA(activation_gelu_tanh)(REAL x)
{
    REAL u = REAL_FMA(x * x, x * REAL_SET(0.044715f), x);
    return x * REAL_SIGMOID(u * REAL_SET(1.5957691216f));
}

HOST_DEVICE static inline REAL FORMULA(activation_swiglu)(REAL a, REAL c)
{
    return a * REAL_SIGMOID(a) * c;
}

HOST_DEVICE static inline REAL FORMULA(activation_swiglu_da)(REAL dh, REAL a, REAL c)
{
    REAL s = REAL_SIGMOID(a);
    return dh * c * s * REAL_FMA(a, REAL_SET(1) - s, REAL_SET(1));
}

HOST_DEVICE static inline REAL FORMULA(activation_swiglu_dc)(REAL dh, REAL a)
{
    return dh * a * REAL_SIGMOID(a);
}

#undef REAL
#undef FORMULA
#undef REAL_FMA
#undef REAL_SET
#undef REAL_SIGMOID
#endif
