/* Which shapes operations on rows of tokens take, on whatever device. */
#include "device/token_ops.h"

#include "base/error.h"
#include "device/device.h"

int token_check_device(const struct device *device)
{
    if (device->token) return OK;
    return fail(ERR_USAGE, "%s: transformers are not computed there yet, only on the CPU",
                device->name);
}

int token_check_linear(const struct token_linear *l)
{
    if (l->rows > 0 && l->in > 0 && l->out > 0 &&
        token_stride(l->x_stride, l->in) >= (size_t)l->in &&
        token_stride(l->y_stride, l->out) >= (size_t)l->out) {
        if (l->bf16 && l->weight_type != TOKEN_BF16)
            return fail(ERR_USAGE, "linear: products of bf16 with other weights");
        if (l->weight_type != TOKEN_I8 || l->weight_scales) return OK;
        return fail(ERR_USAGE, "linear: weights of 8 bits without scales");
    }
    return fail(ERR_USAGE, "linear: no %d rows of %d to %d, %zu and %zu apart", l->rows, l->in,
                l->out, l->x_stride, l->y_stride);
}

int token_check_linear_dgrad(const struct token_linear *l)
{
    TRY(token_check_linear(l));
    if (l->weight_type != TOKEN_I8 && !l->bf16) return OK;
    if (l->bf16)
        return fail(ERR_USAGE, "linear_dgrad: products of bf16 are for forward passes alone");
    return fail(ERR_USAGE, "linear_dgrad: weights of 8 bits are for forward passes alone");
}

int token_check_linear_wgrad(const struct token_linear *l)
{
    TRY(token_check_linear(l));
    if (l->chunk > 0) return OK;
    return fail(ERR_USAGE, "linear_wgrad: chunks of %d rows", l->chunk);
}

/* Rows, what belongs to samples, chunks. */
static int check_sample_rows(const char *what, int rows, int width, int rows_per_sample, int chunk)
{
    if (rows > 0 && width > 0 && chunk > 0 && rows_per_sample >= 0 &&
        rows % token_sample_rows(rows_per_sample, rows) == 0)
        return OK;
    return fail(ERR_USAGE, "%s: no %d rows of %d, %d a sample, in chunks of %d", what, rows, width,
                rows_per_sample, chunk);
}

int token_check_norm(const struct token_norm *n, bool backward)
{
    return check_sample_rows("norm", n->rows, n->width, n->rows_per_sample,
                             backward ? n->chunk : 1);
}

int token_check_gate(const struct token_gate *g, bool backward)
{
    return check_sample_rows("gate", g->rows, g->width, g->rows_per_sample,
                             backward ? g->chunk : 1);
}

int token_check_rope(const struct token_rope *r)
{
    if (r->rows > 0 && r->heads > 0 && r->head_dim > 0 && r->head_dim % 2 == 0 && r->tokens > 0 &&
        token_stride(r->stride, r->heads * r->head_dim) >= (size_t)r->heads * (size_t)r->head_dim)
        return OK;
    return fail(ERR_USAGE, "rope: no %d rows of %d heads of %d, %zu apart, of %d tokens", r->rows,
                r->heads, r->head_dim, r->stride, r->tokens);
}

static bool stride_is_wide(size_t stride, int heads, int head_dim)
{
    return stride == 0 || stride >= (size_t)heads * (size_t)head_dim;
}

int token_check_attention(const struct token_attention *a)
{
    bool wide = stride_is_wide(a->q_stride, a->heads, a->head_dim) &&
                stride_is_wide(a->o_stride, a->heads, a->head_dim) &&
                stride_is_wide(a->k_stride, a->kv_heads, a->head_dim) &&
                stride_is_wide(a->v_stride, a->kv_heads, a->head_dim);
    if (wide && a->samples > 0 && a->q_tokens > 0 && a->k_tokens > 0 && a->heads > 0 &&
        a->kv_heads > 0 && a->heads % a->kv_heads == 0 && a->head_dim > 0 &&
        a->head_dim <= TOKEN_HEAD_MOST && a->first_query >= 0)
        return OK;
    return fail(ERR_USAGE, "attention: not %d samples of %d queries, %d keys, %d of %d heads of %d",
                a->samples, a->q_tokens, a->k_tokens, a->kv_heads, a->heads, a->head_dim);
}

int token_check_attention_backward(const struct token_attention *a)
{
    TRY(token_check_attention(a));
    return a->bias ? fail(ERR_USAGE, "attention: no gradients of scores with a bias") : OK;
}

int token_check_embedding(const struct token_embedding *e)
{
    if (e->rows > 0 && e->width > 0 && e->count > 0 && e->table_type != TOKEN_I8) return OK;
    return fail(ERR_USAGE, "embedding: no %d rows of %d out of %d", e->rows, e->width, e->count);
}

int token_check_pads(const struct token_pads *p)
{
    if (p->samples > 0 && p->tokens > 0 && p->width > 0 && p->lengths) return OK;
    return fail(ERR_USAGE, "pads: not %d samples of %d rows of %d", p->samples, p->tokens,
                p->width);
}
