/* Attention, rows out of a table, pads. */
#include "base/error.h"
#include "check/op_kinds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- attention ---- */

struct attention_shape {
    int samples, q_tokens, k_tokens, heads, kv_heads, head_dim;
    int causal, first_query, lengths, gap, bias;
};
static const struct attention_shape attentions[] = {
    {1, 1, 1, 1, 1, 2, 0, 0, 0, 0, 0},         {2, 33, 33, 2, 2, 24, 0, 0, 0, 0, 0},
    {1, 20, 130, 4, 2, 16, 0, 0, 0, 5, 0},     {2, 65, 65, 2, 1, 8, 1, 0, 0, 0, 0},
    {1, 5, 70, 2, 2, 32, 1, 65, 0, 0, 0},      {3, 20, 70, 1, 1, 16, 0, 0, 1, 3, 0},
    {2, 67, 3, 3, 1, 5, 1, 0, 1, 0, 0},        {1, 18, 64, 1, 1, 128, 0, 0, 0, 0, 0},
    {1, 3, 5, 1, 1, 160, 0, 0, 0, 0, 0},       {16, 96, 96, 4, 4, 48, 0, 0, 0, 0, 0},
    {2, 1024, 1024, 8, 8, 128, 0, 0, 0, 0, 0}, {1, 4096, 4096, 2, 2, 64, 0, 0, 0, 0, 0},
    {2, 35, 70, 4, 2, 16, 0, 0, 1, 3, 1},      {1, 33, 67, 2, 2, 24, 1, 9, 0, 0, 1}};
enum {
    ATTENTIONS = sizeof attentions / sizeof *attentions,
    ATTENTIONS_BIASED = 2, /* the last ones: of forward alone */
    ATTENTIONS_SMALL = 9
};

static size_t attention_floats(const struct attention_shape *s, bool keys)
{
    size_t rows = (size_t)s->samples * (size_t)(keys ? s->k_tokens : s->q_tokens);
    return rows * (size_t)((keys ? s->kv_heads : s->heads) * s->head_dim + s->gap);
}

/* Scores of some size, so that weights differ. */
static void add_attended(struct op_case *c, const struct attention_shape *s)
{
    static const char *const names[] = {"q", "k", "v"};
    for (int i = 0; i < 3; i++) {
        struct op_operand *o = op_add(c, names[i], OP_IN, OP_F32, attention_floats(s, i > 0));
        if (i < 2) o->low = -2, o->high = 2;
    }
    if (s->lengths) op_add(c, "lengths", OP_IN, OP_I32, (size_t)s->samples)->fill = OP_OWN;
    if (!s->bias) return;
    struct op_operand *o =
        op_add(c, "bias", OP_IN, OP_F32, (size_t)(s->heads * (s->q_tokens + s->k_tokens - 1)));
    o->low = -2, o->high = 2;
}

static void describe_attention(struct op_case *c)
{
    const struct attention_shape *s = &attentions[c->index];
    c->large = c->index >= ATTENTIONS_SMALL && !s->bias;
    c->macs = 2.0 * s->samples * s->q_tokens * s->k_tokens * s->heads * s->head_dim;
    c->bytes = 8 * (double)(attention_floats(s, false) + attention_floats(s, true));
    snprintf(c->text, sizeof c->text, "%dx %d of %d keys, %d of %d heads of %d%s%s%s%s", s->samples,
             s->q_tokens, s->k_tokens, s->kv_heads, s->heads, s->head_dim,
             s->causal ? ", causal" : "", s->lengths ? ", lengths" : "", s->gap ? ", gaps" : "",
             s->bias ? ", bias" : "");
}

/* The result may be lse as well, or not. */
static void describe_attention_forward(struct op_case *c)
{
    const struct attention_shape *s = &attentions[c->index];
    describe_attention(c);
    add_attended(c, s);
    op_add_out(c, "o", NN_F32, attention_floats(s, false), 5e-6);
    if (c->index % 3 != 1)
        op_add_out(c, "lse", NN_F32, (size_t)(s->samples * s->heads * s->q_tokens), 1e-6);
}

static void fill_attention(const struct op_case *c, const struct op_operand *o, void *bytes)
{
    int *lengths = bytes;
    for (size_t i = 0; i < o->count; i++)
        lengths[i] = (int)(2 - i) * attentions[c->index].k_tokens / 2;
}

static struct token_attention attention_of(const struct op_call *call)
{
    const struct attention_shape *s = &attentions[call->c->index];
    size_t q = (size_t)(s->heads * s->head_dim + s->gap),
           k = (size_t)(s->kv_heads * s->head_dim + s->gap);
    return (struct token_attention){.samples = s->samples,
                                    .q_tokens = s->q_tokens,
                                    .k_tokens = s->k_tokens,
                                    .heads = s->heads,
                                    .kv_heads = s->kv_heads,
                                    .head_dim = s->head_dim,
                                    .scale = 0.5f,
                                    .causal = s->causal != 0,
                                    .first_query = s->first_query,
                                    .key_lengths = op_memory(call, "lengths"),
                                    .bias = op_memory(call, "bias"),
                                    .q_stride = s->gap ? q : 0,
                                    .k_stride = s->gap ? k : 0,
                                    .v_stride = s->gap ? k : 0,
                                    .o_stride = s->gap ? q : 0};
}

static int run_attention_forward(const struct op_call *call)
{
    struct token_attention a = attention_of(call);
    return call->device->token->attention_forward(call->device, &a, op_memory(call, "o"),
                                                  op_memory(call, "lse"), op_memory(call, "q"),
                                                  op_memory(call, "k"), op_memory(call, "v"));
}

/* A query row of all, and the rows that it meets. */
struct truth_query {
    int keys;
    size_t q, k, step; /* k: of its head in key 0, `step` from key to key */
    size_t bias;       /* of key 0 */
};

static struct truth_query truth_query_at(const struct op_data *d, int sample, int head, int token)
{
    const struct attention_shape *s = &attentions[d->c->index];
    const double *lengths = op_values(d, "lengths");
    struct truth_query t = {.keys = lengths ? (int)lengths[sample] : s->k_tokens};
    if (s->causal && s->first_query + token + 1 < t.keys) t.keys = s->first_query + token + 1;
    size_t row = (size_t)(sample * s->q_tokens + token);
    t.step = (size_t)(s->kv_heads * s->head_dim + s->gap);
    t.q = row * (size_t)(s->heads * s->head_dim + s->gap) + (size_t)(head * s->head_dim);
    t.k = (size_t)(sample * s->k_tokens) * t.step +
          (size_t)(head * s->kv_heads / s->heads * s->head_dim);
    t.bias = (size_t)(head * (s->q_tokens + s->k_tokens - 1) + s->q_tokens - 1 - token);
    return t;
}

static double truth_dot(const double *x, const double *y, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += x[i] * y[i];
    return sum;
}

/* Weights of a query's keys; returns its lse. */
static double truth_weights(const struct op_data *d, const struct truth_query *t, double *weights)
{
    int head_dim = attentions[d->c->index].head_dim;
    const double *q = op_values(d, "q") + t->q, *k = op_values(d, "k") + t->k;
    const double *bias = op_values(d, "bias");
    double most = -(double)INFINITY, sum = 0;
    for (int j = 0; j < t->keys; j++) {
        weights[j] = 0.5 * truth_dot(q, k + (size_t)j * t->step, head_dim);
        if (bias) weights[j] += bias[t->bias + (size_t)j];
        most = fmax(most, weights[j]);
    }
    for (int j = 0; j < t->keys; j++)
        sum += exp(weights[j] - most);
    for (int j = 0; j < t->keys; j++)
        weights[j] = exp(weights[j] - most) / sum;
    return most + log(sum);
}

static void truth_query_forward(struct op_data *d, const struct truth_query *t, double *weights,
                                double *lse)
{
    int head_dim = attentions[d->c->index].head_dim;
    double *o = op_values(d, "o") + t->q, *v = op_values(d, "v") + t->k;
    double there = truth_weights(d, t, weights);
    if (lse) *lse = t->keys > 0 ? there : -(double)INFINITY;
    for (int i = 0; i < head_dim; i++) {
        o[i] = 0;
        for (int j = 0; j < t->keys; j++)
            o[i] += weights[j] * v[(size_t)j * t->step + (size_t)i];
    }
}

static void truth_query_backward(struct op_data *d, const struct truth_query *t,
                                 const double *weights)
{
    int head_dim = attentions[d->c->index].head_dim;
    const double *q = op_values(d, "q") + t->q, *k = op_values(d, "k") + t->k;
    const double *v = op_values(d, "v") + t->k, *o = op_values(d, "o") + t->q;
    const double *slope = op_values(d, "do") + t->q;
    double *dq = op_values(d, "dq") + t->q, *dk = op_values(d, "dk") + t->k;
    double *dv = op_values(d, "dv") + t->k;
    double delta = truth_dot(slope, o, head_dim);
    for (int j = 0; j < t->keys; j++) {
        size_t at = (size_t)j * t->step;
        double ds = weights[j] * (truth_dot(slope, v + at, head_dim) - delta);
        for (int i = 0; i < head_dim; i++) {
            dq[i] += 0.5 * ds * k[at + (size_t)i];
            dk[at + (size_t)i] += 0.5 * ds * q[i];
            dv[at + (size_t)i] += weights[j] * slope[i];
        }
    }
}

static void truth_attention(struct op_data *d, bool backward)
{
    const struct attention_shape *s = &attentions[d->c->index];
    double *weights = malloc((size_t)s->k_tokens * sizeof *weights), *lse = op_values(d, "lse");
    if (!weights) abort();
    for (int sample = 0; sample < s->samples; sample++)
        for (int head = 0; head < s->heads; head++)
            for (int token = 0; token < s->q_tokens; token++) {
                struct truth_query t = truth_query_at(d, sample, head, token);
                truth_query_forward(d, &t, weights, lse ? lse++ : NULL);
                if (backward) truth_query_backward(d, &t, weights);
            }
    free(weights);
}

static void truth_attention_forward(struct op_data *d)
{
    truth_attention(d, false);
}

/* What forward leaves is made by it, and checked again. */
static void describe_attention_backward(struct op_case *c)
{
    static const char *const names[] = {"dq", "dk", "dv"};
    const struct attention_shape *s = &attentions[c->index];
    describe_attention(c);
    c->macs *= 3.5;
    add_attended(c, s);
    op_add(c, "do", OP_IN, OP_F32, attention_floats(s, false));
    op_add_out(c, "o", NN_F32, attention_floats(s, false), 5e-6);
    op_add_out(c, "lse", NN_F32, (size_t)(s->samples * s->heads * s->q_tokens), 1e-6);
    for (int i = 0; i < 3; i++)
        op_add_out(c, names[i], NN_F32, attention_floats(s, i > 0), 1e-5);
    op_add(c, "workspace", OP_WORKSPACE, OP_RAW, 0);
}

static size_t workspace_attention(const struct device *device, const struct op_case *c)
{
    struct op_call none = {.c = c};
    struct token_attention a = attention_of(&none);
    return device->token->attention_workspace(device, &a);
}

static int run_attention_backward(const struct op_call *call)
{
    struct token_attention a = attention_of(call);
    struct token_attention_grads grads = {.q = op_memory(call, "q"),
                                          .k = op_memory(call, "k"),
                                          .v = op_memory(call, "v"),
                                          .o = op_memory(call, "o"),
                                          .d_o = op_memory(call, "do"),
                                          .lse = op_memory(call, "lse"),
                                          .dq = op_memory(call, "dq"),
                                          .dk = op_memory(call, "dk"),
                                          .dv = op_memory(call, "dv"),
                                          .workspace = op_memory(call, "workspace")};
    const struct token_ops *ops = call->device->token;
    TRY(ops->attention_forward(call->device, &a, op_memory(call, "o"), op_memory(call, "lse"),
                               grads.q, grads.k, grads.v));
    return ops->attention_backward(call->device, &a, &grads);
}

/* Zeroes rows, not the gaps between them. */
static void truth_clear(struct op_data *d, const char *name, bool keys)
{
    const struct attention_shape *s = &attentions[d->c->index];
    double *x = op_values(d, name);
    int rows = s->samples * (keys ? s->k_tokens : s->q_tokens);
    int width = (keys ? s->kv_heads : s->heads) * s->head_dim;
    for (int row = 0; row < rows; row++, x += width + s->gap)
        for (int i = 0; i < width; i++)
            x[i] = 0;
}

static void truth_attention_backward(struct op_data *d)
{
    truth_clear(d, "dq", false);
    truth_clear(d, "dk", true);
    truth_clear(d, "dv", true);
    truth_attention(d, true);
}

const struct op_kind op_attention_forward = {OP_KIND(token, attention_forward), .cases = ATTENTIONS,
                                             .fill = fill_attention};
static const char *const attention_slopes[] = {"q", "dq", "k", "dk", "v", "dv", NULL};
const struct op_kind op_attention_backward = {OP_KIND(token, attention_backward),
                                              .cases = ATTENTIONS - ATTENTIONS_BIASED,
                                              .fill = fill_attention,
                                              .workspace = workspace_attention,
                                              .adjoint_of = "attention_forward",
                                              .seed = "do",
                                              .slopes = attention_slopes};

/* ---- rows out of a table ---- */

/* Rows, width, rows of the table; the last one is large. */
static const int tables[][3] = {{1, 1, 1}, {40, 33, 5}, {19, 130, 300}, {4096, 1024, 2000}};
enum { TABLES = sizeof tables / sizeof *tables, TABLE_TYPES = 3 };

static void fill_embedding(const struct op_case *c, const struct op_operand *o, void *bytes)
{
    int *ids = bytes;
    for (size_t i = 0; i < o->count; i++)
        ids[i] = (int)((double)c->k * op_uniform("ids", i));
}

static void describe_table(struct op_case *c, int shape)
{
    c->n = tables[shape][0], c->c = tables[shape][1], c->k = tables[shape][2];
    c->large = shape == TABLES - 1;
    c->bytes = 8.0 * c->n * c->c;
    op_add(c, "ids", OP_IN, OP_I32, (size_t)c->n)->fill = OP_OWN;
}

static void describe_embedding_gather(struct op_case *c)
{
    static const char *const names[] = {"fp32", "bf16", "fp16"};
    static const enum op_type types[] = {OP_F32, OP_BF16, OP_F16};
    c->h = c->index % TABLE_TYPES;
    describe_table(c, c->index / TABLE_TYPES);
    op_add(c, "table", OP_IN, types[c->h], (size_t)c->k * (size_t)c->c);
    op_add_out(c, "out", NN_F32, (size_t)c->n * (size_t)c->c, 0);
    snprintf(c->text, sizeof c->text, "%d rows of %d out of %d, %s", c->n, c->c, c->k, names[c->h]);
}

static struct token_embedding embedding_of(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return (struct token_embedding){.table = op_memory(call, "table"),
                                    .table_type = (enum token_type)c->h,
                                    .ids = op_memory(call, "ids"),
                                    .rows = c->n,
                                    .width = c->c,
                                    .count = c->k};
}

static int run_embedding_gather(const struct op_call *call)
{
    struct token_embedding e = embedding_of(call);
    return call->device->token->embedding_gather(call->device, &e, op_memory(call, "out"));
}

static void truth_embedding_gather(struct op_data *d)
{
    const double *ids = op_values(d, "ids"), *table = op_values(d, "table");
    double *out = op_values(d, "out");
    for (int row = 0; row < d->c->n; row++)
        for (int j = 0; j < d->c->c; j++)
            out[row * d->c->c + j] = table[(int)ids[row] * d->c->c + j];
}

static void describe_embedding_grad(struct op_case *c)
{
    describe_table(c, c->index);
    op_add(c, "d", OP_IN, OP_F32, (size_t)c->n * (size_t)c->c);
    op_add_sum(c, "dtable", (size_t)c->k * (size_t)c->c, 2e-6);
    snprintf(c->text, sizeof c->text, "%d rows of %d out of %d", c->n, c->c, c->k);
}

static int run_embedding_grad(const struct op_call *call)
{
    struct token_embedding e = embedding_of(call);
    return call->device->token->embedding_grad(call->device, &e, op_memory(call, "dtable"),
                                               op_memory(call, "d"));
}

static void truth_embedding_grad(struct op_data *d)
{
    const double *ids = op_values(d, "ids"), *slope = op_values(d, "d");
    double *dtable = op_values(d, "dtable");
    for (int row = 0; row < d->c->n; row++)
        for (int j = 0; j < d->c->c; j++)
            dtable[(int)ids[row] * d->c->c + j] += slope[row * d->c->c + j];
}

static int embedding_forward(int index)
{
    return index == TABLES - 1 ? -1 : index * TABLE_TYPES;
}

const struct op_kind op_embedding_gather = {OP_KIND(token, embedding_gather),
                                            .cases = TABLES * TABLE_TYPES, .fill = fill_embedding};
const struct op_kind op_embedding_grad = {OP_KIND(token, embedding_grad),
                                          .cases = TABLES,
                                          .fill = fill_embedding,
                                          .adjoint_of = "embedding_gather",
                                          .forward = embedding_forward,
                                          .varied = "table",
                                          .seed = "d",
                                          .result = "dtable"};

/* ---- pads ---- */

/* Samples, tokens, width; the last one is large. */
static const int padded[][3] = {{1, 1, 1}, {3, 32, 33}, {2, 40, 130}, {16, 96, 1024}};
enum { PADDED = sizeof padded / sizeof *padded };

/* None of the first sample's rows are pads, all of the second's. */
static void fill_pads(const struct op_case *c, const struct op_operand *o, void *bytes)
{
    int *lengths = bytes;
    for (size_t i = 0; i < o->count; i++)
        lengths[i] = c->n == 1 ? 0 : i == 0 ? c->h : i == 1 ? 0 : (int)i * 5 % c->h;
}

static void describe_pads(struct op_case *c)
{
    c->n = padded[c->index][0], c->h = padded[c->index][1], c->c = padded[c->index][2];
    c->large = c->index == PADDED - 1;
    c->bytes = 4.0 * c->n * c->h * c->c;
    op_add(c, "lengths", OP_IN, OP_I32, (size_t)c->n)->fill = OP_OWN;
    snprintf(c->text, sizeof c->text, "%dx%d rows of %d", c->n, c->h, c->c);
}

static struct token_pads pads_of(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return (struct token_pads){
        .samples = c->n, .tokens = c->h, .width = c->c, .lengths = op_memory(call, "lengths")};
}

static void describe_pads_set(struct op_case *c)
{
    describe_pads(c);
    op_add(c, "token", OP_IN, OP_F32, (size_t)c->c);
    op_add_sum(c, "x", (size_t)c->n * (size_t)c->h * (size_t)c->c, 0);
}

static int run_pads_set(const struct op_call *call)
{
    struct token_pads p = pads_of(call);
    return call->device->token->pads_set(call->device, &p, op_memory(call, "x"),
                                         op_memory(call, "token"));
}

static void truth_pads_set(struct op_data *d)
{
    const double *lengths = op_values(d, "lengths"), *token = op_values(d, "token");
    double *x = op_values(d, "x");
    for (int row = 0; row < d->c->n * d->c->h; row++)
        for (int j = 0; row % d->c->h >= lengths[row / d->c->h] && j < d->c->c; j++)
            x[row * d->c->c + j] = token[j];
}

static void describe_pads_backward(struct op_case *c)
{
    describe_pads(c);
    op_add_sum(c, "dtoken", (size_t)c->c, 2e-6);
    op_add_sum(c, "dx", (size_t)c->n * (size_t)c->h * (size_t)c->c, 0);
}

static int run_pads_backward(const struct op_call *call)
{
    struct token_pads p = pads_of(call);
    return call->device->token->pads_backward(call->device, &p, op_memory(call, "dtoken"),
                                              op_memory(call, "dx"));
}

static void truth_pads_backward(struct op_data *d)
{
    const double *lengths = op_values(d, "lengths");
    double *dtoken = op_values(d, "dtoken"), *dx = op_values(d, "dx");
    for (int row = 0; row < d->c->n * d->c->h; row++)
        for (int j = 0; row % d->c->h >= lengths[row / d->c->h] && j < d->c->c; j++) {
            dtoken[j] += dx[row * d->c->c + j];
            dx[row * d->c->c + j] = 0;
        }
}

const struct op_kind op_pads_set = {OP_KIND(token, pads_set), .cases = PADDED, .fill = fill_pads};
const struct op_kind op_pads_backward = {OP_KIND(token, pads_backward),
                                         .cases = PADDED,
                                         .fill = fill_pads,
                                         .adjoint_of = "pads_set",
                                         .varied = "token",
                                         .seed = "dx",
                                         .result = "dtoken"};
