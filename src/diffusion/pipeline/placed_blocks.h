/* A network of a model folder as a component of a placement: a block of the network is a block
 * there, and the passes' source acquires and releases it. */
#ifndef IMGTRAIN_DIFFUSION_PIPELINE_PLACED_BLOCKS_H
#define IMGTRAIN_DIFFUSION_PIPELINE_PLACED_BLOCKS_H

#include "diffusion/blocks/block_list.h"
#include "diffusion/pipeline/placed_weights.h"
#include "placement/placement.h"

/* What a stage of forward passes takes: memory declares the network's buffers, and does so anew
 * when it is called again; declare_more (or NULL): what the pipeline needs besides, in the same
 * plan. */
struct placed_passes {
    int64_t count;
    double work; /* operations of one */
    int (*memory)(void *context, struct plan *plan);
    void *context;
    int (*declare_more)(void *context, struct plan *plan);
    void *more;
};

struct placed_blocks {
    const struct block_list *list;
    struct placed_weights weights;
    bool bf16;
    struct placement *placement;
    int component;
    struct placement_tensor *tensors;
    struct placement_block *blocks;
    char *key;
    struct placed_passes passes; /* of the present stage */
};

/* weights: of the list's tensors, in that order, mapped while this is open; NULL (with `stored`,
 * the type of all) where forecasts alone are wanted. matrices: how they are placed. bf16: those
 * in bf16 are multiplied as such, else the passes compute in fp32 from any of them. key: which
 * files they are. */
struct placed_setup {
    const char *name; /* of the component: "denoiser" */
    const struct block_list *list;
    const struct store_tensor *const *weights;
    enum tensor_type stored;
    enum pipeline_weights matrices;
    bool bf16;
    const char *key;
    const struct store_shards *shards; /* for placements by reading; NULL: they are only mapped */
};

/* Adds the component; placed_blocks_close, after placement_close, takes it in any case. */
int placed_blocks_open(struct placed_blocks *placed, struct placement *placement,
                       const struct placed_setup *setup);
void placed_blocks_close(struct placed_blocks *placed);
struct block_source placed_blocks_source(struct placed_blocks *placed);
/* The stage "denoise"; one at a time. The struct must stay where it is. */
struct placement_stage placed_blocks_stage(struct placed_blocks *placed,
                                           const struct placed_passes *passes);

#endif
