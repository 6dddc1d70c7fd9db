/* A block's matrix as an operand of device/token_ops.h. */
#ifndef IMGTRAIN_DIFFUSION_BLOCKS_BLOCK_LINEAR_H
#define IMGTRAIN_DIFFUSION_BLOCKS_BLOCK_LINEAR_H

#include "diffusion/blocks/block_list.h"

struct device;

/* weights: of the tensor's block. */
struct token_linear block_linear_of(const struct block_tensor *tensor,
                                    const struct block_weights *weights, int rows);
/* Bytes of workspace for so many rows, of whatever type the weights are; chunk 0: without wgrad. */
size_t block_linear_workspace(const struct device *device, const struct block_tensor *tensor,
                              int rows, int chunk);

#endif
