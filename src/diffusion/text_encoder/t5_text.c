#include "diffusion/text_encoder/t5_text.h"

#include "base/error.h"
#include "device/device.h"
#include "memory/plan.h"

#include <stdlib.h>

enum { T5_POSITIONS = 1 << 16 }; /* the network itself has no limit */

static const struct t5_config *t5_config_of(const struct text_pass *pass)
{
    return &((const struct t5_model *)pass->encoder.model)->config;
}

/* ---- memory ---- */

/* Distances of key and query: -(length - 1) .. length - 1. */
static size_t t5_bias_floats(const struct text_pass *pass)
{
    return (size_t)t5_config_of(pass)->heads * (size_t)(2 * pass->size.lengths[0] - 1);
}

static int t5_declare(struct text_pass *pass, struct plan *plan)
{
    const struct t5_config *c = t5_config_of(pass);
    const struct text_widths widths = t5_widths(c);
    const struct text_buffer buffers[] = {
        {"text.gate", c->mlp, TEXT_FEED, TEXT_FEED, &pass->gate},
        {"text.up", c->mlp, TEXT_FEED, TEXT_FEED, &pass->up},
    };
    for (int i = 1; i < pass->size.prompts; i++)
        if (pass->size.lengths[i] != pass->size.lengths[0])
            return fail(ERR_USAGE, "prompts of %d and %d tokens: T5 takes those of one length",
                        pass->size.lengths[0], pass->size.lengths[i]);
    TRY(text_declare_attention(pass, plan, &widths));
    TRY(plan_declare(plan, "text.bias", PLAN_ACTIVATIONS, t5_bias_floats(pass) * sizeof(float),
                     PLAN_ALWAYS, (void **)&pass->bias));
    return text_declare(pass, plan, buffers, sizeof buffers / sizeof *buffers);
}

static int t5_connect(struct text_pass *pass, const float *table)
{
    const struct t5_config *c = t5_config_of(pass);
    int length = pass->size.lengths[0];
    size_t count = t5_bias_floats(pass);
    float *bias = malloc(count * sizeof *bias), *to = bias;
    if (!bias) return fail(ERR_SYSTEM, "out of memory");
    for (int head = 0; head < c->heads; head++)
        for (int distance = 1 - length; distance < length; distance++)
            *to++ = table[(size_t)t5_bucket(c, distance) * (size_t)c->heads + (size_t)head];
    int code = device_send(pass->device, pass->bias, bias, count * sizeof *bias);
    free(bias);
    return code;
}

/* ---- a layer ---- */

static int t5_norm(const struct text_pass *pass, const void *weight, float *y)
{
    const struct token_norm norm = {.kind = TOKEN_RMS,
                                    .rows = pass->rows,
                                    .width = pass->encoder.width,
                                    .eps = (float)t5_config_of(pass)->eps,
                                    .weight = weight};
    return pass->device->token->norm_forward(pass->device, &norm, y, pass->x);
}

static int t5_block(struct text_pass *p, int block, const struct block_weights *w)
{
    const struct t5_config *c = t5_config_of(p);
    const struct token_epilogue add = {.add = true};
    const struct token_attention heads = {.heads = c->heads,
                                          .kv_heads = c->heads,
                                          .head_dim = c->head_dim,
                                          .scale = 1,
                                          .bias = p->bias};
    size_t middle = (size_t)p->rows * (size_t)c->mlp;
    if (block == c->layers) return t5_norm(p, w->at[0], p->x);
    TRY(t5_norm(p, w->at[T5_NORM_ATTENTION], p->normed));
    TRY(text_linear(p, w, T5_Q, p->q, p->normed, NULL));
    TRY(text_linear(p, w, T5_K, p->k, p->normed, NULL));
    TRY(text_linear(p, w, T5_V, p->v, p->normed, NULL));
    TRY(text_attention(p, &heads));
    TRY(text_linear(p, w, T5_OUT, p->x, p->o, &add));
    TRY(t5_norm(p, w->at[T5_NORM_FEED], p->normed));
    TRY(text_linear(p, w, T5_GATE, p->gate, p->normed, NULL));
    TRY(text_linear(p, w, T5_UP, p->up, p->normed, NULL));
    TRY(p->device->token->geglu_forward(p->device, p->gate, p->gate, p->up, middle));
    return text_linear(p, w, T5_DOWN, p->x, p->gate, &add);
}

struct text_encoder t5_encoder(const struct t5_model *model)
{
    static const struct text_network network = {
        .declare = t5_declare, .connect = t5_connect, .block = t5_block};
    const struct t5_config *c = &model->config;
    return (struct text_encoder){.network = &network,
                                 .model = model,
                                 .list = &model->list,
                                 .width = c->hidden,
                                 .positions = T5_POSITIONS,
                                 .pair_macs = 2.0 * c->layers * c->heads * c->head_dim};
}
