/* Rotary positions: pairs of numbers are turned by angles that grow with the token's position. */
#ifndef IMGTRAIN_MATH_ROPE_H
#define IMGTRAIN_MATH_ROPE_H

#include "base/host_device.h"

#include <stddef.h>

/* Where the first and the second number of a pair lie in a head. */
HOST_DEVICE static inline size_t rope_first(int pair, int halves)
{
    return (size_t)(halves ? pair : 2 * pair);
}

HOST_DEVICE static inline size_t rope_second(int pair, int head_dim, int halves)
{
    return (size_t)(halves ? pair + head_dim / 2 : 2 * pair + 1);
}

/* By the angle; by its negative, which is the adjoint, where `sine` is negated. */
HOST_DEVICE static inline void rope_turn(float *a, float *b, float cosine, float sine)
{
    float x = *a, y = *b;
    *a = x * cosine - y * sine;
    *b = x * sine + y * cosine;
}

#endif
