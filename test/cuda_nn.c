/* Every network operation of CUDA against the CPU's reference, on small shapes with odd sizes. */
#include "cuda_ops.h"

Suite *cuda_nn_suite(void);

static const size_t counts[] = {1, 31, 257, 16385, 40001};
enum { COUNTS = sizeof counts / sizeof *counts };

static void zero_and_copy(struct side *s, int shape)
{
    size_t n = counts[shape];
    float *from = side_floats(s, "from", n, 1, -1, 1, 0);
    float *to = side_result(s, "to", n, 0), *none = side_result(s, "none", n, 0);
    s->nn->zero(none, n * sizeof(float));
    s->nn->copy(to, from, n * sizeof(float));
}

static void adam(struct side *s, int shape)
{
    size_t n = counts[shape];
    float *p = side_floats(s, "p", n, 1, -1, 1, 1e-6), *v = side_floats(s, "v", n, 2, 0, 1, 1e-6);
    float *g = side_floats(s, "g", n, 3, -1, 1, 0);
    s->nn->adam(p, v, g, n, 0.01f, 0.99f, 0.4f, 1e-8f);
}

static void ema(struct side *s, int shape)
{
    size_t n = counts[shape];
    float *e = side_floats(s, "e", n, 1, -1, 1, 1e-6), *p = side_floats(s, "p", n, 2, -1, 1, 0);
    s->nn->ema(e, p, n, 0.999f);
}

static void norm2(struct side *s, int shape)
{
    size_t n = counts[shape];
    double sum = s->nn->norm2(side_floats(s, "x", n, 1, -1, 1, 0), n);
    side_buffer(s, "sum", &sum, sizeof sum);
    side_kind(s, BUFFER_DOUBLE, 1e-12);
}

static const struct {
    const char *name;
    void (*run)(struct side *s, int shape);
    int shapes;
} cases[] = {
    {"zero and copy", zero_and_copy, COUNTS},
    {"adam", adam, COUNTS},
    {"ema", ema, COUNTS},
    {"norm2", norm2, COUNTS},
};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(same_as_the_reference)
{
    for (int shape = 0; shape < cases[_i].shapes; shape++)
        compare_devices(cases[_i].name, cases[_i].run, shape);
}
END_TEST

Suite *cuda_nn_suite(void)
{
    Suite *suite = suite_create("cuda_nn");
    if (!cuda_here("cuda_nn")) return suite;
    TCase *tests = tcase_create("ops");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, same_as_the_reference, 0, CASES);
    suite_add_tcase(suite, tests);
    return suite;
}
