/* A text encoder of a model folder as a component of a placement. The embedding is no part of it:
 * its rows are gathered where they are mapped. */
#ifndef IMGTRAIN_DIFFUSION_PIPELINE_PLACED_TEXT_H
#define IMGTRAIN_DIFFUSION_PIPELINE_PLACED_TEXT_H

#include "diffusion/pipeline/placed_blocks.h"
#include "diffusion/text_encoder/text_layers.h"

struct placed_text {
    struct text_encoder encoder;
    struct placed_blocks blocks;
    struct device *device;

    /* a stage: */
    struct text_pass pass;
    struct text_size size;
};

/* Adds the component; the list of the setup is the encoder's. placed_text_close, after
 * placement_close, takes it in any case, also zeroed. The struct must stay where it is. */
int placed_text_open(struct placed_text *placed, struct placement *placement, struct device *device,
                     const struct text_encoder *encoder, const struct placed_setup *setup);
void placed_text_close(struct placed_text *placed);

/* The stage `name` that works through prompts of this size. */
struct placement_stage placed_text_stage(struct placed_text *placed, const char *name,
                                         const struct text_size *size);

/* Within placement_begin and placement_end of the stage: rows of the embedding [tokens][width] of
 * the host become what the encoder makes of them (text_layers.h). table: of text_pass_connect. */
int placed_text_run(struct placed_text *placed, const float *table, float *rows,
                    bool (*stop_requested)(void));

#endif
