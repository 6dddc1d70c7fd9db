/* A network as a row of blocks, worked through in their order, and the one list of its tensors that
 * the memory plan, the loader of model files, the writer, the placement and the training all walk.
 * A pass gets its weights from a source, block by block: training hands out its flat range, a
 * placement what it has just copied; neither is known to the network. */
#ifndef IMGTRAIN_DIFFUSION_BLOCKS_BLOCK_LIST_H
#define IMGTRAIN_DIFFUSION_BLOCKS_BLOCK_LIST_H

#include "device/token_ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BLOCK_SLOTS = 32 }; /* no block has more tensors */

struct block_tensor {
    char name[64]; /* in the model's files */
    int dims;
    int64_t shape[2];
    int block, slot;
    bool is_matrix; /* weights of a linear layer: files may have them in half precision and the
                       network computes from that; all others are handed over as fp32. AdamW
                       decays matrices alone */
    size_t offset, count; /* floats in the flat range of a training: matrices first */
    float std;            /* of the normal distribution it starts from, cut at two; 0: at `start` */
    float start;
};

struct block_list {
    struct block_tensor *tensors; /* block by block, slots rising */
    int tensor_count;
    int block_count;
    char (*names)[40]; /* of blocks */
    int *first;    /* [block_count + 1]: a block's first tensor; slot s is the s-th from there */
    size_t floats; /* of the flat range, padding included */
    size_t matrix_floats;   /* of them, the matrices, which come first */
    size_t parameter_total; /* numbers, without padding */
};

/* Room for so many blocks; block_list_free takes it in any case. Then for each block
 * block_list_begin and block_list_add of its tensors, in the order of their slots; columns 0: a
 * vector. The caller fills in the rest of what block_list_add returns. block_list_finish lays the
 * flat range out. */
int block_list_create(struct block_list *list, int blocks);
void block_list_begin(struct block_list *list, const char *name);
struct block_tensor *block_list_add(struct block_list *list, int64_t rows, int64_t columns);
void block_list_finish(struct block_list *list);
void block_list_free(struct block_list *list);

/* ERR_DATA, naming the key of a network's config.json, unless least <= value <= most. */
int block_check_range(const char *key, int64_t value, int64_t least, int64_t most);

/* NULL where the block has none. */
const struct block_tensor *block_tensor_of(const struct block_list *list, int block, int slot);

/* Of one block, by slot: at[] is NULL where the block has none. Vectors are always fp32. Scales of
 * TOKEN_I8 lie with the numbers, token_scales_at() bytes from them. */
struct block_weights {
    const void *at[BLOCK_SLOTS];
    enum token_type type[BLOCK_SLOTS];
    bool bf16; /* matrices of TOKEN_BF16: products of bf16 (struct token_linear) */
};

/* Blocks are acquired in their order (backward: in the reverse one), one at a time, and released
 * when their operations have been asked for. */
struct block_source {
    int (*acquire)(void *context, int block, struct block_weights *weights);
    int (*release)(void *context, int block);
    void *context;
};

/* The flat range of a training. `flat` must stay while the source is used. */
struct block_flat {
    const struct block_list *list;
    const float *parameters;
};
struct block_source block_flat_source(struct block_flat *flat);

#endif
