/* The two ends of S3-DiT: embedders of image, caption and time; final layer. */
#ifndef IMGTRAIN_DIFFUSION_DIT_S3DIT_ENDS_H
#define IMGTRAIN_DIFFUSION_DIT_S3DIT_ENDS_H

#include "diffusion/dit/s3dit_internal.h"

/* From the batch to the first rows of image and caption, and the time vector. */
int s3dit_embed_forward(const struct s3dit_pass *pass);
/* From the gradients at those (d_image, d_text, dc). */
int s3dit_embed_backward(const struct s3dit_pass *pass, float *text_gradient);
/* From the layers' end to the image. */
int s3dit_final_forward(const struct s3dit_pass *pass, float *out);
/* d_all = , dc = */
int s3dit_final_backward(const struct s3dit_pass *pass, const float *d_out);

#endif
