/* Formulas are written once, over the type REAL, and compiled for float, double, SIMD vectors and
 * CUDA: a header of formulas is a template that is included after defining
 *     REAL            the type: float, double or a SIMD vector
 *     FORMULA(name)   the name of an instance, e.g. name##_f32
 *     REAL_FMA(a,b,c) a * b + c, fused where the hardware can
 *     REAL_SET(x)     the constant x in all lanes (where a template needs it)
 * and undefines all of them at its end. This header holds the scalar instances' definitions. */
#ifndef IMGTRAIN_MATH_REAL_H
#define IMGTRAIN_MATH_REAL_H

#include "base/host_device.h"

/* fmaf() without FMA instructions is a slow library call, so contract only where it is one. */
#if defined(__FMA__) || defined(__CUDACC__) || defined(__aarch64__)
#define FMA_F32(a, b, c) __builtin_fmaf((a), (b), (c))
#else
#define FMA_F32(a, b, c) ((a) * (b) + (c))
#endif
#define FMA_F64(a, b, c) ((a) * (b) + (c))

#endif
