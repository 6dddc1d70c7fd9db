/* From noise to images with a model folder: text or class to image, image to image, inpainting. The
 * three differ in what they begin with and in what is put back after a step; weights pass through
 * the device as placement/ says. Of a model with a text encoder prompts become features before all
 * else, and its weights are given up then. Of a model with a VAE the steps are those of latents: an
 * init image is encoded before, what is made is decoded behind. An image depends on its own seed
 * alone, not on those beside it. */
#ifndef IMGTRAIN_DIFFUSION_PIPELINE_PIPELINE_H
#define IMGTRAIN_DIFFUSION_PIPELINE_PIPELINE_H

#include "diffusion/model/model_folder.h"
#include "diffusion/noise.h"
#include "diffusion/pipeline/placed_kl.h"
#include "diffusion/pipeline/placed_weights.h"
#include "placement/placement.h"

struct device;
struct pipeline;

/* What all images of a call share. Images are [channels][height][width] in -1..1, their sizes in
 * pixels, also where the network works on latents. */
struct pipeline_request {
    int width, height, steps;
    int rows[TEXT_MOST_ROWS], row_count;             /* of the prompt: of a table, or tokens */
    int without[TEXT_MOST_ROWS], without_count;      /* of what guidance leads away from */
    int pooled_rows[TEXT_MOST_POOLED], pooled_count; /* of the prompt: tokens for model->pooled */
    int text_length; /* rows that a text is filled up to, of a model that does so; else 0 */
    double guidance; /* 1 below the usual scale, 0: none; of a model that is guided by a number
                        the number */
    enum noise_kind noise;
    const float *init; /* NULL: noise alone */
    double strength;   /* with init, 0 < strength <= 1 */
    const float
        *mask; /* [height][width], with init: below .5 the image is kept; NULL: nowhere. Of
                  latents it is those that are kept: pixels pass through the VAE all the same */
    enum kl_tiling tiling;  /* of a VAE */
    const char *text_cache; /* folder of what text encoders made of prompts; NULL: none */
    int at_once;            /* images */
};

struct pipeline_watch {
    void (*step)(void *context, int done, int total); /* NULL: not told */
    /* Named tensors between stages: "noise", "step-001", ..., "picture"; of image `index`. NULL:
     * not told. */
    int (*tensor)(void *context, int index, const char *name, int dims, const int64_t *shape,
                  const float *data);
    bool (*stop_requested)(void); /* polled before each block of a step: ERR_STOPPED; NULL: never */
    void *context;
};

/* Of a model that is guided by texts, whether guidance leads anywhere: away from the prompt itself
 * it does not, and costs nothing. */
bool pipeline_request_is_guided(const struct pipeline_request *request);

/* model and device are borrowed. */
int pipeline_open(struct pipeline **pipeline, const struct model_folder *model,
                  struct device *device, const struct placement_options *options,
                  enum pipeline_weights weights);
/* Whether any of its products is one of bf16. */
bool pipeline_has_bf16(enum pipeline_weights weights, const struct model_folder *model,
                       const struct device *device);
void pipeline_close(struct pipeline *pipeline); /* accepts NULL */

/* Sides that are multiples of it have patches; and likewise noise in whole blocks too. */
int pipeline_patch_side(const struct model_folder *model);
int pipeline_size_step(const struct model_folder *model);
/* Whether sides that are multiples of pipeline_patch_side have noise in whole blocks. */
bool pipeline_draws_whole(const struct model_folder *model, int width, int height);

/* Checks a request and chooses how weights are placed for it; nothing is loaded. sigmas [steps + 1]
 * and *first: the levels of noise, and the one that it begins at. ERR_USAGE for what this network
 * or schedule does not take; ERR_DEVICE_MEMORY where it does not fit. */
int pipeline_prepare(struct pipeline *pipeline, const struct pipeline_request *request,
                     float *sigmas, int *first);
enum { PIPELINE_STAGES_MOST = 5 };
/* What pipeline_prepare held against the budget, for placement_print.h: stages, borrowed. */
const struct placement *pipeline_placement(const struct pipeline *pipeline);
const struct placement_stage *pipeline_stages(const struct pipeline *pipeline, int *count);

/* Makes the images of seeds [n], n up to request->at_once, of the request that was prepared:
 * images[i] is [channels][height][width]. ERR_DATA, naming the stage and a broken tensor, where one
 * is not finite. */
int pipeline_run(struct pipeline *pipeline, const uint64_t *seeds, int n, float *const *images,
                 const struct pipeline_watch *watch);

/* What the prompt of the request is to the denoiser, [row_count][text_dim]; after pipeline_run.
 * Borrowed. */
const float *pipeline_features(const struct pipeline *pipeline);
/* Likewise [pooled_dim], of a denoiser that is told it. */
const float *pipeline_pooled(const struct pipeline *pipeline);

#endif
