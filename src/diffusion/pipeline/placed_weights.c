#include "diffusion/pipeline/placed_weights.h"

#include "base/error.h"

int placed_weights_map(void *context, const void **data)
{
    const struct placed_weights *weights = context;
    for (int t = 0; t < weights->count; t++)
        data[t] = weights->tensors[t]->data;
    return OK;
}

int placed_weights_read(void *context, int tensor, void *to)
{
    const struct placed_weights *weights = context;
    return store_shards_read(weights->shards, weights->tensors[tensor], to);
}

enum token_type placed_token_type(enum tensor_type type)
{
    return type == TENSOR_BF16 ? TOKEN_BF16 : type == TENSOR_F16 ? TOKEN_F16 : TOKEN_F32;
}

enum tensor_type placed_type(bool is_matrix, enum tensor_type stored, bool half)
{
    if (!is_matrix) return TENSOR_F32;
    return half ? TENSOR_BF16 : stored;
}
