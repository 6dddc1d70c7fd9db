/* The forward pass of Qwen3 over prompts, out of the operations of device/token_ops.h. Only real
 * tokens are computed: attention is causal, so pads behind them would change nothing.
 *
 *   h += Wo attention(RMS(h));  h += Wd (silu(Wg y) Wu y), y = RMS(h) */
#ifndef IMGTRAIN_DIFFUSION_TEXT_ENCODER_QWEN3_H
#define IMGTRAIN_DIFFUSION_TEXT_ENCODER_QWEN3_H

#include "diffusion/text_encoder/qwen3_model.h"

/* Of a model with layers; model: borrowed. */
struct text_encoder qwen3_encoder(const struct qwen3_model *model);

#endif
