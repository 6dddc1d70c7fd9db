/* The network of a model folder, whichever it is: what folders, pipelines and commands ask of it.
 * What differs between networks stands in one table each (denoiser_s3dit.c). Only these, the
 * pipeline's (denoise_kind.h) and the training know a network by its name. */
#ifndef IMGTRAIN_DIFFUSION_MODEL_DENOISER_H
#define IMGTRAIN_DIFFUSION_MODEL_DENOISER_H

struct block_list;
struct cJSON;
struct model_blocks;
struct model_folder;

enum denoiser_kind {
    DENOISER_S3DIT, /* of Z-Image, and of this program's own trainings */
};

enum { DENOISER_BLOCK_LISTS = 3 };

struct denoiser_traits {
    enum denoiser_kind kind;
    const char *text_key; /* of text_dim in transformer/config.json */

    /* The config that the file `path` holds: creates the network and fills model->network. */
    int (*read)(struct model_folder *model, const struct cJSON *config, const char *path);
    const struct block_list *(*list)(const struct model_folder *model); /* its tensors */
    /* lists [DENOISER_BLOCK_LISTS]; returns how many there are. */
    int (*list_blocks)(const struct model_folder *model, struct model_blocks *lists);
    /* ERR_USAGE unless states of this size and a text of so many rows have positions. */
    int (*check_size)(const struct model_folder *model, int height, int width, int text_rows);
    /* Where neither user nor folder says how many. */
    int (*usual_steps)(const struct model_folder *model);
};

/* What does not depend on its kind. */
struct denoiser {
    const struct denoiser_traits *traits;
    int channels;  /* of a state: of latents, or of images themselves */
    int patch;     /* a token is patch x patch pixels of a state */
    int text_dim;  /* numbers of a text's row */
    int text_most; /* rows of the longest text that has positions */
};

extern const struct denoiser_traits denoiser_s3dit;
/* Fills model->network of a model whose `dit` has been created. */
void denoiser_describe_s3dit(struct model_folder *model);

#endif
