/* Functions that networks apply to each number alone, and their slopes (enum
 * nn_pointwise_function; enum token_activation). A template over REAL: see math/real.h. It also
 * needs REAL_SIGMOID(x) = 1 / (1 + exp(-x)). */
#ifndef IMGTRAIN_MATH_POINTWISE_H
#define IMGTRAIN_MATH_POINTWISE_H
/* The mean colour that SPAN's first version took off its input, and what it multiplied by. */
#define POINTWISE_RGB_MEAN(channel) ((channel) == 0 ? 0.4488f : (channel) == 1 ? 0.4371f : 0.4040f)
#define POINTWISE_RGB_RANGE 255.0f
/* What ESRGAN's blocks change their input by is multiplied by this. */
#define POINTWISE_RESIDUAL 0.2f
#endif

#ifdef REAL

HOST_DEVICE static inline REAL FORMULA(pointwise_silu)(REAL x)
{
    return x * REAL_SIGMOID(x);
}

HOST_DEVICE static inline REAL FORMULA(pointwise_silu_slope)(REAL x)
{
    REAL s = REAL_SIGMOID(x);
    return REAL_FMA(x * s, REAL_SET(1) - s, s);
}

/* SPAN's attention without parameters: `change` and what it changes, by how far it is from 0. */
HOST_DEVICE static inline REAL FORMULA(pointwise_gate)(REAL change, REAL x)
{
    return (change + x) * (REAL_SIGMOID(change) - REAL_SET(0.5f));
}

HOST_DEVICE static inline REAL FORMULA(pointwise_gate_slope_of_change)(REAL change, REAL x)
{
    REAL s = REAL_SIGMOID(change);
    return REAL_FMA((change + x) * s, REAL_SET(1) - s, s - REAL_SET(0.5f));
}

HOST_DEVICE static inline REAL FORMULA(pointwise_gate_slope_of_x)(REAL change)
{
    return REAL_SIGMOID(change) - REAL_SET(0.5f);
}

HOST_DEVICE static inline REAL FORMULA(pointwise_rgb_range)(REAL x, int channel)
{
    return (x - REAL_SET(POINTWISE_RGB_MEAN(channel))) * REAL_SET(POINTWISE_RGB_RANGE);
}

HOST_DEVICE static inline REAL FORMULA(pointwise_residual)(REAL change, REAL x)
{
    return REAL_FMA(change, REAL_SET(POINTWISE_RESIDUAL), x);
}

/* 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))); (1 + tanh(u)) / 2 is the sigmoid of 2 u. */
HOST_DEVICE static inline REAL FORMULA(pointwise_gelu_tanh)(REAL x)
{
    REAL u = REAL_FMA(x * x, x * REAL_SET(0.044715f), x);
    return x * REAL_SIGMOID(u * REAL_SET(1.5957691216f));
}

/* GELU as CLIP approximates it. */
HOST_DEVICE static inline REAL FORMULA(pointwise_gelu_quick)(REAL x)
{
    return x * REAL_SIGMOID(x * REAL_SET(1.702f));
}

/* How two halves of a transformer's feed-forward layer become one: h = silu(a) c. */
HOST_DEVICE static inline REAL FORMULA(pointwise_swiglu)(REAL a, REAL c)
{
    return a * REAL_SIGMOID(a) * c;
}

HOST_DEVICE static inline REAL FORMULA(pointwise_swiglu_da)(REAL dh, REAL a, REAL c)
{
    REAL s = REAL_SIGMOID(a);
    return dh * c * s * REAL_FMA(a, REAL_SET(1) - s, REAL_SET(1));
}

HOST_DEVICE static inline REAL FORMULA(pointwise_swiglu_dc)(REAL dh, REAL a)
{
    return dh * a * REAL_SIGMOID(a);
}

/* The same with gelu_tanh in silu's place. */
HOST_DEVICE static inline REAL FORMULA(pointwise_geglu)(REAL a, REAL c)
{
    return FORMULA(pointwise_gelu_tanh)(a) * c;
}

#undef REAL
#undef FORMULA
#undef REAL_FMA
#undef REAL_SET
#undef REAL_SIGMOID
#endif
