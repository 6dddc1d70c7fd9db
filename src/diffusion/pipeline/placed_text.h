/* The text encoder of a model folder as a component of a placement: a layer is a block. The
 * embedding is no part of it: its rows are gathered where they are mapped. */
#ifndef IMGTRAIN_DIFFUSION_PIPELINE_PLACED_TEXT_H
#define IMGTRAIN_DIFFUSION_PIPELINE_PLACED_TEXT_H

#include "diffusion/pipeline/placed_weights.h"
#include "diffusion/text_encoder/qwen3.h"
#include "placement/placement.h"

struct placed_text {
    const struct qwen3_model *model;
    struct placed_weights weights;
    struct placement *placement;
    struct device *device;
    int component;
    struct placement_tensor *tensors;
    struct placement_block *blocks;
    char (*names)[32]; /* of blocks */
    char *key;

    /* a stage: */
    struct qwen3 qwen;
    struct qwen3_size size;
};

/* weights: of model->tensors, in that order, mapped while this is open. `half`, shards: as in
 * placed_dit.h. key: which files they are. */
struct placed_text_setup {
    const struct qwen3_model *model;
    const struct store_tensor *const *weights;
    bool half;
    const char *key;
    const struct store_shards *shards;
};

/* Adds the component, of a model with layers; placed_text_close, after placement_close, takes it in
 * any case, also zeroed. The struct must stay where it is. */
int placed_text_open(struct placed_text *placed, struct placement *placement, struct device *device,
                     const struct placed_text_setup *setup);
void placed_text_close(struct placed_text *placed);

/* The stage that makes features of prompts of this size. */
struct placement_stage placed_text_stage(struct placed_text *placed, const struct qwen3_size *size);

/* Within placement_begin and placement_end of the stage: rows of the embedding become features,
 * both [tokens][hidden] of the host. */
int placed_text_run(struct placed_text *placed, float *rows, bool (*stop_requested)(void));

#endif
