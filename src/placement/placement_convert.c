/* Weights of one type as another, while they are placed. */
#include "base/error.h"
#include "base/threads.h"
#include "device/token_ops.h"
#include "math/bf16.h"
#include "math/half.h"
#include "placement/placement_internal.h"

#include <float.h>
#include <string.h>

bool placement_converts(enum tensor_type from, enum tensor_type to)
{
    bool is_float = from == TENSOR_F32 || from == TENSOR_BF16 || from == TENSOR_F16;
    bool is_target = to == TENSOR_F32 || to == TENSOR_BF16 || to == TENSOR_I8;
    return from == to || (is_float && is_target);
}

size_t placement_wanted_bytes(const struct placement_tensor *tensor)
{
    if (tensor->wanted != TENSOR_I8) return tensor->count * tensor_type_bytes(tensor->wanted);
    return token_scales_at(tensor->count) + tensor->count / tensor->row * sizeof(float);
}

struct conversion {
    void *to;
    const void *from;
    enum tensor_type to_type, from_type;
    size_t row;    /* numbers of one, and */
    float *scales; /* their scales: of I8 */
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

enum { ROW_PIECE = 1024 };

/* `count` stored numbers from i on, in loops that a compiler makes vector code of. */
static void widen_piece(const struct conversion *c, int64_t i, int64_t count, float *out)
{
    uint16_t halves[ROW_PIECE];
    if (c->from_type == TENSOR_F32) {
        memcpy(out, (const char *)c->from + 4 * i, (size_t)count * sizeof *out);
        return;
    }
    memcpy(halves, (const char *)c->from + 2 * i, (size_t)count * sizeof *halves);
    if (c->from_type == TENSOR_BF16)
        for (int64_t j = 0; j < count; j++)
            out[j] = bf16_value(halves[j]);
    else
        for (int64_t j = 0; j < count; j++)
            out[j] = half_half_value(halves[j]);
}

/* The bits of the largest size among the numbers; those of infinity and NaN are the largest of all.
 */
static uint32_t piece_most(const float *numbers, int64_t count)
{
    uint32_t most = 0, bits[ROW_PIECE];
    memcpy(bits, numbers, (size_t)count * sizeof *bits);
    for (int64_t j = 0; j < count; j++) {
        uint32_t size = bits[j] & 0x7fffffff;
        most = size > most ? size : most;
    }
    return most;
}

static int64_t row_piece(const struct conversion *c, int64_t at)
{
    return (int64_t)c->row - at < ROW_PIECE ? (int64_t)c->row - at : ROW_PIECE;
}

/* The largest number of a row becomes 127. What is none stays none, in the scale. */
static void convert_rows(void *context, int64_t from, int64_t to)
{
    const struct conversion *c = context;
    float piece[ROW_PIECE];
    for (int64_t row = from; row < to; row++) {
        int64_t first = row * (int64_t)c->row, n;
        int8_t *out = (int8_t *)c->to + first;
        uint32_t bits = 0;
        for (int64_t at = 0; at < (int64_t)c->row; at += n) {
            n = row_piece(c, at);
            widen_piece(c, first + at, n, piece);
            uint32_t most = piece_most(piece, n);
            bits = most > bits ? most : bits;
        }
        float most;
        memcpy(&most, &bits, sizeof most);
        bool is_finite = most <= FLT_MAX;
        float scale = most / 127, inverse = scale > 0 && is_finite ? 1 / scale : 0;
        if (inverse > FLT_MAX) inverse = 0; /* below 1e-36 all of a row are as good as nothing */
        c->scales[row] = scale;
        for (int64_t at = 0; at < (int64_t)c->row; at += n) {
            n = row_piece(c, at);
            widen_piece(c, first + at, n, piece);
            for (int64_t j = 0; j < n; j++) {
                float x = is_finite ? piece[j] * inverse : 1;
                out[at + j] = (int8_t)(int)(x < 0 ? x - 0.5f : x + 0.5f);
            }
        }
    }
}

int placement_convert(void *to, const struct placement_tensor *tensor, const void *from)
{
    struct conversion c = {to, from, tensor->wanted, tensor->stored, tensor->row, NULL};
    if (tensor->stored == tensor->wanted) {
        threads_copy(to, from, placement_wanted_bytes(tensor));
    } else if (!placement_converts(tensor->stored, tensor->wanted)) {
        return fail(ERR_INTERNAL, "%s as %s", tensor_type_name(tensor->stored),
                    tensor_type_name(tensor->wanted));
    } else if (tensor->wanted == TENSOR_I8) {
        c.scales = (float *)((char *)to + token_scales_at(tensor->count));
        threads_for((int64_t)(tensor->count / tensor->row), threads_grain(4 * (int64_t)tensor->row),
                    convert_rows, &c);
    } else {
        threads_for((int64_t)tensor->count, threads_grain(2), convert_range, &c);
    }
    return OK;
}
