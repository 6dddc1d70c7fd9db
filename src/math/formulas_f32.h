/* Formulas of networks for floats, as the plain reference and CUDA use them: NAME_f32. */
#ifndef IMGTRAIN_MATH_FORMULAS_F32_H
#define IMGTRAIN_MATH_FORMULAS_F32_H

#include "math/real.h"

#include <math.h>

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) FMA_F32(a, b, c)
#define REAL_SET(x) (x)
#define REAL_SIGMOID(x) (1 / (1 + expf(-(x))))
#include "math/pointwise.h"

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) FMA_F32(a, b, c)
#define REAL_SET(x) (x)
#include "math/token_norm.h"

#endif
