/* Every network operation of CUDA against the CPU's reference, on small shapes with odd sizes. */
#include "cuda_ops.h"
#include "math/augment.h"
#include "math/bf16.h"
#include "math/optimiser.h"

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
    struct nn_adam rates = nn_adam_of(0.01, 0.99, 0.6);
    s->nn->adam(p, v, g, n, side_buffer(s, "rates", &rates, sizeof rates));
}

static void ema(struct side *s, int shape)
{
    size_t n = counts[shape];
    float *e = side_floats(s, "e", n, 1, -1, 1, 1e-6), *p = side_floats(s, "p", n, 2, -1, 1, 0);
    const float beta = 0.999f;
    s->nn->ema(e, p, n, side_buffer(s, "beta", &beta, sizeof beta));
}

static void norm2(struct side *s, int shape)
{
    size_t n = counts[shape];
    double sum = s->nn->norm2(side_floats(s, "x", n, 1, -1, 1, 0), n);
    side_buffer(s, "sum", &sum, sizeof sum);
    side_kind(s, BUFFER_DOUBLE, 1e-12);
}

/* ---- convolutions: every kernel, types mixed, every part of the epilogue ---- */

static const struct nn_conv shapes[] = {
    /* n, h, w, cin, cout, kernel, groups, slice, types */
    {1, 1, 1, 16, 16, 1, 1, 1, NN_F32, NN_F32},       {3, 5, 7, 3, 16, 1, 1, 2, NN_F32, NN_F32},
    {2, 7, 9, 40, 72, 1, 1, 1, NN_F32, NN_F32},       {5, 1, 1, 64, 1, 1, 1, 2, NN_F32, NN_F32},
    {2, 5, 3, 16, 32, 1, 1, 1, NN_F32, NN_BF16},      {2, 9, 9, 24, 40, 1, 1, 1, NN_BF16, NN_BF16},
    {2, 13, 7, 136, 72, 1, 1, 2, NN_BF16, NN_BF16},   {3, 5, 5, 16, 3, 1, 1, 2, NN_BF16, NN_F32},
    {5, 16, 15, 8, 16, 1, 1, 3, NN_BF16, NN_BF16},    {1, 1, 1, 16, 16, 3, 1, 1, NN_F32, NN_F32},
    {3, 9, 5, 32, 32, 3, 2, 2, NN_F32, NN_F32},       {2, 5, 11, 48, 48, 3, 3, 1, NN_F32, NN_BF16},
    {3, 7, 5, 16, 16, 3, 1, 2, NN_BF16, NN_BF16},     {2, 9, 19, 32, 32, 3, 2, 1, NN_BF16, NN_BF16},
    {1, 10, 17, 128, 128, 3, 8, 1, NN_BF16, NN_BF16}, {2, 4, 8, 64, 64, 3, 4, 2, NN_BF16, NN_F32},
    {3, 3, 5, 4, 6, 3, 2, 2, NN_F32, NN_F32},         {2, 5, 3, 8, 16, 3, 2, 1, NN_BF16, NN_BF16},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* bf16 keeps 8 bits: weights are rounded once, results once. */
static double tolerance_of(const struct nn_conv *s)
{
    return s->in_type == NN_BF16 || s->out_type == NN_BF16 ? 1.5e-2 : 2e-6;
}

/* `count` numbers of a type; tolerance < 0: an input. */
static void *side_typed(struct side *s, const char *name, enum nn_type type, size_t count,
                        uint64_t seed, double tolerance)
{
    if (type == NN_F32) return side_floats(s, name, count, seed, -1, 1, tolerance);
    uint16_t *x = malloc((count + 1) * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < count; i++)
        x[i] = bf16_round(2 * philox_uniform(philox_draw(5, STREAM_TEST, seed, i).v[0]) - 1);
    side_buffer(s, name, x, count * sizeof *x);
    free(x);
    return side_kind(s, BUFFER_BF16, tolerance);
}

static uint8_t *side_mask(struct side *s, const char *name, size_t elements, uint64_t seed)
{
    uint8_t *bits = malloc(elements / 8 + 1);
    ck_assert_ptr_nonnull(bits);
    for (size_t i = 0; i < elements / 8; i++)
        bits[i] = (uint8_t)philox_draw(5, STREAM_TEST, seed, i).v[0];
    uint8_t *on_device = side_buffer(s, name, bits, elements / 8);
    free(bits);
    return on_device;
}

static size_t pixels_of(const struct nn_conv *c)
{
    return (size_t)(c->n * c->h * c->w);
}

static float *weights_of(struct side *s, const struct nn_conv *c, double tolerance)
{
    size_t count = (size_t)(c->cout * (c->cin / c->groups) * c->kernel * c->kernel);
    return side_floats(s, "weights", count, 3, -0.5f, 0.5f, tolerance);
}

/* A forward pass or a dgrad with one way to finish. Masks that are written are compared where
 * rounding cannot turn a bit: with a residual so large that no sum comes near 0. */
static void run_conv(struct side *s, int shape, bool adjoint, int finish)
{
    struct nn_conv c = shapes[shape];
    int channels = adjoint ? c.cin : c.cout, channels_in = adjoint ? c.cout : c.cin;
    enum nn_type to = adjoint ? c.in_type : c.out_type, from = adjoint ? c.out_type : c.in_type;
    size_t count = pixels_of(&c) * (size_t)channels;
    const void *in = side_typed(s, "in", from, pixels_of(&c) * (size_t)channels_in, 1, 0);
    void *out = side_typed(s, "out", to, count, 2, tolerance_of(&c));
    const float *weights = weights_of(s, &c, 0);
    void *workspace = side_scratch(s, s->nn->conv_workspace(&c));
    struct nn_epilogue e = {.slope = 1};
    if (finish > 0) e.bias = side_floats(s, "bias", (size_t)channels, 4, -1, 1, 0);
    if (finish > 0) e.slope = 0.2f;
    if (finish == 2) e.residual = side_typed(s, "residual", to, count, 5, 0);
    if (finish == 3 && channels % 8 == 0) {
        e.mask_in = side_mask(s, "mask", count, 6);
        e.mask_slope = 0.2f;
    }
    if (adjoint)
        s->nn->conv_dgrad(&c, out, in, weights, &e, workspace);
    else
        s->nn->conv_forward(&c, out, in, weights, &e, workspace);
}

static void conv_forward(struct side *s, int i)
{
    run_conv(s, i / 4, false, i % 4);
}

static void conv_dgrad(struct side *s, int i)
{
    run_conv(s, i / 4, true, i % 4);
}

/* Masks and sums that are small whole numbers: exact in bf16 too, so every bit must agree. */
static void conv_masks(struct side *s, int shape)
{
    struct nn_conv c = shapes[shape];
    size_t in_count = pixels_of(&c) * (size_t)c.cin, count = pixels_of(&c) * (size_t)c.cout;
    size_t weights_count = (size_t)(c.cout * (c.cin / c.groups) * c.kernel * c.kernel);
    uint16_t *x = malloc(in_count * sizeof(float));
    float *w = malloc(weights_count * sizeof *w);
    ck_assert(x && w);
    for (size_t i = 0; i < in_count; i++) {
        float value = (float)(philox_draw(5, STREAM_TEST, 7, i).v[0] % 5) - 2;
        if (c.in_type == NN_BF16)
            x[i] = bf16_round(value);
        else
            ((float *)(void *)x)[i] = value;
    }
    for (size_t i = 0; i < weights_count; i++)
        w[i] = (float)(philox_draw(5, STREAM_TEST, 8, i).v[0] % 3) - 1;
    const void *in = side_buffer(s, "in", x, in_count * nn_type_bytes(c.in_type));
    const float *weights = side_buffer(s, "weights", w, weights_count * sizeof *w);
    void *out = side_typed(s, "out", c.out_type, count, 2, 1e-2);
    struct nn_epilogue e = {.slope = 0.25f};
    if (c.cout % 8 == 0) e.mask_out = side_buffer(s, "mask", NULL, count / 8);
    s->nn->conv_forward(&c, out, in, weights, &e, side_scratch(s, s->nn->conv_workspace(&c)));
    free(x);
    free(w);
}

static void conv_wgrad(struct side *s, int shape)
{
    struct nn_conv c = shapes[shape];
    const void *in = side_typed(s, "in", c.in_type, pixels_of(&c) * (size_t)c.cin, 1, 0);
    const void *dout = side_typed(s, "dout", c.out_type, pixels_of(&c) * (size_t)c.cout, 2, 0);
    float *dw = weights_of(s, &c, 4e-6);
    s->nn->conv_wgrad(&c, dw, in, dout, side_scratch(s, s->nn->conv_workspace(&c)));
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
    (up ? s->nn->fir_up : s->nn->fir_down)(out, out_type, in, in_type, g[0], g[1], g[2], g[3],
                                           up ? 4 : 1);
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
    s->nn->bias_grad(db, side_typed(s, "dout", type, (size_t)(n[0] * n[1] * n[2]), 2, 0), type,
                     n[0], n[1], n[2]);
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
    s->nn->grid_expand(out, type, v, table, N, P, C);
    s->nn->grid_contract(sums, x, type, table, N, P, C);
    s->nn->grid_grad(dtable, v, x, type, N, P, C);
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
    s->nn->embed_gather(rows, table, labels, N, E, K, STRIDE);
    s->nn->embed_grad(dtable, rows, labels, N, E, K, STRIDE);
    s->nn->project(score, f, table, labels, N, E, K);
    s->nn->project_dgrad(df, seed, table, labels, N, E, K);
    s->nn->project_grad(dtable, seed, f, labels, N, E, K);
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
    s->nn->augment(out, ONE, x, 2 * ONE, t, PICTURES, HIGH, WIDE, 3, linear);
    s->nn->augment_adjoint(back, ONE, x, ONE, t, PICTURES, HIGH, WIDE, 3);
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
    s->nn->from_u8(x, side_buffer(s, "bytes", bytes, sizeof bytes), flipped ? flip : NULL, PICTURES,
                   HIGH, WIDE, 3);
    s->nn->scale_add(x, side_floats(s, "y", PICTURES * ONE, 2, -1, 1, 0),
                     side_buffer(s, "factors", factors, sizeof factors), PICTURES, ONE);
    double *sums = side_buffer(s, "sums", NULL, PICTURES * sizeof *sums);
    side_kind(s, BUFFER_DOUBLE, 1e-9);
    s->nn->square_sums(sums, x, PICTURES, ONE);
}

/* More pairs than a block has threads, too. */
static void losses(struct side *s, int shape)
{
    int n = shape / 2 ? 150 : 7, generator = shape % 2;
    const double weight = 3.5;
    double start[NN_SUMS] = {1, 2, 3, 4, 5, 6, 1e-3};
    double *sums = side_buffer(s, "sums", start, sizeof start);
    side_kind(s, BUFFER_DOUBLE, 1e-12);
    const double *gamma = side_buffer(s, "gamma", &weight, sizeof weight);
    const float *scores = side_floats(s, "scores", (size_t)(2 * n), 1, -20, 20, 0);
    float *seed = side_result(s, "seed", (size_t)(2 * n), 1e-6);
    s->nn->zero(seed, (size_t)(2 * n) * sizeof *seed);
    s->nn->pair_loss(sums, seed, scores, n, 200, generator);
    if (generator) return;
    double *squares = malloc((size_t)(2 * n) * sizeof *squares);
    ck_assert_ptr_nonnull(squares);
    for (int i = 0; i < 2 * n; i++)
        squares[i] = (i + 1) * 1e-7;
    double *on_device = side_buffer(s, "squares", squares, (size_t)(2 * n) * sizeof *squares);
    side_kind(s, BUFFER_DOUBLE, 1e-6);
    free(squares);
    float *factors = side_result(s, "factors", (size_t)(2 * n), 1e-6);
    s->nn->penalty(sums, factors, on_device, seed, gamma, 2 * n, 200);
    s->nn->penalty_check(sums, side_floats(s, "got", (size_t)(2 * n), 2, -20, 20, 0), scores,
                         on_device, seed, gamma, 2 * n, 200);
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
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_loop_test(tests, same_as_the_reference, 0, CASES);
    suite_add_tcase(suite, tests);
    return suite;
}
