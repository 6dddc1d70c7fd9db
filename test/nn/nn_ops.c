/* Network operations: each adjoint and weight gradient belongs to its forward function (<A x, y> =
 * <x, A' y>), on the plain reference and on this CPU's table; sums do not depend on how a batch is
 * cut; masks, bias and residual do what they say. */
#include "device/nn_ops.h"

#include "base/error.h"
#include "base/random.h"
#include "device/gan_ops.h"
#include "math/augment.h"
#include "math/optimiser.h"
#include "test/nn/nn_stored.h"

#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

Suite *nn_ops_suite(void);

static const struct nn_ops *ops_of(int i)
{
    return i == 0 ? nn_ops_reference() : nn_ops_cpu();
}

/* Numbers in -1..1 in a fresh, 64-byte aligned array of the caller. */
static float *numbers(size_t count, uint64_t step)
{
    void *memory = NULL;
    ck_assert_int_eq(posix_memalign(&memory, 64, (count + 16) * sizeof(float)), 0);
    float *x = memory;
    for (size_t i = 0; i < count; i++)
        x[i] = 2 * philox_uniform(philox_draw(3, STREAM_TEST, step, i).v[0]) - 1;
    return x;
}

static double dot(const float *x, const float *y, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}

static void check_near(double a, double b, double tolerance, const char *what)
{
    ck_assert_msg(fabs(a - b) <= tolerance, "%s: %.9g and %.9g (within %.3g)", what, a, b,
                  tolerance);
}

static void check_equal(double a, double b, double size, const char *what)
{
    check_near(a, b, 2e-6 * size, what);
}

static const struct nn_conv shapes[] = {
    {.n = 3, .h = 5, .w = 4, .cin = 16, .cout = 32, .kernel = 1, .groups = 1, .slice = 2},
    {.n = 4, .h = 8, .w = 8, .cin = 3, .cout = 16, .kernel = 1, .groups = 1, .slice = 4},
    {.n = 4, .h = 6, .w = 6, .cin = 24, .cout = 3, .kernel = 1, .groups = 1, .slice = 1},
    {.n = 5, .h = 1, .w = 1, .cin = 64, .cout = 1, .kernel = 1, .groups = 1, .slice = 2},
    {.n = 2, .h = 6, .w = 5, .cin = 32, .cout = 32, .kernel = 3, .groups = 2, .slice = 1},
    {.n = 3, .h = 1, .w = 1, .cin = 16, .cout = 16, .kernel = 3, .groups = 1, .slice = 2},
    {.n = 3, .h = 16, .w = 12, .cin = 48, .cout = 48, .kernel = 3, .groups = 3, .slice = 2},
    {.n = 2, .h = 3, .w = 7, .cin = 4, .cout = 6, .kernel = 3, .groups = 2, .slice = 2},
    {.n = 3, .h = 7, .w = 5, .cin = 3, .cout = 24, .kernel = 3, .groups = 1, .slice = 2},
    {.n = 2, .h = 6, .w = 9, .cin = 32, .cout = 12, .kernel = 3, .groups = 1, .slice = 1},
    {3, 5, 4, 16, 32, 1, 1, 2, NN_BF16, NN_BF16},
    {3, 20, 8, 128, 64, 1, 1, 2, NN_BF16, NN_BF16},
    {2, 18, 17, 32, 32, 3, 2, 1, NN_BF16, NN_BF16},
    {2, 18, 5, 3, 16, 1, 1, 1, NN_F32, NN_BF16},
    {2, 18, 5, 24, 3, 1, 1, 1, NN_BF16, NN_F32},
};
enum { SHAPE_COUNT = sizeof shapes / sizeof *shapes };

struct conv_data {
    struct nn_conv s;
    size_t in, out, weights;
    float *x, *y, *w, *a, *b, *dw;
    void *workspace;
};

static void conv_open(struct conv_data *d, const struct nn_ops *ops, int shape)
{
    d->s = shapes[shape];
    size_t pixels = (size_t)(d->s.n * d->s.h * d->s.w);
    d->in = pixels * (size_t)d->s.cin;
    d->out = pixels * (size_t)d->s.cout;
    d->weights = (size_t)(d->s.cout * (d->s.cin / d->s.groups) * d->s.kernel * d->s.kernel);
    d->x = numbers(d->in, 1);
    d->y = numbers(d->out, 2);
    d->w = numbers(d->weights, 3);
    d->a = numbers(d->out, 4);
    d->b = numbers(d->in, 5);
    d->dw = numbers(d->weights, 6);
    d->workspace = numbers(ops->conv_workspace(NULL, &d->s) / sizeof(float) + 1, 7);
    for (size_t i = 0; i < d->in; i++)
        d->x[i] = stored(d->s.in_type, d->x[i]);
    for (size_t i = 0; i < d->out; i++)
        d->y[i] = stored(d->s.out_type, d->y[i]);
    for (size_t i = 0; i < d->weights; i++)
        d->w[i] =
            stored(NN_BF16, d->w[i]); /* so that it changes nothing whether they are rounded */
}

/* Of a sum over products with tensors of rounded values */
static double rounding(const struct conv_data *d)
{
    return d->s.in_type == NN_BF16 || d->s.out_type == NN_BF16 ? 0x1p-9 : 2e-6;
}

static void conv_close(struct conv_data *d)
{
    float *all[] = {d->x, d->y, d->w, d->a, d->b, d->dw, d->workspace};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

START_TEST(convolutions_are_bilinear)
{
    const struct nn_ops *ops = ops_of(_i % 2);
    const struct nn_epilogue none = {.slope = 1};
    struct conv_data d;
    conv_open(&d, ops, _i / 2);
    memset(d.dw, 0, d.weights * sizeof *d.dw);
    stored_conv(ops, &d.s, 0, d.a, d.x, d.w, &none, d.workspace);
    stored_conv(ops, &d.s, 1, d.b, d.y, d.w, &none, d.workspace);
    stored_wgrad(ops, &d.s, d.dw, d.x, d.y, d.workspace);
    double forward = dot(d.a, d.y, d.out), size = sqrt(dot(d.a, d.a, d.out) * dot(d.y, d.y, d.out));
    check_near(forward, dot(d.b, d.x, d.in), rounding(&d) * size, "dgrad");
    check_near(forward, dot(d.dw, d.w, d.weights), rounding(&d) * size, "wgrad");
    conv_close(&d);
}
END_TEST

/* One value of a convolution by its definition, in double. */
static double conv_value(const struct conv_data *d, int p, int y, int x, int o)
{
    const struct nn_conv *s = &d->s;
    int ci = s->cin / s->groups, co = s->cout / s->groups, r = s->kernel / 2;
    double sum = 0;
    for (int i = 0; i < ci; i++)
        for (int ky = -r; ky <= r; ky++)
            for (int kx = -r; kx <= r; kx++) {
                if (y + ky < 0 || y + ky >= s->h || x + kx < 0 || x + kx >= s->w) continue;
                int at = ((p * s->h + y + ky) * s->w + x + kx) * s->cin + o / co * ci + i;
                int k = ((o * ci + i) * s->kernel + ky + r) * s->kernel + kx + r;
                sum += (double)d->x[at] * (double)d->w[k];
            }
    return sum;
}

START_TEST(convolution_is_its_definition)
{
    const struct nn_ops *ops = ops_of(_i % 2);
    struct conv_data d;
    conv_open(&d, ops, _i / 2);
    float *bias = numbers((size_t)d.s.cout, 8), *residual = numbers(d.out, 9);
    uint8_t *mask = calloc(d.out / 8 + 1, 1);
    bool masked = d.s.cout % 8 == 0;
    struct nn_epilogue e = {.bias = bias, .residual = residual, .slope = 0.2f};
    if (masked) e.mask_out = mask;
    for (size_t j = 0; j < d.out; j++)
        residual[j] = stored(d.s.out_type, residual[j]);
    stored_conv(ops, &d.s, 0, d.a, d.x, d.w, &e, d.workspace);
    size_t i = 0;
    for (int p = 0; p < d.s.n; p++)
        for (int y = 0; y < d.s.h; y++)
            for (int x = 0; x < d.s.w; x++)
                for (int o = 0; o < d.s.cout; o++, i++) {
                    double want =
                        conv_value(&d, p, y, x, o) + (double)bias[o] + (double)residual[i];
                    bool bit = mask[i / 8] >> i % 8 & 1;
                    if (masked && fabs(want) > 1e-4) ck_assert_int_eq(bit, want > 0);
                    if (!(want > 0)) want *= 0.2;
                    check_near((double)d.a[i], want, 2e-5 + stored_error(d.s.out_type, want),
                               "value");
                }
    conv_close(&d);
    free(bias);
    free(residual);
    free(mask);
}
END_TEST

/* Cut at slices: the same bits. */
START_TEST(wgrad_does_not_depend_on_the_cut)
{
    const struct nn_ops *ops = ops_of(_i % 2);
    struct conv_data d;
    conv_open(&d, ops, _i / 2);
    float *dw = numbers(d.weights, 6);
    stored_wgrad(ops, &d.s, dw, d.x, d.y, d.workspace);
    int n = d.s.n, slice = d.s.slice, pixels = d.s.h * d.s.w;
    for (int first = 0; first < n; first += slice) {
        d.s.n = n - first < slice ? n - first : slice;
        stored_wgrad(ops, &d.s, d.dw, d.x + (ptrdiff_t)first * pixels * d.s.cin,
                     d.y + (ptrdiff_t)first * pixels * d.s.cout, d.workspace);
    }
    ck_assert_int_eq(memcmp(dw, d.dw, d.weights * sizeof *dw), 0);
    conv_close(&d);
    free(dw);
}
END_TEST

START_TEST(frozen_masks_scale)
{
    const struct nn_ops *ops = ops_of(_i);
    struct conv_data d;
    conv_open(&d, ops, 0);
    uint8_t mask[80];
    const struct nn_epilogue none = {.slope = 1};
    struct nn_epilogue e = {.slope = 1, .mask_in = mask, .mask_slope = 0.5f};
    for (size_t i = 0; i < sizeof mask; i++)
        mask[i] = (uint8_t)(37 * i + 11);
    float *plain = numbers(d.out, 10);
    size_t used = sizeof mask * 8 < d.out ? sizeof mask * 8 : d.out;
    d.s.n = 1;
    MUST(ops->conv_forward(NULL, &d.s, plain, d.x, d.w, &none, d.workspace));
    MUST(ops->conv_forward(NULL, &d.s, d.a, d.x, d.w, &e, d.workspace));
    for (size_t i = 0; i < used && i < d.out / 3; i++)
        ck_assert(d.a[i] == plain[i] * (mask[i / 8] >> i % 8 & 1 ? 1.0f : 0.5f));
    conv_close(&d);
    free(plain);
}
END_TEST

/* n, h, w, c: of the smaller tensor. */
static void resample(const struct nn_ops *ops, bool up, void *out, enum nn_type out_type,
                     const void *in, enum nn_type in_type, int n, int h, int w, int c, float scale)
{
    struct nn_fir fir = {out, in, out_type, in_type, n, h, w, c, scale};
    MUST((up ? ops->fir_up : ops->fir_down)(NULL, &fir));
}

START_TEST(resampling_is_adjoint)
{
    const struct nn_ops *ops = ops_of(_i);
    int n = 2, h = 5, w = 3, c = 70;
    size_t small = (size_t)(n * h * w * c);
    float *x = numbers(small, 1), *y = numbers(4 * small, 2);
    float *up = numbers(4 * small, 3), *down = numbers(small, 4);
    resample(ops, true, up, NN_F32, x, NN_F32, n, h, w, c, 4);
    resample(ops, false, down, NN_F32, y, NN_F32, n, h, w, c, 4);
    check_equal(dot(up, y, 4 * small), dot(down, x, small), (double)small, "fir");
    for (size_t i = 0; i < 4 * small; i++)
        y[i] = 1; /* the mean stays, away from the borders */
    resample(ops, false, down, NN_F32, y, NN_F32, n, h, w, c, 1);
    check_equal((double)down[(2 * w + 1) * c], 1, 1, "gain of down");
    for (size_t i = 0; i < small; i++)
        x[i] = 1;
    resample(ops, true, up, NN_F32, x, NN_F32, n, h, w, c, 4);
    check_equal((double)up[(4 * 2 * w + 3) * c], 1, 1, "gain of up");
    free(x), free(y), free(up), free(down);
}
END_TEST

/* bf16 in, bf16 out, or only one of them: what fp32 makes of the same numbers, rounded. */
START_TEST(resampling_takes_bf16)
{
    const struct nn_ops *ops = ops_of(_i % 2);
    enum nn_type from = _i / 2 % 2 ? NN_BF16 : NN_F32, to = _i / 4 ? NN_BF16 : NN_F32;
    int n = 2, h = 5, w = 3, c = 70;
    size_t small = (size_t)(n * h * w * c), large = 4 * small;
    float *x = numbers(large, 1), *want = numbers(large, 2), *got = numbers(large, 3);
    for (size_t i = 0; i < large; i++)
        x[i] = stored(from, x[i]);
    for (int up = 0; up < 2; up++) {
        size_t ins = up ? small : large, outs = up ? large : small;
        void *in = stored_from(from, x, ins), *out = stored_from(to, got, outs);
        resample(ops, up, want, NN_F32, x, NN_F32, n, h, w, c, 4);
        resample(ops, up, out, to, in, from, n, h, w, c, 4);
        stored_to(got, to, out, outs);
        free(in);
        for (size_t i = 0; i < outs; i++)
            ck_assert(got[i] == stored(to, want[i]));
    }
    free(x), free(want), free(got);
}
END_TEST

START_TEST(sums_and_grids_take_bf16)
{
    const struct nn_ops *ops = ops_of(_i);
    enum { N = 3, P = 6, C = 24, ALL = N * P * C };
    float *s = numbers(N * C, 1), *x = numbers(ALL, 2), *table = numbers(P * C, 3);
    float *want = numbers(ALL, 4), *got = numbers(ALL, 5), db[2][C] = {{0}}, dt[2][P * C] = {{0}};
    for (int i = 0; i < ALL; i++)
        x[i] = stored(NN_BF16, x[i]);
    void *half = stored_from(NN_BF16, x, ALL), *out = stored_from(NN_BF16, x, ALL);
    MUST(ops->bias_grad(NULL, db[0], x, NN_F32, N, P, C));
    MUST(ops->bias_grad(NULL, db[1], half, NN_BF16, N, P, C));
    ck_assert_int_eq(memcmp(db[0], db[1], sizeof *db), 0);
    MUST(ops->spatial_map_grad(NULL, dt[0], s, x, NN_F32, N, P, C));
    MUST(ops->spatial_map_grad(NULL, dt[1], s, half, NN_BF16, N, P, C));
    ck_assert_int_eq(memcmp(dt[0], dt[1], sizeof *dt), 0);
    MUST(ops->spatial_map_contract(NULL, want, x, NN_F32, table, N, P, C));
    MUST(ops->spatial_map_contract(NULL, got, half, NN_BF16, table, N, P, C));
    ck_assert_int_eq(memcmp(want, got, N * C * sizeof *got), 0);
    MUST(ops->spatial_map_expand(NULL, want, NN_F32, s, table, N, P, C));
    MUST(ops->spatial_map_expand(NULL, out, NN_BF16, s, table, N, P, C));
    stored_to(got, NN_BF16, out, ALL);
    for (int i = 0; i < ALL; i++)
        ck_assert(got[i] == stored(NN_BF16, want[i]));
    free(s), free(x), free(table), free(want), free(got), free(half);
}
END_TEST

START_TEST(bf16_rounds_to_nearest_even)
{
    const float one = 1, half = 0x1p-8f; /* half of bf16's step at 1 */
    ck_assert(stored(NN_BF16, one + half) == 1 && stored(NN_BF16, one + 3 * half) == 1 + 4 * half);
    ck_assert(stored(NN_BF16, one + 1.01f * half) == 1 + 2 * half);
    ck_assert(stored(NN_BF16, -one - half) == -1 && stored(NN_BF16, 0x1p-120f) == 0x1p-120f);
    ck_assert(isinf(stored(NN_BF16, 3.4e38f)) && isinf(stored(NN_BF16, -INFINITY)));
    uint32_t signalling = 0x7f800001U;
    float nan;
    memcpy(&nan, &signalling, sizeof nan);
    ck_assert(isnan(stored(NN_BF16, nan)) && isnan(stored(NN_BF16, NAN)));
}
END_TEST

START_TEST(grids_and_embeddings_are_adjoint)
{
    const struct nn_ops *ops = ops_of(_i);
    enum { N = 3, P = 6, C = 16, E = 5, K = 4 };
    const int labels[N] = {2, 0, 2};
    float *s = numbers(N * C, 1), *x = numbers(N * P * C, 2), *table = numbers(P * C, 3);
    float *out = numbers(N * P * C, 4), *sums = numbers(N * C, 5), dtable[P * C] = {0};
    MUST(ops->spatial_map_expand(NULL, out, NN_F32, s, table, N, P, C));
    MUST(ops->spatial_map_contract(NULL, sums, x, NN_F32, table, N, P, C));
    MUST(ops->spatial_map_grad(NULL, dtable, s, x, NN_F32, N, P, C));
    check_equal(dot(out, x, N * P * C), dot(s, sums, N * C), 10, "contract");
    check_equal(dot(out, x, N * P * C), dot(dtable, table, P * C), 10, "grid_grad");
    float f[N * E], df[N * E], score[N], seed[N] = {1, -2, 3}, demb[E * K] = {0};
    memcpy(f, x, sizeof f);
    MUST(ops->project(NULL, score, f, table, labels, N, E, K));
    MUST(ops->project_dgrad(NULL, df, seed, table, labels, N, E, K));
    MUST(ops->project_grad(NULL, demb, seed, f, labels, N, E, K));
    check_equal(dot(score, seed, N), dot(f, df, N * E), 10, "project_dgrad");
    check_equal(dot(score, seed, N), dot(demb, table, E * K), 10, "project_grad");
    memset(demb, 0, sizeof demb);
    MUST(ops->embed_gather(NULL, df, table, labels, N, E, K, E));
    MUST(ops->embed_grad(NULL, demb, f, labels, N, E, K, E));
    check_equal(dot(df, f, N * E), dot(demb, table, E * K), 10, "embed_grad");
    free(s), free(x), free(table), free(out), free(sums);
}
END_TEST

START_TEST(augmentation_is_affine_with_its_adjoint)
{
    const struct gan_ops *ops = gan_ops_cpu();
    enum { N = 40, H = 9, W = 12, C = 3, ONE = H * W * C };
    struct nn_augment draws[N];
    for (int i = 0; i < N; i++)
        draws[i] = augment_draw(5, 1, (uint64_t)i, 0.7f, H, W);
    draws[0] = augment_none();
    float *x = numbers(N * ONE, 1), *y = numbers(N * ONE, 2);
    float *a = numbers(N * ONE, 3), *b = numbers(N * ONE, 4), *full = numbers(N * ONE, 5);
    struct gan_augmentation linear = {a, ONE, x, ONE, draws, N, H, W, C, true}, affine = linear,
                            adjoint = {b, ONE, y, ONE, draws, N, H, W, C, false};
    affine.out = full;
    affine.linear = false;
    MUST(ops->augment(NULL, &linear));
    MUST(ops->augment(NULL, &affine));
    MUST(ops->augment_adjoint(NULL, &adjoint));
    for (int i = 0; i < N; i++) {
        check_equal(dot(a + i * ONE, y + i * ONE, ONE), dot(x + i * ONE, b + i * ONE, ONE), 30,
                    "T'");
        float offset = draws[i].brightness;
        for (int j = 0; j < ONE; j++) {
            double difference = (double)(full[i * ONE + j] - a[i * ONE + j]);
            bool outside = full[i * ONE + j] == 0;
            if (!outside) check_equal(difference, (double)offset, 2, "offset");
        }
    }
    for (int j = 0; j < ONE; j++)
        check_equal((double)full[j], (double)x[j], 1, "identity");
    free(x), free(y), free(a), free(b), free(full);
}
END_TEST

START_TEST(adam_keeps_only_v)
{
    const struct nn_ops *ops = ops_of(_i);
    float p[3] = {1, -1, 0}, v[3] = {0}, g[3] = {0.5f, -2, 0}, e[3] = {0};
    const struct adam_f32 rates =
        adam_of_network(&(struct adam_rates){.lr = 0.1, .b2 = 0.9}, 0, 0.9);
    const float beta = 0.75f;
    MUST(ops->adam(NULL, p, NULL, v, g, 3, &rates)); /* the first step goes by lr, whatever g */
    check_equal((double)p[0], 0.9, 1, "p0");
    check_equal((double)p[1], -0.9, 1, "p1");
    check_equal((double)p[2], 0, 1, "p2");
    check_equal((double)v[1], 0.4, 1, "v1");
    MUST(ops->ema(NULL, e, p, 3, &beta));
    check_equal((double)e[0], 0.225, 1, "ema");
    double sum;
    MUST(ops->norm2(NULL, &sum, g, 3));
    check_equal(sum, 4.25, 1, "norm2");
    g[1] = NAN;
    MUST(ops->norm2(NULL, &sum, g, 3));
    ck_assert(!isfinite(sum));
}
END_TEST

/* Forward, both gradients, added and not, of every pair of types, against the definition. */
START_TEST(slopes_are_their_definition)
{
    enum { N = 3, P = 35, C = 70, COUNT = N * P * C };
    const struct nn_ops *ops = ops_of(_i / 4);
    enum nn_type z_type = _i % 2 ? NN_BF16 : NN_F32, y_type = _i / 2 % 2 ? NN_BF16 : NN_F32;
    float *z = numbers(COUNT, 1), *dy = numbers(COUNT, 2), *slopes = numbers(C, 3);
    float *y = numbers(COUNT, 4), *before = numbers(COUNT, 5), *dslopes = numbers(C, 6);
    float *got = numbers(COUNT, 7);
    double sums[C];
    for (int j = 0; j < C; j++)
        sums[j] = (double)dslopes[j];
    for (int i = 0; i < COUNT; i++) {
        z[i] = i % 11 ? stored(z_type, z[i]) : 0;
        dy[i] = stored(y_type, dy[i]);
        before[i] = stored(z_type, before[i]);
        if (!(z[i] > 0)) sums[i % C] += (double)z[i] * (double)dy[i];
    }
    void *z_there = stored_from(z_type, z, COUNT), *dy_there = stored_from(y_type, dy, COUNT);
    struct nn_prelu prelu = {z_there, slopes, z_type, y_type, N, P, C};
    void *out = stored_from(y_type, y, COUNT);
    MUST(ops->prelu_forward(NULL, &prelu, out));
    stored_to(got, y_type, out, COUNT);
    for (int i = 0; i < COUNT; i++) {
        double want = (double)z[i] * (z[i] > 0 ? 1 : (double)slopes[i % C]);
        check_near((double)got[i], want, 1e-6 + stored_error(y_type, want), "forward");
    }
    for (int add = 0; add < 2; add++) {
        void *dz = stored_from(z_type, before, COUNT);
        MUST(ops->prelu_dgrad(NULL, &prelu, dz, dy_there, add));
        stored_to(got, z_type, dz, COUNT);
        for (int i = 0; i < COUNT; i++) {
            double want = (double)dy[i] * (z[i] > 0 ? 1 : (double)slopes[i % C]);
            if (add) want += (double)before[i];
            check_near((double)got[i], want, 1e-6 + stored_error(z_type, want), "dgrad");
        }
    }
    MUST(ops->prelu_grad(NULL, &prelu, dslopes, dy_there));
    for (int j = 0; j < C; j++)
        check_near((double)dslopes[j], sums[j], 1e-5, "grad");
    float *all[] = {z, dy, slopes, y, before, dslopes, got, z_there, dy_there};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}
END_TEST

/* Known when it is called, on every table; nothing is written. */
START_TEST(wrong_shapes_are_refused)
{
    const struct nn_ops *ops = ops_of(_i);
    float x[4] = {7, 7, 7, 7};
    double sums[GAN_SUMS] = {0};
    int label = 0;
    uint8_t mask = 0;
    const struct nn_conv good = {1, 1, 1, 1, 1, 1, 1, 1, NN_F32, NN_F32};
    const struct nn_epilogue plain = {.slope = 1}, masked = {.slope = 1, .mask_out = &mask};
    struct nn_conv wrong[6] = {good, good, good, good, good, good};
    wrong[0].n = 0, wrong[1].kernel = 2, wrong[2].groups = 2, wrong[3].cin = -1, wrong[4].h = 0;
    wrong[5].slice = 0; /* of wgrad */
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(ops->conv_wgrad(NULL, &wrong[i], x, x, x, x), ERR_USAGE);
        if (i == 5) break;
        ck_assert_int_eq(ops->conv_forward(NULL, &wrong[i], x, x, x, &plain, x), ERR_USAGE);
        ck_assert_int_eq(ops->conv_dgrad(NULL, &wrong[i], x, x, x, &plain, x), ERR_USAGE);
    }
    ck_assert_int_eq(ops->conv_forward(NULL, &good, x, x, x, &masked, x), ERR_USAGE);
    struct nn_fir fir = {x, x, NN_F32, NN_F32, 1, 0, 1, 1, 1};
    ck_assert_int_eq(ops->fir_up(NULL, &fir), ERR_USAGE);
    ck_assert_int_eq(ops->fir_down(NULL, &fir), ERR_USAGE);
    ck_assert_int_eq(ops->bias_grad(NULL, x, x, NN_F32, 1, 0, 1), ERR_USAGE);
    struct nn_prelu prelu = {x, x, NN_F32, NN_F32, 1, 0, 1};
    ck_assert_int_eq(ops->prelu_forward(NULL, &prelu, x), ERR_USAGE);
    ck_assert_int_eq(ops->prelu_dgrad(NULL, &prelu, x, x, false), ERR_USAGE);
    ck_assert_int_eq(ops->prelu_grad(NULL, &prelu, x, x), ERR_USAGE);
    ck_assert_int_eq(ops->spatial_map_expand(NULL, x, NN_F32, x, x, 0, 1, 1), ERR_USAGE);
    ck_assert_int_eq(ops->spatial_map_contract(NULL, x, x, NN_F32, x, 1, 1, 0), ERR_USAGE);
    ck_assert_int_eq(ops->spatial_map_grad(NULL, x, x, x, NN_F32, 1, -1, 1), ERR_USAGE);
    ck_assert_int_eq(ops->embed_gather(NULL, x, x, &label, 1, 2, 1, 1), ERR_USAGE);
    ck_assert_int_eq(ops->embed_grad(NULL, x, x, &label, 1, 2, 1, 1), ERR_USAGE);
    ck_assert_int_eq(ops->project(NULL, x, x, x, &label, 0, 1, 1), ERR_USAGE);
    ck_assert_int_eq(ops->project_dgrad(NULL, x, x, x, &label, 1, 0, 1), ERR_USAGE);
    ck_assert_int_eq(ops->project_grad(NULL, x, x, x, &label, 1, 1, 0), ERR_USAGE);
    ck_assert_int_eq(ops->from_u8(NULL, x, &mask, NULL, 1, 0, 1, 1), ERR_USAGE);
    ck_assert_int_eq(ops->scale_add(NULL, x, x, x, 0, 1), ERR_USAGE);
    struct gan_augmentation none = {x, 1, x, 1, NULL, 0, 1, 1, 1, false};
    struct gan_penalty penalty = {.n = 2, .batch = 0};
    const struct gan_ops *gan = gan_ops_cpu();
    ck_assert_int_eq(gan->augment(NULL, &none), ERR_USAGE);
    ck_assert_int_eq(gan->augment_adjoint(NULL, &none), ERR_USAGE);
    ck_assert_int_eq(gan->square_sums(NULL, sums, x, 0, 1), ERR_USAGE);
    ck_assert_int_eq(gan->pair_loss(NULL, sums, x, x, 0, 1, 0), ERR_USAGE);
    ck_assert_int_eq(gan->penalty(NULL, &penalty), ERR_USAGE);
    ck_assert_int_eq(gan->penalty_check(NULL, &penalty), ERR_USAGE);
    for (int i = 0; i < 4; i++)
        ck_assert(x[i] == 7);
}
END_TEST

/* With a first moment and decay, against the same in double. */
START_TEST(adam_has_a_mean_and_decay)
{
    const struct nn_ops *ops = ops_of(_i);
    enum { N = 40 };
    float p[N], m[N], v[N], g[N];
    const struct adam_f32 rates = {0.9f, 0.99f, 1e-8f, 0.02f, 1.5f, 0.001f};
    for (int i = 0; i < N; i++) {
        p[i] = 0.1f * (float)i - 1;
        m[i] = 0.01f * (float)(i % 7);
        v[i] = 0.02f * (float)(i % 5 + 1);
        g[i] = 0.3f * (float)(i % 3) - 0.4f;
    }
    float p0[N], m0[N], v0[N];
    memcpy(p0, p, sizeof p), memcpy(m0, m, sizeof m), memcpy(v0, v, sizeof v);
    MUST(ops->adam(NULL, p, m, v, g, N, &rates));
    for (int i = 0; i < N; i++) {
        double mean = 0.9 * (double)m0[i] + 0.1 * (double)g[i];
        double square = 0.99 * (double)v0[i] + 0.01 * (double)g[i] * (double)g[i];
        check_equal((double)m[i], mean, 1, "m");
        check_equal((double)v[i], square, 1, "v");
        check_equal((double)p[i], 0.999 * (double)p0[i] - 0.02 * mean / (sqrt(square) * 1.5), 1,
                    "p");
    }
}
END_TEST

Suite *nn_ops_suite(void)
{
    Suite *suite = suite_create("nn_ops");
    TCase *tests = tcase_create("nn_ops");
    tcase_add_loop_test(tests, convolutions_are_bilinear, 0, 2 * SHAPE_COUNT);
    tcase_add_loop_test(tests, convolution_is_its_definition, 0, 2 * SHAPE_COUNT);
    tcase_add_loop_test(tests, wgrad_does_not_depend_on_the_cut, 0, 2 * SHAPE_COUNT);
    tcase_add_loop_test(tests, frozen_masks_scale, 0, 2);
    tcase_add_loop_test(tests, resampling_is_adjoint, 0, 2);
    tcase_add_loop_test(tests, resampling_takes_bf16, 0, 8);
    tcase_add_loop_test(tests, sums_and_grids_take_bf16, 0, 2);
    tcase_add_test(tests, bf16_rounds_to_nearest_even);
    tcase_add_loop_test(tests, grids_and_embeddings_are_adjoint, 0, 2);
    tcase_add_test(tests, augmentation_is_affine_with_its_adjoint);
    tcase_add_loop_test(tests, adam_keeps_only_v, 0, 2);
    tcase_add_loop_test(tests, adam_has_a_mean_and_decay, 0, 2);
    tcase_add_loop_test(tests, slopes_are_their_definition, 0, 8);
    tcase_add_loop_test(tests, wrong_shapes_are_refused, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
