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
    DENOISER_MMDIT, /* of FLUX.1 */
};

enum denoiser_guidance {
    DENOISER_GUIDED_BY_TEXT,   /* away from what it says to another text */
    DENOISER_GUIDED_BY_NUMBER, /* it is told how far, as it was in its training */
    DENOISER_UNGUIDED          /* it was trained to do without */
};

enum { DENOISER_BLOCK_LISTS = 3 };

struct denoiser_traits {
    enum denoiser_kind kind;
    const char *channels_key, *text_key; /* of channels and text_dim in transformer/config.json */
    double inpaint_strength;             /* where nobody says another */

    /* The config that the file `path` holds: creates the network and fills model->network. */
    int (*read)(struct model_folder *model, const struct cJSON *config, const char *path);
    const struct block_list *(*list)(const struct model_folder *model); /* its tensors */
    /* lists [DENOISER_BLOCK_LISTS]; returns how many there are. */
    int (*list_blocks)(const struct model_folder *model, struct model_blocks *lists);
    int (*read_text)(struct model_folder *model); /* its text encoders */
    /* ERR_USAGE unless states of this size and a text of so many rows have positions. */
    int (*check_size)(const struct model_folder *model, int height, int width, int text_rows);
    /* Where neither user nor folder says how many. */
    int (*usual_steps)(const struct model_folder *model);
};

/* What does not depend on its kind. */
struct denoiser {
    const struct denoiser_traits *traits;
    int channels;   /* of a state: of latents, or of images themselves */
    int patch;      /* a token is patch x patch pixels of a state */
    int text_dim;   /* numbers of a text's row */
    int text_most;  /* rows of the longest text that has positions */
    int text_rows;  /* that a shorter text is filled up to, where nobody says otherwise; 0: none */
    int pooled_dim; /* of the vector that it is told of a text besides its rows; 0: none */
    enum denoiser_guidance guidance;
};

extern const struct denoiser_traits denoiser_s3dit, denoiser_mmdit;
/* Fills model->network of a model whose `dit` has been created. */
void denoiser_describe_s3dit(struct model_folder *model);
/* Likewise `mmdit`. */
void denoiser_describe_mmdit(struct model_folder *model);

#endif
