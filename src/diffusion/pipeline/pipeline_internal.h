/* What pipeline.c and pipeline_vae.c share. The network's images are latents where the model has a
 * VAE, else the images themselves: states here, [channels][height][width]. */
#ifndef IMGTRAIN_DIFFUSION_PIPELINE_PIPELINE_INTERNAL_H
#define IMGTRAIN_DIFFUSION_PIPELINE_PIPELINE_INTERNAL_H

#include "diffusion/pipeline/pipeline.h"
#include "diffusion/pipeline/placed_dit.h"
#include "diffusion/pipeline/placed_kl.h"

/* Samples of a forward pass: with guidance each image stands in it twice, so that weights pass
 * through the device once a step. */
struct pipeline {
    const struct model_folder *model;
    struct device *device;
    struct placement *placement;
    struct placed_dit denoiser;
    struct placed_kl encoder, decoder; /* of a model with a VAE */
    struct pipeline_request request;
    float sigmas[SIGMAS_MOST_STEPS + 1];
    int first;

    /* [encode,] denoise[, decode] */
    struct placement_stage stages[PIPELINE_STAGES_MOST];
    int stage_count, denoise;
    struct s3dit_size size;
    float *image, *out, *time, *text; /* of the device */

    /* of the host, for `at_once` images */
    float *pixels; /* as the network has them: [samples][height][width][channels] */
    float *features, *rows;
    float *velocity, *without; /* of one image; without: guided ones alone */
    float **noise;             /* [at_once] */
    int *lengths;

    /* with a VAE */
    float **states,
        **begun;    /* [at_once]; begun: what is begun with, where there is an init image */
    float *mask;    /* at the states' pixels */
    float *moments; /* of the init image, [height][width][2 channels] */
    bool has_moments;
    float *whole; /* an image as autoencoders have it, [height][width][channels] */
};

size_t pipeline_state_floats(const struct pipeline *p);
/* Ends the stage that runs. After a failure the first fault is what counts: ending it may leave
 * another message. */
int pipeline_end_stage(struct pipeline *p, int code);
int pipeline_tell(const struct pipeline *p, const struct pipeline_watch *watch, int index,
                  const char *name, const float *state);

/* ---- pipeline_vae.c: of a model with a VAE ---- */

int pipeline_open_vae(struct pipeline *p);
/* Adds its stages around that of the denoiser, which is stages[denoise] then. */
int pipeline_add_vae_stages(struct pipeline *p);
/* The request's mask at the pixels of states. ERR_USAGE where nothing is left of it. */
int pipeline_shrink_mask(struct pipeline *p);
int pipeline_allocate_vae(struct pipeline *p);
void pipeline_free_vae(struct pipeline *p);
/* The init image's moments; once for all images of a request. */
int pipeline_encode(struct pipeline *p, const struct pipeline_watch *watch);
/* One of the states that the moments stand for, drawn by the stream. */
int pipeline_draw_state(const struct pipeline *p, struct noise_stream *stream, float *state);
int pipeline_decode(struct pipeline *p, int n, float *const *images,
                    const struct pipeline_watch *watch);

#endif
