/* Weights of one type as another, while they are placed. */
#include "base/error.h"
#include "base/threads.h"
#include "math/bf16.h"
#include "math/half.h"
#include "placement/placement_internal.h"

#include <string.h>

bool placement_converts(enum tensor_type from, enum tensor_type to)
{
    bool is_float = from == TENSOR_F32 || from == TENSOR_BF16 || from == TENSOR_F16;
    return from == to || (is_float && (to == TENSOR_F32 || to == TENSOR_BF16));
}

struct conversion {
    void *to;
    const void *from;
    enum tensor_type to_type, from_type;
};

/* A file's numbers may lie at any multiple of their size, a placed one's do not matter either. */
static float placement_stored_value(const struct conversion *c, int64_t i)
{
    float value;
    uint16_t half;
    if (c->from_type == TENSOR_F32) {
        memcpy(&value, (const char *)c->from + 4 * i, sizeof value);
        return value;
    }
    memcpy(&half, (const char *)c->from + 2 * i, sizeof half);
    return c->from_type == TENSOR_BF16 ? bf16_value(half) : half_half_value(half);
}

static void convert_range(void *context, int64_t from, int64_t to)
{
    const struct conversion *c = context;
    if (c->to_type == TENSOR_F32)
        for (int64_t i = from; i < to; i++)
            ((float *)c->to)[i] = placement_stored_value(c, i);
    else
        for (int64_t i = from; i < to; i++)
            ((uint16_t *)c->to)[i] = bf16_round(placement_stored_value(c, i));
}

int placement_convert(void *to, enum tensor_type to_type, const void *from,
                      enum tensor_type from_type, size_t count)
{
    struct conversion c = {to, from, to_type, from_type};
    if (from_type == to_type)
        threads_copy(to, from, count * tensor_type_bytes(to_type));
    else if (placement_converts(from_type, to_type))
        threads_for((int64_t)count, threads_grain(2), convert_range, &c);
    else
        return fail(ERR_INTERNAL, "%s as %s", tensor_type_name(from_type),
                    tensor_type_name(to_type));
    return OK;
}
