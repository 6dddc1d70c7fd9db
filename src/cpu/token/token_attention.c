/* Attention: see struct token_attention in device/token_ops.h. Plain: a query row at a time, and in
 * the backward pass a key row at a time as well, so that nothing is added to by two threads. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/token/token_cpu.h"
#include "math/attention.h"

#include <math.h>
#include <string.h>

struct attention_work {
    const struct token_attention *a;
    const float *q, *k, *v;
    float *o, *lse;
    const struct token_attention_grads *grads;
    float *delta; /* [samples][heads][q_tokens] */
};

/* A query row, by its number among all of [samples][heads][q_tokens]. */
struct attention_query {
    int sample, head, token, kv_head;
    int keys; /* that it sees */
    size_t q, o;
};

static struct attention_query attention_query_at(const struct token_attention *a, int64_t index)
{
    struct attention_query q;
    q.token = (int)(index % a->q_tokens);
    q.head = (int)(index / a->q_tokens % a->heads);
    q.sample = (int)(index / a->q_tokens / a->heads);
    q.kv_head = q.head / (a->heads / a->kv_heads);
    q.keys = attention_keys(a->k_tokens, a->key_lengths ? a->key_lengths[q.sample] : a->k_tokens,
                            a->causal, a->first_query + q.token);
    size_t row = (size_t)q.sample * (size_t)a->q_tokens + (size_t)q.token;
    size_t at = (size_t)q.head * (size_t)a->head_dim;
    q.q = row * token_stride(a->q_stride, a->heads * a->head_dim) + at;
    q.o = row * token_stride(a->o_stride, a->heads * a->head_dim) + at;
    return q;
}

/* Where a key row begins in k (v: with v's stride). */
static size_t attention_key_at(const struct token_attention *a, size_t stride, int sample,
                               int kv_head, int token)
{
    size_t row = (size_t)sample * (size_t)a->k_tokens + (size_t)token;
    return row * token_stride(stride, a->kv_heads * a->head_dim) +
           (size_t)kv_head * (size_t)a->head_dim;
}

static float attention_dot(const float *x, const float *y, int count)
{
    float sum = 0;
    for (int i = 0; i < count; i++)
        sum += x[i] * y[i];
    return sum;
}

static void attention_add(float *to, float factor, const float *x, int count)
{
    for (int i = 0; i < count; i++)
        to[i] += factor * x[i];
}

/* The block's keys join the sums o (weighted values), *sum and *most. */
static void attention_block(const struct attention_work *w, const struct attention_query *q,
                            int first, int count, float *o, float *sum, float *most)
{
    const struct token_attention *a = w->a;
    float scores[TOKEN_KEY_BLOCK], block[TOKEN_HEAD_MOST] = {0}, block_sum = 0, before = *most;
    for (int j = 0; j < count; j++) {
        size_t k = attention_key_at(a, a->k_stride, q->sample, q->kv_head, first + j);
        scores[j] = a->scale * attention_dot(w->q + q->q, w->k + k, a->head_dim);
        if (a->bias)
            scores[j] += a->bias[token_bias_at(a, q->head, q->token) + (size_t)(first + j)];
        if (!(scores[j] <= *most)) *most = scores[j];
    }
    for (int j = 0; j < count; j++) {
        float weight = attention_weight(scores[j], *most);
        size_t v = attention_key_at(a, a->v_stride, q->sample, q->kv_head, first + j);
        block_sum += weight;
        attention_add(block, weight, w->v + v, a->head_dim);
    }
    float rescale = attention_rescale(before, *most);
    *sum = *sum * rescale + block_sum;
    for (int i = 0; i < a->head_dim; i++)
        o[i] = o[i] * rescale + block[i];
}

static void attention_queries_forward(void *context, int64_t begin, int64_t end)
{
    const struct attention_work *w = context;
    const struct token_attention *a = w->a;
    for (int64_t index = begin; index < end; index++) {
        struct attention_query q = attention_query_at(a, index);
        float o[TOKEN_HEAD_MOST] = {0}, sum = 0, most = -INFINITY;
        for (int first = 0; first < q.keys; first += TOKEN_KEY_BLOCK) {
            int count = q.keys - first < TOKEN_KEY_BLOCK ? q.keys - first : TOKEN_KEY_BLOCK;
            attention_block(w, &q, first, count, o, &sum, &most);
        }
        for (int i = 0; i < a->head_dim; i++)
            w->o[q.o + (size_t)i] = q.keys > 0 ? o[i] / sum : 0;
        if (w->lse) w->lse[index] = q.keys > 0 ? most + logf(sum) : -INFINITY;
    }
}

static int64_t attention_queries(const struct token_attention *a)
{
    return (int64_t)a->samples * a->heads * a->q_tokens;
}

static int reference_attention_forward(struct device *device, const struct token_attention *a,
                                       float *o, float *lse, const float *q, const float *k,
                                       const float *v)
{
    (void)device;
    TRY(token_check_attention(a));
    struct attention_work work = {.a = a, .q = q, .k = k, .v = v, .o = o, .lse = lse};
    threads_for(attention_queries(a), threads_grain((int64_t)2 * a->k_tokens * a->head_dim),
                attention_queries_forward, &work);
    return OK;
}

static size_t reference_attention_workspace(const struct device *device,
                                            const struct token_attention *a)
{
    (void)device;
    return (size_t)attention_queries(a) * sizeof(float);
}

/* delta and dq. */
static void attention_queries_backward(void *context, int64_t begin, int64_t end)
{
    const struct attention_work *w = context;
    const struct token_attention *a = w->a;
    const struct token_attention_grads *g = w->grads;
    for (int64_t index = begin; index < end; index++) {
        struct attention_query q = attention_query_at(a, index);
        float dq[TOKEN_HEAD_MOST] = {0};
        w->delta[index] = attention_dot(g->d_o + q.o, g->o + q.o, a->head_dim);
        for (int first = 0; first < q.keys; first += TOKEN_KEY_BLOCK) {
            float block[TOKEN_HEAD_MOST] = {0};
            for (int j = first; j < q.keys && j < first + TOKEN_KEY_BLOCK; j++) {
                size_t k = attention_key_at(a, a->k_stride, q.sample, q.kv_head, j);
                size_t v = attention_key_at(a, a->v_stride, q.sample, q.kv_head, j);
                float score = a->scale * attention_dot(g->q + q.q, g->k + k, a->head_dim);
                float dweight = attention_dot(g->d_o + q.o, g->v + v, a->head_dim);
                float weight = attention_weight(score, g->lse[index]);
                attention_add(block, attention_dscore(weight, dweight, w->delta[index]), g->k + k,
                              a->head_dim);
            }
            attention_add(dq, 1, block, a->head_dim);
        }
        for (int i = 0; i < a->head_dim; i++)
            g->dq[q.q + (size_t)i] = a->scale * dq[i];
    }
}

/* What a block of queries, of one head, adds to the gradients of a key row. */
static void attention_query_block(const struct attention_work *w, int64_t first, int count,
                                  int key_token, float *dk, float *dv)
{
    const struct token_attention *a = w->a;
    const struct token_attention_grads *g = w->grads;
    float dk_block[TOKEN_HEAD_MOST] = {0}, dv_block[TOKEN_HEAD_MOST] = {0};
    for (int64_t index = first; index < first + count; index++) {
        struct attention_query q = attention_query_at(a, index);
        if (key_token >= q.keys) continue;
        size_t k = attention_key_at(a, a->k_stride, q.sample, q.kv_head, key_token);
        size_t v = attention_key_at(a, a->v_stride, q.sample, q.kv_head, key_token);
        float score = a->scale * attention_dot(g->q + q.q, g->k + k, a->head_dim);
        float dweight = attention_dot(g->d_o + q.o, g->v + v, a->head_dim);
        float weight = attention_weight(score, g->lse[index]);
        attention_add(dv_block, weight, g->d_o + q.o, a->head_dim);
        attention_add(dk_block, attention_dscore(weight, dweight, w->delta[index]), g->q + q.q,
                      a->head_dim);
    }
    attention_add(dk, 1, dk_block, a->head_dim);
    attention_add(dv, 1, dv_block, a->head_dim);
}

/* dk and dv; keys by their number among all of [samples][kv_heads][k_tokens]. */
static void attention_keys_backward(void *context, int64_t begin, int64_t end)
{
    const struct attention_work *w = context;
    const struct token_attention *a = w->a;
    int group = a->heads / a->kv_heads;
    for (int64_t index = begin; index < end; index++) {
        int token = (int)(index % a->k_tokens), kv_head = (int)(index / a->k_tokens % a->kv_heads);
        int sample = (int)(index / a->k_tokens / a->kv_heads);
        float dk[TOKEN_HEAD_MOST] = {0}, dv[TOKEN_HEAD_MOST] = {0};
        for (int head = kv_head * group; head < (kv_head + 1) * group; head++)
            for (int first = 0; first < a->q_tokens; first += TOKEN_KEY_BLOCK) {
                int count = a->q_tokens - first;
                attention_query_block(w, ((int64_t)sample * a->heads + head) * a->q_tokens + first,
                                      count < TOKEN_KEY_BLOCK ? count : TOKEN_KEY_BLOCK, token, dk,
                                      dv);
            }
        size_t k = attention_key_at(a, a->k_stride, sample, kv_head, token);
        size_t v = attention_key_at(a, a->v_stride, sample, kv_head, token);
        for (int i = 0; i < a->head_dim; i++)
            w->grads->dk[k + (size_t)i] = a->scale * dk[i];
        memcpy(w->grads->dv + v, dv, (size_t)a->head_dim * sizeof *dv);
    }
}

static int reference_attention_backward(struct device *device, const struct token_attention *a,
                                        const struct token_attention_grads *grads)
{
    (void)device;
    TRY(token_check_attention_backward(a));
    struct attention_work work = {.a = a, .grads = grads, .delta = grads->workspace};
    int64_t keys = (int64_t)a->samples * a->kv_heads * a->k_tokens, each = a->head_dim;
    threads_for(attention_queries(a), threads_grain(3 * each * a->k_tokens),
                attention_queries_backward, &work);
    threads_for(keys, threads_grain(4 * each * a->q_tokens * (a->heads / a->kv_heads)),
                attention_keys_backward, &work);
    return OK;
}

void token_install_attention(struct token_ops *ops)
{
    ops->attention_forward = reference_attention_forward;
    ops->attention_workspace = reference_attention_workspace;
    ops->attention_backward = reference_attention_backward;
}
