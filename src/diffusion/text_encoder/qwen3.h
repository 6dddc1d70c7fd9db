/* The forward pass of Qwen3 over prompts, out of the operations of device/token_ops.h. Only real
 * tokens are computed: attention is causal, so pads behind them would change nothing.
 *
 *   h += Wo attention(RMS(h));  h += Wd (silu(Wg y) Wu y), y = RMS(h)
 *
 * Several prompts pass through a layer one behind the other, so that its weights are there once; a
 * prompt's features do not depend on the others, to the bit. There is no backward pass: nothing is
 * trained through it. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_ENCODER_QWEN3_H
#define IMGTRAIN_DIFFUSION_TEXT_ENCODER_QWEN3_H

#include "device/token_ops.h"
#include "diffusion/text_encoder/qwen3_model.h"

struct device;
struct plan;

/* Of a layer, by slot; vectors are fp32. */
struct qwen3_weights {
    const void *at[QWEN3_SLOTS];
    enum token_type type[QWEN3_SLOTS];
};

/* Layers are acquired in their order, one at a time, and released when their operations have been
 * asked for. */
struct qwen3_source {
    int (*acquire)(void *context, int layer, struct qwen3_weights *weights);
    int (*release)(void *context, int layer);
    void *context;
};

enum { QWEN3_PROMPTS = 2 };

struct qwen3_size {
    int prompts;
    int lengths[QWEN3_PROMPTS]; /* tokens of each */
};

struct qwen3 {
    const struct qwen3_model *model;
    struct qwen3_size size;
    struct device *device;
    int rows; /* tokens of all prompts */
    float *x; /* [rows][hidden]: rows of the embedding become features; of the device */
    float *normed, *q, *k, *v, *o, *gate, *up;
    float *cosines, *sines; /* [rows][head_dim / 2] */
    void *workspace;
};

/* Multiplications, each with an addition, of a forward pass. */
double qwen3_macs(const struct qwen3_model *model, const struct qwen3_size *size);

/* Declares every buffer in `plan`. The struct must stay where it is, model and device too.
 * ERR_USAGE for a prompt longer than the network has positions. */
int qwen3_memory(struct qwen3 *qwen, const struct qwen3_model *model, const struct qwen3_size *size,
                 struct device *device, struct plan *plan);
/* After plan_commit: angles of positions. */
int qwen3_connect(struct qwen3 *qwen);

/* x becomes the features. stop_requested: looked at before each layer, ERR_STOPPED; NULL: never. */
int qwen3_forward(struct qwen3 *qwen, const struct qwen3_source *source,
                  bool (*stop_requested)(void));

#endif
