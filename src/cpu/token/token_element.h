/* Numbers of matrices that are stored as floats, bf16, fp16 or (without their scale) 8 bits.
 */
#ifndef IMGTRAIN_CPU_TOKEN_TOKEN_ELEMENT_H
#define IMGTRAIN_CPU_TOKEN_TOKEN_ELEMENT_H

#include "device/token_ops.h"
#include "math/bf16.h"
#include "math/half.h"

static inline float token_element(const void *matrix, enum token_type type, size_t i)
{
    if (type == TOKEN_F32) return ((const float *)matrix)[i];
    if (type == TOKEN_I8) return ((const int8_t *)matrix)[i];
    uint16_t bits = ((const uint16_t *)matrix)[i];
    return type == TOKEN_BF16 ? bf16_value(bits) : half_half_value(bits);
}

#endif
