/* Weights of a model folder as a component of a placement asks for them: where they are mapped, or
 * by reading their files. */
#ifndef IMGTRAIN_DIFFUSION_PIPELINE_PLACED_WEIGHTS_H
#define IMGTRAIN_DIFFUSION_PIPELINE_PLACED_WEIGHTS_H

#include "device/token_ops.h"
#include "store/shards.h"
#include "store/tensor.h"

struct placed_weights {
    const struct store_tensor *const *tensors;
    int count;
    const struct store_shards *shards; /* that they are read from; NULL: they are only mapped */
};

/* How networks of blocks get their matrices. */
enum pipeline_weights {
    PIPELINE_AS_STORED, /* computed with in f32 */
    PIPELINE_BF16,      /* rounded to it; products of bf16 where they pay (token_ops.bf16) */
    PIPELINE_INT8,      /* each row as whole numbers -127..127 and a scale; computed with in f32 */
    PIPELINE_AUTO       /* as stored; those in bf16 as with PIPELINE_BF16 */
};

/* By the name that users have for it: f32, bf16, int8, auto. false: none. */
bool pipeline_weights_find(const char *name, enum pipeline_weights *weights);
const char *pipeline_weights_name(enum pipeline_weights weights);

/* For struct placement_source: open and (with shards) read; context: a struct placed_weights. */
int placed_weights_map(void *context, const void **data);
int placed_weights_read(void *context, int tensor, void *to);

/* A matrix of this type as an operand. */
enum token_type placed_token_type(enum tensor_type type);
/* In which type a tensor is handed over: vectors as fp32. */
enum tensor_type placed_type(bool is_matrix, enum tensor_type stored,
                             enum pipeline_weights weights);

#endif
