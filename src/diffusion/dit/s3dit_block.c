/* A block of S3-DiT and its backward pass:
 *   x += g_a RMS(Attention(RMS(x) (1 + s_a)));  x += g_f RMS(FeedForward(RMS(x) (1 + s_f)))
 * with g = tanh(gate); scales and gates come from the time vector. */
#include "base/error.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "diffusion/dit/s3dit_internal.h"

#include <math.h>

/* What a block's modulation consists of: quarter of m. */
enum { SCALE_ATTENTION, GATE_ATTENTION, SCALE_FEED, GATE_FEED };

static const float S3DIT_HEAD_EPS = 1e-5f;

/* A block's pass with what all its steps need. */
struct s3dit_at {
    const struct s3dit_pass *pass;
    struct device *device;
    const struct token_ops *ops;
    const struct s3dit_block *kept;
    const struct s3dit_work *work;
    struct s3dit_stream stream;
    int dim, hidden, heads, head_dim, rows;
    float eps;
    const float *m; /* NULL: without modulation */
    float *dm;
};

static struct s3dit_at s3dit_at_block(const struct s3dit_pass *pass)
{
    struct s3dit *dit = pass->dit;
    const struct s3dit_config *config = &dit->model->config;
    struct s3dit_at at = {
        .pass = pass,
        .device = dit->device,
        .ops = dit->device->token,
        .kept = &dit->blocks[pass->block],
        .work = &dit->buffers->work,
        .stream = s3dit_stream_of(dit, pass->block),
        .dim = config->dim,
        .hidden = s3dit_hidden(config),
        .heads = config->heads,
        .head_dim = s3dit_head_dim(config),
        .eps = (float)config->norm_eps,
    };
    at.rows = pass->n * at.stream.tokens;
    if (s3dit_part_of(dit->model, pass->block) != S3DIT_CONTEXT_REFINER) {
        at.m = at.kept->m;
        at.dm = at.work->dm;
    }
    return at;
}

static size_t s3dit_row_floats(const struct s3dit_at *at)
{
    return (size_t)at->rows * (size_t)at->dim;
}

static const float *s3dit_quarter(const struct s3dit_at *at, int quarter)
{
    return at->m ? at->m + (size_t)quarter * (size_t)at->dim : NULL;
}

static float *s3dit_quarter_gradient(const struct s3dit_at *at, int quarter)
{
    return at->m ? at->dm + (size_t)quarter * (size_t)at->dim : NULL;
}

/* The norm of rows; scale: the quarter that modulates it, or -1. */
static struct token_norm s3dit_row_norm(const struct s3dit_at *at, int slot, int scale)
{
    struct token_norm norm = {.kind = TOKEN_RMS,
                              .rows = at->rows,
                              .width = at->dim,
                              .eps = at->eps,
                              .weight = at->pass->weights.at[slot],
                              .rows_per_sample = at->stream.tokens,
                              .chunk = at->stream.tokens};
    if (scale < 0 || !at->m) return norm;
    norm.scale = s3dit_quarter(at, scale);
    norm.scale_stride = 4 * (size_t)at->dim;
    return norm;
}

static struct token_norm s3dit_head_norm(const struct s3dit_at *at, int slot)
{
    int rows = at->stream.tokens * at->heads;
    return (struct token_norm){.kind = TOKEN_RMS,
                               .rows = at->pass->n * rows,
                               .width = at->head_dim,
                               .eps = S3DIT_HEAD_EPS,
                               .weight = at->pass->weights.at[slot],
                               .chunk = rows};
}

static struct token_gate s3dit_gate(const struct s3dit_at *at, int quarter)
{
    return (struct token_gate){.rows = at->rows,
                               .width = at->dim,
                               .gate = s3dit_quarter(at, quarter),
                               .gate_stride = 4 * (size_t)at->dim,
                               .rows_per_sample = at->stream.tokens,
                               .chunk = at->stream.tokens};
}

static struct token_attention s3dit_attention(const struct s3dit_at *at)
{
    return (struct token_attention){.samples = at->pass->n,
                                    .q_tokens = at->stream.tokens,
                                    .k_tokens = at->stream.tokens,
                                    .heads = at->heads,
                                    .kv_heads = at->heads,
                                    .head_dim = at->head_dim,
                                    .scale = (float)(1 / sqrt((double)at->head_dim)),
                                    .key_lengths = s3dit_keys(at->pass, at->stream.keys)};
}

static int s3dit_norm_rows(const struct s3dit_at *at, int slot, int scale, float *y, const float *x)
{
    const struct token_norm norm = s3dit_row_norm(at, slot, scale);
    return at->ops->norm_forward(at->device, &norm, y, x);
}

/* y = x + g RMS(u), with `normed` for what lies between; y may be x, normed u. */
static int s3dit_add_branch(const struct s3dit_at *at, int norm_slot, int gate, float *y,
                            const float *x, const float *u, float *normed)
{
    const struct token_gate gating = s3dit_gate(at, gate);
    TRY(s3dit_norm_rows(at, norm_slot, -1, normed, u));
    return at->ops->gate_forward(at->device, &gating, y, x, normed);
}

/* One head vector's norm, then its position. */
static int s3dit_place_heads(const struct s3dit_at *at, int slot, float *turned, const float *x)
{
    const struct token_norm norm = s3dit_head_norm(at, slot);
    TRY(at->ops->norm_forward(at->device, &norm, turned, x));
    return s3dit_turn(at->pass, &at->stream, turned, false);
}

/* ---- forward ---- */

static int s3dit_attend(const struct s3dit_at *at)
{
    const struct s3dit_block *kept = at->kept;
    const struct token_attention attention = s3dit_attention(at);
    bool keeps = at->pass->dit->use != S3DIT_FORWARD_ONLY;
    float *q = keeps ? at->work->h : kept->q;
    float *k = keeps ? at->work->h + s3dit_row_floats(at) : kept->k;
    TRY(s3dit_norm_rows(at, S3DIT_ATTENTION_NORM1, SCALE_ATTENTION, at->work->y, kept->x));
    TRY(s3dit_linear(at->pass, S3DIT_Q, at->rows, kept->q, at->work->y, NULL));
    TRY(s3dit_linear(at->pass, S3DIT_K, at->rows, kept->k, at->work->y, NULL));
    TRY(s3dit_linear(at->pass, S3DIT_V, at->rows, kept->v, at->work->y, NULL));
    TRY(s3dit_round_heads(at->pass));
    TRY(s3dit_place_heads(at, S3DIT_NORM_Q, q, kept->q));
    TRY(s3dit_place_heads(at, S3DIT_NORM_K, k, kept->k));
    TRY(at->ops->attention_forward(at->device, &attention, kept->o, kept->lse, q, k, kept->v));
    return s3dit_linear(at->pass, S3DIT_OUT, at->rows, kept->u, kept->o, NULL);
}

/* From y, the normed input, to f; in parts of `most` rows. */
static int s3dit_feed(const struct s3dit_at *at, int most)
{
    const struct s3dit_block *kept = at->kept;
    bool keeps = at->pass->dit->use != S3DIT_FORWARD_ONLY;
    float *h = keeps ? at->work->h : kept->a;
    for (int from = 0; from < at->rows; from += most) {
        int rows = at->rows - from < most ? at->rows - from : most;
        size_t skip = (size_t)from * (size_t)at->dim;
        const float *y = at->work->y + skip;
        TRY(s3dit_linear(at->pass, S3DIT_W1, rows, kept->a, y, NULL));
        TRY(s3dit_linear(at->pass, S3DIT_W3, rows, kept->c, y, NULL));
        TRY(at->ops->swiglu_forward(at->device, h, kept->a, kept->c,
                                    (size_t)rows * (size_t)at->hidden));
        TRY(s3dit_linear(at->pass, S3DIT_W2, rows, kept->f + skip, h, NULL));
    }
    return OK;
}

int s3dit_block_forward(const struct s3dit_pass *pass, float *x_next)
{
    const struct s3dit_at at = s3dit_at_block(pass);
    const struct s3dit_block *kept = at.kept;
    bool keeps = pass->dit->use != S3DIT_FORWARD_ONLY;
    const struct token_epilogue bias = {.bias = pass->weights.at[S3DIT_MODULATION_BIAS]};
    TRY(s3dit_hold_input(pass));
    if (at.m)
        TRY(s3dit_linear(pass, S3DIT_MODULATION_WEIGHT, pass->n, kept->m, pass->dit->buffers->c,
                         &bias));
    TRY(s3dit_attend(&at));
    TRY(s3dit_add_branch(&at, S3DIT_ATTENTION_NORM2, GATE_ATTENTION, x_next, kept->x, kept->u,
                         keeps ? at.work->y : kept->u));
    TRY(s3dit_norm_rows(&at, S3DIT_FFN_NORM1, SCALE_FEED, at.work->y, x_next));
    TRY(s3dit_feed(&at, keeps ? at.rows : S3DIT_FEED_ROWS));
    TRY(s3dit_hold_rest(pass));
    return s3dit_add_branch(&at, S3DIT_FFN_NORM2, GATE_FEED, x_next, x_next, kept->f,
                            keeps ? at.work->y : kept->f);
}

/* ---- backward ---- */

/* dx (may be dy) from dy, through a norm of rows that was made of x. */
static int s3dit_norm_gradient(const struct s3dit_at *at, int slot, int scale, float *dx,
                               const float *dy, const float *x, bool add)
{
    const struct token_norm norm = s3dit_row_norm(at, slot, scale);
    const struct token_norm_grads grads = {
        .x = x,
        .dy = dy,
        .dx = dx,
        .add = add,
        .dweight = s3dit_gradient(at->pass, slot),
        .dscale = scale < 0 ? NULL : s3dit_quarter_gradient(at, scale),
        .workspace = at->work->space,
    };
    return at->ops->norm_backward(at->device, &norm, &grads);
}

/* e = the gradient at u of y = x + g RMS(u), of which `normed` is the norm. */
static int s3dit_branch_gradient(const struct s3dit_at *at, int norm_slot, int gate, float *e,
                                 const float *d, const float *u, const float *normed)
{
    const struct token_gate gating = s3dit_gate(at, gate);
    TRY(at->ops->gate_backward(at->device, &gating, e, s3dit_quarter_gradient(at, gate), d,
                               normed));
    return s3dit_norm_gradient(at, norm_slot, -1, e, e, u, false);
}

/* d, at the block's output, becomes the gradient at `middle`, the rows between the branches. */
static int s3dit_feed_backward(const struct s3dit_at *at, float *d, const float *middle)
{
    const struct s3dit_block *kept = at->kept;
    const struct s3dit_work *work = at->work;
    size_t count = (size_t)at->rows * (size_t)at->hidden;
    TRY(s3dit_norm_rows(at, S3DIT_FFN_NORM2, -1, work->y, kept->f));
    TRY(s3dit_branch_gradient(at, S3DIT_FFN_NORM2, GATE_FEED, work->e, d, kept->f, work->y));
    TRY(at->ops->swiglu_forward(at->device, work->h, kept->a, kept->c, count));
    TRY(s3dit_linear_wgrad(at->pass, S3DIT_W2, -1, at->rows, work->h, work->e));
    TRY(s3dit_linear_dgrad(at->pass, S3DIT_W2, at->rows, work->h, work->e, false));
    TRY(at->ops->swiglu_backward(at->device, kept->a, kept->c, work->h, kept->a, kept->c, count));
    TRY(s3dit_norm_rows(at, S3DIT_FFN_NORM1, SCALE_FEED, work->y, middle));
    TRY(s3dit_linear_wgrad(at->pass, S3DIT_W1, -1, at->rows, work->y, kept->a));
    TRY(s3dit_linear_wgrad(at->pass, S3DIT_W3, -1, at->rows, work->y, kept->c));
    TRY(s3dit_linear_dgrad(at->pass, S3DIT_W1, at->rows, work->e, kept->a, false));
    TRY(s3dit_linear_dgrad(at->pass, S3DIT_W3, at->rows, work->e, kept->c, true));
    return s3dit_norm_gradient(at, S3DIT_FFN_NORM1, SCALE_FEED, d, work->e, middle, true);
}

/* From the gradient at turned heads to that before their norm, in place. */
static int s3dit_head_gradient(const struct s3dit_at *at, int slot, float *d, const float *x)
{
    const struct token_norm norm = s3dit_head_norm(at, slot);
    const struct token_norm_grads grads = {.x = x,
                                           .dy = d,
                                           .dx = d,
                                           .dweight = s3dit_gradient(at->pass, slot),
                                           .workspace = at->work->space};
    TRY(s3dit_turn(at->pass, &at->stream, d, true));
    return at->ops->norm_backward(at->device, &norm, &grads);
}

/* The gradients at q, k, v from e, that at u. */
static int s3dit_attention_gradient(const struct s3dit_at *at)
{
    const struct s3dit_block *kept = at->kept;
    const struct s3dit_work *work = at->work;
    const struct token_attention attention = s3dit_attention(at);
    float *q = work->h, *k = work->h + s3dit_row_floats(at);
    const struct token_attention_grads grads = {.q = q,
                                                .k = k,
                                                .v = kept->v,
                                                .o = kept->o,
                                                .d_o = work->y,
                                                .lse = kept->lse,
                                                .dq = work->dq,
                                                .dk = work->dk,
                                                .dv = work->dv,
                                                .workspace = work->space};
    TRY(s3dit_linear_wgrad(at->pass, S3DIT_OUT, -1, at->rows, kept->o, work->e));
    TRY(s3dit_linear_dgrad(at->pass, S3DIT_OUT, at->rows, work->y, work->e, false));
    TRY(s3dit_place_heads(at, S3DIT_NORM_Q, q, kept->q));
    TRY(s3dit_place_heads(at, S3DIT_NORM_K, k, kept->k));
    TRY(at->ops->attention_backward(at->device, &attention, &grads));
    TRY(s3dit_head_gradient(at, S3DIT_NORM_Q, work->dq, kept->q));
    return s3dit_head_gradient(at, S3DIT_NORM_K, work->dk, kept->k);
}

/* d, at the rows between the branches, becomes the gradient at the block's input; `normed` is what
 * attention's second norm makes of u. */
static int s3dit_attend_backward(const struct s3dit_at *at, float *d, const float *normed)
{
    const struct s3dit_block *kept = at->kept;
    const struct s3dit_work *work = at->work;
    TRY(s3dit_branch_gradient(at, S3DIT_ATTENTION_NORM2, GATE_ATTENTION, work->e, d, kept->u,
                              normed));
    TRY(s3dit_attention_gradient(at));
    TRY(s3dit_norm_rows(at, S3DIT_ATTENTION_NORM1, SCALE_ATTENTION, work->y, kept->x));
    const struct {
        int slot;
        const float *d;
    } three[] = {{S3DIT_Q, work->dq}, {S3DIT_K, work->dk}, {S3DIT_V, work->dv}};
    for (int i = 0; i < 3; i++) {
        TRY(s3dit_linear_wgrad(at->pass, three[i].slot, -1, at->rows, work->y, three[i].d));
        TRY(s3dit_linear_dgrad(at->pass, three[i].slot, at->rows, work->e, three[i].d, i > 0));
    }
    return s3dit_norm_gradient(at, S3DIT_ATTENTION_NORM1, SCALE_ATTENTION, d, work->e, kept->x,
                               true);
}

int s3dit_block_backward(const struct s3dit_pass *pass, float *d)
{
    const struct s3dit_at at = s3dit_at_block(pass);
    /* dq and dk are free until attention's turn. */
    float *normed = at.work->dq, *middle = at.work->dk;
    size_t bytes = 4 * (size_t)pass->n * (size_t)at.dim * sizeof(float);
    if (at.m) TRY(at.device->nn->zero(at.device, at.dm, bytes));
    TRY(s3dit_add_branch(&at, S3DIT_ATTENTION_NORM2, GATE_ATTENTION, middle, at.kept->x, at.kept->u,
                         normed));
    TRY(s3dit_feed_backward(&at, d, middle));
    TRY(s3dit_attend_backward(&at, d, normed));
    if (!at.m) return OK;
    TRY(s3dit_linear_wgrad(pass, S3DIT_MODULATION_WEIGHT, S3DIT_MODULATION_BIAS, pass->n,
                           pass->dit->buffers->c, at.dm));
    return s3dit_linear_dgrad(pass, S3DIT_MODULATION_WEIGHT, pass->n, pass->dit->buffers->dc, at.dm,
                              true);
}
