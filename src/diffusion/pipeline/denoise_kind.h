/* What a pipeline does otherwise for each kind of network: how its component is opened, what it is
 * told besides image and text, and what its answer means. */
#ifndef IMGTRAIN_DIFFUSION_PIPELINE_DENOISE_KIND_H
#define IMGTRAIN_DIFFUSION_PIPELINE_DENOISE_KIND_H

#include "placement/placement.h"

#include <stdbool.h>

struct pipeline;
struct pipeline_watch;

/* Of a forward pass. height, width: of states. */
struct denoise_size {
    int samples, height, width;
    int text_rows;   /* of the longest text */
    bool mixed_text; /* the network's work depends on a sample's own text: kind->same_text */
};

struct denoise_kind {
    int time_features; /* numbers that a level of noise is told by */
    float sign;        /* of its answer, as the velocity: noise minus image */

    /* Adds the component; closed in any case, after placement_close. */
    int (*open)(struct pipeline *p);
    void (*close)(struct pipeline *p);
    bool (*same_text)(int rows, int others); /* whether texts of so many rows are the same work */
    /* The stage of so many passes at p->size, with the buffers of pipeline_declare_inputs. */
    struct placement_stage (*stage)(struct pipeline *p, int64_t passes);
    int (*begin)(struct pipeline *p, const struct placement_stage *stage);

    /* What it is told of so many images in all steps, besides their texts; NULL: nothing. */
    int (*tell)(struct pipeline *p, int samples);
    void (*tell_time)(const struct pipeline *p, float sigma, float *features);
    /* p->image [samples][height][width][channels] to p->out, with p->time, p->text, p->lengths. */
    int (*forward)(struct pipeline *p, int samples, const struct pipeline_watch *watch);
};

extern const struct denoise_kind denoise_s3dit, denoise_mmdit;

#endif
