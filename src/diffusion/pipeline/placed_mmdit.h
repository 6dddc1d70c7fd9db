/* MMDiT as the denoiser of a pipeline: its blocks in a placement, and the stage that works through
 * them. */
#ifndef IMGTRAIN_DIFFUSION_PIPELINE_PLACED_MMDIT_H
#define IMGTRAIN_DIFFUSION_PIPELINE_PLACED_MMDIT_H

#include "diffusion/mmdit/mmdit.h"
#include "diffusion/pipeline/placed_blocks.h"

struct placed_mmdit {
    const struct mmdit_model *model;
    struct placed_blocks blocks;

    /* a stage: */
    struct mmdit mmdit;
    struct mmdit_size size;
    struct device *device;
};

/* Adds the component; name and list of the setup are the model's. placed_mmdit_close, after
 * placement_close, takes it in any case. */
int placed_mmdit_open(struct placed_mmdit *placed, struct placement *placement,
                      struct device *device, const struct mmdit_model *model,
                      const struct placed_setup *setup);
void placed_mmdit_close(struct placed_mmdit *placed);

/* A stage of so many forward passes over batches of this size, for forecasts and
 * placed_mmdit_begin. declare_more (or NULL): what the pipeline needs besides, in the same plan.
 * One stage at a time; the struct must stay where it is. */
struct placement_stage placed_mmdit_stage(struct placed_mmdit *placed,
                                          const struct mmdit_size *size, int64_t passes,
                                          int (*declare_more)(void *context, struct plan *plan),
                                          void *more);

/* placement_begin; then mmdit_forward(&placed->mmdit, &source, ...) so many times, with the source
 * of placed_blocks_source; placement_end. */
int placed_mmdit_begin(struct placed_mmdit *placed, const struct placement_stage *stage);

#endif
