/* Attention by blocks of keys: products of small matrices by the tiles of the matrix product, with
 * the exponentials of a block's scores in between. See math/attention.h. */
#include "cpu/isa/gemm_isa.h"
#include "cpu/token/attention_kernels.h"
#include "math/attention.h"

enum { KEYS = TOKEN_KEY_BLOCK, WIDEST = TOKEN_HEAD_MOST };

/* What belongs to a head of a sample: its first rows, and the floats from row to row. */
struct attention_head {
    size_t q, k, v, o; /* floats from the beginning of the tensors */
    size_t q_stride, k_stride, v_stride, o_stride;
    size_t width; /* numbers of a row */
    size_t room;  /* of a row of sums: whole panels */
    int length;   /* keys of the sample */
};

static struct attention_head attention_head_at(const struct token_attention *a, int sample,
                                               int head)
{
    size_t width = (size_t)a->head_dim, kv_head = (size_t)(head / (a->heads / a->kv_heads));
    struct attention_head h = {.q_stride = token_stride(a->q_stride, a->heads * a->head_dim),
                               .k_stride = token_stride(a->k_stride, a->kv_heads * a->head_dim),
                               .v_stride = token_stride(a->v_stride, a->kv_heads * a->head_dim),
                               .o_stride = token_stride(a->o_stride, a->heads * a->head_dim),
                               .width = width,
                               .room = (width + PANEL - 1) / PANEL * PANEL,
                               .length = a->k_tokens};
    if (a->key_lengths && a->key_lengths[sample] < h.length) h.length = a->key_lengths[sample];
    size_t query = (size_t)sample * (size_t)a->q_tokens, key = (size_t)sample * (size_t)a->k_tokens;
    h.q = query * h.q_stride + (size_t)head * width;
    h.o = query * h.o_stride + (size_t)head * width;
    h.k = key * h.k_stride + kv_head * width;
    h.v = key * h.v_stride + kv_head * width;
    return h;
}

/* Of the block's keys, from `first` on, those that a query sees. */
static int attention_seen(const struct token_attention *a, const struct attention_head *h,
                          int query, int first, int count)
{
    int keys = attention_keys(a->k_tokens, h->length, a->causal, a->first_query + query) - first;
    return keys < 0 ? 0 : keys < count ? keys : count;
}

/* [width][PANEL] after one another: rows become columns. */
static void attention_pack_columns(float *packed, const float *rows, size_t stride, size_t count,
                                   size_t width)
{
    struct gemm g = {.n = count, .b = rows, .b_depth = 1, .b_column = stride, .b_type = GEMM_F32};
    gemm_pack_panels(packed, width, &g, 0, width, 0, count);
}

/* [KEYS][PANEL] after one another, zeros past `width`. */
static void attention_pack_rows(float *packed, const float *rows, size_t stride, size_t count,
                                size_t width)
{
    struct gemm g = {.n = width, .b = rows, .b_depth = stride, .b_column = 1, .b_type = GEMM_F32};
    gemm_pack_panels(packed, KEYS, &g, 0, count, 0, width);
}

/* scores [rows][KEYS] of rows with the columns of a packed block */
static void attention_products(float *scores, size_t rows, size_t count, const float *from,
                               size_t stride, const float *packed, size_t width)
{
    for (size_t c = 0; c < count; c += PANEL) {
        size_t columns = count - c < PANEL ? (count - c + VF - 1) / VF * VF : PANEL;
        struct tile_source s = {from, stride, 1};
        struct tile_target t = {scores + c, NULL, NULL, KEYS};
        gemm_tile_sum(rows, columns, width, &s, packed + c * width, &t);
    }
}

/* sums [rows][stride] += A packed, of `columns` columns in panels of [KEYS][PANEL] */
static void attention_add_products(float *sums, size_t stride, size_t rows, size_t columns,
                                   size_t count, const struct tile_source *s, const float *packed)
{
    for (size_t c = 0; c < columns; c += PANEL) {
        struct tile_target t = {sums + c, sums + c, NULL, stride};
        gemm_tile_sum(rows, columns - c < PANEL ? columns - c : PANEL, count, s, packed + c * KEYS,
                      &t);
    }
}

/* 1 / log 2: exp(x) = 2^(x / log 2); NaN stays NaN. */
INLINE vf attention_exp(vf below)
{
    return vf_exp2_negative(vf_min(vf_set(120), below * vf_set(1.4426950408889634f)));
}

/* v in the lanes of keys below `seen`, `other` in the others; the first is key j. */
INLINE vf attention_mask(vf v, size_t j, int seen, vf other)
{
    return vf_select(vf_lt(vf_iota(), vf_set((float)(seen - (int)j))), v, other);
}

/* Of `left` numbers. */
INLINE vf attention_load(const float *from, size_t left)
{
    return left >= VF ? vf_load(from) : vf_load_some(from, (int)left);
}

/* A query's sums so far. */
struct attention_row {
    float most, sum;
};

/* Scores become weights, relative to the largest so far, zeros where keys are not seen. bias: of
 * these keys, or NULL. Returns
 * what sums so far are to be multiplied by. */
static float attention_weigh(float *scores, int seen, float scale, const float *bias,
                             struct attention_row *row)
{
    vf best = vf_set(-INFINITY), sum = vf_set(0);
    for (size_t j = 0; j < (size_t)seen; j += VF) {
        vf v = vf_load(scores + j) * vf_set(scale);
        if (bias) v += attention_load(bias + j, (size_t)seen - j);
        v = attention_mask(v, j, seen, vf_set(-INFINITY));
        best = vf_max(best, v);
        vf_store(scores + j, v);
    }
    float before = row->most, most = vf_most(best);
    if (!(most <= before)) row->most = most;
    for (size_t j = 0; j < KEYS; j += VF) {
        vf v = vf_set(0);
        if (j < (size_t)seen)
            v = attention_mask(attention_exp(vf_set(row->most) - vf_load(scores + j)), j, seen, v);
        sum += v;
        vf_store(scores + j, v);
    }
    float rescale = row->most == before ? 1 : attention_rescale(before, row->most);
    row->sum = row->sum * rescale + vf_sum(sum);
    return rescale;
}

static void attention_scale(float *row, float scale, size_t room)
{
    for (size_t i = 0; i < room; i += VF)
        vf_store(row + i, vf_load(row + i) * vf_set(scale));
}

/* to[i] = scale from[i], of which `room` can be read */
static void attention_write(float *to, float scale, const float *from, size_t width)
{
    for (size_t i = 0; i < width; i += VF) {
        vf v = vf_load(from + i) * vf_set(scale);
        if (width - i >= VF)
            vf_store(to + i, v);
        else
            vf_store_some(to + i, v, (int)(width - i));
    }
}

static void ISA_NAME(attention_forward)(const struct attention_operands *w, int sample, int head,
                                        int first, int count)
{
    float keys[WIDEST * KEYS] __attribute__((aligned(64)));
    float values[WIDEST * KEYS] __attribute__((aligned(64)));
    float sums[ATTENTION_QUERIES * WIDEST] __attribute__((aligned(64)));
    float scores[TILE_ROWS * KEYS] __attribute__((aligned(64)));
    struct attention_row rows[ATTENTION_QUERIES];
    const struct token_attention *a = w->a;
    const struct attention_head h = attention_head_at(a, sample, head);
    const float *q = w->q + h.q + (size_t)first * h.q_stride;
    memset(sums, 0, (size_t)count * h.room * sizeof *sums);
    for (int i = 0; i < count; i++)
        rows[i] = (struct attention_row){-INFINITY, 0};
    int end = attention_seen(a, &h, first + count - 1, 0, a->k_tokens);
    for (int key = 0; key < end; key += KEYS) {
        int block = end - key < KEYS ? end - key : KEYS;
        attention_pack_columns(keys, w->k + h.k + (size_t)key * h.k_stride, h.k_stride,
                               (size_t)block, h.width);
        attention_pack_rows(values, w->v + h.v + (size_t)key * h.v_stride, h.v_stride,
                            (size_t)block, h.width);
        for (size_t r = 0, now; r < (size_t)count; r += now) {
            now = gemm_tile_rows((size_t)count - r);
            attention_products(scores, now, (size_t)block, q + r * h.q_stride, h.q_stride, keys,
                               h.width);
            for (size_t i = 0; i < now; i++) {
                int query = first + (int)(r + i);
                int seen = attention_seen(a, &h, query, key, block);
                const float *bias = a->bias ? a->bias + token_bias_at(a, head, query) + key : NULL;
                float rescale =
                    attention_weigh(scores + i * KEYS, seen, a->scale, bias, &rows[r + i]);
                if (rescale != 1) attention_scale(sums + (r + i) * h.room, rescale, h.room);
            }
            struct tile_source s = {scores, KEYS, 1};
            attention_add_products(sums + r * h.room, h.room, now, h.room, (size_t)block, &s,
                                   values);
        }
    }
    for (int i = 0; i < count; i++) {
        bool has_keys = rows[i].sum != 0;
        float *o = w->o + h.o + (size_t)(first + i) * h.o_stride;
        attention_write(o, has_keys ? 1 / rows[i].sum : 0, sums + (size_t)i * h.room, h.width);
        if (w->lse)
            w->lse[((size_t)sample * (size_t)a->heads + (size_t)head) * (size_t)a->q_tokens +
                   (size_t)(first + i)] = has_keys ? rows[i].most + logf(rows[i].sum) : -INFINITY;
    }
}

/* ---- backward ---- */

/* A block of keys against a block of queries. */
struct attention_pair {
    const struct token_attention *a;
    const struct token_attention_grads *g;
    struct attention_head h;
    const float *delta; /* of the head */
    const float *lse;
    int key, keys, query, queries;
    float *k_columns, *v_columns, *k_rows; /* packed */
    float *q_rows, *d_o_rows;
    float *dk, *dv;            /* sums of the keys [KEYS][room] */
    float *weights, *d_scores; /* [KEYS queries][KEYS] */
};

static float attention_row_dot(const float *x, const float *y, size_t width)
{
    vf sum = vf_set(0);
    for (size_t i = 0; i < width; i += VF) {
        int some = width - i < VF ? (int)(width - i) : VF;
        vf a = some == VF ? vf_load(x + i) : vf_load_some(x + i, some);
        vf b = some == VF ? vf_load(y + i) : vf_load_some(y + i, some);
        sum = vf_fma(a, b, sum);
    }
    return vf_sum(sum);
}

/* Scores and gradients of weights become weights and gradients of scores. */
static void attention_differentiate(float *weights, float *d_scores, int seen, float scale,
                                    float lse, float delta)
{
    for (size_t j = 0; j < KEYS; j += VF) {
        vf weight = vf_set(0), slope = weight;
        if (j < (size_t)seen) {
            weight = attention_exp(vf_set(lse) - vf_load(weights + j) * vf_set(scale));
            weight = attention_mask(weight, j, seen, vf_set(0));
            slope = weight * (vf_load(d_scores + j) - vf_set(delta));
            slope = attention_mask(slope, j, seen, vf_set(0));
        }
        vf_store(weights + j, weight);
        vf_store(d_scores + j, slope);
    }
}

static void attention_pair_backward(const struct attention_pair *p)
{
    const struct attention_head *h = &p->h;
    const float *q = p->g->q + h->q + (size_t)p->query * h->q_stride;
    const float *d_o = p->g->d_o + h->o + (size_t)p->query * h->o_stride;
    float *dq = p->g->dq + h->q + (size_t)p->query * h->q_stride;
    size_t queries = (size_t)p->queries, keys = (size_t)p->keys;
    attention_pack_rows(p->q_rows, q, h->q_stride, queries, h->width);
    attention_pack_rows(p->d_o_rows, d_o, h->o_stride, queries, h->width);
    for (size_t r = 0, now; r < queries; r += now) {
        now = gemm_tile_rows(queries - r);
        float *weights = p->weights + r * KEYS, *d_scores = p->d_scores + r * KEYS;
        attention_products(weights, now, keys, q + r * h->q_stride, h->q_stride, p->k_columns,
                           h->width);
        attention_products(d_scores, now, keys, d_o + r * h->o_stride, h->o_stride, p->v_columns,
                           h->width);
        for (size_t i = 0; i < now; i++) {
            int query = p->query + (int)(r + i);
            attention_differentiate(weights + i * KEYS, d_scores + i * KEYS,
                                    attention_seen(p->a, h, query, p->key, p->keys), p->a->scale,
                                    p->lse[query], p->delta[query]);
        }
        struct tile_source s = {d_scores, KEYS, 1};
        attention_add_products(dq + r * h->q_stride, h->q_stride, now, h->width, keys, &s,
                               p->k_rows);
    }
    for (size_t k = 0, now; k < keys; k += now) {
        now = gemm_tile_rows(keys - k);
        struct tile_source weights = {p->weights + k, 1, KEYS}, scores = {p->d_scores + k, 1, KEYS};
        attention_add_products(p->dv + k * h->room, h->room, now, h->room, queries, &weights,
                               p->d_o_rows);
        attention_add_products(p->dk + k * h->room, h->room, now, h->room, queries, &scores,
                               p->q_rows);
    }
}

/* delta; dq begins at 0. */
static void attention_begin(const struct attention_pair *p, float *delta)
{
    for (int i = 0; i < p->a->q_tokens; i++) {
        size_t row = (size_t)i;
        delta[i] = attention_row_dot(p->g->d_o + p->h.o + row * p->h.o_stride,
                                     p->g->o + p->h.o + row * p->h.o_stride, p->h.width);
        memset(p->g->dq + p->h.q + row * p->h.q_stride, 0, p->h.width * sizeof *delta);
    }
}

/* All queries of the head against the block of keys. */
static void attention_keys_backward(struct attention_pair *p)
{
    for (p->query = 0; p->query < p->a->q_tokens; p->query += p->queries) {
        int left = p->a->q_tokens - p->query;
        p->queries = left < KEYS ? left : KEYS;
        if (attention_seen(p->a, &p->h, p->query + p->queries - 1, p->key, p->keys) > 0)
            attention_pair_backward(p);
    }
}

static void attention_pair_lay(struct attention_pair *p, float *workspace)
{
    enum { ROOM = KEYS * WIDEST };
    float **parts[] = {&p->k_columns, &p->v_columns, &p->k_rows, &p->q_rows,
                       &p->d_o_rows,  &p->dk,        &p->dv};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++, workspace += ROOM)
        *parts[i] = workspace;
    p->weights = workspace;
    p->d_scores = workspace + KEYS * KEYS;
}

static void ISA_NAME(attention_backward)(const struct token_attention *a,
                                         const struct token_attention_grads *g, int sample,
                                         int kv_head, float *delta, float *workspace)
{
    int group = a->heads / a->kv_heads, first = kv_head * group;
    size_t heads_before = (size_t)sample * (size_t)a->heads, tokens = (size_t)a->q_tokens;
    struct attention_pair p = {.a = a, .g = g};
    attention_pair_lay(&p, workspace);
    for (int head = first; head < first + group; head++) {
        p.h = attention_head_at(a, sample, head);
        attention_begin(&p, delta + (heads_before + (size_t)head) * tokens);
    }
    for (p.key = 0; p.key < a->k_tokens; p.key += KEYS) {
        p.keys = a->k_tokens - p.key < KEYS ? a->k_tokens - p.key : KEYS;
        const float *k = g->k + p.h.k + (size_t)p.key * p.h.k_stride;
        const float *v = g->v + p.h.v + (size_t)p.key * p.h.v_stride;
        memset(p.dk, 0, KEYS * p.h.room * sizeof *p.dk);
        memset(p.dv, 0, KEYS * p.h.room * sizeof *p.dv);
        attention_pack_columns(p.k_columns, k, p.h.k_stride, (size_t)p.keys, p.h.width);
        attention_pack_columns(p.v_columns, v, p.h.v_stride, (size_t)p.keys, p.h.width);
        attention_pack_rows(p.k_rows, k, p.h.k_stride, (size_t)p.keys, p.h.width);
        for (int head = first; head < first + group; head++) {
            size_t at = (heads_before + (size_t)head) * tokens;
            p.h = attention_head_at(a, sample, head);
            p.lse = g->lse + at;
            p.delta = delta + at;
            attention_keys_backward(&p);
        }
        for (size_t i = 0; i < (size_t)p.keys; i++) {
            size_t row = (size_t)p.key + i;
            attention_write(g->dk + p.h.k + row * p.h.k_stride, a->scale, p.dk + i * p.h.room,
                            p.h.width);
            attention_write(g->dv + p.h.v + row * p.h.v_stride, 1, p.dv + i * p.h.room, p.h.width);
        }
    }
    for (int head = first; head < first + group; head++) {
        p.h = attention_head_at(a, sample, head);
        for (size_t i = 0; i < tokens; i++) {
            float *dq = g->dq + p.h.q + i * p.h.q_stride;
            for (size_t j = 0; j < p.h.width; j++)
                dq[j] *= a->scale;
        }
    }
}

const struct attention_kernels ISA_NAME(attention_kernels) = {
    .forward = ISA_NAME(attention_forward),
    .backward = ISA_NAME(attention_backward),
};
