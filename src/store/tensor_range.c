#include "store/tensor_range.h"

#include <math.h>
#include <string.h>

/* IEEE binary16; the first 16 bits of a binary32 are a bfloat16. */
static double tensor_range_half_value(uint16_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double value = exponent == 31  ? (fraction ? (double)NAN : (double)INFINITY)
                   : exponent == 0 ? ldexp(fraction, -24)
                                   : ldexp(1024 + fraction, exponent - 25);
    return bits >> 15 ? -value : value;
}

static double bfloat_value(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return (double)value;
}

double tensor_number(const struct store_tensor *tensor, size_t i)
{
    const void *data = tensor->data;
    switch (tensor->type) {
    case TENSOR_F32: return (double)((const float *)data)[i];
    case TENSOR_F16: return tensor_range_half_value(((const uint16_t *)data)[i]);
    case TENSOR_BF16: return bfloat_value(((const uint16_t *)data)[i]);
    case TENSOR_F64: return ((const double *)data)[i];
    case TENSOR_I32: return ((const int32_t *)data)[i];
    case TENSOR_I64: return (double)((const int64_t *)data)[i];
    case TENSOR_U16: return ((const uint16_t *)data)[i];
    case TENSOR_U32: return ((const uint32_t *)data)[i];
    case TENSOR_I8: return ((const int8_t *)data)[i];
    case TENSOR_I16: return ((const int16_t *)data)[i];
    case TENSOR_U64: return (double)((const uint64_t *)data)[i];
    case TENSOR_U8:
    case TENSOR_BOOL: return ((const uint8_t *)data)[i];
    }
    return (double)NAN;
}

struct tensor_range tensor_range(const struct store_tensor *tensor)
{
    struct tensor_range range = {.min = (double)NAN, .max = (double)NAN};
    size_t count = tensor->bytes / tensor_type_bytes(tensor->type);
    range.count = (int64_t)count;
    for (size_t i = 0; i < count; i++) {
        double value = tensor_number(tensor, i);
        if (!isfinite(value)) {
            range.nonfinite++;
            continue;
        }
        if (!(range.min <= value)) range.min = value;
        if (!(range.max >= value)) range.max = value;
    }
    return range;
}
