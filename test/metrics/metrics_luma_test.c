/* PSNR and SSIM as BasicSR has them: numbers of scripts/reference/sr_metrics_goldens.py. */
#include "base/threads.h"
#include "metrics/image_metrics.h"
#include "test/support.h"

#include <math.h>

struct golden {
    int width, height, channels, how, border;
    double figures[4];
};

static const struct golden goldens[] = {
#include "golden/sr_metrics.h"
};

enum { GOLDENS = sizeof goldens / sizeof goldens[0] };

static int drawn(int x, int y, int c, const struct golden *g)
{
    int v = (x * (3 + 2 * c) + y * (5 - c)) % 511, w = 2 * x - g->width, h = 2 * y - g->height;
    v = v < 256 ? v : 510 - v;
    return w * w + h * h < g->width * g->height / 2 ? 255 - v : v;
}

static int changed(int v, int x, int y, int c, const struct golden *g)
{
    switch (g->how) {
    case 0: v += (x * x * 31 + y * y * 17 + x * y * 7 + c * 53) % 41 - 20; break;
    case 1: v += (x * 7 + y * 3 + c) % 5 == 0; break;
    case 2: v = v * 7 / 8 / 8 * 8; break;
    default: v ^= y == g->height / 2 && x == g->width / 2 && c == 1 ? 4 : 0;
    }
    return v < 0 ? 0 : v > 255 ? 255 : v;
}

static void draw_pair(const struct golden *g, struct image *a, struct image *b)
{
    MUST(image_create(a, g->width, g->height, g->channels, SAMPLE_U8));
    MUST(image_create(b, g->width, g->height, g->channels, SAMPLE_U8));
    uint8_t *p = a->data, *q = b->data;
    for (int y = 0; y < g->height; y++)
        for (int x = 0; x < g->width; x++)
            for (int c = 0; c < g->channels; c++) {
                int v = drawn(x, y, c, g);
                *p++ = (uint8_t)v;
                *q++ = (uint8_t)changed(v, x, y, c, g);
            }
}

static void assert_figures(const struct metric_restoration *s, const struct golden *g)
{
    const double got[4] = {s->psnr, s->ssim, s->psnr_y, s->ssim_y};
    for (int i = 0; i < 4; i++)
        ck_assert_msg(fabs(got[i] - g->figures[i]) <= 1e-7, "figure %d: %.10g, not %.10g", i,
                      got[i], g->figures[i]);
}

START_TEST(agrees_with_basicsr)
{
    const struct golden *g = &goldens[_i];
    struct image a, b, real, near;
    struct metric_restoration scores;
    draw_pair(g, &a, &b);
    MUST(metric_restoration(&a, &b, g->border, &scores));
    assert_figures(&scores, g);
    /* a network's floats are rounded to 8 bits first, those beyond 0..1 are cut */
    MUST(image_convert(&real, &a, SAMPLE_F32));
    MUST(image_convert(&near, &b, SAMPLE_F32));
    for (int i = 0; i < g->width * g->height * g->channels; i++) {
        float *v = (float *)near.data + i;
        *v += (float)(i % 9 - 4) * 0.1f / 255.0f;
        if (((uint8_t *)b.data)[i] == 255) *v += 0.5f;
        if (((uint8_t *)b.data)[i] == 0) *v -= 0.5f;
    }
    MUST(metric_restoration(&real, &near, g->border, &scores));
    assert_figures(&scores, g);
    image_free(&a);
    image_free(&b);
    image_free(&real);
    image_free(&near);
}
END_TEST

/* Band by band, by any number of threads: the same bits, and those of the whole. */
START_TEST(bands_and_threads)
{
    static const struct golden shape = {.width = 1100, .height = 300, .channels = 3};
    struct image a, b;
    struct metric_restoration whole;
    draw_pair(&shape, &a, &b);
    threads_set(1);
    MUST(metric_restoration(&a, &b, 0, &whole));
    for (int threads = 1; threads <= 4; threads++) {
        threads_set(threads);
        struct metric_scorer *scorer;
        struct metric_scores scores;
        MUST(metric_scorer_open(&scorer, &a, &b, false));
        MUST(metric_scorer_add_luma(scorer));
        for (int y = 0; y < a.height; y += 43) {
            struct image rows[2] = {a, b};
            for (int i = 0; i < 2; i++) {
                rows[i].data = (uint8_t *)rows[i].data + (size_t)y * 1100 * 3;
                rows[i].height = a.height - y < 43 ? a.height - y : 43;
            }
            MUST(metric_scorer_put(scorer, &rows[0], &rows[1]));
        }
        metric_scorer_end(scorer, &scores);
        metric_scorer_close(scorer);
        const double got[4] = {scores.psnr, scores.ssim, scores.psnr_y, scores.ssim_y};
        ck_assert_mem_eq(got, &whole, sizeof got);
    }
    image_free(&a);
    image_free(&b);
}
END_TEST

START_TEST(equal_and_refused)
{
    static const struct golden shape = {.width = 20, .height = 16, .channels = 3},
                               odd = {.width = 20, .height = 16, .channels = 4};
    struct image a, b, c, d;
    struct metric_restoration scores;
    struct metric_scorer *scorer;
    draw_pair(&shape, &a, &b);
    draw_pair(&odd, &c, &d);
    MUST(metric_restoration(&a, &a, 7, &scores));
    ck_assert(isinf(scores.psnr) && isinf(scores.psnr_y));
    ck_assert(fabs(scores.ssim_y - 1.0) <= 1e-12);
    ck_assert_int_eq(metric_restoration(&a, &b, 8, &scores), ERR_USAGE);
    ck_assert_int_eq(metric_restoration(&a, &b, -1, &scores), ERR_USAGE);
    ck_assert_int_eq(metric_restoration(&c, &d, 0, &scores), ERR_USAGE);
    ck_assert_int_eq(metric_restoration(&a, &c, 0, &scores), ERR_USAGE);
    MUST(metric_scorer_open(&scorer, &c, &d, true));
    ck_assert_int_eq(metric_scorer_add_luma(scorer), ERR_USAGE);
    metric_scorer_close(scorer);
    image_free(&a);
    image_free(&b);
    image_free(&c);
    image_free(&d);
}
END_TEST

Suite *metrics_luma_test_suite(void);
Suite *metrics_luma_test_suite(void)
{
    Suite *suite = suite_create("metrics_luma_test");
    TCase *tests = tcase_create("luma");
    tcase_add_loop_test(tests, agrees_with_basicsr, 0, GOLDENS);
    tcase_add_test(tests, bands_and_threads);
    tcase_add_test(tests, equal_and_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
