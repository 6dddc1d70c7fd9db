#include "diffusion/text_encoder/qwen3.h"

#include "base/error.h"
#include "device/device.h"
#include "math/portable.h"
#include "memory/plan.h"

#include <math.h>
#include <stdlib.h>

static const struct qwen3_config *qwen3_config_of(const struct text_pass *pass)
{
    return &((const struct qwen3_model *)pass->encoder.model)->config;
}

static int qwen3_declare(struct text_pass *pass, struct plan *plan)
{
    const struct qwen3_config *c = qwen3_config_of(pass);
    const struct text_widths widths = qwen3_widths(c);
    const struct text_buffer buffers[] = {
        {"text.cosines", c->head_dim / 2, PLAN_ALWAYS, &pass->cosines},
        {"text.sines", c->head_dim / 2, PLAN_ALWAYS, &pass->sines},
        {"text.gate", c->mlp, TEXT_FEED, TEXT_FEED, &pass->gate},
        {"text.up", c->mlp, TEXT_FEED, TEXT_FEED, &pass->up},
    };
    TRY(text_declare_attention(pass, plan, &widths));
    return text_declare(pass, plan, buffers, sizeof buffers / sizeof *buffers);
}

/* In the roundings of the reference. */
static void qwen3_make_angles(const struct text_pass *pass, float *cosines, float *sines)
{
    const struct qwen3_config *c = qwen3_config_of(pass);
    for (int i = 0; i < pass->size.prompts; i++)
        for (int token = 0; token < pass->size.lengths[i]; token++)
            for (int m = 0; m < c->head_dim / 2; m++) {
                float period = (float)portable_pow(c->rope_theta, 2.0 * m / c->head_dim);
                float angle = 1 / period * (float)token;
                *cosines++ = (float)portable_cos((double)angle);
                *sines++ = (float)portable_sin((double)angle);
            }
}

static int qwen3_connect(struct text_pass *pass, const float *table)
{
    size_t count = (size_t)pass->rows * (size_t)(qwen3_config_of(pass)->head_dim / 2);
    float *angles = malloc(2 * count * sizeof *angles + 1);
    (void)table;
    if (!angles) return fail(ERR_SYSTEM, "out of memory");
    qwen3_make_angles(pass, angles, angles + count);
    int code = device_send(pass->device, pass->cosines, angles, count * sizeof *angles);
    if (code == OK)
        code = device_send(pass->device, pass->sines, angles + count, count * sizeof *angles);
    free(angles);
    return code;
}

/* ---- a layer ---- */

static int qwen3_norm(const struct text_pass *pass, const struct block_weights *w,
                      enum qwen3_slot slot, int rows, float *y, const float *x)
{
    const struct block_tensor *tensor = block_tensor_of(pass->encoder.list, 0, (int)slot);
    const struct token_norm norm = {.kind = TOKEN_RMS,
                                    .rows = rows,
                                    .width = (int)tensor->shape[0],
                                    .eps = (float)qwen3_config_of(pass)->eps,
                                    .weight = w->at[slot]};
    return pass->device->token->norm_forward(pass->device, &norm, y, x);
}

/* Each head's norm, then its position. */
static int qwen3_turn(const struct text_pass *pass, const struct block_weights *w,
                      enum qwen3_slot slot, int heads, float *x)
{
    const struct token_rope rope = {.x = x,
                                    .cosines = pass->cosines,
                                    .sines = pass->sines,
                                    .rows = pass->rows,
                                    .heads = heads,
                                    .head_dim = qwen3_config_of(pass)->head_dim,
                                    .tokens = pass->rows,
                                    .halves = true};
    TRY(qwen3_norm(pass, w, slot, pass->rows * heads, x, x));
    return pass->device->token->rope(pass->device, &rope);
}

static int qwen3_layer(struct text_pass *p, int layer, const struct block_weights *w)
{
    const struct qwen3_config *c = qwen3_config_of(p);
    const struct token_epilogue add = {.add = true};
    const struct token_attention heads = {.heads = c->heads,
                                          .kv_heads = c->kv_heads,
                                          .head_dim = c->head_dim,
                                          .scale = (float)(1 / sqrt((double)c->head_dim))};
    size_t middle = (size_t)p->rows * (size_t)c->mlp;
    (void)layer;
    TRY(qwen3_norm(p, w, QWEN3_NORM_ATTENTION, p->rows, p->normed, p->x));
    TRY(text_linear(p, w, QWEN3_Q, p->q, p->normed, NULL));
    TRY(text_linear(p, w, QWEN3_K, p->k, p->normed, NULL));
    TRY(text_linear(p, w, QWEN3_V, p->v, p->normed, NULL));
    TRY(qwen3_turn(p, w, QWEN3_NORM_Q, c->heads, p->q));
    TRY(qwen3_turn(p, w, QWEN3_NORM_K, c->kv_heads, p->k));
    TRY(text_attention(p, &heads));
    TRY(text_linear(p, w, QWEN3_OUT, p->x, p->o, &add));
    TRY(qwen3_norm(p, w, QWEN3_NORM_FEED, p->rows, p->normed, p->x));
    TRY(text_linear(p, w, QWEN3_GATE, p->gate, p->normed, NULL));
    TRY(text_linear(p, w, QWEN3_UP, p->up, p->normed, NULL));
    TRY(p->device->token->swiglu_forward(p->device, p->gate, p->gate, p->up, middle));
    return text_linear(p, w, QWEN3_DOWN, p->x, p->gate, &add);
}

struct text_encoder qwen3_encoder(const struct qwen3_model *model)
{
    static const struct text_network network = {.is_causal = true,
                                                .declare = qwen3_declare,
                                                .connect = qwen3_connect,
                                                .block = qwen3_layer};
    const struct qwen3_config *c = &model->config;
    return (struct text_encoder){.network = &network,
                                 .model = model,
                                 .list = &model->list,
                                 .width = c->hidden,
                                 .positions = c->positions,
                                 .pair_macs =
                                     2.0 * model->list.block_count * c->heads * c->head_dim};
}
