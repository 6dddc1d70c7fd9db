/* S3-DiT as the denoiser of a pipeline: its blocks in a placement, and the stage that works through
 * them. */
#ifndef IMGTRAIN_DIFFUSION_PIPELINE_PLACED_DIT_H
#define IMGTRAIN_DIFFUSION_PIPELINE_PLACED_DIT_H

#include "diffusion/dit/s3dit.h"
#include "diffusion/pipeline/placed_blocks.h"

struct placed_dit {
    const struct s3dit_model *model;
    struct placed_blocks blocks;

    /* a stage: */
    struct s3dit dit;
    struct s3dit_size size;
    struct device *device;
};

/* Adds the component; name and list of the setup are the model's. placed_dit_close, after
 * placement_close, takes it in any case. */
int placed_dit_open(struct placed_dit *placed, struct placement *placement, struct device *device,
                    const struct s3dit_model *model, const struct placed_setup *setup);
void placed_dit_close(struct placed_dit *placed);

/* A stage of so many forward passes over batches of this size, for forecasts and
 * placed_dit_begin. declare_more (or NULL): what the pipeline needs besides, in the same plan. One
 * stage at a time; the struct must stay where it is. */
struct placement_stage placed_dit_stage(struct placed_dit *placed, const struct s3dit_size *size,
                                        int64_t passes,
                                        int (*declare_more)(void *context, struct plan *plan),
                                        void *more);

/* placement_begin; then s3dit_forward(&placed->dit, &source, ...) so many times, with the source of
 * placed_blocks_source; placement_end. */
int placed_dit_begin(struct placed_dit *placed, const struct placement_stage *stage);

#endif
