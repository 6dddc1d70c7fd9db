/* Attention by every instruction set of this machine: the bits of a query are the same alone and
 * among others, of a sample likewise, by any number of threads; memory grows with the tokens, not
 * with their square. Right results are asked for by the table of cases. */
#include "base/threads.h"
#include "check/op_kinds.h"
#include "cpu/isa.h"
#include "device/token_ops.h"
#include "test/support.h"

enum { ISAS = 4, SHAPES = 4 };

static const struct token_ops *attention_ops(int isa)
{
    setenv("IMGTRAIN_ISA", cpu_isa_name((enum cpu_isa)isa), 1);
    return (int)cpu_isa() == isa ? token_ops_cpu() : NULL;
}

static const struct token_attention shapes[SHAPES] = {
    {.samples = 3, .q_tokens = 70, .k_tokens = 70, .heads = 2, .kv_heads = 1, .head_dim = 24},
    {.samples = 2, .q_tokens = 150, .k_tokens = 97, .heads = 1, .kv_heads = 1, .head_dim = 16},
    {.samples = 2,
     .q_tokens = 131,
     .k_tokens = 131,
     .heads = 2,
     .kv_heads = 2,
     .head_dim = 5,
     .causal = true},
    {.samples = 1, .q_tokens = 20, .k_tokens = 64, .heads = 1, .kv_heads = 1, .head_dim = 256},
};

enum { Q, K, V, D_O, O, LSE, DQ, DK, DV, TENSORS };
static const char *const names[TENSORS] = {"q", "k", "v", "d_o", "o", "lse", "dq", "dk", "dv"};

struct attention_run {
    struct token_attention a;
    float *x[TENSORS];
    size_t count[TENSORS];
};

static void attention_run_make(struct attention_run *r, const struct token_attention *a)
{
    size_t queries = (size_t)(a->samples * a->q_tokens * a->heads * a->head_dim);
    size_t keys = (size_t)(a->samples * a->k_tokens * a->kv_heads * a->head_dim);
    r->a = *a;
    r->a.scale = 0.4F;
    for (int i = 0; i < TENSORS; i++) {
        r->count[i] = i == K || i == V || i == DK || i == DV ? keys : queries;
        if (i == LSE) r->count[i] = (size_t)(a->samples * a->heads * a->q_tokens);
        r->x[i] = malloc(r->count[i] * sizeof(float));
        ck_assert_ptr_nonnull(r->x[i]);
        for (size_t j = 0; j < r->count[i]; j++)
            r->x[i][j] = (float)(4 * op_uniform(names[i], j) - 2);
    }
}

static void attention_run_free(struct attention_run *r)
{
    for (int i = 0; i < TENSORS; i++)
        free(r->x[i]);
}

/* With the inputs of `r` from these floats on. */
static void attention_run_part(const struct token_ops *ops, const struct token_attention *a,
                               struct attention_run *r, size_t q, size_t k, size_t lse)
{
    size_t bytes = (ops->attention_workspace(NULL, a) + 63) / 64 * 64;
    void *workspace = aligned_alloc(64, bytes);
    struct token_attention_grads g = {r->x[Q] + q,   r->x[K] + k,     r->x[V] + k,  r->x[O] + q,
                                      r->x[D_O] + q, r->x[LSE] + lse, r->x[DQ] + q, r->x[DK] + k,
                                      r->x[DV] + k,  workspace};
    memset(workspace, 0xff, bytes);
    MUST(ops->attention_forward(NULL, a, r->x[O] + q, r->x[LSE] + lse, g.q, g.k, g.v));
    MUST(ops->attention_backward(NULL, a, &g));
    free(workspace);
}

static void assert_same(const struct attention_run *a, const struct attention_run *b, int first,
                        int last, const char *what)
{
    for (int i = first; i <= last; i++)
        ck_assert_msg(memcmp(a->x[i], b->x[i], a->count[i] * sizeof(float)) == 0,
                      "%s: other bits %s", names[i], what);
}

START_TEST(bits_of_a_sample_are_its_own)
{
    for (int isa = 0; isa < ISAS; isa++) {
        const struct token_ops *ops = attention_ops(isa);
        struct attention_run whole, parts;
        if (!ops) continue;
        threads_set(1);
        attention_run_make(&whole, &shapes[_i]);
        attention_run_part(ops, &whole.a, &whole, 0, 0, 0);
        for (int threads = 1; threads <= 3; threads++) {
            struct token_attention one = whole.a;
            size_t samples = (size_t)one.samples;
            threads_set(threads);
            attention_run_make(&parts, &shapes[_i]);
            attention_run_part(ops, &parts.a, &parts, 0, 0, 0);
            assert_same(&whole, &parts, O, DV, "by threads");
            attention_run_free(&parts);
            attention_run_make(&parts, &shapes[_i]);
            one.samples = 1;
            for (size_t i = 0; i < samples; i++)
                attention_run_part(ops, &one, &parts, parts.count[Q] / samples * i,
                                   parts.count[K] / samples * i, parts.count[LSE] / samples * i);
            assert_same(&whole, &parts, O, DV, "alone");
            attention_run_free(&parts);
        }
        threads_set(1);
        attention_run_free(&whole);
    }
}
END_TEST

/* A sample's queries by 1, 13 and 128 at a time. */
START_TEST(bits_of_a_query_are_its_own)
{
    for (int isa = 0; isa < ISAS; isa++) {
        const struct token_ops *ops = attention_ops(isa);
        struct attention_run whole, parts;
        struct token_attention one = shapes[_i];
        if (!ops) continue;
        one.samples = 1;
        attention_run_make(&whole, &one);
        attention_run_part(ops, &whole.a, &whole, 0, 0, 0);
        for (int most = 1; most < 150; most += most == 1 ? 12 : 115) {
            attention_run_make(&parts, &one);
            size_t row = (size_t)(one.heads * one.head_dim);
            for (int from = 0; from < one.q_tokens; from += most) {
                struct token_attention some = parts.a;
                some.q_tokens = one.q_tokens - from < most ? one.q_tokens - from : most;
                some.first_query = from;
                MUST(ops->attention_forward(NULL, &some, parts.x[O] + (size_t)from * row, NULL,
                                            parts.x[Q] + (size_t)from * row, parts.x[K],
                                            parts.x[V]));
            }
            assert_same(&whole, &parts, O, O, "by pieces");
            attention_run_free(&parts);
        }
        attention_run_free(&whole);
    }
}
END_TEST

START_TEST(memory_is_linear_in_tokens)
{
    struct token_attention a = shapes[0];
    threads_set(1);
    size_t bytes[3];
    for (int i = 0; i < 3; i++) {
        a.q_tokens = a.k_tokens = 1024 << 2 * i;
        bytes[i] = token_ops_cpu()->attention_workspace(NULL, &a);
    }
    ck_assert_uint_eq(bytes[2] - bytes[1], 4 * (bytes[1] - bytes[0]));
    ck_assert_uint_le(bytes[0], 1 << 20);
}
END_TEST

Suite *attention_suite(void);
Suite *attention_suite(void)
{
    Suite *suite = suite_create("attention");
    TCase *tests = tcase_create("attention");
    tcase_add_loop_test(tests, bits_of_a_sample_are_its_own, 0, SHAPES);
    tcase_add_loop_test(tests, bits_of_a_query_are_its_own, 0, SHAPES);
    tcase_add_test(tests, memory_is_linear_in_tokens);
    suite_add_tcase(suite, tests);
    return suite;
}
