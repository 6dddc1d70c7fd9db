/* Norms, gates, rotary positions and SwiGLU (token_ops.h) by the vector code of this machine: rows
 * over threads, sums over rows by strips of columns. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/isa.h"
#include "cpu/token/row_kernels.h"
#include "cpu/token/token_cpu.h"
#include "math/formulas_f32.h"

#include <math.h>
#include <stdint.h>

static const struct row_kernels *row_kernels_get(void)
{
    switch (cpu_isa()) {
#ifdef __x86_64__
    case CPU_ISA_AMX:
    case CPU_ISA_AVX512_BF16:
    case CPU_ISA_AVX512: return &row_kernels_avx512;
    case CPU_ISA_AVX2: return &row_kernels_avx2;
#endif
    default: return &row_kernels_base;
    }
}

/* Simple operations for `numbers` of them, by vectors. */
static int64_t row_grain(int64_t numbers)
{
    return threads_grain(numbers / 4 + 1);
}

/* ---- norms ---- */

struct row_norm_work {
    const struct row_kernels *kernels;
    const struct token_norm *n;
    float *y;
    const float *x;
    const struct token_norm_grads *grads;
    struct token_norm_row *stats; /* [rows] */
};

static void row_norm_forward(void *context, int64_t from, int64_t to)
{
    const struct row_norm_work *w = context;
    w->kernels->norm_forward(w->n, w->y, w->x, (size_t)from, (size_t)to);
}

static int cpu_norm_forward(struct device *device, const struct token_norm *n, float *y,
                            const float *x)
{
    (void)device;
    TRY(token_check_norm(n, false));
    struct row_norm_work work = {.kernels = row_kernels_get(), .n = n, .y = y, .x = x};
    threads_for(n->rows, row_grain(2 * n->width), row_norm_forward, &work);
    return OK;
}

static void row_norm_measure(void *context, int64_t from, int64_t to)
{
    const struct row_norm_work *w = context;
    w->kernels->norm_measure(w->n, w->grads, w->stats, (size_t)from, (size_t)to);
}

static void row_norm_slopes(void *context, int64_t from, int64_t to)
{
    const struct row_norm_work *w = context;
    w->kernels->norm_slopes(w->n, w->grads, w->stats, (size_t)from, (size_t)to);
}

/* A chunk's sums of a strip: both gradients are multiples of them, as the scale is the sample's. */
static void row_norm_chunk(const void *work, int from, int to, int first, int count)
{
    const struct row_norm_work *w = work;
    const struct token_norm *n = w->n;
    float sums[ROW_STRIP];
    size_t sample = (size_t)(from / token_sample_rows(n->rows_per_sample, n->rows));
    size_t at = sample * token_stride(n->scale_stride, n->width);
    w->kernels->norm_sums(n, w->grads, w->stats, (size_t)from, (size_t)to, (size_t)first,
                          (size_t)count, sums);
    for (int j = first; w->grads->dweight && j < first + count; j++)
        w->grads->dweight[j] += sums[j - first] * (1 + (n->scale ? n->scale[at + (size_t)j] : 0));
    for (int j = first; w->grads->dscale && j < first + count; j++)
        w->grads->dscale[at + (size_t)j] += sums[j - first] * (n->weight ? n->weight[j] : 1);
}

/* Sums before dx, which may lie in dy's place. */
static int cpu_norm_backward(struct device *device, const struct token_norm *n,
                             const struct token_norm_grads *grads)
{
    (void)device;
    TRY(token_check_norm(n, true));
    struct row_norm_work work = {
        .kernels = row_kernels_get(), .n = n, .grads = grads, .stats = grads->workspace};
    const struct token_strips strips = {n->rows, n->rows_per_sample, n->chunk, n->width, ROW_STRIP};
    threads_for(n->rows, row_grain(4 * n->width), row_norm_measure, &work);
    if (grads->dweight || grads->dscale)
        token_over_strips(&strips, row_norm_chunk, &work, row_grain((int64_t)n->rows * ROW_STRIP));
    threads_for(n->rows, row_grain(2 * n->width), row_norm_slopes, &work);
    return OK;
}

/* ---- gates ---- */

struct row_gate_work {
    const struct row_kernels *kernels;
    const struct token_gate *g;
    float *to;      /* y or du */
    const float *x; /* of y */
    const float *u; /* u, or dy where du is asked for */
    const float *dy;
    float *dgate;
};

static size_t row_gate_at(const struct token_gate *g, int64_t sample)
{
    return (size_t)sample * token_stride(g->gate_stride, g->width);
}

static void row_factors(const struct token_gate *g, int64_t sample, int first, int count, float *t)
{
    const float *gate = g->gate ? g->gate + row_gate_at(g, sample) + first : NULL;
    for (int j = 0; j < count; j++)
        t[j] = !gate ? 1 : g->plain ? gate[j] : tanhf(gate[j]);
}

static void row_gates(void *context, int64_t begin, int64_t end)
{
    const struct row_gate_work *w = context;
    int width = w->g->width, per_sample = token_sample_rows(w->g->rows_per_sample, w->g->rows);
    for (int64_t row = begin, next; row < end; row = next) {
        int64_t sample = row / per_sample;
        next = (sample + 1) * per_sample < end ? (sample + 1) * per_sample : end;
        for (int first = 0; first < width; first += ROW_STRIP) {
            float t[ROW_STRIP];
            int count = width - first < ROW_STRIP ? width - first : ROW_STRIP;
            row_factors(w->g, sample, first, count, t);
            w->kernels->gate(w->to, w->x, t, w->u, (size_t)width, (size_t)row, (size_t)next,
                             (size_t)first, (size_t)count);
        }
    }
}

static int cpu_gate_forward(struct device *device, const struct token_gate *g, float *y,
                            const float *x, const float *u)
{
    (void)device;
    TRY(token_check_gate(g, false));
    struct row_gate_work work = {.kernels = row_kernels_get(), .g = g, .to = y, .x = x, .u = u};
    threads_for(g->rows, row_grain(g->width), row_gates, &work);
    return OK;
}

static void row_gate_chunk(const void *work, int from, int to, int first, int count)
{
    const struct row_gate_work *w = work;
    int sample = from / token_sample_rows(w->g->rows_per_sample, w->g->rows);
    float sums[ROW_STRIP], t[ROW_STRIP];
    float *dgate = w->dgate + row_gate_at(w->g, sample) + first;
    w->kernels->product_sums(w->dy, w->u, (size_t)w->g->width, (size_t)from, (size_t)to,
                             (size_t)first, (size_t)count, sums);
    row_factors(w->g, sample, first, count, t);
    for (int j = 0; j < count; j++)
        dgate[j] += w->g->plain ? sums[j] : token_dgate_f32(t[j], sums[j]);
}

static int cpu_gate_backward(struct device *device, const struct token_gate *g, float *du,
                             float *dgate, const float *dy, const float *u)
{
    (void)device;
    TRY(token_check_gate(g, true));
    struct row_gate_work work = {
        .kernels = row_kernels_get(), .g = g, .to = du, .u = u, .dy = dy, .dgate = dgate};
    const struct token_strips strips = {g->rows, g->rows_per_sample, g->chunk, g->width, ROW_STRIP};
    if (dgate && g->gate)
        token_over_strips(&strips, row_gate_chunk, &work, row_grain((int64_t)g->rows * ROW_STRIP));
    work.u = dy;
    threads_for(g->rows, row_grain(g->width), row_gates, &work);
    return OK;
}

/* ---- rotary positions, SwiGLU ---- */

struct row_rope_work {
    const struct row_kernels *kernels;
    const struct token_rope *rope;
};

static void row_ropes(void *context, int64_t from, int64_t to)
{
    const struct row_rope_work *w = context;
    w->kernels->rope(w->rope, (size_t)from, (size_t)to);
}

static int cpu_rope(struct device *device, const struct token_rope *r)
{
    (void)device;
    TRY(token_check_rope(r));
    struct row_rope_work work = {row_kernels_get(), r};
    threads_for(r->rows, row_grain((int64_t)r->heads * r->head_dim), row_ropes, &work);
    return OK;
}

struct row_swiglu_work {
    const struct row_kernels *kernels;
    float *h, *da, *dc;
    const float *a, *c, *dh;
    size_t count;
};

/* Ranges of whole vectors of any kind, so that no number's bits depend on where they are cut. */
enum { SWIGLU_RANGE = 256 };

static size_t row_range(const struct row_swiglu_work *w, int64_t from, int64_t to, size_t *first)
{
    *first = (size_t)from * SWIGLU_RANGE;
    size_t end = (size_t)to * SWIGLU_RANGE;
    return (end < w->count ? end : w->count) - *first;
}

static void row_swiglu_values(void *context, int64_t from, int64_t to)
{
    const struct row_swiglu_work *w = context;
    size_t i, count = row_range(w, from, to, &i);
    w->kernels->swiglu_forward(w->h + i, w->a + i, w->c + i, count);
}

static void row_geglu_values(void *context, int64_t from, int64_t to)
{
    const struct row_swiglu_work *w = context;
    size_t i, count = row_range(w, from, to, &i);
    w->kernels->geglu_forward(w->h + i, w->a + i, w->c + i, count);
}

static void row_swiglu_slopes(void *context, int64_t from, int64_t to)
{
    const struct row_swiglu_work *w = context;
    size_t i, count = row_range(w, from, to, &i);
    w->kernels->swiglu_backward(w->da + i, w->dc + i, w->dh + i, w->a + i, w->c + i, count);
}

static int64_t row_ranges(size_t count)
{
    return (int64_t)((count + SWIGLU_RANGE - 1) / SWIGLU_RANGE);
}

static int cpu_swiglu_forward(struct device *device, float *h, const float *a, const float *c,
                              size_t count)
{
    (void)device;
    struct row_swiglu_work work = {
        .kernels = row_kernels_get(), .h = h, .a = a, .c = c, .count = count};
    threads_for(row_ranges(count), threads_grain(2 * SWIGLU_RANGE), row_swiglu_values, &work);
    return OK;
}

static int cpu_geglu_forward(struct device *device, float *h, const float *a, const float *c,
                             size_t count)
{
    (void)device;
    struct row_swiglu_work work = {
        .kernels = row_kernels_get(), .h = h, .a = a, .c = c, .count = count};
    threads_for(row_ranges(count), threads_grain(2 * SWIGLU_RANGE), row_geglu_values, &work);
    return OK;
}

static int cpu_swiglu_backward(struct device *device, float *da, float *dc, const float *dh,
                               const float *a, const float *c, size_t count)
{
    (void)device;
    struct row_swiglu_work work = {
        .kernels = row_kernels_get(), .da = da, .dc = dc, .a = a, .c = c, .dh = dh, .count = count};
    threads_for(row_ranges(count), threads_grain(4 * SWIGLU_RANGE), row_swiglu_slopes, &work);
    return OK;
}

void token_install_row_vectors(struct token_ops *ops)
{
    ops->norm_forward = cpu_norm_forward;
    ops->norm_backward = cpu_norm_backward;
    ops->gate_forward = cpu_gate_forward;
    ops->gate_backward = cpu_gate_backward;
    ops->rope = cpu_rope;
    ops->swiglu_forward = cpu_swiglu_forward;
    ops->geglu_forward = cpu_geglu_forward;
    ops->swiglu_backward = cpu_swiglu_backward;
}
