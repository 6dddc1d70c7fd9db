/* The two kinds of blocks of MMDiT.
 *
 * Double: text and image have weights of their own, but one attention.
 *   x += g_a Out(Attention(Norm(x)))
 *   x += g_f FeedForward(Norm(x))
 *
 * Single: one sequence of both.
 *   x += g Out([Attention(y), gelu(In y)]), y = Norm(x)
 *
 * Shifts and scales of the norms, and gates, come from time, guidance and pooled text. */
#include "base/error.h"
#include "device/device.h"
#include "diffusion/mmdit/mmdit_internal.h"

#include <math.h>

/* What a block's modulation consists of. */
enum { SHIFT_ATTENTION, SCALE_ATTENTION, GATE_ATTENTION, SHIFT_FEED, SCALE_FEED, GATE_FEED };

static const float MMDIT_HEAD_EPS = 1e-6f;

/* A block's pass with what all its steps need. */
struct mmdit_at {
    const struct mmdit_pass *pass;
    struct device *device;
    const struct token_ops *ops;
    const struct mmdit_buffers *b;
    int heads, head_dim, tokens; /* of a sample */
    size_t dim, hidden;
};

static struct mmdit_at mmdit_at_block(const struct mmdit_pass *pass)
{
    struct mmdit *mmdit = pass->mmdit;
    const struct mmdit_config *config = &mmdit->model->config;
    return (struct mmdit_at){.pass = pass,
                             .device = mmdit->device,
                             .ops = mmdit->device->token,
                             .b = mmdit->buffers,
                             .heads = config->heads,
                             .head_dim = config->head_dim,
                             .tokens = mmdit_tokens(mmdit),
                             .dim = (size_t)mmdit_dim(config),
                             .hidden = (size_t)mmdit_hidden(config)};
}

/* Rows that a block's matrices work on: [first, first + rows) of all samples'. */
struct mmdit_rows {
    int sample; /* the first one's */
    int rows, rows_per_sample;
    size_t first;
    int stream; /* of the modulation */
    int slots;  /* added to those of the image's stream */
    int norm_q; /* slots */
};

/* ---- pieces ---- */

static int mmdit_modulate(const struct mmdit_at *at, int slot, int stream)
{
    const struct mmdit_product product = {.slot = slot,
                                          .rows = at->pass->n,
                                          .y = mmdit_modulation(at->pass, 0, stream, 0),
                                          .x = at->b->c,
                                          .y_stride = MMDIT_STREAMS * MMDIT_MODULATIONS * at->dim};
    return mmdit_multiply(at->pass, &product);
}

static int mmdit_norm_rows(const struct mmdit_at *at, const struct mmdit_rows *r, int shift)
{
    const struct mmdit_norm norm = {
        .rows = r->rows,
        .rows_per_sample = r->rows_per_sample,
        .shift = mmdit_modulation(at->pass, r->sample, r->stream, shift),
        .scale = mmdit_modulation(at->pass, r->sample, r->stream, shift + 1),
        .y = at->b->y + r->first * at->dim,
        .x = at->b->x + r->first * at->dim,
    };
    return mmdit_modulated_norm(at->pass, &norm);
}

static int mmdit_norm_heads(const struct mmdit_at *at, const struct mmdit_rows *r, int slot,
                            float *x)
{
    const struct token_norm norm = {.kind = TOKEN_RMS,
                                    .rows = r->rows * at->heads,
                                    .width = at->head_dim,
                                    .eps = MMDIT_HEAD_EPS,
                                    .weight = at->pass->weights.at[slot]};
    return at->ops->norm_forward(at->device, &norm, x, x);
}

/* y = the norm of x; q, k, v of it, q and k with their norms. */
static int mmdit_project(const struct mmdit_at *at, const struct mmdit_rows *r)
{
    size_t first = r->first * at->dim;
    const struct mmdit_product products[] = {
        {.slot = MMDIT_Q, .y = at->b->q},
        {.slot = MMDIT_K, .y = at->b->k},
        {.slot = MMDIT_V, .y = at->b->v},
    };
    TRY(mmdit_norm_rows(at, r, SHIFT_ATTENTION));
    for (int i = 0; i < 3; i++) {
        struct mmdit_product product = products[i];
        product.slot += r->slots;
        product.rows = r->rows;
        product.y += first;
        product.x = at->b->y + first;
        TRY(mmdit_multiply(at->pass, &product));
    }
    TRY(mmdit_norm_heads(at, r, r->norm_q, at->b->q + first));
    return mmdit_norm_heads(at, r, r->norm_q + 1, at->b->k + first);
}

/* Turns q and k of all rows by their positions. */
static int mmdit_turn(const struct mmdit_at *at)
{
    float *const turned[] = {at->b->q, at->b->k};
    for (int i = 0; i < 2; i++) {
        const struct token_rope rope = {.x = turned[i],
                                        .cosines = at->b->cosines,
                                        .sines = at->b->sines,
                                        .rows = at->pass->n * at->tokens,
                                        .heads = at->heads,
                                        .head_dim = at->head_dim,
                                        .tokens = at->tokens};
        TRY(at->ops->rope(at->device, &rope));
    }
    return OK;
}

/* o, rows o_stride apart (0: no gaps), of `rows` queries of `samples` samples from row `first` on,
 * whose keys begin at row `key`. */
static int mmdit_attend(const struct mmdit_at *at, int samples, int rows, size_t first, size_t key,
                        float *o, size_t o_stride)
{
    const struct token_attention attention = {.samples = samples,
                                              .q_tokens = rows,
                                              .k_tokens = at->tokens,
                                              .heads = at->heads,
                                              .kv_heads = at->heads,
                                              .head_dim = at->head_dim,
                                              .scale = (float)(1 / sqrt((double)at->head_dim)),
                                              .o_stride = o_stride};
    return at->ops->attention_forward(at->device, &attention, o, NULL, at->b->q + first * at->dim,
                                      at->b->k + key * at->dim, at->b->v + key * at->dim);
}

/* x += gate u, with u where q was. */
static int mmdit_add_gated(const struct mmdit_at *at, const struct mmdit_rows *r, int which)
{
    float *x = at->b->x + r->first * at->dim;
    const struct token_gate gate = {
        .rows = r->rows,
        .width = (int)at->dim,
        .gate = mmdit_modulation(at->pass, r->sample, r->stream, which),
        .plain = true,
        .gate_stride = MMDIT_STREAMS * MMDIT_MODULATIONS * at->dim,
        .rows_per_sample = r->rows_per_sample,
    };
    return at->ops->gate_forward(at->device, &gate, x, x, at->b->q + r->first * at->dim);
}

/* ---- double blocks ---- */

/* From y to where q was, in parts. */
static int mmdit_feed(const struct mmdit_at *at, const struct mmdit_rows *r)
{
    for (int from = 0; from < r->rows; from += MMDIT_FEED_ROWS) {
        int rows = r->rows - from < MMDIT_FEED_ROWS ? r->rows - from : MMDIT_FEED_ROWS;
        size_t skip = (r->first + (size_t)from) * at->dim;
        const struct mmdit_product in = {.slot = r->slots + MMDIT_FEED_IN,
                                         .rows = rows,
                                         .y = at->b->feed,
                                         .x = at->b->y + skip,
                                         .activation = TOKEN_GELU_TANH};
        const struct mmdit_product out = {.slot = r->slots + MMDIT_FEED_OUT,
                                          .rows = rows,
                                          .y = at->b->q + skip,
                                          .x = at->b->feed};
        TRY(mmdit_multiply(at->pass, &in));
        TRY(mmdit_multiply(at->pass, &out));
    }
    return OK;
}

/* What follows attention, whose output is in y. */
static int mmdit_finish_stream(const struct mmdit_at *at, const struct mmdit_rows *r)
{
    size_t first = r->first * at->dim;
    const struct mmdit_product out = {.slot = r->slots + MMDIT_OUT,
                                      .rows = r->rows,
                                      .y = at->b->q + first,
                                      .x = at->b->y + first};
    TRY(mmdit_multiply(at->pass, &out));
    TRY(mmdit_add_gated(at, r, GATE_ATTENTION));
    TRY(mmdit_norm_rows(at, r, SHIFT_FEED));
    TRY(mmdit_feed(at, r));
    return mmdit_add_gated(at, r, GATE_FEED);
}

/* Stream 0, the image's, or 1, the text's, of a sample. */
static struct mmdit_rows mmdit_stream_rows(const struct mmdit_at *at, int sample, int stream)
{
    int text = at->pass->mmdit->size.text_rows, slots = stream * MMDIT_STREAM;
    return (struct mmdit_rows){.sample = sample,
                               .rows = stream ? text : at->tokens - text,
                               .first = (size_t)(sample * at->tokens + (stream ? 0 : text)),
                               .stream = stream,
                               .slots = slots,
                               .norm_q = slots + MMDIT_NORM_Q};
}

static int mmdit_each_stream(const struct mmdit_at *at,
                             int (*work)(const struct mmdit_at *at, const struct mmdit_rows *r))
{
    for (int i = 0; i < at->pass->n * MMDIT_STREAMS; i++) {
        const struct mmdit_rows rows = mmdit_stream_rows(at, i / MMDIT_STREAMS, i % MMDIT_STREAMS);
        TRY(work(at, &rows));
    }
    return OK;
}

int mmdit_double_forward(const struct mmdit_pass *pass)
{
    const struct mmdit_at at = mmdit_at_block(pass);
    for (int stream = 0; stream < MMDIT_STREAMS; stream++)
        TRY(mmdit_modulate(&at, stream * MMDIT_STREAM + MMDIT_MODULATION, stream));
    TRY(mmdit_each_stream(&at, mmdit_project));
    TRY(mmdit_turn(&at));
    TRY(mmdit_attend(&at, pass->n, at.tokens, 0, 0, at.b->y, 0));
    return mmdit_each_stream(&at, mmdit_finish_stream);
}

/* ---- single blocks ---- */

/* Rows [from, from + rows) of a sample: attention and the feed-forward's middle stand side by side
 * in `feed`, and what Out makes of them where q was, which nobody reads any more. */
static int mmdit_single_part(const struct mmdit_at *at, int sample, int from, int rows)
{
    size_t key = (size_t)sample * (size_t)at->tokens, first = key + (size_t)from;
    size_t wide = at->dim + at->hidden;
    const struct mmdit_product in = {.slot = MMDIT_SINGLE_FEED_IN,
                                     .rows = rows,
                                     .y = at->b->feed + at->dim,
                                     .x = at->b->y + first * at->dim,
                                     .y_stride = wide,
                                     .activation = TOKEN_GELU_TANH};
    const struct mmdit_product out = {
        .slot = MMDIT_SINGLE_OUT, .rows = rows, .y = at->b->q + first * at->dim, .x = at->b->feed};
    TRY(mmdit_attend(at, 1, rows, first, key, at->b->feed, wide));
    TRY(mmdit_multiply(at->pass, &in));
    return mmdit_multiply(at->pass, &out);
}

int mmdit_single_forward(const struct mmdit_pass *pass)
{
    const struct mmdit_at at = mmdit_at_block(pass);
    const struct mmdit_rows all = {
        .rows = pass->n * at.tokens, .rows_per_sample = at.tokens, .norm_q = MMDIT_SINGLE_NORM_Q};
    TRY(mmdit_modulate(&at, MMDIT_MODULATION, 0));
    TRY(mmdit_project(&at, &all));
    TRY(mmdit_turn(&at));
    for (int sample = 0; sample < pass->n; sample++)
        for (int from = 0; from < at.tokens; from += MMDIT_FEED_ROWS) {
            int left = at.tokens - from;
            TRY(mmdit_single_part(&at, sample, from,
                                  left < MMDIT_FEED_ROWS ? left : MMDIT_FEED_ROWS));
        }
    return mmdit_add_gated(&at, &all, GATE_ATTENTION);
}
