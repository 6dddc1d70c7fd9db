/* Resampling by two with the taps 1/8, 3/8, 3/8, 1/8: a large pixel lies beside a near and a far
 * small one in each direction, and its adjoint has two near and two far ones. */
#ifndef IMGTRAIN_MATH_FIR_H
#define IMGTRAIN_MATH_FIR_H

#include "base/host_device.h"

#define FIR_NEAR 0.375f
#define FIR_FAR 0.125f

HOST_DEVICE static inline float fir_mix(float near_value, float far_value)
{
    return FIR_NEAR * near_value + FIR_FAR * far_value;
}

#endif
