/* The forward pass of T5's encoder over prompts, out of the operations of device/token_ops.h:
 *
 *   h += Wo attention(RMS(h));  h += Wd (gelu(Wg y) Wu y), y = RMS(h);  at the end RMS(h)
 *
 * Attention sees all rows of a prompt, pads too, does not divide by the root of a head's width, and
 * adds to a score what the distance of key and query says. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_ENCODER_T5_TEXT_H
#define IMGTRAIN_DIFFUSION_TEXT_ENCODER_T5_TEXT_H

#include "diffusion/text_encoder/t5_model.h"

/* model: borrowed. Prompts of a pass are of one length. text_pass_connect takes T5_TABLE [buckets]
 * [heads] as floats. */
struct text_encoder t5_encoder(const struct t5_model *model);

#endif
