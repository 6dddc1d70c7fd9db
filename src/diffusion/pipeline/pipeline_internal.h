/* What pipeline.c and pipeline_vae.c share. The network's images are latents where the model has a
 * VAE, else the images themselves: states here, [channels][height][width]. */
#ifndef IMGTRAIN_DIFFUSION_PIPELINE_PIPELINE_INTERNAL_H
#define IMGTRAIN_DIFFUSION_PIPELINE_PIPELINE_INTERNAL_H

#include "diffusion/pipeline/denoise_kind.h"
#include "diffusion/pipeline/pipeline.h"
#include "diffusion/pipeline/placed_dit.h"
#include "diffusion/pipeline/placed_kl.h"
#include "diffusion/pipeline/placed_mmdit.h"
#include "diffusion/pipeline/placed_text.h"

/* What an encoder makes of a prompt, rows of it or one vector; features NULL: not made yet.
 * encoder: a checksum of the text encoder and of the rows of its embedding that they are made of;
 * of a prompt with a cache. */
struct pipeline_prompt {
    int ids[TEXT_MOST_ROWS], count;
    uint64_t encoder;
    float *features;
};
/* The prompt, and what guidance leads away from. */
enum { PROMPT_WITH, PROMPT_WITHOUT, PIPELINE_PROMPTS };

/* A text encoder of the model at work; where it has no layers, rows of its table are read. */
struct pipeline_reader {
    const struct model_encoder *encoder;
    struct placed_text placed;
    const char *stage_name;
    int stage;                                        /* -1: there is none */
    struct pipeline_prompt prompts[PIPELINE_PROMPTS]; /* kept from request to request */
};
/* In the order of their stages. */
enum { READER_POOLED, READER_ROWS, PIPELINE_READERS };

/* Samples of a forward pass: with guidance each image stands in it twice, so that weights pass
 * through the device once a step. */
struct pipeline {
    const struct model_folder *model;
    struct device *device;
    struct placement *placement;
    const struct denoise_kind *kind;
    struct placed_dit s3dit; /* one of these, by the kind */
    struct placed_mmdit mmdit;
    struct placed_kl encoder, decoder; /* of a model with a VAE */
    struct pipeline_reader readers[PIPELINE_READERS];
    enum pipeline_weights weights;
    bool bf16;        /* products of matrices in bf16 are of bf16 */
    char *text_cache; /* NULL: none */
    struct pipeline_request request;
    float sigmas[SIGMAS_MOST_STEPS + 1];
    int first;

    /* [clip,] [text,] [encode,] denoise[, decode] */
    struct placement_stage stages[PIPELINE_STAGES_MOST];
    int stage_count, encode_stage, denoise_stage, decode_stage; /* -1: there is none */
    struct denoise_size size;
    float *image, *out, *time, *text; /* of the device */
    float *guidance, *pooled;         /* likewise, of a network that is told them */

    /* of the host, for `at_once` images */
    float *pixels; /* as the network has them: [samples][height][width][channels] */
    float *features, *rows;
    float *velocity, *without; /* of one image; without: guided ones alone */
    float **noise;             /* [at_once] */
    int *lengths;

    /* with a VAE */
    float **states; /* [at_once] */
    float **begun;  /* [at_once]: what is begun with, where there is an init image */
    float *mask;    /* at the states' pixels */
    float *moments; /* of the init image, [height][width][2 channels] */
    bool has_moments;
    float *whole; /* an image as autoencoders have it, [height][width][channels] */
};

/* x, out, time and text: a plan's buffers; context: the pipeline. */
int pipeline_declare_inputs(void *context, struct plan *plan);
size_t pipeline_state_floats(const struct pipeline *p);
/* Whether a step makes two predictions of an image. */
static inline bool pipeline_is_guided(const struct pipeline *p)
{
    return p->model->network.guidance == DENOISER_GUIDED_BY_TEXT &&
           pipeline_request_is_guided(&p->request);
}
/* The next stage, to be filled; *number is its place. */
struct placement_stage *pipeline_add_stage(struct pipeline *p, int *number);
/* Ends the stage that runs. After a failure the first fault is what counts: ending it may leave
 * another message. */
int pipeline_end_stage(struct pipeline *p, int code);
int pipeline_tell(const struct pipeline *p, const struct pipeline_watch *watch, int index,
                  const char *name, const float *state);

bool pipeline_is_finite(const float *numbers, size_t count);
/* The first of them that holds a NaN or an infinity; -1: none. */
int pipeline_broken_tensor(const struct store_tensor *const *weights, int count);
/* ERR_DATA: of what a stage made, not all are numbers. tensor: the one to blame; NULL: none. */
int pipeline_fail_nonfinite(const struct pipeline *p, const char *stage, const char *tensor);

/* ---- pipeline_text.c: what the prompts are to the denoiser ---- */

int pipeline_open_text(struct pipeline *p);
void pipeline_close_text(struct pipeline *p);
/* The request's prompts: features that are known already, or lie in the cache, or are rows of a
 * table; the others need a stage, which pipeline_add_text_stages adds then. */
int pipeline_prepare_text(struct pipeline *p);
void pipeline_add_text_stages(struct pipeline *p);
/* Those that are not known yet. */
int pipeline_encode_text(struct pipeline *p, const struct pipeline_watch *watch);

/* ---- pipeline_vae.c: of a model with a VAE ---- */

int pipeline_open_vae(struct pipeline *p);
int pipeline_add_encode_stage(struct pipeline *p);
int pipeline_add_decode_stage(struct pipeline *p);
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
