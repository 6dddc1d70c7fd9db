/* Writes a trained network as a model folder, which this program and diffusers open. */
#ifndef IMGTRAIN_DIFFUSION_MODEL_MODEL_WRITE_H
#define IMGTRAIN_DIFFUSION_MODEL_MODEL_WRITE_H

#include "diffusion/model/model_folder.h"

struct model_writing {
    const struct s3dit_model *dit;
    const float *parameters; /* its flat range, of the host */
    const float *table;      /* [rows of text][text_dim] */
    const struct tokenizer *text;
    double shift; /* of the schedule that images are made by */
    struct model_defaults defaults;
    const struct kl_folder *vae; /* that makes its latents; NULL: it works on images */
};

/* Into `folder`, which is made where it is missing; model_index.json comes last, so a folder that
 * has it is whole. ERR_OUTPUT, ERR_IO, ERR_ACCESS; ERR_DIVERGED where a weight is no number. */
int model_folder_write(const char *folder, const struct model_writing *writing);

#endif
