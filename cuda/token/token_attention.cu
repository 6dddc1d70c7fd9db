/* Attention: see struct token_attention in device/token_ops.h. A block of threads owns
 * ATTENTION_OWN rows of one head (queries; keys, where gradients of keys and values are made) and
 * goes through the others in blocks of TOKEN_KEY_BLOCK, in order. Scores of a block of rows are
 * made anew in each kernel and never stored as a whole. All in fp32.
 *
 * 256 threads as 16 x 16: thread (i, j) has own rows 2i, 2i + 1 and the other rows 4j .. 4j + 3 of
 * scores, or numbers 4j .. 4j + 3 of every 64 of a row's head. */
#include "cuda/token/token_cuda.h"
#include "math/attention.h"

#include <limits.h>

enum {
    ATTENTION_THREADS = 256,
    ATTENTION_OWN = 32,
    ATTENTION_DEPTH = 32, /* numbers of the head, or rows, in shared memory at a time */
    ATTENTION_PART = 64   /* numbers of the head that the threads of a row hold side by side */
};

/* Rows of one head: number d of row i at at[i * stride + d]; zeros from `count` on. */
struct attention_rows {
    const float *at;
    size_t stride;
    int count;
};

struct attention_shared {
    float own[ATTENTION_DEPTH][ATTENTION_OWN + 2];
    float other[ATTENTION_DEPTH][TOKEN_KEY_BLOCK + 4];
    float weights[TOKEN_KEY_BLOCK][ATTENTION_OWN + 2]; /* [other][own] */
};

static __device__ inline float attention_number(const struct attention_rows &rows, int row, int d,
                                                int head_dim)
{
    return row < rows.count && d < head_dim ? rows.at[(size_t)row * rows.stride + d] : 0;
}

/* s[a][b] = <own row, other row> of this thread's rows. */
static __device__ inline void attention_dots(float s[2][4], struct attention_shared *shared,
                                             const struct attention_rows &own, int own_first,
                                             const struct attention_rows &other, int other_first,
                                             int head_dim)
{
    int i = threadIdx.x / 16, j = threadIdx.x % 16;
    UNROLL
    for (int a = 0; a < 2; a++)
        UNROLL
    for (int b = 0; b < 4; b++)
        s[a][b] = 0;
    for (int first = 0; first < head_dim; first += ATTENTION_DEPTH) {
        __syncthreads(); /* what was read of shared memory before */
        for (int at = threadIdx.x; at < ATTENTION_OWN * ATTENTION_DEPTH; at += ATTENTION_THREADS) {
            int row = at / ATTENTION_DEPTH, d = at % ATTENTION_DEPTH;
            shared->own[d][row] = attention_number(own, own_first + row, first + d, head_dim);
        }
        for (int at = threadIdx.x; at < TOKEN_KEY_BLOCK * ATTENTION_DEPTH;
             at += ATTENTION_THREADS) {
            int row = at / ATTENTION_DEPTH, d = at % ATTENTION_DEPTH;
            shared->other[d][row] = attention_number(other, other_first + row, first + d, head_dim);
        }
        __syncthreads();
#pragma unroll 4
        for (int d = 0; d < ATTENTION_DEPTH; d++)
            UNROLL
        for (int a = 0; a < 2; a++)
            UNROLL
        for (int b = 0; b < 4; b++)
            s[a][b] = fmaf(shared->own[d][2 * i + a], shared->other[d][4 * j + b], s[a][b]);
    }
}

/* This thread's weights to where all read them. */
static __device__ inline void attention_share(struct attention_shared *shared, const float s[2][4])
{
    int i = threadIdx.x / 16, j = threadIdx.x % 16;
    __syncthreads();
    UNROLL
    for (int a = 0; a < 2; a++)
        UNROLL
    for (int b = 0; b < 4; b++)
        shared->weights[4 * j + b][2 * i + a] = s[a][b];
}

/* sums += weights times the other rows, whose numbers are PARTS times 64. */
template <int PARTS>
static __device__ inline void
attention_gather(float (&sums)[PARTS][2][4], struct attention_shared *shared,
                 const struct attention_rows &other, int other_first, int head_dim)
{
    int i = threadIdx.x / 16, j = threadIdx.x % 16;
    UNROLL
    for (int part = 0; part < PARTS; part++)
        for (int first = 0; first < TOKEN_KEY_BLOCK; first += ATTENTION_DEPTH) {
            __syncthreads();
            for (int at = threadIdx.x; at < ATTENTION_DEPTH * ATTENTION_PART;
                 at += ATTENTION_THREADS) {
                int row = at / ATTENTION_PART, d = at % ATTENTION_PART;
                shared->other[row][d] = attention_number(other, other_first + first + row,
                                                         part * ATTENTION_PART + d, head_dim);
            }
            __syncthreads();
#pragma unroll 4
            for (int row = 0; row < ATTENTION_DEPTH; row++)
                UNROLL
            for (int a = 0; a < 2; a++)
                UNROLL
            for (int b = 0; b < 4; b++)
                sums[part][a][b] = fmaf(shared->weights[first + row][2 * i + a],
                                        shared->other[row][4 * j + b], sums[part][a][b]);
        }
}

/* Row `row` of the block's own ones times `factor`, into memory. */
template <int PARTS>
static __device__ inline void attention_store(float *to, size_t stride, int own_first, int count,
                                              int head_dim, const float (&sums)[PARTS][2][4],
                                              const float factor[2])
{
    int i = threadIdx.x / 16, j = threadIdx.x % 16;
    UNROLL
    for (int part = 0; part < PARTS; part++)
        UNROLL
    for (int a = 0; a < 2; a++)
        UNROLL
    for (int b = 0; b < 4; b++) {
        int row = own_first + 2 * i + a, d = part * ATTENTION_PART + 4 * j + b;
        if (row < count && d < head_dim)
            to[(size_t)row * stride + d] = sums[part][a][b] * factor[a];
    }
}

/* What a block of threads works on: own rows from `first` on, of `tokens` a head, of head `line` of
 * all samples' heads. One dimension of the grid for both: there may be many heads of many samples.
 */
struct attention_place {
    int line, first;
};

static __device__ inline struct attention_place attention_place_of(int tokens)
{
    int blocks = (tokens + ATTENTION_OWN - 1) / ATTENTION_OWN;
    return {(int)(blockIdx.x / blocks), (int)(blockIdx.x % blocks) * ATTENTION_OWN};
}

/* The head of a block: its rows of q and o, and of k and v. */
struct attention_head {
    int sample, head, kv_head, length;
    size_t q, k, v, o; /* where its rows begin */
};

static __device__ inline struct attention_head attention_head_at(const struct token_attention &a,
                                                                 int sample, int head)
{
    struct attention_head h;
    h.sample = sample, h.head = head, h.kv_head = head / (a.heads / a.kv_heads);
    h.length = a.key_lengths ? a.key_lengths[sample] : a.k_tokens;
    h.q = (size_t)sample * a.q_tokens * a.q_stride + (size_t)head * a.head_dim;
    h.o = (size_t)sample * a.q_tokens * a.o_stride + (size_t)head * a.head_dim;
    h.k = (size_t)sample * a.k_tokens * a.k_stride + (size_t)h.kv_head * a.head_dim;
    h.v = (size_t)sample * a.k_tokens * a.v_stride + (size_t)h.kv_head * a.head_dim;
    return h;
}

static __device__ inline int attention_seen(const struct token_attention &a,
                                            const struct attention_head &h, int query)
{
    return attention_keys(a.k_tokens, h.length, a.causal, a.first_query + query);
}

static __device__ inline float attention_score(const struct token_attention &a,
                                               const struct attention_head &h, float product,
                                               int query, int key)
{
    if (!a.bias) return product * a.scale;
    query = min(query, a.q_tokens - 1); /* beside the last one there are none */
    return product * a.scale + a.bias[token_bias_at(&a, h.head, query) + key];
}

/* Over the 16 threads of a row. */
static __device__ inline float attention_row_most(float value)
{
    for (int step = 8; step > 0; step /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, step));
    return value;
}

static __device__ inline float attention_row_sum(float value)
{
    for (int step = 8; step > 0; step /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}

template <int PARTS>
static __global__ void __launch_bounds__(ATTENTION_THREADS, 1)
    attention_forward_kernel(struct token_attention a, float *o, float *lse, const float *q,
                             const float *k, const float *v)
{
    DYNAMIC_SHARED(struct attention_shared, shared);
    int i = threadIdx.x / 16, j = threadIdx.x % 16;
    struct attention_place own = attention_place_of(a.q_tokens);
    int first_own = own.first;
    struct attention_head h = attention_head_at(a, own.line / a.heads, own.line % a.heads);
    struct attention_rows queries = {q + h.q, a.q_stride, a.q_tokens};
    struct attention_rows keys = {k + h.k, a.k_stride, a.k_tokens};
    struct attention_rows values = {v + h.v, a.v_stride, a.k_tokens};
    int last = min(first_own + ATTENTION_OWN, a.q_tokens) - 1, end = attention_seen(a, h, last);
    float sums[PARTS][2][4] = {}, most[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
    for (int first = 0; first < end; first += TOKEN_KEY_BLOCK) {
        float s[2][4];
        attention_dots(s, shared, queries, first_own, keys, first, a.head_dim);
        UNROLL
        for (int r = 0; r < 2; r++) {
            int seen = attention_seen(a, h, first_own + 2 * i + r) - first - 4 * j;
            float before = most[r], block = -INFINITY, sum = 0;
            UNROLL
            for (int b = 0; b < 4; b++)
                if (b < seen)
                    block =
                        fmaxf(block, s[r][b] = attention_score(a, h, s[r][b], first_own + 2 * i + r,
                                                               first + 4 * j + b));
            most[r] = fmaxf(before, attention_row_most(block));
            UNROLL
            for (int b = 0; b < 4; b++)
                sum += s[r][b] = b < seen ? attention_weight(s[r][b], most[r]) : 0;
            float rescale = attention_rescale(before, most[r]);
            total[r] = total[r] * rescale + attention_row_sum(sum);
            UNROLL
            for (int part = 0; part < PARTS; part++)
                UNROLL
            for (int b = 0; b < 4; b++)
                sums[part][r][b] *= rescale;
        }
        attention_share(shared, s);
        attention_gather<PARTS>(sums, shared, values, first, a.head_dim);
    }
    const float factor[2] = {total[0] > 0 ? 1 / total[0] : 0, total[1] > 0 ? 1 / total[1] : 0};
    attention_store<PARTS>(o + h.o, a.o_stride, first_own, a.q_tokens, a.head_dim, sums, factor);
    for (int r = 0; r < 2 && lse && j == 0; r++)
        if (first_own + 2 * i + r < a.q_tokens)
            lse[(size_t)own.line * a.q_tokens + first_own + 2 * i + r] =
                total[r] > 0 ? most[r] + logf(total[r]) : -INFINITY;
}

/* What the kernels of the backward pass read. */
struct attention_given {
    const float *q, *k, *v, *o, *d_o, *lse, *delta;
};

/* delta[sample][head][query] = <d_o, o>: a warp each. */
static __global__ void attention_delta_kernel(struct token_attention a, float *delta,
                                              const float *o, const float *d_o)
{
    size_t at = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) / 32;
    size_t rows = (size_t)a.samples * a.heads * a.q_tokens;
    if (at >= rows) return;
    int query = (int)(at % a.q_tokens), head = (int)(at / a.q_tokens % a.heads);
    size_t sample = at / a.q_tokens / a.heads;
    size_t from = (sample * a.q_tokens + query) * a.o_stride + (size_t)head * a.head_dim;
    float sum = 0;
    for (int d = threadIdx.x % 32; d < a.head_dim; d += 32)
        sum += d_o[from + d] * o[from + d];
    for (int step = 16; step > 0; step /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (threadIdx.x % 32 == 0) delta[at] = sum;
}

template <int PARTS>
static __global__ void __launch_bounds__(ATTENTION_THREADS, 1)
    attention_dq_kernel(struct token_attention a, struct attention_given g, float *dq)
{
    DYNAMIC_SHARED(struct attention_shared, shared);
    int i = threadIdx.x / 16, j = threadIdx.x % 16;
    struct attention_place own = attention_place_of(a.q_tokens);
    int first_own = own.first;
    struct attention_head h = attention_head_at(a, own.line / a.heads, own.line % a.heads);
    struct attention_rows queries = {g.q + h.q, a.q_stride, a.q_tokens};
    struct attention_rows slopes = {g.d_o + h.o, a.o_stride, a.q_tokens};
    struct attention_rows keys = {g.k + h.k, a.k_stride, a.k_tokens};
    struct attention_rows values = {g.v + h.v, a.v_stride, a.k_tokens};
    int last = min(first_own + ATTENTION_OWN, a.q_tokens) - 1, end = attention_seen(a, h, last);
    float sums[PARTS][2][4] = {};
    for (int first = 0; first < end; first += TOKEN_KEY_BLOCK) {
        float s[2][4], dweights[2][4];
        attention_dots(s, shared, queries, first_own, keys, first, a.head_dim);
        attention_dots(dweights, shared, slopes, first_own, values, first, a.head_dim);
        UNROLL
        for (int r = 0; r < 2; r++) {
            int query = min(first_own + 2 * i + r, a.q_tokens - 1);
            int seen = attention_seen(a, h, query) - first - 4 * j;
            size_t at = (size_t)own.line * a.q_tokens + query;
            UNROLL
            for (int b = 0; b < 4; b++) {
                float weight = b < seen ? attention_weight(s[r][b] * a.scale, g.lse[at]) : 0;
                s[r][b] = attention_dscore(weight, dweights[r][b], g.delta[at]);
            }
        }
        attention_share(shared, s);
        attention_gather<PARTS>(sums, shared, keys, first, a.head_dim);
    }
    const float factor[2] = {a.scale, a.scale};
    attention_store<PARTS>(dq + h.q, a.q_stride, first_own, a.q_tokens, a.head_dim, sums, factor);
}

/* Own rows are keys; the heads of their group come one after the other. */
template <int PARTS>
static __global__ void __launch_bounds__(ATTENTION_THREADS, 1)
    attention_dkv_kernel(struct token_attention a, struct attention_given g, float *dk, float *dv)
{
    DYNAMIC_SHARED(struct attention_shared, shared);
    int i = threadIdx.x / 16, j = threadIdx.x % 16;
    struct attention_place own = attention_place_of(a.k_tokens);
    int group = a.heads / a.kv_heads, sample = own.line / a.kv_heads, first_own = own.first;
    int first_head = own.line % a.kv_heads * group;
    struct attention_head h = attention_head_at(a, sample, first_head);
    struct attention_rows keys = {g.k + h.k, a.k_stride, a.k_tokens};
    struct attention_rows values = {g.v + h.v, a.v_stride, a.k_tokens};
    float dk_sums[PARTS][2][4] = {}, dv_sums[PARTS][2][4] = {};
    for (int head = first_head; head < first_head + group; head++) {
        h = attention_head_at(a, sample, head);
        struct attention_rows queries = {g.q + h.q, a.q_stride, a.q_tokens};
        struct attention_rows slopes = {g.d_o + h.o, a.o_stride, a.q_tokens};
        for (int first = 0; first < a.q_tokens; first += TOKEN_KEY_BLOCK) {
            float s[2][4], dweights[2][4];
            attention_dots(s, shared, keys, first_own, queries, first, a.head_dim);
            UNROLL
            for (int b = 0; b < 4; b++) {
                int query = first + 4 * j + b;
                bool inside = query < a.q_tokens;
                int seen = inside ? attention_seen(a, h, query) : 0;
                size_t at = ((size_t)sample * a.heads + head) * a.q_tokens + query;
                UNROLL
                for (int r = 0; r < 2; r++)
                    s[r][b] = first_own + 2 * i + r < seen
                                  ? attention_weight(s[r][b] * a.scale, g.lse[at])
                                  : 0;
            }
            attention_share(shared, s);
            attention_gather<PARTS>(dv_sums, shared, slopes, first, a.head_dim);
            attention_dots(dweights, shared, values, first_own, slopes, first, a.head_dim);
            UNROLL
            for (int b = 0; b < 4; b++) {
                int query = min(first + 4 * j + b, a.q_tokens - 1);
                size_t at = ((size_t)sample * a.heads + head) * a.q_tokens + query;
                UNROLL
                for (int r = 0; r < 2; r++)
                    s[r][b] = attention_dscore(s[r][b], dweights[r][b], g.delta[at]);
            }
            attention_share(shared, s);
            attention_gather<PARTS>(dk_sums, shared, queries, first, a.head_dim);
        }
    }
    const float once[2] = {1, 1}, scale[2] = {a.scale, a.scale};
    attention_store<PARTS>(dk + h.k, a.k_stride, first_own, a.k_tokens, a.head_dim, dk_sums, scale);
    attention_store<PARTS>(dv + h.v, a.v_stride, first_own, a.k_tokens, a.head_dim, dv_sums, once);
}

/* ---- launches ---- */

/* Blocks of threads for `tokens` own rows of each of `heads` heads of each sample. */
static int64_t attention_blocks(const struct token_attention *a, int tokens, int heads)
{
    return (int64_t)a->samples * heads * cuda_blocks((size_t)tokens, ATTENTION_OWN);
}

/* With all strides, and no more blocks than a grid may have. */
static int attention_filled(const struct token_attention *a, struct token_attention *filled)
{
    TRY(token_check_attention(a));
    if ((int64_t)a->samples * a->heads > INT_MAX ||
        attention_blocks(a, a->q_tokens, a->heads) > INT_MAX ||
        attention_blocks(a, a->k_tokens, a->kv_heads) > INT_MAX)
        return fail(ERR_USAGE, "attention: %d samples of %d heads are too many at once", a->samples,
                    a->heads);
    *filled = *a;
    filled->q_stride = token_stride(a->q_stride, a->heads * a->head_dim);
    filled->o_stride = token_stride(a->o_stride, a->heads * a->head_dim);
    filled->k_stride = token_stride(a->k_stride, a->kv_heads * a->head_dim);
    filled->v_stride = token_stride(a->v_stride, a->kv_heads * a->head_dim);
    return OK;
}

/* Does what follows with PARTS as a constant. */
#define WITH_PARTS(head_dim, PARTS, ...)                                                           \
    do {                                                                                           \
        if ((head_dim) <= ATTENTION_PART) {                                                        \
            enum { PARTS = 1 };                                                                    \
            __VA_ARGS__;                                                                           \
        } else if ((head_dim) <= 2 * ATTENTION_PART) {                                             \
            enum { PARTS = 2 };                                                                    \
            __VA_ARGS__;                                                                           \
        } else {                                                                                   \
            enum { PARTS = 4 };                                                                    \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
    } while (0)

static int cuda_attention_forward(struct device *device, const struct token_attention *attention,
                                  float *o, float *lse, const float *q, const float *k,
                                  const float *v)
{
    struct token_attention a;
    TRY(attention_filled(attention, &a));
    unsigned grid = (unsigned)attention_blocks(&a, a.q_tokens, a.heads);
    WITH_PARTS(a.head_dim, PARTS,
               LAUNCH((attention_forward_kernel<PARTS>), grid, ATTENTION_THREADS,
                      sizeof(struct attention_shared), cuda_stream(device), a, o, lse, q, k, v));
    return cuda_take_error();
}

static size_t cuda_attention_workspace(const struct device *device, const struct token_attention *a)
{
    (void)device;
    return (size_t)a->samples * a->heads * a->q_tokens * sizeof(float);
}

static int cuda_attention_backward(struct device *device, const struct token_attention *attention,
                                   const struct token_attention_grads *grads)
{
    struct token_attention a;
    TRY(token_check_attention_backward(attention));
    TRY(attention_filled(attention, &a));
    cudaStream_t stream = cuda_stream(device);
    float *delta = (float *)grads->workspace;
    struct attention_given given = {grads->q,   grads->k,   grads->v, grads->o,
                                    grads->d_o, grads->lse, delta};
    size_t threads = (size_t)a.samples * a.heads * a.q_tokens * 32;
    unsigned queries = (unsigned)attention_blocks(&a, a.q_tokens, a.heads);
    unsigned keys = (unsigned)attention_blocks(&a, a.k_tokens, a.kv_heads);
    LAUNCH(attention_delta_kernel, cuda_blocks(threads, ATTENTION_THREADS), ATTENTION_THREADS, 0,
           stream, a, delta, grads->o, grads->d_o);
    WITH_PARTS(a.head_dim, PARTS, {
        LAUNCH((attention_dq_kernel<PARTS>), queries, ATTENTION_THREADS,
               sizeof(struct attention_shared), stream, a, given, grads->dq);
        LAUNCH((attention_dkv_kernel<PARTS>), keys, ATTENTION_THREADS,
               sizeof(struct attention_shared), stream, a, given, grads->dk, grads->dv);
    });
    return cuda_take_error();
}

void token_cuda_install_attention(struct token_ops *ops)
{
    ops->attention_forward = cuda_attention_forward;
    ops->attention_workspace = cuda_attention_workspace;
    ops->attention_backward = cuda_attention_backward;
}
