/* The denoiser of a model folder as a component of a placement: a block of the network is a block
 * there, and the passes' source acquires and releases it. */
#ifndef IMGTRAIN_DIFFUSION_PIPELINE_PLACED_DIT_H
#define IMGTRAIN_DIFFUSION_PIPELINE_PLACED_DIT_H

#include "diffusion/dit/s3dit.h"
#include "diffusion/pipeline/placed_weights.h"
#include "placement/placement.h"

struct placed_dit {
    const struct s3dit_model *model;
    struct placed_weights weights;
    struct placement *placement;
    int component;
    struct placement_tensor *tensors;
    struct placement_block *blocks;
    char (*names)[32]; /* of blocks */
    char *key;

    /* a stage: */
    struct s3dit dit;
    struct s3dit_size size;
    struct device *device;
    int (*declare_more)(void *context, struct plan *plan);
    void *more;
};

/* weights: of model->tensors, in that order, mapped while this is open; NULL (with `stored`, the
 * type of all) where forecasts alone are wanted. `half`: matrices are placed as bf16; else as they
 * are stored, which the passes compute in fp32 from. key: which files they are. */
struct placed_dit_setup {
    const struct s3dit_model *model;
    const struct store_tensor *const *weights;
    enum tensor_type stored;
    bool half;
    const char *key;
    const struct store_shards *shards; /* for placements by reading; NULL: they are only mapped */
};

/* Adds the component; placed_dit_close, after placement_close, takes it in any case. */
int placed_dit_open(struct placed_dit *placed, struct placement *placement, struct device *device,
                    const struct placed_dit_setup *setup);
void placed_dit_close(struct placed_dit *placed);

/* A stage of so many forward passes over batches of this size, for forecasts and
 * placed_dit_begin. declare_more (or NULL): what the pipeline needs besides, in the same plan. One
 * stage at a time; the struct must stay where it is. */
struct placement_stage placed_dit_stage(struct placed_dit *placed, const struct s3dit_size *size,
                                        int64_t passes,
                                        int (*declare_more)(void *context, struct plan *plan),
                                        void *more);

/* placement_begin; then s3dit_forward(&placed->dit, &source, ...) so many times; placement_end. */
int placed_dit_begin(struct placed_dit *placed, const struct placement_stage *stage);
struct s3dit_source placed_dit_source(struct placed_dit *placed);

#endif
