/* What a device can do for transformers: rows of features. One struct of functions, beside
 * device/nn_ops.h, whose rules hold here too: no function allocates, workspaces (64-byte aligned)
 * are asked for beforehand, operations run in the order of the calls but perhaps later, ERR_USAGE
 * for a shape that they do not take, the same bits for any number of threads.
 *
 * Rows are fp32, one behind the other unless a stride (in floats) says otherwise. Matrices
 * [out][in] are fp32, bf16, fp16 or (forward passes of linear layers alone) 8 bits with a scale for
 * each row, widened as they are read; vectors (biases, weights of norms,
 * tokens) and all gradients are fp32. The bits of a row's result depend on that row alone
 * (attention: on its sample), not on how many rows a call has nor on where it stands among them.
 *
 * Reduction chunks: a gradient that is a sum over rows is accumulated one chunk of `chunk` rows
 * after the other, as if by `d += sum` for a chunk, or for each of its pieces: each sum starts from
 * zero, in an order that depends on the shape and on `chunk` alone. So rows may be handed over in
 * several calls, cut at chunk boundaries, and the bits stay the same. Where rows belong to samples,
 * chunks start anew with each sample.
 *
 * In nn_ops.h already: SiLU alone (pointwise_*, NN_SILU), copies in another order (strided_copy:
 * patches, sequences one behind the other, to and from bf16), squared errors (image_loss). */
#ifndef IMGTRAIN_DEVICE_TOKEN_OPS_H
#define IMGTRAIN_DEVICE_TOKEN_OPS_H

#include "base/host_device.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device;

/* TOKEN_I8: whole numbers -127..127, each row of a matrix times a scale of its own. */
enum token_type { TOKEN_F32, TOKEN_BF16, TOKEN_F16, TOKEN_I8 };

static inline size_t token_type_bytes(enum token_type type)
{
    return type == TOKEN_F32 ? 4 : type == TOKEN_I8 ? 1 : 2;
}

/* Where the scales of a matrix of `count` numbers lie that is stored with them: bytes from it. */
static inline size_t token_scales_at(size_t count)
{
    return (count + 63) / 64 * 64;
}

/* y = x W' (+ bias). */
struct token_linear {
    int rows, in, out;
    const void *weight; /* [out][in]; wgrad does not read it */
    enum token_type weight_type;
    bool bf16; /* products of bf16: x is rounded to it, too, to nearest even. Of TOKEN_BF16 and
                  forward alone; sums stay fp32 */
    const float *weight_scales; /* [out], of TOKEN_I8 */
    int chunk;       /* rows summed as one by wgrad; 0: there is none. Forward and dgrad do not
                        read it */
    size_t x_stride; /* floats from row to row of x and dx; 0: `in` */
    size_t y_stride; /* of y and dy; 0: `out` */
};

/* What is done to a sum before it is stored, in this order; zeroed: nothing. */
enum token_activation { TOKEN_NO_ACTIVATION, TOKEN_SILU, TOKEN_GELU_TANH, TOKEN_GELU_QUICK };
struct token_epilogue {
    const float *bias; /* [out], added */
    enum token_activation activation;
    bool add; /* to what stands in y, instead of overwriting it */
};

/* y = n(x) weight (1 + scale of the row's sample) + shift of it, where
 * RMS:   n = x r, r = (mean of x^2 + eps)^-1/2
 * LAYER: n = (x - mean) r, r = (variance + eps)^-1/2 */
enum token_norm_kind { TOKEN_RMS, TOKEN_LAYER };
struct token_norm {
    enum token_norm_kind kind;
    int rows, width;
    float eps;
    const float *weight; /* [width]; NULL: ones */
    const float *scale;  /* [samples][width], scale_stride apart; NULL: zeros */
    const float *shift;  /* likewise, of forward alone; of one sample it is a bias. NULL: zeros */
    size_t scale_stride; /* floats from sample to sample of scale, shift, dscale; 0: width */
    int rows_per_sample; /* 0: all rows are one sample's; else divides rows */
    int chunk;           /* of backward */
};

/* The gradients of a norm; dweight and dscale may be NULL. dx may be dy, where it is not added to.
 */
struct token_norm_grads {
    const float *x, *dy;
    float *dx;
    bool add;        /* dx +=, instead of = */
    float *dweight;  /* [width], += */
    float *dscale;   /* like scale, += */
    void *workspace; /* norm_workspace */
};

/* y = x + t u, where t is the tanh of the gate of the row's sample; plain: the gate itself. */
struct token_gate {
    int rows, width;
    const float *gate; /* [samples][width], gate_stride apart; NULL: y = x + u */
    bool plain;
    size_t gate_stride;  /* floats from sample to sample of gate and dgate; 0: width */
    int rows_per_sample; /* 0: all rows are one sample's; else divides rows */
    int chunk;           /* of backward */
};

/* Turns pairs of numbers of x [rows][heads][head_dim], in place, by the angles whose cosines and
 * sines are given: row i by line i % tokens of the tables. */
struct token_rope {
    float *x;
    const float *cosines, *sines; /* [tokens][head_dim / 2] */
    int rows, heads, head_dim, tokens;
    size_t stride;  /* floats from row to row; 0: heads * head_dim */
    bool halves;    /* pair m: numbers m and m + head_dim / 2; else 2m and 2m + 1 */
    bool backwards; /* by the negative angle: the adjoint, and the inverse */
};

/* o = softmax(scale q k' + bias) v of each sample and head; query head h reads head h / (heads /
 * kv_heads) of k and v. Rows of q and o: [samples][q_tokens][heads][head_dim]; of k and v:
 * [samples][k_tokens][kv_heads][head_dim]; gradients lie like what they are of. Memory is linear in
 * tokens; keys are taken in blocks of TOKEN_KEY_BLOCK, in order. head_dim: TOKEN_HEAD_MOST at most.
 * Keys and values that are not seen must be finite all the same: they are multiplied by 0. */
enum { TOKEN_KEY_BLOCK = 64, TOKEN_HEAD_MOST = 256 };
struct token_attention {
    int samples, q_tokens, k_tokens, heads, kv_heads, head_dim;
    float scale;
    bool causal;            /* query i sees keys up to first_query + i alone */
    int first_query;        /* where queries stand among the keys, where causal */
    const int *key_lengths; /* [samples], on the device: keys from there on are not seen; NULL: all
                               are. A query that sees none has o = 0. */
    const float *bias; /* [heads][q_tokens + k_tokens - 1], on the device: of a key that stands d
                          rows behind the query (both counted from their first row) number d +
                          q_tokens - 1 of the head; NULL: zeros. Of forward alone */
    size_t q_stride, k_stride, v_stride, o_stride; /* floats from row to row; 0: no gaps */
};

/* The gradients of attention: all overwritten. */
struct token_attention_grads {
    const float *q, *k, *v, *o, *d_o;
    const float *lse;
    float *dq, *dk, *dv;
    void *workspace; /* attention_workspace */
};

/* Rows of a table. */
struct token_embedding {
    const void *table; /* [count][width]; of gather alone */
    enum token_type table_type;
    const int *ids; /* [rows], below count */
    int rows, width, count;
};

/* Rows of x [samples][tokens][width] from lengths[sample] on: pads. */
struct token_pads {
    int samples, tokens, width;
    const int *lengths; /* [samples], 0..tokens, on the device */
};

struct token_ops {
    const char *name;
    bool bf16; /* token_linear.bf16 pays here; elsewhere it works, but slowly */

    /* Bytes of workspace for any of the three, of up to `rows` rows in chunks of any size; chunk 0:
     * for those without wgrad. */
    size_t (*linear_workspace)(const struct device *device, const struct token_linear *linear);
    /* y [rows][out] = epilogue(x [rows][in] W'). y and x do not overlap. */
    int (*linear_forward)(struct device *device, const struct token_linear *linear, float *y,
                          const float *x, const struct token_epilogue *epilogue, void *workspace);
    /* dx [rows][in] = (add: +=) dy [rows][out] W. */
    int (*linear_dgrad)(struct device *device, const struct token_linear *linear, float *dx,
                        const float *dy, bool add, void *workspace);
    /* dw [out][in] += dy' x; db [out] += sum of dy, unless it is NULL. */
    int (*linear_wgrad)(struct device *device, const struct token_linear *linear, float *dw,
                        float *db, const float *x, const float *dy, void *workspace);

    /* y may be x. */
    int (*norm_forward)(struct device *device, const struct token_norm *norm, float *y,
                        const float *x);
    size_t (*norm_workspace)(const struct device *device, const struct token_norm *norm);
    int (*norm_backward)(struct device *device, const struct token_norm *norm,
                         const struct token_norm_grads *grads);

    /* y may be x. backward: du = t dy; dgate += (1 - t^2; plain: 1) sum of dy u, unless it is
     * NULL; the gradient of x is dy. du overlaps neither dy nor u. */
    int (*gate_forward)(struct device *device, const struct token_gate *gate, float *y,
                        const float *x, const float *u);
    int (*gate_backward)(struct device *device, const struct token_gate *gate, float *du,
                         float *dgate, const float *dy, const float *u);

    int (*rope)(struct device *device, const struct token_rope *rope);

    /* h = silu(a) c of `count` numbers; h may be a or c. backward: da and dc, which may be a and c.
     */
    int (*swiglu_forward)(struct device *device, float *h, const float *a, const float *c,
                          size_t count);
    int (*swiglu_backward)(struct device *device, float *da, float *dc, const float *dh,
                           const float *a, const float *c, size_t count);

    /* h = gelu_tanh(a) c of `count` numbers; h may be a or c. */
    int (*geglu_forward)(struct device *device, float *h, const float *a, const float *c,
                         size_t count);

    /* lse [samples][heads][q_tokens]: log of the sum of exp, which backward reads; NULL: not
     * wanted. */
    int (*attention_forward)(struct device *device, const struct token_attention *attention,
                             float *o, float *lse, const float *q, const float *k, const float *v);
    size_t (*attention_workspace)(const struct device *device,
                                  const struct token_attention *attention);
    int (*attention_backward)(struct device *device, const struct token_attention *attention,
                              const struct token_attention_grads *grads);

    /* out[row] = table[ids[row]]; dtable[ids[row]] += d[row], row after row. */
    int (*embedding_gather)(struct device *device, const struct token_embedding *embedding,
                            float *out);
    int (*embedding_grad)(struct device *device, const struct token_embedding *embedding,
                          float *dtable, const float *d);

    /* Pads become `token` [width]. backward: dtoken += sum of dx over pads, sample after sample,
     * and dx becomes 0 there. */
    int (*pads_set)(struct device *device, const struct token_pads *pads, float *x,
                    const float *token);
    int (*pads_backward)(struct device *device, const struct token_pads *pads, float *dtoken,
                         float *dx);
};

/* ERR_USAGE, naming the device, where it has no such operations. To be asked before a task relies
 * on device->token. */
int token_check_device(const struct device *device);

/* ERR_USAGE unless operations take this shape. */
int token_check_linear(const struct token_linear *linear);
int token_check_linear_dgrad(const struct token_linear *linear);
int token_check_linear_wgrad(const struct token_linear *linear);
int token_check_norm(const struct token_norm *norm, bool backward);
int token_check_gate(const struct token_gate *gate, bool backward);
int token_check_rope(const struct token_rope *rope);
int token_check_attention(const struct token_attention *attention);
int token_check_attention_backward(const struct token_attention *attention);
int token_check_embedding(const struct token_embedding *embedding);
int token_check_pads(const struct token_pads *pads);

static inline size_t token_stride(size_t stride, int width)
{
    return stride ? stride : (size_t)width;
}

/* Where the bias of a query with key 0 stands; that of key j is j numbers on. */
HOST_DEVICE static inline size_t token_bias_at(const struct token_attention *a, int head, int query)
{
    size_t row = (size_t)a->q_tokens + (size_t)a->k_tokens - 1;
    return (size_t)head * row + (size_t)(a->q_tokens - 1 - query);
}

/* Rows of a sample of what has `rows` in all. */
static inline int token_sample_rows(int rows_per_sample, int rows)
{
    return rows_per_sample ? rows_per_sample : rows;
}

/* The CPU's table: the reference everywhere, overridden for this CPU's instruction set. */
const struct token_ops *token_ops_cpu(void);
/* The plain reference. */
const struct token_ops *token_ops_reference(void);

#endif
