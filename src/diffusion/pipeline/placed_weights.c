#include "diffusion/pipeline/placed_weights.h"

#include "base/error.h"

#include <string.h>

const char *pipeline_weights_name(enum pipeline_weights weights)
{
    static const char *const names[] = {[PIPELINE_AS_STORED] = "f32",
                                        [PIPELINE_BF16] = "bf16",
                                        [PIPELINE_INT8] = "int8",
                                        [PIPELINE_AUTO] = "auto"};
    return names[weights];
}

bool pipeline_weights_find(const char *name, enum pipeline_weights *weights)
{
    for (int i = PIPELINE_AS_STORED; i <= PIPELINE_AUTO; i++)
        if (strcmp(name, pipeline_weights_name((enum pipeline_weights)i)) == 0) {
            *weights = (enum pipeline_weights)i;
            return true;
        }
    return false;
}

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
    if (type == TENSOR_I8) return TOKEN_I8;
    return type == TENSOR_BF16 ? TOKEN_BF16 : type == TENSOR_F16 ? TOKEN_F16 : TOKEN_F32;
}

enum tensor_type placed_type(bool is_matrix, enum tensor_type stored, enum pipeline_weights weights)
{
    if (!is_matrix) return TENSOR_F32;
    if (weights == PIPELINE_AS_STORED || weights == PIPELINE_AUTO) return stored;
    return weights == PIPELINE_BF16 ? TENSOR_BF16 : TENSOR_I8;
}
