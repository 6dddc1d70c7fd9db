/* Image metrics against other programs' figures, and their exact properties. */
#include "base/error.h"
#include "base/threads.h"
#include "metrics/image_metrics.h"
#include "test/support.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct golden {
    int width, height, channels, distortion;
    double psnr, ssim, ms_ssim, flip, flip_largest;
};

static const struct golden goldens[] = {
#include "golden/metrics.h"
};

enum { GOLDENS = sizeof goldens / sizeof goldens[0] };

/* ---- the images, as scripts/reference/metrics_goldens.py draws them ---- */

static uint32_t noise(uint32_t x, uint32_t y, uint32_t c)
{
    uint32_t h = x * 374761393u + y * 668265263u + c * 2246822519u;
    h = (h ^ h >> 13) * 1274126177u;
    return h ^ h >> 16;
}

static int draw_clean(int x, int y, int c, int width, int height)
{
    int t = (x * (3 + c) + y * (7 - 2 * c)) / 2 & 511;
    int v = t < 256 ? t : 511 - t;
    int dx = 2 * x - width, dy = 3 * y - height;
    if (dx * dx + dy * dy < width * height / 3) v = 255 - v;
    v = v * 15 / 16 + (int)(noise((uint32_t)x, (uint32_t)y, (uint32_t)c) & 15);
    return v < 255 ? v : 255;
}

static int draw_distorted(int x, int y, int c, const struct golden *g)
{
    int v = draw_clean(x, y, c, g->width, g->height);
    switch (g->distortion) {
    case 0: v += (int)(noise((uint32_t)x + 1000, (uint32_t)y, (uint32_t)c) % 49) - 24; break;
    case 1: v = draw_clean(x + 2, y, c, g->width, g->height) * 7 / 8; break;
    case 2: v &= 0xE0; break;
    default:
        if (x >= g->width / 2 && x < g->width / 2 + 5 && y >= g->height / 2 &&
            y < g->height / 2 + 5)
            v = 255;
    }
    return v < 0 ? 0 : v > 255 ? 255 : v;
}

static void draw_pair(const struct golden *g, struct image *a, struct image *b)
{
    ck_assert_int_eq(image_create(a, g->width, g->height, g->channels, SAMPLE_U8), OK);
    ck_assert_int_eq(image_create(b, g->width, g->height, g->channels, SAMPLE_U8), OK);
    uint8_t *p = a->data, *q = b->data;
    for (int y = 0; y < g->height; y++) {
        for (int x = 0; x < g->width; x++) {
            for (int c = 0; c < g->channels; c++) {
                *p++ = (uint8_t)draw_clean(x, y, c, g->width, g->height);
                *q++ = (uint8_t)draw_distorted(x, y, c, g);
            }
        }
    }
}

static void free_pair(struct image *a, struct image *b)
{
    image_free(a);
    image_free(b);
}

#define ASSERT_NEAR(got, want, tolerance)                                                          \
    ck_assert_msg(fabs((got) - (want)) <= (tolerance), #got " is %.12g, not %.12g", (got), (want))

START_TEST(figures_of_other_programs)
{
    const struct golden *g = &goldens[_i];
    struct image a, b;
    draw_pair(g, &a, &b);
    double psnr, ssim, ms_ssim, flip, largest = 0.0;
    float *map = malloc((size_t)g->width * (size_t)g->height * sizeof *map);
    ck_assert_int_eq(metric_psnr(&a, &b, &psnr), OK);
    ck_assert_int_eq(metric_ssim(&a, &b, &ssim), OK);
    ck_assert_int_eq(metric_flip(&a, &b, &flip, map), OK);
    for (int i = 0; i < g->width * g->height; i++)
        largest = fmax(largest, (double)map[i]);
    ASSERT_NEAR(psnr, g->psnr, 1e-7);
    ASSERT_NEAR(ssim, g->ssim, 1e-9);
    ASSERT_NEAR(flip, g->flip, 2e-6);
    ASSERT_NEAR(largest, g->flip_largest, 2e-5);
    if (g->ms_ssim >= 0.0) {
        ck_assert_int_eq(metric_ms_ssim(&a, &b, &ms_ssim), OK);
        ASSERT_NEAR(ms_ssim, g->ms_ssim, 1e-7);
    }
    free(map);
    free_pair(&a, &b);
}
END_TEST

/* Bit for bit: no tolerance. */
START_TEST(same_bits_with_any_number_of_threads)
{
    static const struct golden large = {.width = 1100, .height = 300, .channels = 3};
    struct image a, b;
    draw_pair(&large, &a, &b);
    double first[4] = {0}, again[4];
    for (int threads = 1; threads <= 5; threads++) {
        threads_set(threads);
        double *to = threads == 1 ? first : again;
        ck_assert_int_eq(metric_psnr(&a, &b, &to[0]), OK);
        ck_assert_int_eq(metric_ssim(&a, &b, &to[1]), OK);
        ck_assert_int_eq(metric_ms_ssim(&a, &b, &to[2]), OK);
        ck_assert_int_eq(metric_flip(&a, &b, &to[3], NULL), OK);
        if (threads > 1) ck_assert_mem_eq(first, again, sizeof first);
    }
    free_pair(&a, &b);
}
END_TEST

/* In bands of any height, to the last bit. Wide enough for more than one window's worth of tiles.
 */
static const struct {
    int width, height, channels;
    enum sample_type types[2];
} banded[] = {
    {1500, 420, 3, {SAMPLE_F32, SAMPLE_F32}}, {1500, 277, 1, {SAMPLE_U16, SAMPLE_F32}},
    {1200, 300, 4, {SAMPLE_F32, SAMPLE_U16}}, {200, 161, 2, {SAMPLE_U8, SAMPLE_U8}},
    {1100, 290, 6, {SAMPLE_F32, SAMPLE_F32}}, {90, 140, 3, {SAMPLE_U8, SAMPLE_U8}},
    {170, 5, 3, {SAMPLE_U8, SAMPLE_F32}},
};

static void take_type(struct image *image, enum sample_type type)
{
    struct image typed;
    ck_assert_int_eq(image_convert(&typed, image, type), OK);
    image_free(image);
    *image = typed;
}

static struct image band_of(const struct image *image, int y, int rows)
{
    struct image band = *image;
    band.height = image->height - y < rows ? image->height - y : rows;
    band.data = (char *)image->data + image_bytes(image) / (size_t)image->height * (size_t)y;
    return band;
}

static void score_whole(const struct image *given_a, const struct image *given_b,
                        struct metric_scores *s)
{
    struct image wide_a = {0}, wide_b = {0};
    const struct image *a = given_a, *b = given_b;
    bool alpha = image_has_alpha(a);
    if (alpha) {
        ck_assert_int_eq(image_premultiply(&wide_a, given_a), OK);
        ck_assert_int_eq(image_premultiply(&wide_b, given_b), OK);
        a = &wide_a;
        b = &wide_b;
    }
    double unknown = (double)NAN;
    *s = (struct metric_scores){
        .ms_ssim = unknown, .flip = unknown, .psnr_y = unknown, .ssim_y = unknown};
    ck_assert_int_eq(metric_psnr(a, b, &s->psnr), OK);
    ck_assert_int_eq(metric_ssim(a, b, &s->ssim), OK);
    if (a->width >= METRIC_MS_SSIM_SIDE && a->height >= METRIC_MS_SSIM_SIDE)
        ck_assert_int_eq(metric_ms_ssim(a, b, &s->ms_ssim), OK);
    struct image flat_a = {0}, flat_b = {0};
    if (a->channels > 4) return;
    ck_assert_int_eq(image_over_black(&flat_a, given_a), OK);
    ck_assert_int_eq(image_over_black(&flat_b, given_b), OK);
    ck_assert_int_eq(metric_flip(alpha ? &flat_a : a, alpha ? &flat_b : b, &s->flip, NULL), OK);
    free_pair(&flat_a, &flat_b);
    free_pair(&wide_a, &wide_b);
}

START_TEST(same_bits_in_bands)
{
    const struct golden shape = {
        .width = banded[_i].width, .height = banded[_i].height, .channels = banded[_i].channels};
    static const int bands[] = {1, 37, 1 << 20};
    struct image a, b;
    struct metric_scores whole, scores;
    draw_pair(&shape, &a, &b);
    take_type(&a, banded[_i].types[0]);
    take_type(&b, banded[_i].types[1]);
    score_whole(&a, &b, &whole);
    for (size_t i = 0; i < sizeof bands / sizeof bands[0]; i++) {
        struct metric_scorer *scorer;
        ck_assert_int_eq(metric_scorer_open(&scorer, &a, &b, image_has_alpha(&a)), OK);
        for (int y = 0; y < a.height; y += bands[i]) {
            struct image rows_a = band_of(&a, y, bands[i]), rows_b = band_of(&b, y, bands[i]);
            ck_assert_int_eq(metric_scorer_put(scorer, &rows_a, &rows_b), OK);
        }
        metric_scorer_end(scorer, &scores);
        metric_scorer_close(scorer);
        ck_assert_mem_eq(&whole, &scores, sizeof whole);
    }
    ck_assert(whole.psnr > 5.0 && whole.psnr < 60.0 && whole.ssim < 0.9999);
    free_pair(&a, &b);
}
END_TEST

static struct metric_scores score_rgba(const uint8_t *a, const uint8_t *b, bool alpha)
{
    struct image pictures[2] = {{2, 1, 4, SAMPLE_U8, (void *)(uintptr_t)a},
                                {2, 1, 4, SAMPLE_U8, (void *)(uintptr_t)b}};
    struct metric_scorer *scorer;
    struct metric_scores scores;
    ck_assert_int_eq(metric_scorer_open(&scorer, &pictures[0], &pictures[1], alpha), OK);
    ck_assert_int_eq(metric_scorer_put(scorer, &pictures[0], &pictures[1]), OK);
    metric_scorer_end(scorer, &scores);
    metric_scorer_close(scorer);
    return scores;
}

/* Colours count by how much they are seen; four channels that are not RGBA count as they are. */
START_TEST(what_alpha_hides)
{
    static const uint8_t a[] = {255, 0, 90, 0, 10, 20, 30, 255};
    static const uint8_t b[] = {0, 170, 5, 0, 10, 20, 30, 255};
    static const uint8_t half[] = {0, 170, 5, 0, 110, 20, 30, 51},
                         other[] = {0, 0, 0, 0, 60, 20, 30, 51};
    struct metric_scores hidden = score_rgba(a, b, true), plain = score_rgba(a, b, false);
    ck_assert(isinf(hidden.psnr) && hidden.ssim > 0.999999 && hidden.flip < 1e-6);
    ck_assert(plain.psnr < 12.0 && plain.ssim < 0.9 && isnan(plain.flip));
    /* a fifth of a difference of 50 of 255, in one of eight samples */
    double psnr = score_rgba(half, other, true).psnr;
    ck_assert_double_eq_tol(psnr, 20 * log10(255 / 10.0) + 10 * log10(8), 1e-4);
}
END_TEST

START_TEST(equal_pictures)
{
    struct image a, b;
    draw_pair(&goldens[3], &a, &b);
    double psnr, ssim, ms_ssim, flip;
    ck_assert_int_eq(metric_psnr(&a, &a, &psnr), OK);
    ck_assert_int_eq(metric_ssim(&a, &a, &ssim), OK);
    ck_assert_int_eq(metric_ms_ssim(&a, &a, &ms_ssim), OK);
    ck_assert_int_eq(metric_flip(&a, &a, &flip, NULL), OK);
    ck_assert(isinf(psnr) && psnr > 0.0);
    ASSERT_NEAR(ssim, 1.0, 1e-12);
    ASSERT_NEAR(ms_ssim, 1.0, 1e-6); /* its smaller scales are float */
    ck_assert(flip == 0.0);
    free_pair(&a, &b);
}
END_TEST

/* One step of 16 bits on one of four samples: 10 log10(4 65535^2). */
START_TEST(psnr_of_16_bits_is_exact)
{
    uint16_t p[4] = {0, 65535, 30000, 7}, q[4] = {0, 65535, 30001, 7};
    struct image a = {2, 2, 1, SAMPLE_U16, p}, b = {2, 2, 1, SAMPLE_U16, q};
    double psnr;
    ck_assert_int_eq(metric_psnr(&a, &b, &psnr), OK);
    ASSERT_NEAR(psnr, 10.0 * log10(4.0 * 65535.0 * 65535.0), 1e-9);
}
END_TEST

/* Half a step apart across types; float beyond 0..1 counts as clamped, NaN as 0. */
START_TEST(sample_types_meet)
{
    uint8_t p[3] = {0, 255, 51};
    uint16_t q[3] = {0, 65535, 13107};
    float r[3] = {-3.0f, 2.0f, 0.2f}, s[3] = {NAN, INFINITY, 0.2f};
    struct image u8 = {3, 1, 1, SAMPLE_U8, p}, u16 = {3, 1, 1, SAMPLE_U16, q};
    struct image f32 = {3, 1, 1, SAMPLE_F32, r}, odd = {3, 1, 1, SAMPLE_F32, s};
    const struct image *all[] = {&u16, &f32, &odd};
    for (int i = 0; i < 3; i++) {
        double psnr, ssim, flip;
        ck_assert_int_eq(metric_psnr(&u8, all[i], &psnr), OK);
        ck_assert_int_eq(metric_ssim(&u8, all[i], &ssim), OK);
        ck_assert_int_eq(metric_flip(&u8, all[i], &flip, NULL), OK);
        ck_assert(psnr > 140.0); /* 0.2f is not 51/255 to the last bit */
        ASSERT_NEAR(ssim, 1.0, 1e-9);
        ASSERT_NEAR(flip, 0.0, 1e-3);
    }
}
END_TEST

/* A constant pair has no structure: only the luminance term is left, whatever the window. */
START_TEST(tiny_pictures)
{
    for (int width = 1; width <= 13; width += 3) {
        for (int height = 1; height <= 13; height += 4) {
            struct image a, b;
            ck_assert_int_eq(image_create(&a, width, height, 2, SAMPLE_U8), OK);
            ck_assert_int_eq(image_create(&b, width, height, 2, SAMPLE_U8), OK);
            memset(a.data, 51, image_bytes(&a));
            memset(b.data, 102, image_bytes(&b));
            double ssim, want = (2 * 0.2 * 0.4 + 1e-4) / (0.2 * 0.2 + 0.4 * 0.4 + 1e-4);
            ck_assert_int_eq(metric_ssim(&a, &b, &ssim), OK);
            ASSERT_NEAR(ssim, want, 1e-9);
            free_pair(&a, &b);
        }
    }
}
END_TEST

START_TEST(shapes_that_do_not_fit)
{
    struct image a, b, four;
    double value;
    ck_assert_int_eq(image_create(&a, 160, 200, 3, SAMPLE_U8), OK);
    ck_assert_int_eq(image_create(&b, 200, 160, 3, SAMPLE_U8), OK);
    ck_assert_int_eq(image_create(&four, 20, 20, 4, SAMPLE_U8), OK);
    ck_assert_int_eq(metric_psnr(&a, &b, &value), ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(error_message(), "160x200"));
    ck_assert_int_eq(metric_ssim(&a, &b, &value), ERR_USAGE);
    ck_assert_int_eq(metric_flip(&a, &b, &value, NULL), ERR_USAGE);
    ck_assert_int_eq(metric_ms_ssim(&a, &a, &value), ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(error_message(), "161"));
    ck_assert_int_eq(metric_flip(&four, &four, &value, NULL), ERR_USAGE);
    free_pair(&a, &b);
    image_free(&four);
}
END_TEST

static void cut(struct image *part, const struct image *whole, int x, int y, int width, int height)
{
    size_t pixel = sample_bytes(whole->type) * (size_t)whole->channels;
    MUST(image_create(part, width, height, whole->channels, whole->type));
    for (int i = 0; i < height; i++)
        memcpy((char *)part->data + (size_t)(i * width) * pixel,
               (const char *)whole->data + (size_t)((y + i) * whole->width + x) * pixel,
               (size_t)width * pixel);
}

/* A mask that is grey in a rectangle measures that part: of SSIM the windows with their middles
 * there. */
START_TEST(weights_choose_pixels)
{
    enum { WIDTH = 170, HEIGHT = 300, X = 11, Y = 14, WIDE = 40, HIGH = 250, BAND = 37, REACH = 5 };
    static uint8_t weights[WIDTH * HEIGHT];
    static float map[WIDTH * HEIGHT];
    const struct golden shape = {.width = WIDTH, .height = HEIGHT, .channels = 3};
    struct image a, b, part_a, part_b;
    struct metric_scorer *scorer;
    struct metric_scores scores;
    struct metric_restoration pixels, windows;
    double mean, flip = 0;
    draw_pair(&shape, &a, &b);
    MUST(metric_flip(&a, &b, &mean, map));
    for (int i = 0; i < WIDE * HIGH; i++) {
        int at = (Y + i / WIDE) * WIDTH + X + i % WIDE;
        weights[at] = 77;
        flip += (double)map[at] / (WIDE * HIGH);
    }
    MUST(metric_scorer_open(&scorer, &a, &b, false));
    metric_scorer_weigh(scorer, weights);
    MUST(metric_scorer_add_luma(scorer));
    for (int y = 0; y < HEIGHT; y += BAND) {
        struct image rows_a = band_of(&a, y, BAND), rows_b = band_of(&b, y, BAND);
        MUST(metric_scorer_put(scorer, &rows_a, &rows_b));
    }
    metric_scorer_end(scorer, &scores);
    metric_scorer_close(scorer);
    cut(&part_a, &a, X, Y, WIDE, HIGH);
    cut(&part_b, &b, X, Y, WIDE, HIGH);
    MUST(metric_restoration(&part_a, &part_b, 0, &pixels));
    free_pair(&part_a, &part_b);
    cut(&part_a, &a, X - REACH, Y - REACH, WIDE + 2 * REACH, HIGH + 2 * REACH);
    cut(&part_b, &b, X - REACH, Y - REACH, WIDE + 2 * REACH, HIGH + 2 * REACH);
    MUST(metric_restoration(&part_a, &part_b, 0, &windows));
    ASSERT_NEAR(scores.psnr, pixels.psnr, 1e-9);
    ASSERT_NEAR(scores.ssim, windows.ssim, 1e-9);
    ASSERT_NEAR(scores.psnr_y, pixels.psnr_y, 1e-9);
    ASSERT_NEAR(scores.ssim_y, windows.ssim_y, 1e-9);
    ASSERT_NEAR(scores.flip, flip, 1e-9);
    ck_assert(isnan(scores.ms_ssim)); /* which such a size has without weights */
    free_pair(&part_a, &part_b);
    free_pair(&a, &b);
}
END_TEST

Suite *metrics_suite(void);
Suite *metrics_suite(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tests = tcase_create("metrics");
    tcase_add_loop_test(tests, figures_of_other_programs, 0, GOLDENS);
    tcase_add_test(tests, same_bits_with_any_number_of_threads);
    tcase_add_loop_test(tests, same_bits_in_bands, 0, sizeof banded / sizeof banded[0]);
    tcase_add_test(tests, weights_choose_pixels);
    tcase_add_test(tests, what_alpha_hides);
    tcase_add_test(tests, equal_pictures);
    tcase_add_test(tests, psnr_of_16_bits_is_exact);
    tcase_add_test(tests, sample_types_meet);
    tcase_add_test(tests, tiny_pictures);
    tcase_add_test(tests, shapes_that_do_not_fit);
    suite_add_tcase(suite, tests);
    return suite;
}
