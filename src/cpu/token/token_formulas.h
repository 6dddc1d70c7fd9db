/* The formulas of math/ for floats, as the plain reference uses them: NAME_f32. */
#ifndef IMGTRAIN_CPU_TOKEN_TOKEN_FORMULAS_H
#define IMGTRAIN_CPU_TOKEN_TOKEN_FORMULAS_H

#include "math/real.h"

#include <math.h>

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) FMA_F32(a, b, c)
#define REAL_SET(x) (x)
#define REAL_SIGMOID(x) (1 / (1 + expf(-(x))))
#include "math/activation.h"

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) FMA_F32(a, b, c)
#define REAL_SET(x) (x)
#include "math/token_norm.h"

#endif
