/* Norms of rows: see struct token_norm in device/token_ops.h. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/token/token_cpu.h"
#include "math/formulas_f32.h"

#include <math.h>

enum { NORM_STRIP = 16 }; /* columns whose sums are made together: a line of the cache */

struct norm_work {
    const struct token_norm *n;
    float *y;       /* forward */
    const float *x; /* forward */
    const struct token_norm_grads *grads;
    struct token_norm_row *stats; /* [rows] */
};

/* What belongs to the row's sample, of scales or shifts. */
static const float *norm_of_sample(const struct token_norm *n, const float *of, int64_t row)
{
    if (!of) return NULL;
    int64_t sample = row / token_sample_rows(n->rows_per_sample, n->rows);
    return of + (size_t)sample * token_stride(n->scale_stride, n->width);
}

static const float *norm_scale(const struct token_norm *n, int64_t row)
{
    return norm_of_sample(n, n->scale, row);
}

static void norm_measure(const struct token_norm *n, const float *x, struct token_norm_row *row)
{
    double mean = 0, squares = 0;
    for (int j = 0; n->kind == TOKEN_LAYER && j < n->width; j++)
        mean += (double)x[j];
    mean /= n->width;
    for (int j = 0; j < n->width; j++) {
        double d = (double)x[j] - mean;
        squares += d * d;
    }
    row->mean = (float)mean;
    row->r = (float)(1 / sqrt(squares / n->width + (double)n->eps));
}

static void norm_rows_forward(void *context, int64_t begin, int64_t end)
{
    const struct norm_work *w = context;
    const struct token_norm *n = w->n;
    for (int64_t row = begin; row < end; row++) {
        const float *x = w->x + (size_t)row * (size_t)n->width, *scale = norm_scale(n, row);
        const float *shift = norm_of_sample(n, n->shift, row);
        float *y = w->y + (size_t)row * (size_t)n->width;
        struct token_norm_row s;
        norm_measure(n, x, &s);
        for (int j = 0; j < n->width; j++) {
            float unit = token_norm_unit_f32(x[j], s.mean, s.r);
            y[j] = token_norm_scaled_f32(unit, n->weight ? n->weight[j] : 1, scale ? scale[j] : 0);
            if (shift) y[j] += shift[j];
        }
    }
}

static int reference_norm_forward(struct device *device, const struct token_norm *n, float *y,
                                  const float *x)
{
    (void)device;
    TRY(token_check_norm(n, false));
    struct norm_work work = {.n = n, .y = y, .x = x};
    threads_for(n->rows, threads_grain(n->width), norm_rows_forward, &work);
    return OK;
}

static size_t reference_norm_workspace(const struct device *device, const struct token_norm *n)
{
    (void)device;
    return (size_t)n->rows * sizeof(struct token_norm_row);
}

/* The gradient of the unit row n, of a number: dy weight (1 + scale). */
static float norm_unit_gradient(const struct token_norm *n, const float *scale, int j, float dy)
{
    return token_norm_scaled_f32(dy, n->weight ? n->weight[j] : 1, scale ? scale[j] : 0);
}

static void norm_rows_measure(void *context, int64_t begin, int64_t end)
{
    const struct norm_work *w = context;
    const struct token_norm *n = w->n;
    for (int64_t row = begin; row < end; row++) {
        size_t at = (size_t)row * (size_t)n->width;
        const float *x = w->grads->x + at, *dy = w->grads->dy + at, *scale = norm_scale(n, row);
        struct token_norm_row *s = &w->stats[row];
        double g_sum = 0, gn_sum = 0;
        norm_measure(n, x, s);
        for (int j = 0; j < n->width; j++) {
            float g = norm_unit_gradient(n, scale, j, dy[j]);
            g_sum += (double)g;
            gn_sum += (double)g * (double)token_norm_unit_f32(x[j], s->mean, s->r);
        }
        s->mean_g = n->kind == TOKEN_LAYER ? (float)(g_sum / n->width) : 0;
        s->mean_gn = (float)(gn_sum / n->width);
    }
}

/* Adds the sums of one chunk, of one strip of columns. */
static void norm_chunk_sums(const void *work, int from, int to, int first, int count)
{
    const struct norm_work *w = work;
    const struct token_norm *n = w->n;
    const float *scale = norm_scale(n, from);
    float weight_sums[NORM_STRIP] = {0}, scale_sums[NORM_STRIP] = {0};
    for (int row = from; row < to; row++) {
        size_t at = (size_t)row * (size_t)n->width + (size_t)first;
        const struct token_norm_row *s = &w->stats[row];
        for (int j = 0; j < count; j++) {
            float unit = token_norm_unit_f32(w->grads->x[at + (size_t)j], s->mean, s->r);
            float term = w->grads->dy[at + (size_t)j] * unit;
            weight_sums[j] += term * (1 + (scale ? scale[first + j] : 0));
            scale_sums[j] += term * (n->weight ? n->weight[first + j] : 1);
        }
    }
    if (w->grads->dscale) {
        int sample = from / token_sample_rows(n->rows_per_sample, n->rows);
        float *to_scale =
            w->grads->dscale + (size_t)sample * token_stride(n->scale_stride, n->width) + first;
        for (int j = 0; j < count; j++)
            to_scale[j] += scale_sums[j];
    }
    for (int j = 0; w->grads->dweight && j < count; j++)
        w->grads->dweight[first + j] += weight_sums[j];
}

static void norm_rows_backward(void *context, int64_t begin, int64_t end)
{
    const struct norm_work *w = context;
    const struct token_norm *n = w->n;
    for (int64_t row = begin; row < end; row++) {
        size_t at = (size_t)row * (size_t)n->width;
        const float *x = w->grads->x + at, *dy = w->grads->dy + at, *scale = norm_scale(n, row);
        float *dx = w->grads->dx + at;
        const struct token_norm_row *s = &w->stats[row];
        for (int j = 0; j < n->width; j++) {
            float g = norm_unit_gradient(n, scale, j, dy[j]);
            float unit = token_norm_unit_f32(x[j], s->mean, s->r);
            float slope = token_norm_dx_f32(g, unit, s->r, s->mean_g, s->mean_gn);
            dx[j] = w->grads->add ? dx[j] + slope : slope;
        }
    }
}

/* Sums before dx, which may lie in dy's place. */
static int reference_norm_backward(struct device *device, const struct token_norm *n,
                                   const struct token_norm_grads *grads)
{
    (void)device;
    TRY(token_check_norm(n, true));
    struct norm_work work = {.n = n, .grads = grads, .stats = grads->workspace};
    const struct token_strips strips = {n->rows, n->rows_per_sample, n->chunk, n->width,
                                        NORM_STRIP};
    threads_for(n->rows, threads_grain(2 * n->width), norm_rows_measure, &work);
    if (grads->dweight || grads->dscale)
        token_over_strips(&strips, norm_chunk_sums, &work,
                          threads_grain((int64_t)n->rows * NORM_STRIP));
    threads_for(n->rows, threads_grain(n->width), norm_rows_backward, &work);
    return OK;
}

void token_install_norms(struct token_ops *ops)
{
    ops->norm_forward = reference_norm_forward;
    ops->norm_workspace = reference_norm_workspace;
    ops->norm_backward = reference_norm_backward;
}
