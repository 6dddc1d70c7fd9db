#include "base/error.h"
#include "base/threads.h"
#include "metrics/sample_metrics.h"
#include "test/gan/gan_shapes.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#undef fail /* Check's, of old */

Suite *sample_metrics_test_suite(void);

enum { FIGURES = 9, MOST = 400 };

struct golden {
    int width, height, real, held, fake, seed;
    double figures[FIGURES];
};

static const struct golden goldens[] = {
#include "golden/gan_metrics.h"
};

/* Images on the heap with pointers to them. */
struct set {
    uint8_t *data;
    const uint8_t *pixels[MOST];
    int n;
};

static struct image_list of(const struct set *set)
{
    return (struct image_list){set->pixels, set->n};
}

static void make_set(struct set *set, int n, int width, int height)
{
    size_t bytes = (size_t)width * (size_t)height * 3;
    ck_assert_int_le(n, MOST);
    set->n = n;
    set->data = malloc((size_t)n * bytes + 1);
    ck_assert_ptr_nonnull(set->data);
    for (int i = 0; i < n; i++)
        set->pixels[i] = set->data + (size_t)i * bytes;
}

/* Images of integers alone, as in scripts/reference/gan_metrics_goldens.py. */
static void draw(struct set *set, int n, int width, int height, int kind)
{
    make_set(set, n, width, height);
    uint8_t *to = set->data;
    for (int number = 0; number < n; number++)
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++)
                for (int c = 0; c < 3; c++) {
                    int i = number + 1000 * kind;
                    int value = 20 + 3 * ((i * 37 + c * 50) % 40) +
                                (x * (i % 5 + 1) * 4 + y * (i % 3 + 2) * 3) % 97;
                    value += (i * 7919 + y * 131 + x * 17 + c * 29) * (i % 11 + 3) % 13;
                    *to++ = (uint8_t)(kind == 2 ? value * 3 / 4 + 30 : value);
                }
}

/* Images first .. first + n - 1 of the drawn shapes. */
static void draw_shapes(struct set *set, int n, int side, int first)
{
    make_set(set, n, side, side);
    for (int i = 0; i < n; i++)
        shape_draw(set->data + (size_t)i * (size_t)side * (size_t)side * 3, side, 1,
                   (uint64_t)(first + i));
}

static void measure(struct sample_metrics *metrics, const struct set *real, const struct set *held,
                    const struct set *fake, int width, int height, uint64_t seed)
{
    int code =
        sample_metrics_measure(metrics, of(real), of(held), of(fake), width, height, seed, NULL);
    ck_assert_msg(code == OK, "%s", error_message());
}

static void check_near(const char *name, int row, double value, double expected, double tolerance)
{
    bool same = isnan(expected) ? isnan(value) : fabs(value - expected) <= tolerance;
    ck_assert_msg(same, "%s of case %d is %.9g, not %.9g", name, row, value, expected);
}

START_TEST(figures_of_another_program)
{
    const struct golden *g = &goldens[_i];
    struct set real, held, fake;
    struct sample_metrics m;
    double coverage;
    draw(&real, g->real, g->width, g->height, 0);
    draw(&held, g->held, g->width, g->height, 1);
    draw(&fake, g->fake, g->width, g->height, 2);
    measure(&m, &real, &held, &fake, g->width, g->height, (uint64_t)g->seed);
    ck_assert_int_eq(
        sample_metrics_pixel_coverage(&coverage, of(&real), of(&fake), g->width, g->height, 3), OK);
    check_near("swd", _i, m.swd, g->figures[0], 1e-4 * g->figures[0]);
    check_near("rkid", _i, m.rkid, g->figures[1], 1e-5);
    check_near("precision", _i, m.precision, g->figures[2], 1e-6);
    check_near("recall", _i, m.recall, g->figures[3], 1e-6);
    check_near("density", _i, m.density, g->figures[4], 1e-6);
    check_near("coverage", _i, m.coverage, g->figures[5], 1e-6);
    check_near("ms_ssim", _i, m.ms_ssim, g->figures[6], 1e-6);
    check_near("nn_ratio", _i, m.nn_ratio, g->figures[7], 1e-5);
    check_near("pixel coverage", _i, coverage, g->figures[8], 1e-6);
    free(real.data);
    free(held.data);
    free(fake.data);
}
END_TEST

START_TEST(any_threads_the_same_bits)
{
    struct set real, held, fake;
    struct sample_metrics first, again;
    draw(&real, 300, 24, 17, 0);
    draw(&held, 40, 24, 17, 1);
    draw(&fake, 270, 24, 17, 2);
    threads_set(1);
    measure(&first, &real, &held, &fake, 24, 17, 9);
    for (int threads = 2; threads <= 5; threads++) {
        threads_set(threads);
        measure(&again, &real, &held, &fake, 24, 17, 9);
        ck_assert_int_eq(memcmp(&first, &again, sizeof first), 0);
    }
    free(real.data);
    free(held.data);
    free(fake.data);
}
END_TEST

/* ---- what the figures are for ---- */

enum { SIDE = 16 };
static struct set real, held, fake;
static struct sample_metrics good;

static void draw_all(void)
{
    draw_shapes(&real, 400, SIDE, 0);
    draw_shapes(&held, 60, SIDE, 1000);
    draw_shapes(&fake, 300, SIDE, 2000);
    measure(&good, &real, &held, &fake, SIDE, SIDE, 1);
}

static void free_all(void)
{
    free(real.data);
    free(held.data);
    free(fake.data);
}

START_TEST(more_of_the_same_is_good)
{
    ck_assert_msg(fabs(good.rkid) < 0.05, "rkid %g", good.rkid);
    ck_assert_msg(good.precision > 0.8, "precision %g", good.precision);
    ck_assert_msg(good.recall > 0.8, "recall %g", good.recall);
    ck_assert_msg(good.coverage > 0.85, "coverage %g", good.coverage);
    ck_assert_msg(fabs(good.density - 1) < 0.2, "density %g", good.density);
    ck_assert_msg(fabs(good.nn_ratio - 1) < 0.1, "ratio %g", good.nn_ratio);
}
END_TEST

START_TEST(noise_is_bad)
{
    struct sample_metrics m;
    for (int i = 0; i < fake.n * SIDE * SIDE * 3; i++)
        fake.data[i] = (uint8_t)(fake.data[i] / 2 + 127 * ((i * 7919 ^ i >> 3) & 1));
    measure(&m, &real, &held, &fake, SIDE, SIDE, 1);
    ck_assert_msg(m.rkid > 0.5, "rkid %g", m.rkid);
    ck_assert_msg(m.swd > 3 * good.swd, "swd %g, %g", m.swd, good.swd);
    ck_assert(m.precision < 0.1 && m.coverage < 0.1 && m.density < 0.1);
}
END_TEST

START_TEST(other_colours_are_noticed)
{
    struct sample_metrics m;
    for (int i = 0; i < fake.n * SIDE * SIDE * 3; i++)
        fake.data[i] = (uint8_t)(i % 3 == 0 ? fake.data[i] / 2 : fake.data[i]);
    measure(&m, &real, &held, &fake, SIDE, SIDE, 1);
    ck_assert_msg(m.swd > 2 * good.swd, "swd %g, %g", m.swd, good.swd);
    ck_assert_msg(m.rkid > 5 * fabs(good.rkid), "rkid %g, %g", m.rkid, good.rkid);
}
END_TEST

START_TEST(collapse_is_noticed)
{
    struct sample_metrics m;
    const size_t bytes = SIDE * SIDE * 3;
    for (int i = 0; i < fake.n; i++)
        fake.pixels[i] = fake.data + (size_t)(i % 3) * bytes;
    measure(&m, &real, &held, &fake, SIDE, SIDE, 1);
    ck_assert_msg(m.coverage < 0.1 && m.recall < 0.1, "%g %g", m.coverage, m.recall);
    ck_assert_msg(m.ms_ssim > good.ms_ssim + 0.05, "%g, %g", m.ms_ssim, good.ms_ssim);
    ck_assert_msg(m.rkid > 0.1, "rkid %g", m.rkid);
}
END_TEST

START_TEST(copies_are_noticed)
{
    struct sample_metrics m;
    for (int i = 0; i < fake.n; i++)
        fake.pixels[i] = real.pixels[i];
    measure(&m, &real, &held, &fake, SIDE, SIDE, 1);
    ck_assert_msg(m.nn_ratio < 0.95, "ratio %g", m.nn_ratio);
    ck_assert_msg(m.precision > 0.99, "precision %g", m.precision);
    real.n = 60; /* all of them copied */
    fake.n = 60;
    measure(&m, &real, &held, &fake, SIDE, SIDE, 1);
    ck_assert_msg(m.nn_ratio < 0.02, "ratio %g", m.nn_ratio);
}
END_TEST

START_TEST(too_few_are_nan)
{
    struct sample_metrics m;
    real.n = 5;
    fake.n = 1;
    held.n = 0;
    measure(&m, &real, &held, &fake, SIDE, SIDE, 1);
    ck_assert(isnan(m.rkid) && isnan(m.precision) && isnan(m.ms_ssim) && isnan(m.nn_ratio));
    ck_assert(isfinite(m.swd));
    fake.n = 7;
    measure(&m, &real, &held, &fake, SIDE, SIDE, 1);
    ck_assert(isfinite(m.rkid) && isnan(m.precision) && isnan(m.coverage));
    ck_assert(isfinite(m.recall) && isfinite(m.ms_ssim) && isnan(m.nn_ratio));
    for (int i = 0; i < fake.n; i++) /* one image many times */
        fake.pixels[i] = real.pixels[i] = fake.data;
    measure(&m, &real, &held, &fake, SIDE, SIDE, 1);
    ck_assert(fabs(m.rkid) < 1e-9 && m.ms_ssim > 0.999);
    fake.n = 0;
    measure(&m, &real, &held, &fake, SIDE, SIDE, 1);
    ck_assert(isnan(m.swd) && isnan(m.rkid));
}
END_TEST

static bool stop(void)
{
    return true;
}

START_TEST(rkid_of_several_sets)
{
    const struct image_list sets[2] = {of(&held), of(&fake)};
    struct sample_metrics one, other;
    double rkid[2];
    measure(&one, &real, &held, &held, SIDE, SIDE, 1);
    measure(&other, &real, &held, &fake, SIDE, SIDE, 1);
    ck_assert_int_eq(sample_metrics_rkid(rkid, of(&real), sets, 2, SIDE, SIDE, NULL), OK);
    ck_assert_double_eq(rkid[0], one.rkid);
    ck_assert_double_eq(rkid[1], other.rkid);
    ck_assert_int_eq(sample_metrics_rkid(rkid, of(&real), sets, 2, SIDE, SIDE, stop), ERR_STOPPED);
}
END_TEST

START_TEST(stops_when_asked)
{
    struct sample_metrics m;
    ck_assert_int_eq(
        sample_metrics_measure(&m, of(&real), of(&held), of(&fake), SIDE, SIDE, 1, stop),
        ERR_STOPPED);
}
END_TEST

/* Every size that a GAN may have. */
START_TEST(any_size)
{
    static const int sizes[][2] = {{8, 8}, {1, 1}, {3, 40}, {200, 8}, {130, 97}, {16, 512}};
    struct set a, b, none = {.n = 0};
    struct sample_metrics m;
    int w = sizes[_i][0], h = sizes[_i][1];
    draw(&a, 9, w, h, 0);
    draw(&b, 8, w, h, 2);
    measure(&m, &a, &none, &b, w, h, 1);
    ck_assert(isfinite(m.swd) && isfinite(m.rkid) && isfinite(m.ms_ssim));
    free(a.data);
    free(b.data);
}
END_TEST

Suite *sample_metrics_test_suite(void)
{
    Suite *suite = suite_create("gan_metrics");
    TCase *sizes = tcase_create("sizes"), *uses = tcase_create("uses");
    tcase_add_loop_test(sizes, figures_of_another_program, 0,
                        (int)(sizeof goldens / sizeof goldens[0]));
    tcase_add_test(sizes, any_threads_the_same_bits);
    tcase_add_loop_test(sizes, any_size, 0, 6);
    suite_add_tcase(suite, sizes);
    tcase_add_checked_fixture(uses, draw_all, free_all);
    tcase_add_test(uses, more_of_the_same_is_good);
    tcase_add_test(uses, noise_is_bad);
    tcase_add_test(uses, other_colours_are_noticed);
    tcase_add_test(uses, collapse_is_noticed);
    tcase_add_test(uses, copies_are_noticed);
    tcase_add_test(uses, too_few_are_nan);
    tcase_add_test(uses, stops_when_asked);
    tcase_add_test(uses, rkid_of_several_sets);
    suite_add_tcase(suite, uses);
    return suite;
}
