/* Products of rows with a matrix: see struct token_linear in device/token_ops.h. Plain: tiles of
 * LINEAR_ROWS x LINEAR_COLUMNS sums, whose terms come in blocks of LINEAR_TERMS, each summed from
 * zero in order, the blocks one after the other. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/token/token_cpu.h"
#include "cpu/token/token_element.h"
#include "math/formulas_f32.h"

#include <string.h>

enum { LINEAR_ROWS = 64, LINEAR_COLUMNS = 16, LINEAR_TERMS = 256 };

/* sums[m][n] over k of a[m, k] b[k, n]: strides in elements. */
struct linear_product {
    int m, n, k;
    const float *a;
    size_t a_m, a_k;
    bool rounds_a; /* to bf16 */
    const void *b;
    enum token_type b_type;
    const float *b_scales; /* [n] or NULL */
    size_t b_k, b_n;
    float *c; /* [m][n], rows c_m apart */
    size_t c_m;
    bool add;
    int chunk; /* of k, for sums that are added chunk by chunk; 0: one */
    const struct token_epilogue *epilogue;
};

struct linear_tile {
    const struct linear_product *p;
    int row, rows, column, columns;
    float sums[LINEAR_ROWS][LINEAR_COLUMNS];
    float b[LINEAR_TERMS][LINEAR_COLUMNS];
};

/* Terms first .. first + terms - 1 of the tile's columns, widened; zeros beside them. */
static void linear_pack(struct linear_tile *t, size_t first, int terms)
{
    const struct linear_product *p = t->p;
    for (int k = 0; k < terms; k++)
        for (int n = 0; n < LINEAR_COLUMNS; n++)
            t->b[k][n] =
                n < t->columns
                    ? token_element(p->b, p->b_type,
                                    (first + (size_t)k) * p->b_k + (size_t)(t->column + n) * p->b_n)
                    : 0;
}

/* Adds these terms to the tile's sums. */
static void linear_add_block(struct linear_tile *t, size_t first, int terms)
{
    const struct linear_product *p = t->p;
    for (int m = 0; m < t->rows; m++) {
        const float *a = p->a + (size_t)(t->row + m) * p->a_m + first * p->a_k;
        float sum[LINEAR_COLUMNS] = {0};
        for (int k = 0; k < terms; k++) {
            float factor = a[(size_t)k * p->a_k];
            if (p->rounds_a) factor = bf16_value(bf16_round(factor));
            for (int n = 0; n < LINEAR_COLUMNS; n++)
                sum[n] = FMA_F32(factor, t->b[k][n], sum[n]);
        }
        for (int n = 0; n < LINEAR_COLUMNS; n++)
            t->sums[m][n] += sum[n];
    }
}

static float linear_activated(enum token_activation activation, float x)
{
    if (activation == TOKEN_SILU) return pointwise_silu_f32(x);
    if (activation == TOKEN_GELU_QUICK) return pointwise_gelu_quick_f32(x);
    return activation == TOKEN_GELU_TANH ? pointwise_gelu_tanh_f32(x) : x;
}

static void linear_store(const struct linear_tile *t)
{
    const struct linear_product *p = t->p;
    const struct token_epilogue none = {0}, *e = p->epilogue ? p->epilogue : &none;
    for (int m = 0; m < t->rows; m++) {
        float *c = p->c + (size_t)(t->row + m) * p->c_m + t->column;
        for (int n = 0; n < t->columns; n++) {
            float sum = t->sums[m][n];
            if (p->b_scales) sum *= p->b_scales[t->column + n];
            sum += (e->bias ? e->bias[t->column + n] : 0);
            sum = linear_activated(e->activation, sum);
            c[n] = p->add || e->add ? c[n] + sum : sum;
        }
    }
}

/* One chunk of k after the other; tiles by their number, columns first. */
static void linear_tiles(void *context, int64_t begin, int64_t end)
{
    const struct linear_product *p = context;
    int across = (p->n + LINEAR_COLUMNS - 1) / LINEAR_COLUMNS;
    struct linear_tile t = {.p = p};
    for (int64_t i = begin; i < end; i++) {
        t.row = (int)(i / across) * LINEAR_ROWS, t.column = (int)(i % across) * LINEAR_COLUMNS;
        t.rows = p->m - t.row < LINEAR_ROWS ? p->m - t.row : LINEAR_ROWS;
        t.columns = p->n - t.column < LINEAR_COLUMNS ? p->n - t.column : LINEAR_COLUMNS;
        int chunk = p->chunk ? p->chunk : p->k;
        for (int from = 0; from < p->k; from += chunk) {
            int to = p->k - from < chunk ? p->k : from + chunk;
            memset(t.sums, 0, sizeof t.sums);
            for (int k = from; k < to; k += LINEAR_TERMS) {
                int terms = to - k < LINEAR_TERMS ? to - k : LINEAR_TERMS;
                linear_pack(&t, (size_t)k, terms);
                linear_add_block(&t, (size_t)k, terms);
            }
            linear_store(&t);
        }
    }
}

static int linear_compute(struct linear_product *p)
{
    int64_t down = (p->m + LINEAR_ROWS - 1) / LINEAR_ROWS;
    int64_t across = (p->n + LINEAR_COLUMNS - 1) / LINEAR_COLUMNS;
    threads_for(down * across, threads_grain((int64_t)LINEAR_ROWS * LINEAR_COLUMNS * p->k),
                linear_tiles, p);
    return OK;
}

static size_t reference_linear_workspace(const struct device *device, const struct token_linear *l)
{
    (void)device;
    (void)l;
    return 0;
}

static int reference_linear_forward(struct device *device, const struct token_linear *l, float *y,
                                    const float *x, const struct token_epilogue *epilogue,
                                    void *workspace)
{
    (void)device;
    (void)workspace;
    TRY(token_check_linear(l));
    struct linear_product p = {.m = l->rows,
                               .n = l->out,
                               .k = l->in,
                               .a = x,
                               .a_m = token_stride(l->x_stride, l->in),
                               .a_k = 1,
                               .rounds_a = l->bf16,
                               .b = l->weight,
                               .b_type = l->weight_type,
                               .b_scales = l->weight_type == TOKEN_I8 ? l->weight_scales : NULL,
                               .b_k = 1,
                               .b_n = (size_t)l->in,
                               .c = y,
                               .c_m = token_stride(l->y_stride, l->out),
                               .epilogue = epilogue};
    return linear_compute(&p);
}

static int reference_linear_dgrad(struct device *device, const struct token_linear *l, float *dx,
                                  const float *dy, bool add, void *workspace)
{
    (void)device;
    (void)workspace;
    TRY(token_check_linear_dgrad(l));
    struct linear_product p = {.m = l->rows,
                               .n = l->in,
                               .k = l->out,
                               .a = dy,
                               .a_m = token_stride(l->y_stride, l->out),
                               .a_k = 1,
                               .b = l->weight,
                               .b_type = l->weight_type,
                               .b_k = (size_t)l->in,
                               .b_n = 1,
                               .c = dx,
                               .c_m = token_stride(l->x_stride, l->in),
                               .add = add};
    return linear_compute(&p);
}

struct linear_bias {
    const struct token_linear *l;
    float *db;
    const float *dy;
};

static void linear_bias_sums(void *context, int64_t begin, int64_t end)
{
    const struct linear_bias *b = context;
    size_t stride = token_stride(b->l->y_stride, b->l->out);
    for (int from = 0; from < b->l->rows; from += b->l->chunk) {
        int to = b->l->rows - from < b->l->chunk ? b->l->rows : from + b->l->chunk;
        for (int64_t first = begin; first < end; first += LINEAR_COLUMNS) {
            float sum[LINEAR_COLUMNS] = {0};
            int64_t count = end - first < LINEAR_COLUMNS ? end - first : LINEAR_COLUMNS;
            for (int row = from; row < to; row++)
                for (int64_t j = 0; j < count; j++)
                    sum[j] += b->dy[(size_t)row * stride + (size_t)(first + j)];
            for (int64_t j = 0; j < count; j++)
                b->db[first + j] += sum[j];
        }
    }
}

static int reference_linear_wgrad(struct device *device, const struct token_linear *l, float *dw,
                                  float *db, const float *x, const float *dy, void *workspace)
{
    (void)device;
    (void)workspace;
    TRY(token_check_linear_wgrad(l));
    struct linear_bias bias = {l, db, dy};
    struct linear_product p = {.m = l->out,
                               .n = l->in,
                               .k = l->rows,
                               .a = dy,
                               .a_m = 1,
                               .a_k = token_stride(l->y_stride, l->out),
                               .b = x,
                               .b_k = token_stride(l->x_stride, l->in),
                               .b_n = 1,
                               .c = dw,
                               .c_m = (size_t)l->in,
                               .add = true,
                               .chunk = l->chunk};
    if (db) threads_for(l->out, threads_grain(l->rows), linear_bias_sums, &bias);
    return linear_compute(&p);
}

void token_install_linear(struct token_ops *ops)
{
    ops->linear_workspace = reference_linear_workspace;
    ops->linear_forward = reference_linear_forward;
    ops->linear_dgrad = reference_linear_dgrad;
    ops->linear_wgrad = reference_linear_wgrad;
}
