/* Every network operation of CUDA against the CPU's reference, on small shapes with odd sizes. */
#include "math/augment.h"
#include "math/optimiser.h"
#include "test/cuda/cuda_conv.h"

Suite *cuda_nn_suite(void);

static const size_t counts[] = {1, 31, 257, 16385, 40001};
enum { COUNTS = sizeof counts / sizeof *counts };

static void zero_and_copy(struct side *s, int shape)
{
    size_t n = counts[shape];
    float *from = side_floats(s, "from", n, 1, -1, 1, 0);
    float *to = side_result(s, "to", n, 0), *none = side_result(s, "none", n, 0);
    MUST(s->nn->zero(s->device, none, n * sizeof(float)));
    MUST(s->nn->copy(s->device, to, from, n * sizeof(float)));
}

static void adam(struct side *s, int shape)
{
    size_t n = counts[shape];
    float *p = side_floats(s, "p", n, 1, -1, 1, 1e-6), *v = side_floats(s, "v", n, 2, 0, 1, 1e-6);
    float *g = side_floats(s, "g", n, 3, -1, 1, 0);
    struct adam_f32 rates = adam_of_network(&(struct adam_rates){.lr = 0.01, .b2 = 0.99}, 0, 0.6);
    MUST(s->nn->adam(s->device, p, NULL, v, g, n, side_buffer(s, "rates", &rates, sizeof rates)));
    rates.b1 = 0.9f;
    rates.decay = 0.001f;
    float *m = side_floats(s, "m", n, 4, -1, 1, 1e-6);
    MUST(s->nn->adam(s->device, p, m, v, g, n, side_buffer(s, "all rates", &rates, sizeof rates)));
}

static void ema(struct side *s, int shape)
{
    size_t n = counts[shape];
    float *e = side_floats(s, "e", n, 1, -1, 1, 1e-6), *p = side_floats(s, "p", n, 2, -1, 1, 0);
    const float beta = 0.999f;
    MUST(s->nn->ema(s->device, e, p, n, side_buffer(s, "beta", &beta, sizeof beta)));
}

static void norm2(struct side *s, int shape)
{
    size_t n = counts[shape];
    double sum;
    MUST(s->nn->norm2(s->device, &sum, side_floats(s, "x", n, 1, -1, 1, 0), n));
    side_buffer(s, "sum", &sum, sizeof sum);
    side_kind(s, BUFFER_DOUBLE, 1e-12);
}

/* ---- resampling, biases, grids, embeddings ---- */

static const int grids[][4] = {{2, 5, 3, 70}, {1, 1, 1, 8}, {3, 4, 9, 16}}; /* n h w c */
enum { GRIDS = sizeof grids / sizeof *grids };

/* All four pairs of types. */
static void fir(struct side *s, int i, bool up)
{
    const int *g = grids[i / 4];
    enum nn_type out_type = i & 1 ? NN_BF16 : NN_F32, in_type = i & 2 ? NN_BF16 : NN_F32;
    size_t small = (size_t)(g[0] * g[1] * g[2] * g[3]);
    const void *in = side_typed(s, "in", in_type, up ? small : 4 * small, 1, 0);
    void *out = side_typed(s, "out", out_type, up ? 4 * small : small, 2,
                           out_type == NN_BF16 ? 5e-3 : 1e-6);
    struct nn_fir f = {out, in, out_type, in_type, g[0], g[1], g[2], g[3], up ? 4 : 1};
    MUST((up ? s->nn->fir_up : s->nn->fir_down)(s->device, &f));
}

static void fir_up(struct side *s, int i)
{
    fir(s, i, true);
}

static void fir_down(struct side *s, int i)
{
    fir(s, i, false);
}

static void bias_grad(struct side *s, int i)
{
    static const int sizes[][3] = {{3, 35, 40}, {2, 2500, 16}, {1, 1, 8}}; /* n pixels c */
    const int *n = sizes[i / 2];
    enum nn_type type = i % 2 ? NN_BF16 : NN_F32;
    float *db = side_floats(s, "db", (size_t)n[2], 1, -1, 1, 2e-6);
    MUST(s->nn->bias_grad(s->device, db,
                          side_typed(s, "dout", type, (size_t)(n[0] * n[1] * n[2]), 2, 0), type,
                          n[0], n[1], n[2]));
}

static void prelu(struct side *s, int i)
{
    enum { N = 3, P = 300, C = 40, COUNT = N * P * C };
    enum nn_type z_type = i % 2 ? NN_BF16 : NN_F32, y_type = i / 2 ? NN_BF16 : NN_F32;
    double y_tolerance = y_type == NN_BF16 ? 5e-3 : 1e-6;
    double z_tolerance = z_type == NN_BF16 ? 5e-3 : 1e-6;
    struct nn_prelu p = {side_typed(s, "z", z_type, COUNT, 1, 0),
                         side_floats(s, "slopes", C, 2, -1, 1, 0),
                         z_type,
                         y_type,
                         N,
                         P,
                         C};
    const void *dy = side_typed(s, "dy", y_type, COUNT, 3, 0);
    MUST(s->nn->prelu_forward(s->device, &p, side_typed(s, "y", y_type, COUNT, 4, y_tolerance)));
    MUST(s->nn->prelu_dgrad(s->device, &p, side_typed(s, "dz", z_type, COUNT, 5, z_tolerance), dy,
                            false));
    MUST(s->nn->prelu_dgrad(s->device, &p, side_typed(s, "sum", z_type, COUNT, 6, z_tolerance), dy,
                            true));
    MUST(s->nn->prelu_grad(s->device, &p, side_floats(s, "dslopes", C, 7, -1, 1, 2e-6), dy));
}

static void grid(struct side *s, int i)
{
    enum { N = 3, P = 6, C = 40 };
    enum nn_type type = i ? NN_BF16 : NN_F32;
    const float *v = side_floats(s, "s", N * C, 1, -1, 1, 0);
    const void *x = side_typed(s, "x", type, N * P * C, 2, 0);
    const float *table = side_floats(s, "table", P * C, 3, -1, 1, 0);
    void *out = side_typed(s, "out", type, N * P * C, 4, i ? 5e-3 : 1e-6);
    float *sums = side_result(s, "sums", N * C, 1e-6);
    float *dtable = side_floats(s, "dtable", P * C, 5, -1, 1, 1e-6);
    MUST(s->nn->spatial_map_expand(s->device, out, type, v, table, N, P, C));
    MUST(s->nn->spatial_map_contract(s->device, sums, x, type, table, N, P, C));
    MUST(s->nn->spatial_map_grad(s->device, dtable, v, x, type, N, P, C));
}

static void embeddings(struct side *s, int shape)
{
    enum { N = 5, E = 37, K = 4, STRIDE = 50 };
    static const int all[N] = {2, 0, 2, 3, 0};
    const int *labels = side_buffer(s, "labels", all, sizeof all);
    const float *table = side_floats(s, "table", E * K, 1, -1, 1, 0);
    float *rows = side_floats(s, "rows", N * STRIDE, 2, -1, 1, 0);
    float *dtable = side_floats(s, "dtable", E * K, 3, -1, 1, 1e-6);
    const float *f = side_floats(s, "f", N * E, 4, -1, 1, 0);
    const float *seed = side_floats(s, "seed", N, 5, -1, 1, 0);
    float *score = side_result(s, "score", N, 1e-6), *df = side_result(s, "df", N * E, 1e-6);
    (void)shape;
    MUST(s->nn->embed_gather(s->device, rows, table, labels, N, E, K, STRIDE));
    MUST(s->nn->embed_grad(s->device, dtable, rows, labels, N, E, K, STRIDE));
    MUST(s->nn->project(s->device, score, f, table, labels, N, E, K));
    MUST(s->nn->project_dgrad(s->device, df, seed, table, labels, N, E, K));
    MUST(s->nn->project_grad(s->device, dtable, seed, f, labels, N, E, K));
}

/* ---- pictures and losses ---- */

enum { PICTURES = 12, HIGH = 9, WIDE = 14, ONE = HIGH * WIDE * 3 };

static void augmentation(struct side *s, int linear)
{
    struct nn_augment draws[PICTURES];
    for (int i = 0; i < PICTURES; i++)
        draws[i] = augment_draw(5, 1, (uint64_t)i, 0.7f, HIGH, WIDE);
    draws[0] = augment_none();
    const struct nn_augment *t = side_buffer(s, "draws", draws, sizeof draws);
    const float *x = side_floats(s, "x", 2 * PICTURES * ONE, 1, -1, 1, 0);
    float *out = side_floats(s, "out", PICTURES * ONE, 2, -1, 1, 1e-6);
    float *back = side_result(s, "back", PICTURES * ONE, 1e-6);
    struct gan_augmentation there = {out, ONE, x, 2 * ONE, t, PICTURES, HIGH, WIDE, 3, linear != 0};
    struct gan_augmentation again = {back, ONE, x, ONE, t, PICTURES, HIGH, WIDE, 3, false};
    MUST(s->device->gan->augment(s->device, &there));
    MUST(s->device->gan->augment_adjoint(s->device, &again));
}

static void pictures(struct side *s, int flipped)
{
    uint8_t bytes[PICTURES * ONE], flips[PICTURES];
    float factors[PICTURES];
    for (int i = 0; i < PICTURES * ONE; i++)
        bytes[i] = (uint8_t)philox_draw(5, STREAM_TEST, 1, (uint64_t)i).v[0];
    for (int i = 0; i < PICTURES; i++) {
        flips[i] = i % 3 == 1;
        factors[i] = (float)i - 4;
    }
    float *x = side_result(s, "x", PICTURES * ONE, 1e-6);
    const uint8_t *flip = side_buffer(s, "flip", flips, sizeof flips);
    MUST(s->nn->from_u8(s->device, x, side_buffer(s, "bytes", bytes, sizeof bytes),
                        flipped ? flip : NULL, PICTURES, HIGH, WIDE, 3));
    MUST(s->nn->scale_add(s->device, x, side_floats(s, "y", PICTURES * ONE, 2, -1, 1, 0),
                          side_buffer(s, "factors", factors, sizeof factors), PICTURES, ONE));
    double *sums = side_buffer(s, "sums", NULL, PICTURES * sizeof *sums);
    side_kind(s, BUFFER_DOUBLE, 1e-9);
    MUST(s->device->gan->square_sums(s->device, sums, x, PICTURES, ONE));
}

/* More pairs than a block has threads, too. */
static void losses(struct side *s, int shape)
{
    int n = shape / 2 ? 150 : 7, generator = shape % 2;
    const double weight = 3.5;
    double start[GAN_SUMS] = {1, 2, 3, 4, 5, 6, 1e-3};
    double *sums = side_buffer(s, "sums", start, sizeof start);
    side_kind(s, BUFFER_DOUBLE, 1e-12);
    const double *gamma = side_buffer(s, "gamma", &weight, sizeof weight);
    const float *scores = side_floats(s, "scores", (size_t)(2 * n), 1, -20, 20, 0);
    float *seed = side_result(s, "seed", (size_t)(2 * n), 1e-6);
    MUST(s->nn->zero(s->device, seed, (size_t)(2 * n) * sizeof *seed));
    MUST(s->device->gan->pair_loss(s->device, sums, seed, scores, n, 200, generator));
    if (generator) return;
    double *squares = malloc((size_t)(2 * n) * sizeof *squares);
    ck_assert_ptr_nonnull(squares);
    for (int i = 0; i < 2 * n; i++)
        squares[i] = (i + 1) * 1e-7;
    double *on_device = side_buffer(s, "squares", squares, (size_t)(2 * n) * sizeof *squares);
    side_kind(s, BUFFER_DOUBLE, 1e-6);
    free(squares);
    float *factors = side_result(s, "factors", (size_t)(2 * n), 1e-6);
    struct gan_penalty p = {
        sums,   factors,   side_floats(s, "got", (size_t)(2 * n), 2, -20, 20, 0),
        scores, on_device, seed,
        gamma,  2 * n,     200};
    MUST(s->device->gan->penalty(s->device, &p));
    MUST(s->device->gan->penalty_check(s->device, &p));
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
    {"conv_forward", conv_forward, 4 * SHAPES},
    {"conv_dgrad", conv_dgrad, 4 * SHAPES},
    {"conv_forward with masks", conv_masks, SHAPES},
    {"conv_wgrad", conv_wgrad, SHAPES},
    {"fir_up", fir_up, 4 * GRIDS},
    {"fir_down", fir_down, 4 * GRIDS},
    {"bias_grad", bias_grad, 6},
    {"prelu", prelu, 4},
    {"grids", grid, 2},
    {"embeddings", embeddings, 1},
    {"augmentation", augmentation, 2},
    {"pictures", pictures, 2},
    {"losses", losses, 4},
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
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_loop_test(tests, same_as_the_reference, 0, CASES);
    suite_add_tcase(suite, tests);
    return suite;
}
