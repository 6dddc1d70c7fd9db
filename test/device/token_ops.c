/* What the table of cases (test/device/op_cases.c) does not ask of operations on rows of tokens:
 * rows and samples do not depend on their neighbours, sums may be cut at chunk boundaries, wrong
 * shapes are refused, memory of attention is linear in tokens; on the plain reference and on every
 * instruction set of this machine. */
#include "device/token_ops.h"

#include "base/random.h"
#include "cpu/isa.h"
#include "device/device.h"
#include "test/support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *token_ops_suite(void);

enum { REFERENCE, ISAS = 4, TABLES = 1 + ISAS };

/* NULL where the machine lacks the instruction set. */
static const struct token_ops *token_table(int i)
{
    if (i == REFERENCE) return token_ops_reference();
    setenv("IMGTRAIN_ISA", cpu_isa_name((enum cpu_isa)(i - 1)), 1);
    const struct token_ops *ops = token_ops_cpu();
    return (int)cpu_isa() == i - 1 ? ops : NULL;
}

/* Numbers in -1..1 in a fresh, 64-byte aligned array of the caller. */
static float *token_numbers(size_t count, uint64_t step)
{
    void *memory = NULL;
    ck_assert_int_eq(posix_memalign(&memory, 64, (count + 16) * sizeof(float)), 0);
    float *x = memory;
    for (size_t i = 0; i < count; i++)
        x[i] = 2 * philox_uniform(philox_draw(3, STREAM_TEST, step, i).v[0]) - 1;
    return x;
}

static void *token_workspace(size_t bytes)
{
    return token_numbers(bytes / sizeof(float) + 1, 9);
}

/* Rows alone, or a few at a time, beside all at once. */
START_TEST(linear_rows_do_not_depend_on_others)
{
    const struct token_ops *ops = token_table(_i);
    enum { ROWS = 37, IN = 70, OUT = 53 };
    static const int cuts[] = {0, 1, 4, 20, ROWS};
    if (!ops) return;
    float *x = token_numbers(ROWS * IN, 1), *w = token_numbers(OUT * IN, 2);
    float *dy = token_numbers(ROWS * OUT, 3);
    float *y = token_numbers(ROWS * OUT, 4), *part_y = token_numbers(ROWS * OUT, 4);
    float *dx = token_numbers(ROWS * IN, 5), *part_dx = token_numbers(ROWS * IN, 5);
    struct token_linear l = {.rows = ROWS, .in = IN, .out = OUT, .weight = w};
    struct token_epilogue epilogue = {.activation = TOKEN_SILU};
    void *workspace = token_workspace(ops->linear_workspace(NULL, &l));
    MUST(ops->linear_forward(NULL, &l, y, x, &epilogue, workspace));
    MUST(ops->linear_dgrad(NULL, &l, dx, dy, false, workspace));
    for (int i = 0; i + 1 < (int)(sizeof cuts / sizeof *cuts); i++) {
        size_t first = (size_t)cuts[i];
        l.rows = cuts[i + 1] - cuts[i];
        MUST(ops->linear_forward(NULL, &l, part_y + first * OUT, x + first * IN, &epilogue,
                                 workspace));
        MUST(ops->linear_dgrad(NULL, &l, part_dx + first * IN, dy + first * OUT, false, workspace));
    }
    ck_assert_mem_eq(y, part_y, ROWS * OUT * sizeof *y);
    ck_assert_mem_eq(dx, part_dx, ROWS * IN * sizeof *dx);
    free(x), free(w), free(dy), free(y), free(part_y), free(dx), free(part_dx), free(workspace);
}
END_TEST

/* All rows at once, and by several calls that end where chunks end. */
START_TEST(sums_over_rows_may_be_cut_at_chunks)
{
    const struct token_ops *ops = token_table(_i);
    enum { ROWS = 6 * 11, PER_SAMPLE = 22, IN = 40, OUT = 30, CHUNK = 11 };
    static const int cuts[] = {0, 22, 44, ROWS};
    if (!ops) return;
    float *x = token_numbers(ROWS * IN, 1), *dy = token_numbers(ROWS * OUT, 2);
    float *dw[2], *db[2], *dweight[2], *dscale[2], *dgate[2];
    float *scale = token_numbers(3 * IN, 7), *slope = token_numbers(ROWS * IN, 8);
    float *out = token_numbers(ROWS * IN, 9);
    struct token_linear l = {.in = IN, .out = OUT, .chunk = CHUNK, .rows = ROWS};
    struct token_norm n = {
        .rows = ROWS, .width = IN, .eps = 1e-5f, .rows_per_sample = PER_SAMPLE, .chunk = CHUNK};
    struct token_gate g = {
        .rows = ROWS, .width = IN, .rows_per_sample = PER_SAMPLE, .chunk = CHUNK};
    void *workspace = token_workspace(ops->linear_workspace(NULL, &l));
    void *norm_workspace = token_workspace(ops->norm_workspace(NULL, &n));
    for (int parted = 0; parted < 2; parted++) {
        dw[parted] = token_numbers(OUT * IN, 3), db[parted] = token_numbers(OUT, 4);
        dweight[parted] = token_numbers(IN, 5), dscale[parted] = token_numbers(3 * IN, 6);
        dgate[parted] = token_numbers(3 * IN, 6);
        for (int i = 0; i < (parted ? 3 : 1); i++) {
            size_t first = (size_t)cuts[i], sample = (size_t)(parted ? i : 0) * IN;
            l.rows = n.rows = g.rows = parted ? cuts[i + 1] - cuts[i] : ROWS;
            n.scale = g.gate = scale + sample;
            struct token_norm_grads grads = {.x = x + first * IN,
                                             .dy = slope + first * IN,
                                             .dx = out,
                                             .dweight = dweight[parted],
                                             .dscale = dscale[parted] + sample,
                                             .workspace = norm_workspace};
            MUST(ops->linear_wgrad(NULL, &l, dw[parted], db[parted], x + first * IN,
                                   dy + first * OUT, workspace));
            MUST(ops->norm_backward(NULL, &n, &grads));
            MUST(ops->gate_backward(NULL, &g, out, dgate[parted] + sample, slope + first * IN,
                                    x + first * IN));
        }
    }
    ck_assert_mem_eq(dw[0], dw[1], OUT * IN * sizeof **dw);
    ck_assert_mem_eq(db[0], db[1], OUT * sizeof **db);
    ck_assert_mem_eq(dweight[0], dweight[1], IN * sizeof **dweight);
    ck_assert_mem_eq(dscale[0], dscale[1], 3 * IN * sizeof **dscale);
    ck_assert_mem_eq(dgate[0], dgate[1], 3 * IN * sizeof **dgate);
    for (int k = 0; k < 2; k++)
        free(dw[k]), free(db[k]), free(dweight[k]), free(dscale[k]), free(dgate[k]);
    free(x), free(dy), free(scale), free(slope), free(out), free(workspace), free(norm_workspace);
}
END_TEST

/* Query rows in slices, as a plan may cut them: causal ones know where they stand. */
START_TEST(attention_does_not_depend_on_slices_of_queries)
{
    const struct token_ops *ops = token_table(_i % TABLES);
    bool causal = _i >= TABLES;
    enum { TOKENS = 150, HEADS = 2, HEAD_DIM = 24, ROW = HEADS * HEAD_DIM };
    static const int cuts[] = {0, 1, 64, 70, TOKENS};
    if (!ops) return;
    float *q = token_numbers(TOKENS * ROW, 1), *k = token_numbers(TOKENS * ROW, 2);
    float *v = token_numbers(TOKENS * ROW, 3);
    float *o = token_numbers(TOKENS * ROW, 4), *parts = token_numbers(TOKENS * ROW, 5);
    struct token_attention a = {.samples = 1,
                                .q_tokens = TOKENS,
                                .k_tokens = TOKENS,
                                .heads = HEADS,
                                .kv_heads = HEADS,
                                .head_dim = HEAD_DIM,
                                .scale = 1,
                                .causal = causal};
    MUST(ops->attention_forward(NULL, &a, o, NULL, q, k, v));
    for (int i = 0; i + 1 < (int)(sizeof cuts / sizeof *cuts); i++) {
        size_t first = (size_t)cuts[i] * ROW;
        a.first_query = cuts[i];
        a.q_tokens = cuts[i + 1] - cuts[i];
        MUST(ops->attention_forward(NULL, &a, parts + first, NULL, q + first, k, v));
    }
    ck_assert_mem_eq(o, parts, TOKENS * ROW * sizeof *o);
    free(q), free(k), free(v), free(o), free(parts);
}
END_TEST

START_TEST(attention_memory_is_linear_in_tokens)
{
    const struct token_ops *ops = token_table(_i);
    if (!ops) return;
    struct token_attention a = {.samples = 2,
                                .q_tokens = 1024,
                                .k_tokens = 1024,
                                .heads = 4,
                                .kv_heads = 4,
                                .head_dim = 64};
    size_t bytes = ops->attention_workspace(NULL, &a);
    a.q_tokens = a.k_tokens = 4096;
    ck_assert_uint_le(ops->attention_workspace(NULL, &a), 4 * bytes);
}
END_TEST

/* Who plans memory asks once for all chunks; 0: for no weight gradients. */
START_TEST(workspace_does_not_depend_on_chunks)
{
    const struct token_ops *ops = token_table(_i);
    if (!ops) return;
    struct token_linear l = {.rows = 1000, .in = 64, .out = 96, .chunk = 1000};
    size_t bytes = ops->linear_workspace(NULL, &l);
    for (l.chunk = 1; l.chunk < 1000; l.chunk *= 10)
        ck_assert_uint_eq(ops->linear_workspace(NULL, &l), bytes);
    l.chunk = 0;
    ck_assert_uint_le(ops->linear_workspace(NULL, &l), bytes);
}
END_TEST

START_TEST(shapes_that_make_no_sense_are_refused)
{
    const struct token_ops *ops = token_table(_i);
    if (!ops) return;
    float x[8] = {0};
    int lengths[1] = {0};
    struct token_epilogue epilogue = {0};
    struct token_linear l = {.rows = 1, .in = 2, .out = 2, .weight = x, .x_stride = 1};
    struct token_norm n = {.rows = 3, .width = 2, .rows_per_sample = 2};
    struct token_gate g = {.rows = 3, .width = 0};
    struct token_rope r = {.x = x, .rows = 1, .heads = 1, .head_dim = 3, .tokens = 1};
    struct token_attention a = {
        .samples = 1, .q_tokens = 1, .k_tokens = 1, .heads = 3, .kv_heads = 2, .head_dim = 2};
    struct token_embedding e = {.rows = 1, .width = 1};
    struct token_pads p = {.samples = 1, .tokens = 0, .width = 1, .lengths = lengths};
    ck_assert_int_eq(ops->linear_forward(NULL, &l, x + 4, x, &epilogue, NULL), ERR_USAGE);
    ck_assert_int_eq(ops->linear_dgrad(NULL, &l, x + 4, x, false, NULL), ERR_USAGE);
    l.x_stride = 0;
    ck_assert_int_eq(ops->linear_wgrad(NULL, &l, x + 4, NULL, x, x, NULL), ERR_USAGE);
    ck_assert_str_eq(error_message(), "linear_wgrad: chunks of 0 rows");
    ck_assert_int_eq(ops->norm_forward(NULL, &n, x + 4, x), ERR_USAGE);
    ck_assert_int_eq(ops->gate_forward(NULL, &g, x + 4, x, x), ERR_USAGE);
    ck_assert_int_eq(ops->rope(NULL, &r), ERR_USAGE);
    ck_assert_int_eq(ops->attention_forward(NULL, &a, x, NULL, x, x, x), ERR_USAGE);
    ck_assert_int_eq(ops->embedding_gather(NULL, &e, x), ERR_USAGE);
    ck_assert_int_eq(ops->pads_set(NULL, &p, x, x), ERR_USAGE);
}
END_TEST

START_TEST(a_device_without_the_table_says_so)
{
    struct device device = {.name = "abacus: 3 rows"};
    ck_assert_int_eq(token_check_device(&device), ERR_USAGE);
    ck_assert_str_eq(error_message(),
                     "abacus: 3 rows: transformers are not computed there yet, only on the CPU");
    device.token = token_ops_reference();
    MUST(token_check_device(&device));
}
END_TEST

Suite *token_ops_suite(void)
{
    Suite *suite = suite_create("token_ops");
    TCase *tests = tcase_create("token_ops");
    tcase_add_loop_test(tests, linear_rows_do_not_depend_on_others, 0, TABLES);
    tcase_add_loop_test(tests, sums_over_rows_may_be_cut_at_chunks, 0, TABLES);
    tcase_add_loop_test(tests, attention_does_not_depend_on_slices_of_queries, 0, 2 * TABLES);
    tcase_add_loop_test(tests, attention_memory_is_linear_in_tokens, 0, TABLES);
    tcase_add_loop_test(tests, workspace_does_not_depend_on_chunks, 0, TABLES);
    tcase_add_loop_test(tests, shapes_that_make_no_sense_are_refused, 0, TABLES);
    tcase_add_test(tests, a_device_without_the_table_says_so);
    suite_add_tcase(suite, tests);
    return suite;
}
