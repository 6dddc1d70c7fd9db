/* What is done to rows number by number: gates, rotary positions, SwiGLU. See device/token_ops.h.
 */
#include "cuda/token/column_sums.h"
#include "cuda/token/token_cuda.h"
#include "math/rope.h"

enum { ROWS_THREADS = 256 };

/* ---- gates ---- */

static __device__ inline float gate_at(const struct token_gate &g, int sample, int column)
{
    if (!g.gate) return 1;
    float gate = g.gate[(size_t)sample * (g.gate_stride ? g.gate_stride : g.width) + column];
    return g.plain ? gate : tanhf(gate);
}

/* to: y, or du where x is NULL; from: u, or dy. */
static __global__ void gate_kernel(struct token_gate g, float *to, const float *x,
                                   const float *from)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)g.rows * g.width) return;
    int column, row = token_row_at(i, g.width, &column);
    float t = gate_at(g, row / (g.rows_per_sample ? g.rows_per_sample : g.rows), column);
    to[i] = x ? token_gated_f32(x[i], t, from[i]) : t * from[i];
}

static unsigned gate_blocks(const struct token_gate *g)
{
    return cuda_blocks((size_t)g->rows * g->width, ROWS_THREADS);
}

static int cuda_gate_forward(struct device *device, const struct token_gate *g, float *y,
                             const float *x, const float *u)
{
    TRY(token_check_gate(g, false));
    LAUNCH(gate_kernel, gate_blocks(g), ROWS_THREADS, 0, cuda_stream(device), *g, y, x, u);
    return cuda_take_error();
}

/* Of a column: the sum of dy u. */
struct gate_columns {
    struct token_gate g;
    const float *dy, *u;
    float *dgate;

    __device__ void column_terms(float term[1], int row, int sample, int column) const
    {
        (void)sample;
        size_t i = (size_t)row * g.width + column;
        term[0] = dy[i] * u[i];
    }
    __device__ void column_add(int i, int sample, int column, float sum) const
    {
        (void)i;
        size_t stride = g.gate_stride ? g.gate_stride : g.width;
        if (!g.plain) sum = token_dgate_f32(gate_at(g, sample, column), sum);
        dgate[(size_t)sample * stride + column] += sum;
    }
};

static int cuda_gate_backward(struct device *device, const struct token_gate *g, float *du,
                              float *dgate, const float *dy, const float *u)
{
    TRY(token_check_gate(g, true));
    struct gate_columns columns = {*g, dy, u, dgate};
    int per_sample = token_sample_rows(g->rows_per_sample, g->rows);
    if (dgate && g->gate)
        TRY(column_sums<1>(device, "gate", columns, column_rows_of(g->rows, per_sample, g->chunk),
                           g->width));
    LAUNCH(gate_kernel, gate_blocks(g), ROWS_THREADS, 0, cuda_stream(device), *g, du,
           (const float *)NULL, dy);
    return cuda_take_error();
}

/* ---- rotary positions: a pair a thread ---- */

static __global__ void rope_kernel(struct token_rope r)
{
    int pairs = r.head_dim / 2;
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)r.rows * r.heads * pairs) return;
    size_t vector = i / (unsigned)pairs;
    int pair = (int)(i - vector * (unsigned)pairs), head,
        row = token_row_at(vector, r.heads, &head);
    size_t line = (size_t)(row % r.tokens) * pairs + pair;
    float *x = r.x + (size_t)row * r.stride + (size_t)head * r.head_dim, sine = r.sines[line];
    rope_turn(&x[rope_first(pair, r.halves)], &x[rope_second(pair, r.head_dim, r.halves)],
              r.cosines[line], r.backwards ? -sine : sine);
}

static int cuda_rope(struct device *device, const struct token_rope *r)
{
    TRY(token_check_rope(r));
    struct token_rope own = *r;
    own.stride = token_stride(r->stride, r->heads * r->head_dim);
    size_t count = (size_t)r->rows * r->heads * (r->head_dim / 2);
    LAUNCH(rope_kernel, cuda_blocks(count, ROWS_THREADS), ROWS_THREADS, 0, cuda_stream(device),
           own);
    return cuda_take_error();
}

/* ---- SwiGLU ---- */

static __global__ void swiglu_forward_kernel(float *h, const float *a, const float *c, size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) h[i] = pointwise_swiglu_f32(a[i], c[i]);
}

static int cuda_swiglu_forward(struct device *device, float *h, const float *a, const float *c,
                               size_t count)
{
    LAUNCH(swiglu_forward_kernel, cuda_blocks(count, ROWS_THREADS), ROWS_THREADS, 0,
           cuda_stream(device), h, a, c, count);
    return cuda_take_error();
}

static __global__ void geglu_forward_kernel(float *h, const float *a, const float *c, size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) h[i] = pointwise_geglu_f32(a[i], c[i]);
}

static int cuda_geglu_forward(struct device *device, float *h, const float *a, const float *c,
                              size_t count)
{
    LAUNCH(geglu_forward_kernel, cuda_blocks(count, ROWS_THREADS), ROWS_THREADS, 0,
           cuda_stream(device), h, a, c, count);
    return cuda_take_error();
}

static __global__ void swiglu_backward_kernel(float *da, float *dc, const float *dh, const float *a,
                                              const float *c, size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float slope = dh[i], x = a[i], y = c[i];
    da[i] = pointwise_swiglu_da_f32(slope, x, y);
    dc[i] = pointwise_swiglu_dc_f32(slope, x);
}

static int cuda_swiglu_backward(struct device *device, float *da, float *dc, const float *dh,
                                const float *a, const float *c, size_t count)
{
    LAUNCH(swiglu_backward_kernel, cuda_blocks(count, ROWS_THREADS), ROWS_THREADS, 0,
           cuda_stream(device), da, dc, dh, a, c, count);
    return cuda_take_error();
}

void token_cuda_install_rows(struct token_ops *ops)
{
    ops->gate_forward = cuda_gate_forward;
    ops->gate_backward = cuda_gate_backward;
    ops->rope = cuda_rope;
    ops->swiglu_forward = cuda_swiglu_forward;
    ops->geglu_forward = cuda_geglu_forward;
    ops->swiglu_backward = cuda_swiglu_backward;
}
