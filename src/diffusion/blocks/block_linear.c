#include "diffusion/blocks/block_linear.h"

#include "device/device.h"

struct token_linear block_linear_of(const struct block_tensor *tensor,
                                    const struct block_weights *weights, int rows)
{
    const char *weight = weights->at[tensor->slot];
    enum token_type type = weights->type[tensor->slot];
    size_t scales = token_scales_at(tensor->count);
    return (struct token_linear){
        .rows = rows,
        .in = (int)tensor->shape[1],
        .out = (int)tensor->shape[0],
        .weight = weight,
        .weight_type = type,
        .bf16 = type == TOKEN_BF16 && weights->bf16,
        .weight_scales = type == TOKEN_I8 ? (const float *)(const void *)(weight + scales) : NULL,
    };
}

size_t block_linear_workspace(const struct device *device, const struct block_tensor *tensor,
                              int rows, int chunk)
{
    size_t most = 0;
    for (int type = TOKEN_F32; type <= TOKEN_I8; type++) {
        const struct token_linear linear = {.rows = rows,
                                            .in = (int)tensor->shape[1],
                                            .out = (int)tensor->shape[0],
                                            .weight_type = (enum token_type)type,
                                            .chunk = chunk};
        size_t bytes = device->token->linear_workspace(device, &linear);
        if (most < bytes) most = bytes;
    }
    return most;
}
