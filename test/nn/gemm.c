/* Products of rows with a matrix by every instruction set of this machine: against the plain ones
 * for shapes around the kernels' tiles, blocks and panels, and the same bits however rows, columns
 * and chunks are cut. Right results in double are asked for by the table of cases. */
#include "base/threads.h"
#include "check/op_kinds.h"
#include "cpu/isa.h"
#include "device/token_ops.h"
#include "math/bf16.h"
#include "math/half.h"
#include "test/support.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SHAPES = 17 };

/* NULL where the machine lacks these instructions. */
static const struct token_ops *gemm_ops(int isa)
{
    setenv("IMGTRAIN_ISA", cpu_isa_name((enum cpu_isa)isa), 1);
    return (int)cpu_isa() == isa ? token_ops_cpu() : NULL;
}

static const struct token_linear shapes[SHAPES] = {
    {.rows = 1, .in = 1, .out = 1, .chunk = 1},
    {.rows = 1, .in = 256, .out = 384, .chunk = 1},
    {.rows = 6, .in = 97, .out = 12, .chunk = 3, .weight_type = TOKEN_BF16},
    {.rows = 13, .in = 48, .out = 33, .chunk = 5, .weight_type = TOKEN_F16},
    {.rows = 14, .in = 257, .out = 16, .chunk = 14},
    {.rows = 15, .in = 300, .out = 170, .chunk = 4, .x_stride = 311, .y_stride = 177},
    {.rows = 29, .in = 64, .out = 544, .chunk = 64, .weight_type = TOKEN_BF16},
    {.rows = 48, .in = 513, .out = 31, .chunk = 1, .weight_type = TOKEN_F16, .x_stride = 520},
    {.rows = 230, .in = 16, .out = 48, .chunk = 96},
    {.rows = 451, .in = 96, .out = 100, .chunk = 225, .y_stride = 104},
    {.rows = 600, .in = 40, .out = 24, .chunk = 300},
    {.rows = 1024, .in = 33, .out = 65, .chunk = 512, .weight_type = TOKEN_BF16},
    {.rows = 17, .in = 31, .out = 33, .chunk = 1, .weight_type = TOKEN_BF16, .bf16 = true},
    {.rows = 33,
     .in = 513,
     .out = 16,
     .chunk = 7,
     .weight_type = TOKEN_BF16,
     .bf16 = true,
     .x_stride = 516,
     .y_stride = 19},
    {.rows = 18, .in = 1030, .out = 15, .chunk = 1, .weight_type = TOKEN_BF16, .bf16 = true},
    {.rows = 161, .in = 33, .out = 530, .chunk = 32, .weight_type = TOKEN_BF16, .bf16 = true},
    {.rows = 700, .in = 64, .out = 48, .chunk = 300, .weight_type = TOKEN_BF16, .bf16 = true},
};

/* A linear layer, its operands and what comes out. */
struct gemm_case {
    struct token_linear l;
    size_t xs, ys, weights; /* floats */
    float *x, *dy, *bias;
    void *weight;
    float *y, *dx, *dw, *db;
    void *workspace;
};

static float *gemm_noise(const char *name, size_t count)
{
    float *x = malloc((count + 1) * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)(2 * op_uniform(name, i) - 1);
    return x;
}

static void gemm_case_make(struct gemm_case *c, int shape)
{
    *c = (struct gemm_case){.l = shapes[shape]};
    const struct token_linear *l = &c->l;
    c->xs = (size_t)l->rows * token_stride(l->x_stride, l->in);
    c->ys = (size_t)l->rows * token_stride(l->y_stride, l->out);
    c->weights = (size_t)l->in * (size_t)l->out;
    c->x = gemm_noise("x", c->xs);
    c->dy = gemm_noise("dy", c->ys);
    c->bias = gemm_noise("bias", (size_t)l->out);
    float *weight = gemm_noise("weight", c->weights);
    uint16_t *half = malloc(c->weights * sizeof *half);
    ck_assert_ptr_nonnull(half);
    for (size_t i = 0; i < c->weights; i++)
        half[i] = l->weight_type == TOKEN_BF16 ? bf16_round(weight[i]) : half_round(weight[i]);
    if (l->weight_type != TOKEN_F32) memcpy(weight, half, c->weights * sizeof *half);
    free(half);
    c->weight = weight;
}

static void gemm_case_free(struct gemm_case *c)
{
    free(c->x), free(c->dy), free(c->bias), free(c->weight);
}

static void gemm_outputs_make(struct gemm_case *c, const struct token_ops *ops)
{
    c->y = gemm_noise("y", c->ys);
    c->dx = gemm_noise("dx", c->xs);
    c->dw = gemm_noise("dw", c->weights);
    c->db = gemm_noise("db", (size_t)c->l.out);
    size_t bytes = (ops->linear_workspace(NULL, &c->l) + 64) / 64 * 64;
    ck_assert_uint_lt(bytes, (size_t)threads_count() * 4 << 20);
    c->workspace = aligned_alloc(64, bytes);
    memset(c->workspace, 0xff, bytes); /* NaNs, which nothing may come of */
}

static void gemm_outputs_free(struct gemm_case *c)
{
    free(c->y), free(c->dx), free(c->dw), free(c->db), free(c->workspace);
}

/* Rows [from, to) of all three. */
static void gemm_case_run(struct gemm_case *c, const struct token_ops *ops,
                          const struct token_epilogue *e, bool add, int from, int to)
{
    struct token_linear l = c->l;
    l.rows = to - from;
    size_t x = (size_t)from * token_stride(l.x_stride, l.in);
    size_t y = (size_t)from * token_stride(l.y_stride, l.out);
    l.weight = c->weight;
    MUST(ops->linear_forward(NULL, &l, c->y + y, c->x + x, e, c->workspace));
    l.bf16 = false;
    MUST(ops->linear_dgrad(NULL, &l, c->dx + x, c->dy + y, add, c->workspace));
    MUST(ops->linear_wgrad(NULL, &l, c->dw, c->db, c->x + x, c->dy + y, c->workspace));
}

static void assert_close(const float *a, const float *b, size_t count, double bound,
                         const char *what, const char *isa)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs((double)a[i] - (double)b[i]) <= bound, "%s (%s): %zu: %g instead of %g",
                      what, isa, i, (double)a[i], (double)b[i]);
}

static const struct token_epilogue epilogues[] = {
    {.activation = TOKEN_NO_ACTIVATION}, {.add = true},
    {.activation = TOKEN_SILU},          {.activation = TOKEN_GELU_TANH, .add = true},
    {.activation = TOKEN_GELU_QUICK},
};

START_TEST(products_are_the_plain_ones)
{
    struct gemm_case plain, c;
    gemm_case_make(&plain, _i);
    c = plain;
    struct token_epilogue e = epilogues[_i % 5];
    if (_i % 3) e.bias = plain.bias;
    gemm_outputs_make(&plain, token_ops_reference());
    gemm_case_run(&plain, token_ops_reference(), &e, e.add, 0, plain.l.rows);
    for (int isa = 0; isa < CPU_ISAS; isa++) {
        const struct token_ops *ops = gemm_ops(isa);
        if (!ops) continue;
        const char *name = cpu_isa_name((enum cpu_isa)isa);
        gemm_outputs_make(&c, ops);
        gemm_case_run(&c, ops, &e, e.add, 0, c.l.rows);
        assert_close(c.y, plain.y, c.ys, 1e-6 * (8 + c.l.in), "y", name);
        assert_close(c.dx, plain.dx, c.xs, 1e-6 * (8 + c.l.out), "dx", name);
        assert_close(c.dw, plain.dw, c.weights, 1e-6 * (8 + c.l.rows), "dw", name);
        assert_close(c.db, plain.db, (size_t)c.l.out, 1e-6 * (8 + c.l.rows), "db", name);
        gemm_outputs_free(&c);
    }
    gemm_outputs_free(&plain);
    gemm_case_free(&plain);
}
END_TEST

static void assert_same_bits(const struct gemm_case *a, const struct gemm_case *b, const char *what)
{
    ck_assert_msg(memcmp(a->y, b->y, a->ys * sizeof *a->y) == 0, "y: other bits %s", what);
    ck_assert_msg(memcmp(a->dx, b->dx, a->xs * sizeof *a->dx) == 0, "dx: other bits %s", what);
    ck_assert_msg(memcmp(a->dw, b->dw, a->weights * sizeof *a->dw) == 0, "dw: other bits %s", what);
    ck_assert_msg(memcmp(a->db, b->db, (size_t)a->l.out * sizeof *a->db) == 0, "db: other bits %s",
                  what);
}

START_TEST(bits_do_not_depend_on_the_cut)
{
    struct gemm_case whole, c;
    gemm_case_make(&whole, _i);
    c = whole;
    const struct token_epilogue e = {.bias = whole.bias, .activation = TOKEN_SILU};
    for (int isa = 0; isa < CPU_ISAS; isa++) {
        const struct token_ops *ops = gemm_ops(isa);
        if (!ops) continue;
        threads_set(1);
        gemm_outputs_make(&whole, ops);
        gemm_case_run(&whole, ops, &e, true, 0, whole.l.rows);
        for (int threads = 1; threads <= 3; threads++) {
            threads_set(threads);
            gemm_outputs_make(&c, ops);
            gemm_case_run(&c, ops, &e, true, 0, c.l.rows);
            assert_same_bits(&c, &whole, "by threads");
            gemm_outputs_free(&c);
            gemm_outputs_make(&c, ops);
            for (int from = 0; from < c.l.rows; from += c.l.chunk)
                gemm_case_run(&c, ops, &e, true, from,
                              c.l.rows - from < c.l.chunk ? c.l.rows : from + c.l.chunk);
            assert_same_bits(&c, &whole, "chunk by chunk");
            gemm_outputs_free(&c);
        }
        threads_set(1);
        gemm_outputs_free(&whole);
    }
    gemm_case_free(&whole);
}
END_TEST

/* A copy that ends where memory does: who goes beyond it crashes. */
static void *gemm_at_an_end(const void *from, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    char *at = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(at, MAP_FAILED);
    ck_assert_int_eq(mprotect(at + whole, page, PROT_NONE), 0);
    return memcpy(at + whole - bytes, from, bytes);
}

START_TEST(nothing_behind_the_operands_is_touched)
{
    struct gemm_case made, c;
    gemm_case_make(&made, _i);
    const struct token_linear *l = &made.l;
    size_t size = l->weight_type == TOKEN_F32 ? sizeof(float) : sizeof(uint16_t);
    size_t x = made.xs - token_stride(l->x_stride, l->in) + (size_t)l->in;
    size_t y = made.ys - token_stride(l->y_stride, l->out) + (size_t)l->out;
    for (int isa = 0; isa < CPU_ISAS; isa++) {
        const struct token_ops *ops = gemm_ops(isa);
        if (!ops) continue;
        gemm_outputs_make(&made, ops);
        c = made;
        c.x = gemm_at_an_end(made.x, x * sizeof *c.x);
        c.dx = gemm_at_an_end(made.dx, x * sizeof *c.dx);
        c.y = gemm_at_an_end(made.y, y * sizeof *c.y);
        c.dy = gemm_at_an_end(made.dy, y * sizeof *c.dy);
        c.weight = gemm_at_an_end(made.weight, made.weights * size);
        c.dw = gemm_at_an_end(made.dw, made.weights * sizeof *c.dw);
        c.bias = gemm_at_an_end(made.bias, (size_t)l->out * sizeof *c.bias);
        c.db = gemm_at_an_end(made.db, (size_t)l->out * sizeof *c.db);
        c.workspace =
            gemm_at_an_end(made.workspace, (ops->linear_workspace(NULL, l) + 63) / 64 * 64);
        const struct token_epilogue e = {.bias = c.bias, .activation = TOKEN_SILU};
        gemm_case_run(&c, ops, &e, true, 0, l->rows);
        gemm_outputs_free(&made);
    }
    gemm_case_free(&made);
}
END_TEST

Suite *gemm_suite(void);
Suite *gemm_suite(void)
{
    Suite *suite = suite_create("gemm");
    TCase *tests = tcase_create("gemm");
    tcase_add_loop_test(tests, products_are_the_plain_ones, 0, SHAPES);
    tcase_add_loop_test(tests, bits_do_not_depend_on_the_cut, 0, SHAPES);
    tcase_add_loop_test(tests, nothing_behind_the_operands_is_touched, 0, SHAPES);
    suite_add_tcase(suite, tests);
    return suite;
}
