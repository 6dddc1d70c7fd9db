/* Products of rows with a matrix (token_ops.h) by the vector code of this machine. A product is cut
 * into parts, which threads take. A part packs its own share of B, so no thread waits for another;
 * its rows are many, so that this costs little. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/isa.h"
#include "cpu/token/gemm_kernels.h"
#include "cpu/token/token_cpu.h"

#include <stdint.h>

static const struct gemm_kernels *gemm_kernels_get(void)
{
    switch (cpu_isa()) {
#ifdef __x86_64__
    case CPU_ISA_AMX:
    case CPU_ISA_AVX512_BF16:
    case CPU_ISA_AVX512: return &gemm_kernels_avx512;
    case CPU_ISA_AVX2: return &gemm_kernels_avx2;
#endif
    default: return &gemm_kernels_base;
    }
}

/* For products of bf16; NULL: the reference alone has them here. */
static const struct gemm_kernels *gemm_kernels_bf16(void)
{
#ifdef __x86_64__
    if (cpu_isa() == CPU_ISA_AMX) return &gemm_kernels_amx;
#endif
    return NULL;
}

/* Floats of a thread for any product of up to this shape. */
static size_t gemm_workspace(size_t m, size_t n, size_t k)
{
    size_t amx = gemm_kernels_bf16() ? gemm_amx_workspace(m, n, k) : 0;
    return amx > GEMM_WORKSPACE ? amx : GEMM_WORKSPACE;
}

/* By the threads there are. */
static size_t gemm_linear_workspace(const struct device *device, const struct token_linear *l)
{
    (void)device;
    size_t each = l->weight_type == TOKEN_BF16
                      ? gemm_workspace((size_t)l->rows, (size_t)l->out, (size_t)l->in)
                      : GEMM_WORKSPACE;
    return (size_t)threads_count() * each * sizeof(float);
}

struct gemm_job {
    const struct gemm *gemm;
    const struct gemm_kernels *kernels;
    float *workspace;
    size_t each;          /* floats of it: a thread's */
    size_t rows, columns; /* of a part */
    size_t across;        /* parts side by side */
};

static size_t ceil_divide(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static void gemm_parts(void *context, int64_t from, int64_t to)
{
    const struct gemm_job *job = context;
    const struct gemm *g = job->gemm;
    float *workspace = job->workspace + (size_t)threads_self() * job->each;
    for (size_t i = (size_t)from; i < (size_t)to; i++) {
        struct gemm_part p = {.row = i / job->across * job->rows,
                              .column = i % job->across * job->columns};
        p.rows = g->m - p.row < job->rows ? g->m - p.row : job->rows;
        p.columns = g->n - p.column < job->columns ? g->n - p.column : job->columns;
        job->kernels->part(g, &p, workspace);
    }
}

/* `count` in `parts` of whole `unit`s, as equal as can be. */
static size_t gemm_share(size_t count, size_t parts, size_t unit)
{
    return ceil_divide(ceil_divide(count, unit), parts) * unit;
}

static void gemm_compute(const struct gemm *g, const struct gemm_kernels *kernels, void *workspace)
{
    if (g->m == 0 || g->n == 0) return;
    struct gemm_job job = {.gemm = g, .kernels = kernels, .workspace = workspace};
    job.each =
        kernels == gemm_kernels_bf16() ? gemm_amx_workspace(g->m, g->n, g->k) : GEMM_WORKSPACE;
    enum { SHARES = 4, FEWEST_TILES = 4 };
    size_t unit = kernels->columns, height = kernels->rows;
    size_t wanted = threads_count() > 1 ? (size_t)threads_count() * SHARES : 1;
    /* simple operations of a whole part; less is not worth a thread */
    size_t work = g->m * g->n / 8 * g->k / (1 << 14) + 1;
    if (wanted > work) wanted = work;
    size_t most_columns = g->m > height ? kernels->part_columns : kernels->few_columns;
    size_t across = ceil_divide(g->n, most_columns);
    size_t least = ceil_divide(g->m, kernels->part_rows);
    size_t down = ceil_divide(wanted, across), most = ceil_divide(g->m, FEWEST_TILES * height);
    if (down > most) down = most;
    if (down < least) down = least;
    if (across * down < wanted) across = ceil_divide(wanted, down);
    job.columns = gemm_share(g->n, across, unit);
    job.rows = gemm_share(g->m, down, height);
    job.across = ceil_divide(g->n, job.columns);
    threads_for((int64_t)(job.across * ceil_divide(g->m, job.rows)), 1, gemm_parts, &job);
}

static enum gemm_type gemm_type_of(enum token_type type)
{
    static const enum gemm_type by[] = {[TOKEN_F32] = GEMM_F32,
                                        [TOKEN_BF16] = GEMM_BF16,
                                        [TOKEN_F16] = GEMM_F16,
                                        [TOKEN_I8] = GEMM_I8};
    return by[type];
}

static enum gemm_activation gemm_activation_of(enum token_activation activation)
{
    static const enum gemm_activation by[] = {[TOKEN_NO_ACTIVATION] = GEMM_PLAIN,
                                              [TOKEN_SILU] = GEMM_SILU,
                                              [TOKEN_GELU_TANH] = GEMM_GELU_TANH,
                                              [TOKEN_GELU_QUICK] = GEMM_GELU_QUICK};
    return by[activation];
}

static int gemm_linear_forward(struct device *device, const struct token_linear *l, float *y,
                               const float *x, const struct token_epilogue *epilogue,
                               void *workspace)
{
    static const struct token_epilogue none = {0};
    const struct token_epilogue *e = epilogue ? epilogue : &none;
    TRY(token_check_linear(l));
    const struct gemm_kernels *kernels = l->bf16 ? gemm_kernels_bf16() : gemm_kernels_get();
    /* with both there is no place for the sums so far */
    if (!kernels || (e->add && e->activation != TOKEN_NO_ACTIVATION))
        return token_ops_reference()->linear_forward(device, l, y, x, epilogue, workspace);
    struct gemm g = {.m = (size_t)l->rows,
                     .n = (size_t)l->out,
                     .k = (size_t)l->in,
                     .a = x,
                     .a_row = token_stride(l->x_stride, l->in),
                     .a_depth = 1,
                     .b = l->weight,
                     .b_depth = 1,
                     .b_column = (size_t)l->in,
                     .b_type = gemm_type_of(l->weight_type),
                     .b_scales = l->weight_scales,
                     .c = y,
                     .c_row = token_stride(l->y_stride, l->out),
                     .add = e->add,
                     .bias = e->bias,
                     .activation = gemm_activation_of(e->activation)};
    gemm_compute(&g, kernels, workspace);
    return OK;
}

static int gemm_linear_dgrad(struct device *device, const struct token_linear *l, float *dx,
                             const float *dy, bool add, void *workspace)
{
    (void)device;
    TRY(token_check_linear_dgrad(l));
    struct gemm g = {.m = (size_t)l->rows,
                     .n = (size_t)l->in,
                     .k = (size_t)l->out,
                     .a = dy,
                     .a_row = token_stride(l->y_stride, l->out),
                     .a_depth = 1,
                     .b = l->weight,
                     .b_depth = (size_t)l->in,
                     .b_column = 1,
                     .b_type = gemm_type_of(l->weight_type),
                     .c = dx,
                     .c_row = token_stride(l->x_stride, l->in),
                     .add = add};
    gemm_compute(&g, gemm_kernels_get(), workspace);
    return OK;
}

struct gemm_bias {
    const struct gemm_kernels *kernels;
    float *db;
    const float *dy;
    size_t rows, stride, chunk;
};

enum { BIAS_COLUMNS = 64 };

static void gemm_bias_sums(void *context, int64_t from, int64_t to)
{
    const struct gemm_bias *b = context;
    for (int64_t first = from; first < to; first += BIAS_COLUMNS) {
        size_t count = (size_t)(to - first < BIAS_COLUMNS ? to - first : BIAS_COLUMNS);
        for (size_t row = 0; row < b->rows; row += b->chunk)
            b->kernels->add_rows(b->db + first, b->dy + row * b->stride + first,
                                 b->rows - row < b->chunk ? b->rows - row : b->chunk, b->stride,
                                 count);
    }
}

static int gemm_linear_wgrad(struct device *device, const struct token_linear *l, float *dw,
                             float *db, const float *x, const float *dy, void *workspace)
{
    (void)device;
    TRY(token_check_linear_wgrad(l));
    struct gemm g = {.m = (size_t)l->out,
                     .n = (size_t)l->in,
                     .k = (size_t)l->rows,
                     .a = dy,
                     .a_row = 1,
                     .a_depth = token_stride(l->y_stride, l->out),
                     .b = x,
                     .b_depth = token_stride(l->x_stride, l->in),
                     .b_column = 1,
                     .b_type = GEMM_F32,
                     .c = dw,
                     .c_row = (size_t)l->in,
                     .add = true,
                     .chunk = (size_t)l->chunk};
    struct gemm_bias bias = {gemm_kernels_get(), db, dy, g.k, g.a_depth, g.chunk};
    if (db) threads_for(l->out, threads_grain(l->rows / 4) + BIAS_COLUMNS, gemm_bias_sums, &bias);
    gemm_compute(&g, gemm_kernels_get(), workspace);
    return OK;
}

void token_install_gemm(struct token_ops *ops)
{
    ops->bf16 = gemm_kernels_bf16() != NULL;
    ops->linear_workspace = gemm_linear_workspace;
    ops->linear_forward = gemm_linear_forward;
    ops->linear_dgrad = gemm_linear_dgrad;
    ops->linear_wgrad = gemm_linear_wgrad;
}
