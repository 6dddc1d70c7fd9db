/* What is done to rows number by number: gates, rotary positions, SwiGLU. See device/token_ops.h.
 */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/token/token_cpu.h"
#include "math/formulas_f32.h"
#include "math/rope.h"

#include <math.h>

enum { GATE_STRIP = 16 }; /* columns at a time: a line of the cache */

/* ---- gates ---- */

struct gate_work {
    const struct token_gate *g;
    float *to; /* y or du */
    const float *x, *u, *dy;
    float *dgate;
};

static void gate_factors(const struct token_gate *g, int64_t sample, int first, int count, float *t)
{
    size_t at = (size_t)sample * token_stride(g->gate_stride, g->width) + (size_t)first;
    const float *gate = g->gate ? g->gate + at : NULL;
    for (int j = 0; j < count; j++)
        t[j] = !gate ? 1 : g->plain ? gate[j] : tanhf(gate[j]);
}

static void gate_rows_forward(void *context, int64_t begin, int64_t end)
{
    const struct gate_work *w = context;
    int width = w->g->width, per_sample = token_sample_rows(w->g->rows_per_sample, w->g->rows);
    for (int64_t row = begin, next; row < end; row = next) {
        int64_t sample = row / per_sample;
        next = (sample + 1) * per_sample < end ? (sample + 1) * per_sample : end;
        for (int first = 0; first < width; first += GATE_STRIP) {
            float t[GATE_STRIP];
            int count = width - first < GATE_STRIP ? width - first : GATE_STRIP;
            gate_factors(w->g, sample, first, count, t);
            for (int64_t r = row; r < next; r++) {
                size_t at = (size_t)r * (size_t)width + (size_t)first;
                for (int j = 0; j < count; j++)
                    if (w->dy)
                        w->to[at + (size_t)j] = t[j] * w->dy[at + (size_t)j];
                    else
                        w->to[at + (size_t)j] =
                            token_gated_f32(w->x[at + (size_t)j], t[j], w->u[at + (size_t)j]);
            }
        }
    }
}

static void gate_chunk_sums(const void *work, int from, int to, int first, int count)
{
    const struct gate_work *w = work;
    int sample = from / token_sample_rows(w->g->rows_per_sample, w->g->rows);
    float sum[GATE_STRIP] = {0}, t[GATE_STRIP];
    for (int row = from; row < to; row++) {
        size_t at = (size_t)row * (size_t)w->g->width + (size_t)first;
        for (int j = 0; j < count; j++)
            sum[j] += w->dy[at + (size_t)j] * w->u[at + (size_t)j];
    }
    gate_factors(w->g, sample, first, count, t);
    float *dgate = w->dgate + (size_t)sample * token_stride(w->g->gate_stride, w->g->width) + first;
    for (int j = 0; j < count; j++)
        dgate[j] += w->g->plain ? sum[j] : token_dgate_f32(t[j], sum[j]);
}

static int reference_gate_forward(struct device *device, const struct token_gate *g, float *y,
                                  const float *x, const float *u)
{
    (void)device;
    TRY(token_check_gate(g, false));
    struct gate_work work = {.g = g, .to = y, .x = x, .u = u};
    threads_for(g->rows, threads_grain(g->width), gate_rows_forward, &work);
    return OK;
}

static int reference_gate_backward(struct device *device, const struct token_gate *g, float *du,
                                   float *dgate, const float *dy, const float *u)
{
    (void)device;
    TRY(token_check_gate(g, true));
    struct gate_work work = {.g = g, .to = du, .u = u, .dy = dy, .dgate = dgate};
    const struct token_strips strips = {g->rows, g->rows_per_sample, g->chunk, g->width,
                                        GATE_STRIP};
    if (dgate && g->gate)
        token_over_strips(&strips, gate_chunk_sums, &work,
                          threads_grain((int64_t)g->rows * GATE_STRIP));
    threads_for(g->rows, threads_grain(g->width), gate_rows_forward, &work);
    return OK;
}

/* ---- rotary positions ---- */

static void rope_rows(void *context, int64_t begin, int64_t end)
{
    const struct token_rope *r = context;
    size_t stride = token_stride(r->stride, r->heads * r->head_dim);
    int pairs = r->head_dim / 2;
    for (int64_t row = begin; row < end; row++) {
        size_t line = (size_t)(row % r->tokens) * (size_t)pairs;
        for (int head = 0; head < r->heads; head++) {
            float *x = r->x + (size_t)row * stride + (size_t)head * (size_t)r->head_dim;
            for (int pair = 0; pair < pairs; pair++) {
                float sine = r->sines[line + (size_t)pair];
                rope_turn(&x[rope_first(pair, r->halves)],
                          &x[rope_second(pair, r->head_dim, r->halves)],
                          r->cosines[line + (size_t)pair], r->backwards ? -sine : sine);
            }
        }
    }
}

static int reference_rope(struct device *device, const struct token_rope *r)
{
    (void)device;
    TRY(token_check_rope(r));
    struct token_rope own = *r;
    threads_for(r->rows, threads_grain((int64_t)r->heads * r->head_dim), rope_rows, &own);
    return OK;
}

/* ---- SwiGLU ---- */

struct swiglu_work {
    float *h, *da, *dc;
    const float *a, *c, *dh;
};

static void swiglu_values(void *context, int64_t begin, int64_t end)
{
    const struct swiglu_work *w = context;
    for (int64_t i = begin; i < end; i++)
        w->h[i] = pointwise_swiglu_f32(w->a[i], w->c[i]);
}

static void geglu_values(void *context, int64_t begin, int64_t end)
{
    const struct swiglu_work *w = context;
    for (int64_t i = begin; i < end; i++)
        w->h[i] = pointwise_geglu_f32(w->a[i], w->c[i]);
}

static void swiglu_slopes(void *context, int64_t begin, int64_t end)
{
    const struct swiglu_work *w = context;
    for (int64_t i = begin; i < end; i++) {
        float dh = w->dh[i], a = w->a[i], c = w->c[i];
        w->da[i] = pointwise_swiglu_da_f32(dh, a, c);
        w->dc[i] = pointwise_swiglu_dc_f32(dh, a);
    }
}

static int reference_swiglu_forward(struct device *device, float *h, const float *a, const float *c,
                                    size_t count)
{
    (void)device;
    struct swiglu_work work = {.h = h, .a = a, .c = c};
    threads_for((int64_t)count, threads_grain(8), swiglu_values, &work);
    return OK;
}

static int reference_geglu_forward(struct device *device, float *h, const float *a, const float *c,
                                   size_t count)
{
    (void)device;
    struct swiglu_work work = {.h = h, .a = a, .c = c};
    threads_for((int64_t)count, threads_grain(8), geglu_values, &work);
    return OK;
}

static int reference_swiglu_backward(struct device *device, float *da, float *dc, const float *dh,
                                     const float *a, const float *c, size_t count)
{
    (void)device;
    struct swiglu_work work = {.da = da, .dc = dc, .a = a, .c = c, .dh = dh};
    threads_for((int64_t)count, threads_grain(16), swiglu_slopes, &work);
    return OK;
}

void token_install_rows(struct token_ops *ops)
{
    ops->gate_forward = reference_gate_forward;
    ops->gate_backward = reference_gate_backward;
    ops->rope = reference_rope;
    ops->swiglu_forward = reference_swiglu_forward;
    ops->geglu_forward = reference_geglu_forward;
    ops->swiglu_backward = reference_swiglu_backward;
}
