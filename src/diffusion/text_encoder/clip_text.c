#include "diffusion/text_encoder/clip_text.h"

#include "base/error.h"
#include "device/device.h"
#include "memory/plan.h"

#include <math.h>

static const struct clip_config *clip_config_of(const struct text_pass *pass)
{
    return &((const struct clip_model *)pass->encoder.model)->config;
}

static int clip_declare(struct text_pass *pass, struct plan *plan)
{
    const struct text_widths widths = clip_widths(clip_config_of(pass));
    const struct text_buffer buffer = {"text.up", widths.mlp, TEXT_FEED, TEXT_FEED, &pass->up};
    TRY(text_declare_attention(pass, plan, &widths));
    return text_declare(pass, plan, &buffer, 1);
}

/* y = LN(x) of rows; slot: of its weights. */
static int clip_norm(const struct text_pass *pass, const struct block_weights *w, int slot,
                     int rows, float *y, const float *x)
{
    const struct token_norm norm = {.kind = TOKEN_LAYER,
                                    .rows = rows,
                                    .width = pass->encoder.width,
                                    .eps = (float)clip_config_of(pass)->eps,
                                    .weight = w->at[slot],
                                    .shift = w->at[slot + 1]};
    return pass->device->token->norm_forward(pass->device, &norm, y, x);
}

/* With the bias behind the weight. */
static int clip_linear(const struct text_pass *pass, const struct block_weights *w,
                       enum clip_slot slot, float *y, const float *x,
                       enum token_activation activation)
{
    const struct token_epilogue epilogue = {
        .bias = w->at[slot + 1], .activation = activation, .add = y == pass->x};
    return text_linear(pass, w, (int)slot, y, x, &epilogue);
}

static int clip_layer(const struct text_pass *p, const struct block_weights *w)
{
    const struct clip_config *c = clip_config_of(p);
    const struct token_attention heads = {
        .heads = c->heads,
        .kv_heads = c->heads,
        .head_dim = c->hidden / c->heads,
        .scale = (float)(1 / sqrt((double)c->hidden / (double)c->heads))};
    TRY(clip_norm(p, w, CLIP_NORM_ATTENTION, p->rows, p->normed, p->x));
    TRY(clip_linear(p, w, CLIP_Q, p->q, p->normed, TOKEN_NO_ACTIVATION));
    TRY(clip_linear(p, w, CLIP_K, p->k, p->normed, TOKEN_NO_ACTIVATION));
    TRY(clip_linear(p, w, CLIP_V, p->v, p->normed, TOKEN_NO_ACTIVATION));
    TRY(text_attention(p, &heads));
    TRY(clip_linear(p, w, CLIP_OUT, p->x, p->o, TOKEN_NO_ACTIVATION));
    TRY(clip_norm(p, w, CLIP_NORM_FEED, p->rows, p->normed, p->x));
    TRY(clip_linear(p, w, CLIP_UP, p->up, p->normed, TOKEN_GELU_QUICK));
    return clip_linear(p, w, CLIP_DOWN, p->x, p->up, TOKEN_NO_ACTIVATION);
}

/* A prompt's last row lies at its vector's or behind it, so none is lost. */
static int clip_vectors(const struct text_pass *p, const struct block_weights *w)
{
    int end = 0;
    for (int i = 0; i < p->size.prompts; i++) {
        size_t width = (size_t)p->encoder.width, to = (size_t)i * width;
        end += p->size.lengths[i];
        TRY(clip_norm(p, w, 0, 1, p->x + to, p->x + (size_t)(end - 1) * width));
    }
    return OK;
}

static int clip_block(struct text_pass *pass, int block, const struct block_weights *w)
{
    return block == clip_config_of(pass)->layers ? clip_vectors(pass, w) : clip_layer(pass, w);
}

struct text_encoder clip_encoder(const struct clip_model *model)
{
    static const struct text_network network = {.is_causal = true,
                                                .pools = true,
                                                .has_positions = true,
                                                .declare = clip_declare,
                                                .block = clip_block};
    const struct clip_config *c = &model->config;
    return (struct text_encoder){.network = &network,
                                 .model = model,
                                 .list = &model->list,
                                 .width = c->hidden,
                                 .positions = c->positions,
                                 .pair_macs = 2.0 * c->layers * c->hidden};
}
