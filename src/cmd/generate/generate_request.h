/* What `imgtrain generate` was asked for: options as texts, as the command line or a PNG of an
 * earlier call has them, then as numbers. */
#ifndef IMGTRAIN_CMD_GENERATE_GENERATE_REQUEST_H
#define IMGTRAIN_CMD_GENERATE_GENERATE_REQUEST_H

#include "cmd/seed_list.h"
#include "diffusion/pipeline/pipeline.h"
#include "image/image.h"
#include "image/png_text.h"

/* NULL: not given. */
struct generate_options {
    const char *model, *prompt, *negative, *label, *init, *strength, *mask, *invert, *steps;
    const char *guidance, *text_length, *seed, *size, *preset, *rng, *dtype, *like, *output, *dump;
    const char *offload, *prefetch, *vae_tiling, *device, *text_cache;
    const char *composite; /* of --like: "false" */
    int64_t count, at_once;
    uint64_t memory_limit;
    bool prompt_is_text, negative_is_text; /* also where they begin with @ */
    bool invert_mask, wants_composite, no_composite, testing, json, read, attention_slicing,
        vae_slicing;
};

struct generate_job {
    struct model_folder model;
    struct pipeline_request request;
    struct placement_options placement;
    enum pipeline_weights weights;
    struct seed_list seeds;
    struct png_texts like;     /* of --like */
    char *prompt, *negative;   /* as they are used */
    const char *label;         /* name of the class; NULL: none */
    float *init, *mask;        /* owned; request points to them */
    char *text_cache;          /* likewise */
    const char *dtype, *noise; /* as PNGs have them */
    bool composite;            /* kept pixels are those of the init image */
};

/* What the command line says; as options_parse answers: OPTIONS_HELP, ERR_USAGE. */
int generate_read_options(struct generate_options *options, int argc, char **argv);

/* Fills what --like knows and the command line does not, then resolves and checks everything:
 * switches without effect are said. generate_job_free takes it in any case. */
int generate_resolve(struct generate_job *job, struct generate_options *options);
void generate_job_free(struct generate_job *job);

/* The same in parts, for several requests to one model: opens the model of a zeroed job; resolves
 * and checks what is asked of it; forgets that, but not the model. */
int generate_open_model(struct generate_job *job, const char *operand);
int generate_resolve_request(struct generate_job *job, const struct generate_options *options);
void generate_job_reset(struct generate_job *job);

/* Before pipeline_open and generate_describe: auto becomes f32 where it is the same here. */
void generate_settle_weights(struct generate_job *job, const struct device *device);

/* The words of an image's PNG; seed: its own. */
int generate_describe(const struct generate_job *job, const struct generate_options *options,
                      uint64_t seed, struct png_texts *texts);

/* ---- generate_images.c ---- */

/* The image that is begun with, [channels][height][width] in -1..1; *width, *height 0: as it is,
 * else it is resized. Grey is made colour, alpha is laid over white, which is said. */
int generate_load_init(const char *path, int channels, int *width, int *height, float **image);
/* The mask of this size, [height][width]: 1 is made anew. resize: of any size. */
int generate_load_mask(const char *path, bool invert, int width, int height, bool resize,
                       float **mask);
/* [channels][height][width] as 8-bit RGB or grey. */
int generate_to_picture(const float *image, int channels, int width, int height,
                        struct image *picture);
/* As a PNG (malloc) with the words of generate_describe. */
int generate_encode_png(const struct generate_job *job, const struct generate_options *options,
                        uint64_t seed, const struct image *picture, uint8_t **png, size_t *bytes);
/* Outside of the mask the init image's pixels become those of `image`. */
void generate_composite(const struct generate_job *job, float *image);

#endif
