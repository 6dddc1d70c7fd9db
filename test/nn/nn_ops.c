/* What the table of cases (test/device/op_cases.c) does not ask of network operations: wrong shapes
 * are refused, bf16 is what fp32 makes of the same numbers, rounded; on the plain reference and on
 * this CPU's table. */
#include "device/nn_ops.h"

#include "base/error.h"
#include "base/random.h"
#include "device/gan_ops.h"
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

static void check_near(double a, double b, double tolerance, const char *what)
{
    ck_assert_msg(fabs(a - b) <= tolerance, "%s: %.9g and %.9g (within %.3g)", what, a, b,
                  tolerance);
}

static void check_equal(double a, double b, double size, const char *what)
{
    check_near(a, b, 2e-6 * size, what);
}

/* n, h, w, c: of the smaller tensor. */
static void resample(const struct nn_ops *ops, bool up, void *out, enum nn_type out_type,
                     const void *in, enum nn_type in_type, int n, int h, int w, int c, float scale)
{
    struct nn_fir fir = {out, in, out_type, in_type, n, h, w, c, scale, false};
    MUST((up ? ops->fir_up : ops->fir_down)(NULL, &fir));
}

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

/* Known when it is called, on every table; nothing is written. */
START_TEST(wrong_shapes_are_refused)
{
    const struct nn_ops *ops = ops_of(_i);
    float x[4] = {7, 7, 7, 7};
    double sums[GAN_SUMS] = {0};
    const struct nn_labels labels = {&(int){0}, NULL};
    uint8_t mask = 0;
    const struct nn_conv good = {1, 1, 1, 1, 1, 1, 1, 1, NN_F32, NN_F32};
    const struct nn_epilogue plain = {.slope = 1}, masked = {.slope = 1, .mask_out = &mask};
    struct nn_conv wrong[6] = {good, good, good, good, good, good};
    wrong[0].n = 0, wrong[1].kernel = 2, wrong[2].groups = 2, wrong[3].cin = -1, wrong[4].h = 0;
    wrong[5].chunk = 0; /* of wgrad */
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(ops->conv_wgrad(NULL, &wrong[i], x, x, x, x), ERR_USAGE);
        if (i == 5) break;
        ck_assert_int_eq(ops->conv_forward(NULL, &wrong[i], x, x, x, &plain, x), ERR_USAGE);
        ck_assert_int_eq(ops->conv_dgrad(NULL, &wrong[i], x, x, x, &plain, x), ERR_USAGE);
    }
    ck_assert_int_eq(ops->conv_forward(NULL, &good, x, x, x, &masked, x), ERR_USAGE);
    struct nn_fir fir = {x, x, NN_F32, NN_F32, 1, 0, 1, 1, 1, false};
    ck_assert_int_eq(ops->fir_up(NULL, &fir), ERR_USAGE);
    ck_assert_int_eq(ops->fir_down(NULL, &fir), ERR_USAGE);
    ck_assert_int_eq(ops->bias_grad(NULL, x, x, NN_F32, 1, 0, 1), ERR_USAGE);
    struct nn_prelu prelu = {x, x, NN_F32, NN_F32, 1, 0, 1};
    ck_assert_int_eq(ops->prelu_forward(NULL, &prelu, x), ERR_USAGE);
    ck_assert_int_eq(ops->prelu_dgrad(NULL, &prelu, x, x, false), ERR_USAGE);
    ck_assert_int_eq(ops->prelu_grad(NULL, &prelu, x, x), ERR_USAGE);
    struct nn_pointwise wrong_functions[] = {{NN_SILU, x, NULL, NN_F32, NN_F32, NN_F32, 0},
                                             {NN_SILU, x, x, NN_F32, NN_F32, NN_F32, 1},
                                             {NN_GATE, x, NULL, NN_F32, NN_F32, NN_F32, 1}};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(ops->pointwise_forward(NULL, &wrong_functions[i], x), ERR_USAGE);
        ck_assert_int_eq(ops->pointwise_dgrad(NULL, &wrong_functions[i], 1, x, x, false),
                         ERR_USAGE);
    }
    ck_assert_int_eq(ops->spatial_map_expand(NULL, x, NN_F32, x, x, 0, 1, 1), ERR_USAGE);
    ck_assert_int_eq(ops->spatial_map_contract(NULL, x, x, NN_F32, x, 1, 1, 0), ERR_USAGE);
    ck_assert_int_eq(ops->spatial_map_grad(NULL, x, x, x, NN_F32, 1, -1, 1), ERR_USAGE);
    ck_assert_int_eq(ops->embed_gather(NULL, x, x, labels, 1, 2, 1, 1), ERR_USAGE);
    ck_assert_int_eq(ops->embed_grad(NULL, x, x, labels, 1, 2, 1, 1), ERR_USAGE);
    ck_assert_int_eq(ops->project(NULL, x, x, x, labels, 0, 1, 1), ERR_USAGE);
    ck_assert_int_eq(ops->project_dgrad(NULL, x, x, x, labels, 1, 0, 1), ERR_USAGE);
    ck_assert_int_eq(ops->project_grad(NULL, x, x, x, labels, 1, 1, 0), ERR_USAGE);
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

/* A network that has diverged is found by its losses. */
START_TEST(losses_of_no_number_are_none)
{
    enum { SIDE = 16, COUNT = 3 * SIDE * SIDE };
    const struct nn_ops *ops = ops_of(_i);
    float *out = numbers(COUNT, 1), *target = numbers(COUNT, 2), *grad = numbers(COUNT, 3);
    float *workspace = numbers(nn_ssim_layout_of(1, SIDE).bytes / sizeof(float) +
                                   nn_fft_loss_floats(1, SIDE) + nn_reduced_loss_floats(1, SIDE, 2),
                               4);
    float turns[2 * SIDE];
    double sums[NN_LOSS_TERMS];
    nn_fft_turns(turns, SIDE);
    out[COUNT / 2] = NAN;
    const struct nn_image_loss image = {sums, grad, out, target, 1, COUNT, {1, 1, 1}};
    const struct nn_reduced_loss reduced = {
        sums, grad, out, target, 1, SIDE, NN_COLOUR_RGB, 1, workspace, nn_reduction_box(2)};
    const struct nn_ssim_loss ssim = {sums, grad, out, target, 1, SIDE, 1, workspace};
    const struct nn_fft_loss fft = {sums, grad, out, target, turns, 1, SIDE, 1, workspace};
    const struct nn_hsluv_loss hsluv = {sums, grad, out, target, 1, SIDE, 1, (double *)workspace};
    MUST(ops->image_loss(NULL, &image));
    for (int t = 0; t < NN_LOSS_TERMS; t++)
        ck_assert(isnan(sums[t]));
    sums[0] = 0;
    MUST(ops->reduced_loss(NULL, &reduced));
    ck_assert(isnan(sums[0]));
    sums[0] = 0;
    MUST(ops->ssim_loss(NULL, &ssim));
    ck_assert(isnan(sums[0]));
    sums[0] = 0;
    MUST(ops->fft_loss(NULL, &fft));
    ck_assert(isnan(sums[0]));
    sums[0] = 0;
    MUST(ops->hsluv_loss(NULL, &hsluv));
    ck_assert(isnan(sums[0]));
    for (int way = 0; way < 9; way++) {
        const struct nn_score_loss score = {
            sums, grad, out, 1, COUNT, (enum score_kind)(way / 3), (enum score_role)(way % 3), 1};
        sums[0] = 0;
        MUST(ops->score_loss(NULL, &score));
        ck_assert_msg(isnan(sums[0]), "kind %d, role %d", way / 3, way % 3);
    }
    free(out);
    free(target);
    free(grad);
    free(workspace);
}
END_TEST

Suite *nn_ops_suite(void)
{
    Suite *suite = suite_create("nn_ops");
    TCase *tests = tcase_create("nn_ops");
    tcase_add_loop_test(tests, resampling_takes_bf16, 0, 8);
    tcase_add_loop_test(tests, sums_and_grids_take_bf16, 0, 2);
    tcase_add_test(tests, bf16_rounds_to_nearest_even);
    tcase_add_loop_test(tests, adam_keeps_only_v, 0, 2);
    tcase_add_loop_test(tests, wrong_shapes_are_refused, 0, 2);
    tcase_add_loop_test(tests, losses_of_no_number_are_none, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
