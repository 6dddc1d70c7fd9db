/* What is done to rows of tokens beside products and attention. */
#include "cpu/isa/pointwise_simd.h"
#include "cpu/token/row_kernels.h"
#include "math/rope.h"

#define REAL vf
#define FORMULA(name) name##_vf
#define REAL_FMA(a, b, c) vf_fma(a, b, c)
#define REAL_SET(x) vf_set((float)(x))
#include "math/token_norm.h"

/* Numbers from p on, at most VF of the `left` that there are; zeros beyond. */
INLINE vf row_load(const float *p, size_t left)
{
    return left >= VF ? vf_load(p) : vf_load_some(p, (int)left);
}

INLINE void row_store(float *p, vf v, size_t left)
{
    if (left >= VF)
        vf_store(p, v);
    else
        vf_store_some(p, v, (int)left);
}

/* Lanes of numbers that are there, 0 in the others. */
INLINE vf row_there(vf v, size_t left)
{
    return left >= VF ? v : vf_select(vf_lt(vf_iota(), vf_set((float)left)), v, vf_set(0));
}

/* ---- norms ---- */

/* What belongs to the row's sample, of scales or shifts. */
static const float *row_of_sample(const struct token_norm *n, const float *of, size_t row)
{
    if (!of) return NULL;
    size_t sample = row / (size_t)token_sample_rows(n->rows_per_sample, n->rows);
    return of + sample * token_stride(n->scale_stride, n->width);
}

static const float *row_scale(const struct token_norm *n, size_t row)
{
    return row_of_sample(n, n->scale, row);
}

INLINE void row_measure(const struct token_norm *n, const float *x, float *mean, float *r)
{
    size_t width = (size_t)n->width;
    vf sum = vf_set(0), squares = sum;
    for (size_t j = 0; n->kind == TOKEN_LAYER && j < width; j += VF)
        sum += row_load(x + j, width - j);
    *mean = vf_sum(sum) / (float)n->width;
    for (size_t j = 0; j < width; j += VF) {
        vf d = row_there(row_load(x + j, width - j) - vf_set(*mean), width - j);
        squares = vf_fma(d, d, squares);
    }
    *r = 1 / __builtin_sqrtf(vf_sum(squares) / (float)n->width + n->eps);
}

/* number weight (1 + scale) from column j on */
INLINE vf row_scaled(const struct token_norm *n, const float *scale, vf number, size_t j)
{
    size_t left = (size_t)n->width - j;
    return token_norm_scaled_vf(number, n->weight ? row_load(n->weight + j, left) : vf_set(1),
                                scale ? row_load(scale + j, left) : vf_set(0));
}

static void ISA_NAME(norm_forward)(const struct token_norm *n, float *y, const float *x,
                                   size_t from, size_t to)
{
    size_t width = (size_t)n->width;
    for (size_t row = from; row < to; row++) {
        const float *in = x + row * width, *scale = row_scale(n, row);
        const float *shift = row_of_sample(n, n->shift, row);
        float *out = y + row * width, mean, r;
        row_measure(n, in, &mean, &r);
        for (size_t j = 0; j < width; j += VF) {
            vf unit = token_norm_unit_vf(row_load(in + j, width - j), vf_set(mean), vf_set(r));
            vf value = row_scaled(n, scale, unit, j);
            if (shift) value += row_load(shift + j, width - j);
            row_store(out + j, value, width - j);
        }
    }
}

static void ISA_NAME(norm_measure)(const struct token_norm *n, const struct token_norm_grads *grads,
                                   struct token_norm_row *stats, size_t from, size_t to)
{
    size_t width = (size_t)n->width;
    for (size_t row = from; row < to; row++) {
        const float *x = grads->x + row * width, *dy = grads->dy + row * width;
        const float *scale = row_scale(n, row);
        struct token_norm_row *s = &stats[row];
        vf sum = vf_set(0), products = sum;
        row_measure(n, x, &s->mean, &s->r);
        for (size_t j = 0; j < width; j += VF) { /* dy's zeros beyond the end make these zeros */
            vf g = row_scaled(n, scale, row_load(dy + j, width - j), j);
            vf unit = token_norm_unit_vf(row_load(x + j, width - j), vf_set(s->mean), vf_set(s->r));
            sum += g;
            products = vf_fma(g, unit, products);
        }
        s->mean_g = n->kind == TOKEN_LAYER ? vf_sum(sum) / (float)n->width : 0;
        s->mean_gn = vf_sum(products) / (float)n->width;
    }
}

static void ISA_NAME(norm_slopes)(const struct token_norm *n, const struct token_norm_grads *grads,
                                  const struct token_norm_row *stats, size_t from, size_t to)
{
    size_t width = (size_t)n->width;
    for (size_t row = from; row < to; row++) {
        const float *x = grads->x + row * width, *dy = grads->dy + row * width;
        const float *scale = row_scale(n, row);
        const struct token_norm_row *s = &stats[row];
        float *dx = grads->dx + row * width;
        for (size_t j = 0; j < width; j += VF) {
            size_t left = width - j;
            vf g = row_scaled(n, scale, row_load(dy + j, left), j);
            vf unit = token_norm_unit_vf(row_load(x + j, left), vf_set(s->mean), vf_set(s->r));
            vf slope =
                token_norm_dx_vf(g, unit, vf_set(s->r), vf_set(s->mean_g), vf_set(s->mean_gn));
            if (grads->add) slope += row_load(dx + j, left);
            row_store(dx + j, slope, left);
        }
    }
}

static void ISA_NAME(norm_sums)(const struct token_norm *n, const struct token_norm_grads *grads,
                                const struct token_norm_row *stats, size_t from, size_t to,
                                size_t first, size_t count, float *sums)
{
    size_t width = (size_t)n->width;
    for (size_t j = 0; j < count; j += VF) {
        vf sum = vf_set(0);
        for (size_t row = from; row < to; row++) {
            size_t at = row * width + first + j;
            vf unit = token_norm_unit_vf(row_load(grads->x + at, count - j),
                                         vf_set(stats[row].mean), vf_set(stats[row].r));
            sum = vf_fma(row_load(grads->dy + at, count - j), unit, sum);
        }
        row_store(sums + j, sum, count - j);
    }
}

/* ---- gates ---- */

static void ISA_NAME(row_gate)(float *to_rows, const float *x, const float *t, const float *u,
                               size_t width, size_t from, size_t to, size_t first, size_t count)
{
    for (size_t row = from; row < to; row++)
        for (size_t j = 0; j < count; j += VF) {
            size_t at = row * width + first + j, left = count - j;
            vf factor = row_load(t + j, left), value = row_load(u + at, left);
            if (x)
                value = token_gated_vf(row_load(x + at, left), factor, value);
            else
                value *= factor;
            row_store(to_rows + at, value, left);
        }
}

static void ISA_NAME(product_sums)(const float *a, const float *b, size_t width, size_t from,
                                   size_t to, size_t first, size_t count, float *sums)
{
    for (size_t j = 0; j < count; j += VF) {
        vf sum = vf_set(0);
        for (size_t row = from; row < to; row++) {
            size_t at = row * width + first + j;
            sum = vf_fma(row_load(a + at, count - j), row_load(b + at, count - j), sum);
        }
        row_store(sums + j, sum, count - j);
    }
}

/* ---- rotary positions ---- */

static void row_turn(float *restrict x, const float *restrict cosines, const float *restrict sines,
                     size_t pairs, bool halves, float sign)
{
    if (halves)
        for (size_t m = 0; m < pairs; m++)
            rope_turn(x + m, x + m + pairs, cosines[m], sign * sines[m]);
    else
        for (size_t m = 0; m < pairs; m++)
            rope_turn(x + 2 * m, x + 2 * m + 1, cosines[m], sign * sines[m]);
}

static void ISA_NAME(row_rope)(const struct token_rope *r, size_t from, size_t to)
{
    size_t stride = token_stride(r->stride, r->heads * r->head_dim);
    size_t pairs = (size_t)r->head_dim / 2;
    for (size_t row = from; row < to; row++) {
        size_t line = row % (size_t)r->tokens * pairs;
        for (size_t head = 0; head < (size_t)r->heads; head++)
            row_turn(r->x + row * stride + head * (size_t)r->head_dim, r->cosines + line,
                     r->sines + line, pairs, r->halves, r->backwards ? -1 : 1);
    }
}

/* ---- SwiGLU ---- */

static void ISA_NAME(row_swiglu_forward)(float *h, const float *a, const float *c, size_t count)
{
    for (size_t i = 0; i < count; i += VF)
        row_store(h + i,
                  pointwise_swiglu_vf(row_load(a + i, count - i), row_load(c + i, count - i)),
                  count - i);
}

static void ISA_NAME(row_geglu_forward)(float *h, const float *a, const float *c, size_t count)
{
    for (size_t i = 0; i < count; i += VF)
        row_store(h + i, pointwise_geglu_vf(row_load(a + i, count - i), row_load(c + i, count - i)),
                  count - i);
}

static void ISA_NAME(row_swiglu_backward)(float *da, float *dc, const float *dh, const float *a,
                                          const float *c, size_t count)
{
    for (size_t i = 0; i < count; i += VF) {
        vf slope = row_load(dh + i, count - i), x = row_load(a + i, count - i);
        vf other = row_load(c + i, count - i);
        row_store(da + i, pointwise_swiglu_da_vf(slope, x, other), count - i);
        row_store(dc + i, pointwise_swiglu_dc_vf(slope, x), count - i);
    }
}

const struct row_kernels ISA_NAME(row_kernels) = {
    .norm_forward = ISA_NAME(norm_forward),
    .norm_measure = ISA_NAME(norm_measure),
    .norm_slopes = ISA_NAME(norm_slopes),
    .norm_sums = ISA_NAME(norm_sums),
    .gate = ISA_NAME(row_gate),
    .product_sums = ISA_NAME(product_sums),
    .rope = ISA_NAME(row_rope),
    .swiglu_forward = ISA_NAME(row_swiglu_forward),
    .geglu_forward = ISA_NAME(row_geglu_forward),
    .swiglu_backward = ISA_NAME(row_swiglu_backward),
};
