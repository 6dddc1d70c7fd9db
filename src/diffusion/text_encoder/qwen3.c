#include "diffusion/text_encoder/qwen3.h"

#include "base/error.h"
#include "device/device.h"
#include "math/portable.h"
#include "memory/plan.h"

#include <math.h>
#include <stdlib.h>

/* Buffers of the two halves of a layer share memory. */
enum { PHASE_ATTENTION, PHASE_FEED };

double qwen3_macs(const struct qwen3_model *model, const struct qwen3_size *size)
{
    double matrices = 0, macs = 0;
    for (int t = 0; t < model->tensor_count; t++)
        if (model->tensors[t].is_matrix) matrices += (double)model->tensors[t].count;
    for (int i = 0; i < size->prompts; i++) {
        double n = size->lengths[i], pairs = n * (n + 1) / 2;
        macs += n * matrices +
                2 * pairs * model->layers * model->config.heads * (double)model->config.head_dim;
    }
    return macs;
}

/* ---- memory ---- */

static struct token_linear qwen3_linear_of(const struct qwen3 *q, enum qwen3_slot slot)
{
    const struct qwen3_tensor *tensor = &q->model->tensors[slot]; /* alike in all layers */
    return (struct token_linear){
        .rows = q->rows, .in = (int)tensor->shape[1], .out = (int)tensor->shape[0]};
}

static size_t qwen3_workspace(const struct qwen3 *q)
{
    size_t most = 0;
    for (int slot = 0; slot < QWEN3_SLOTS; slot++) {
        if (!q->model->tensors[slot].is_matrix) continue;
        const struct token_linear linear = qwen3_linear_of(q, (enum qwen3_slot)slot);
        size_t bytes = q->device->token->linear_workspace(q->device, &linear);
        if (bytes > most) most = bytes;
    }
    return most;
}

static int qwen3_declare(struct qwen3 *q, struct plan *plan)
{
    const struct qwen3_config *c = &q->model->config;
    const int queries = c->heads * c->head_dim, keys = c->kv_heads * c->head_dim;
    const struct {
        const char *name;
        int width, first, last;
        float **slot;
    } buffers[] = {
        {"text.x", c->hidden, PLAN_ALWAYS, &q->x},
        {"text.normed", c->hidden, PLAN_ALWAYS, &q->normed},
        {"text.cosines", c->head_dim / 2, PLAN_ALWAYS, &q->cosines},
        {"text.sines", c->head_dim / 2, PLAN_ALWAYS, &q->sines},
        {"text.q", queries, PHASE_ATTENTION, PHASE_ATTENTION, &q->q},
        {"text.k", keys, PHASE_ATTENTION, PHASE_ATTENTION, &q->k},
        {"text.v", keys, PHASE_ATTENTION, PHASE_ATTENTION, &q->v},
        {"text.o", queries, PHASE_ATTENTION, PHASE_ATTENTION, &q->o},
        {"text.gate", c->mlp, PHASE_FEED, PHASE_FEED, &q->gate},
        {"text.up", c->mlp, PHASE_FEED, PHASE_FEED, &q->up},
    };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        TRY(plan_declare(plan, buffers[i].name, PLAN_ACTIVATIONS,
                         (size_t)q->rows * (size_t)buffers[i].width * sizeof(float),
                         buffers[i].first, buffers[i].last, (void **)buffers[i].slot));
    return plan_declare(plan, "text.workspace", PLAN_WORKSPACE, qwen3_workspace(q), PLAN_ALWAYS,
                        &q->workspace);
}

int qwen3_memory(struct qwen3 *q, const struct qwen3_model *model, const struct qwen3_size *size,
                 struct device *device, struct plan *plan)
{
    *q = (struct qwen3){.model = model, .size = *size, .device = device};
    TRY(token_check_device(device));
    for (int i = 0; i < size->prompts; i++) {
        if (size->lengths[i] < 1 || size->lengths[i] > model->config.positions)
            return fail(ERR_USAGE, "a prompt of %d tokens: the text encoder takes 1 to %d",
                        size->lengths[i], model->config.positions);
        q->rows += size->lengths[i];
    }
    return qwen3_declare(q, plan);
}

/* In the roundings of the reference. */
static void qwen3_make_angles(const struct qwen3 *q, float *cosines, float *sines)
{
    const struct qwen3_config *c = &q->model->config;
    for (int i = 0; i < q->size.prompts; i++)
        for (int token = 0; token < q->size.lengths[i]; token++)
            for (int m = 0; m < c->head_dim / 2; m++) {
                float period = (float)portable_pow(c->rope_theta, 2.0 * m / c->head_dim);
                float angle = 1 / period * (float)token;
                *cosines++ = (float)portable_cos((double)angle);
                *sines++ = (float)portable_sin((double)angle);
            }
}

int qwen3_connect(struct qwen3 *q)
{
    size_t count = (size_t)q->rows * (size_t)(q->model->config.head_dim / 2);
    float *angles = malloc(2 * count * sizeof *angles + 1);
    if (!angles) return fail(ERR_SYSTEM, "out of memory");
    qwen3_make_angles(q, angles, angles + count);
    int code = device_send(q->device, q->cosines, angles, count * sizeof *angles);
    if (code == OK) code = device_send(q->device, q->sines, angles + count, count * sizeof *angles);
    free(angles);
    return code;
}

/* ---- a layer ---- */

static int qwen3_linear(const struct qwen3 *q, const struct qwen3_weights *w, enum qwen3_slot slot,
                        float *y, const float *x, bool add)
{
    const struct token_epilogue epilogue = {.add = add};
    struct token_linear linear = qwen3_linear_of(q, slot);
    linear.weight = w->at[slot];
    linear.weight_type = w->type[slot];
    return q->device->token->linear_forward(q->device, &linear, y, x, &epilogue, q->workspace);
}

static int qwen3_norm(const struct qwen3 *q, const struct qwen3_weights *w, enum qwen3_slot slot,
                      int rows, float *y, const float *x)
{
    const struct token_norm norm = {.kind = TOKEN_RMS,
                                    .rows = rows,
                                    .width = (int)q->model->tensors[slot].shape[0],
                                    .eps = (float)q->model->config.eps,
                                    .weight = w->at[slot]};
    return q->device->token->norm_forward(q->device, &norm, y, x);
}

/* Each head's norm, then its position. */
static int qwen3_turn(const struct qwen3 *q, const struct qwen3_weights *w, enum qwen3_slot slot,
                      int heads, float *x)
{
    const struct token_rope rope = {.x = x,
                                    .cosines = q->cosines,
                                    .sines = q->sines,
                                    .rows = q->rows,
                                    .heads = heads,
                                    .head_dim = q->model->config.head_dim,
                                    .tokens = q->rows,
                                    .halves = true};
    TRY(qwen3_norm(q, w, slot, q->rows * heads, x, x));
    return q->device->token->rope(q->device, &rope);
}

/* A prompt sees nothing of the others. */
static int qwen3_attention(const struct qwen3 *q)
{
    const struct qwen3_config *c = &q->model->config;
    size_t at = 0, queries = (size_t)(c->heads * c->head_dim);
    size_t keys = (size_t)(c->kv_heads * c->head_dim);
    for (int i = 0; i < q->size.prompts; i++) {
        const struct token_attention attention = {.samples = 1,
                                                  .q_tokens = q->size.lengths[i],
                                                  .k_tokens = q->size.lengths[i],
                                                  .heads = c->heads,
                                                  .kv_heads = c->kv_heads,
                                                  .head_dim = c->head_dim,
                                                  .scale = (float)(1 / sqrt((double)c->head_dim)),
                                                  .causal = true};
        TRY(q->device->token->attention_forward(q->device, &attention, q->o + at * queries, NULL,
                                                q->q + at * queries, q->k + at * keys,
                                                q->v + at * keys));
        at += (size_t)q->size.lengths[i];
    }
    return OK;
}

static int qwen3_layer(const struct qwen3 *q, const struct qwen3_weights *w)
{
    const struct qwen3_config *c = &q->model->config;
    size_t middle = (size_t)q->rows * (size_t)c->mlp;
    TRY(qwen3_norm(q, w, QWEN3_NORM_ATTENTION, q->rows, q->normed, q->x));
    TRY(qwen3_linear(q, w, QWEN3_Q, q->q, q->normed, false));
    TRY(qwen3_linear(q, w, QWEN3_K, q->k, q->normed, false));
    TRY(qwen3_linear(q, w, QWEN3_V, q->v, q->normed, false));
    TRY(qwen3_turn(q, w, QWEN3_NORM_Q, c->heads, q->q));
    TRY(qwen3_turn(q, w, QWEN3_NORM_K, c->kv_heads, q->k));
    TRY(qwen3_attention(q));
    TRY(qwen3_linear(q, w, QWEN3_OUT, q->x, q->o, true));
    TRY(qwen3_norm(q, w, QWEN3_NORM_FEED, q->rows, q->normed, q->x));
    TRY(qwen3_linear(q, w, QWEN3_GATE, q->gate, q->normed, false));
    TRY(qwen3_linear(q, w, QWEN3_UP, q->up, q->normed, false));
    TRY(q->device->token->swiglu_forward(q->device, q->gate, q->gate, q->up, middle));
    return qwen3_linear(q, w, QWEN3_DOWN, q->x, q->gate, true);
}

int qwen3_forward(struct qwen3 *q, const struct qwen3_source *source, bool (*stop_requested)(void))
{
    struct qwen3_weights weights;
    for (int layer = 0; layer < q->model->layers; layer++) {
        if (stop_requested && stop_requested()) return fail(ERR_STOPPED, "stopped");
        TRY(source->acquire(source->context, layer, &weights));
        TRY(qwen3_layer(q, &weights));
        TRY(source->release(source->context, layer));
    }
    return OK;
}
