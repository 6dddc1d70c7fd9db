/* The diffusion model that plan and bench are about: a folder, or the name of an architecture. */
#ifndef IMGTRAIN_CMD_NAMED_MODEL_H
#define IMGTRAIN_CMD_NAMED_MODEL_H

#include "diffusion/model/model_arch.h"
#include "diffusion/pipeline/pipeline.h"

#include <stdbool.h>

struct named_model {
    const struct model_folder *folder;
    const char *name; /* as it was given */
    int side;         /* of images that it is meant for, in pixels */
    int text_rows;    /* of a prompt */
    float *init;      /* of requests that begin with an image: any */
    struct model_folder read;
    struct model_arch arch;
};

/* Whether an operand names a model's folder, and no config. */
bool named_model_is(const char *operand);

/* arch: NULL for a folder. named_model_close takes it in any case. */
int named_model_open(struct named_model *model, const char *operand, const char *arch,
                     bool with_weights);
void named_model_close(struct named_model *model);

/* ", 83819683 of its VAE, 3532578560 of its text encoder" (of the layers that are computed); ""
 * where it has none. */
struct named_model_text {
    char text[96];
};
struct named_model_text named_model_others(const struct named_model *model);

/* What --dtype asks for; NULL: auto. ERR_USAGE for another name. */
int named_model_weights(const char *dtype, enum pipeline_weights *weights);

/* Width and height in pixels as "WxH" or "N" says; ERR_USAGE with the nearest sizes. NULL: the
 * model's own. */
int named_model_size(const struct named_model *model, const char *size, int *width, int *height);

/* One image of this size (in pixels) from noise alone, or (from_image) from another one at full
 * strength, with the model's own guidance. steps 0: as many as generate takes; of an S3-DiT's
 * architecture 8. */
int named_model_request(struct named_model *model, int width, int height, int steps,
                        bool from_image, struct pipeline_request *request);
/* Says so where that is no other work. */
void named_model_check_image(const struct named_model *model, bool from_image);

#endif
