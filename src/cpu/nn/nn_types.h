/* Elements of tensors that are stored as floats or as bf16. */
#ifndef IMGTRAIN_CPU_NN_NN_TYPES_H
#define IMGTRAIN_CPU_NN_NN_TYPES_H

#include "device/nn_ops.h"
#include "math/bf16.h"

static inline float nn_get(const void *x, enum nn_type type, size_t i)
{
    return type == NN_BF16 ? bf16_value(((const uint16_t *)x)[i]) : ((const float *)x)[i];
}

static inline void nn_put(void *x, enum nn_type type, size_t i, float value)
{
    if (type == NN_BF16)
        ((uint16_t *)x)[i] = bf16_round(value);
    else
        ((float *)x)[i] = value;
}

/* The address of element i. */
static inline const void *nn_from(const void *x, enum nn_type type, size_t i)
{
    return (const char *)x + i * nn_type_bytes(type);
}

static inline void *nn_to(void *x, enum nn_type type, size_t i)
{
    return (char *)x + i * nn_type_bytes(type);
}

/* `count` elements from i on as floats: where they lie, or widened into `room`. */
static inline const float *nn_floats(const void *x, enum nn_type type, size_t i, size_t count,
                                     float *room)
{
    if (type == NN_F32) return (const float *)x + i;
    const uint16_t *from = (const uint16_t *)x + i;
    for (size_t j = 0; j < count; j++)
        room[j] = bf16_value(from[j]);
    return room;
}

/* Where to write `count` elements from i on as floats: in place, or `room`, which nn_rounded then
 * stores. */
static inline float *nn_target(void *x, enum nn_type type, size_t i, float *room)
{
    return type == NN_F32 ? (float *)x + i : room;
}

static inline void nn_rounded(void *x, enum nn_type type, size_t i, size_t count, const float *room)
{
    if (type == NN_F32) return;
    uint16_t *to = (uint16_t *)x + i;
    for (size_t j = 0; j < count; j++)
        to[j] = bf16_round(room[j]);
}

#endif
