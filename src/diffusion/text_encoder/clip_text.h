/* The forward pass of CLIP's text encoder over prompts, out of the operations of
 * device/token_ops.h:
 *
 *   h += Wo attention(LN(h)) + b;  h += Wd gelu(Wu LN(h) + b) + b
 *
 * A prompt's vector is LN of its last row. Only rows up to the token that ends the text are
 * computed (clip_read_ids): attention is causal, so pads behind it would change nothing. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_ENCODER_CLIP_TEXT_H
#define IMGTRAIN_DIFFUSION_TEXT_ENCODER_CLIP_TEXT_H

#include "diffusion/text_encoder/clip_model.h"

/* model: borrowed. A pass leaves its vectors in the first rows of x, one a prompt. */
struct text_encoder clip_encoder(const struct clip_model *model);

#endif
