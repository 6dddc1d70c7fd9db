/* MATLAB's imresize: numbers of another program (scripts/reference/sr_resize_goldens.py); whole and
 * row by row, any threads: the same bits. */
#include "base/threads.h"
#include "image/rows.h"
#include "test/support.h"

#include <math.h>

struct golden {
    int width, height, channels, up, down, out_width, out_height;
    double figures[6];
};

static const struct golden goldens[] = {
#include "golden/sr_resize.h"
};

enum { GOLDENS = sizeof goldens / sizeof goldens[0] };

static struct image drawn(int width, int height, int channels, enum sample_type type)
{
    struct image bytes, image;
    MUST(image_create(&bytes, width, height, channels, SAMPLE_U8));
    uint8_t *to = bytes.data;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                *to++ = (uint8_t)((x * x * 7 + y * y * 13 + x * y * 5 + c * 101 + x / 3 % 2 * 120 +
                                   y / 4 % 2 * 60) %
                                  256);
    MUST(image_convert(&image, &bytes, type));
    image_free(&bytes);
    return image;
}

START_TEST(agrees_with_matlab)
{
    const struct golden *g = &goldens[_i];
    struct image in = drawn(g->width, g->height, g->channels, SAMPLE_F32), out;
    MUST(image_resize_bicubic(&out, &in, (double)g->up / g->down));
    ck_assert_int_eq(out.width, g->out_width);
    ck_assert_int_eq(out.height, g->out_height);
    ck_assert_int_eq(out.channels, g->channels);
    int n = out.width * out.height * out.channels;
    const float *sample = out.data;
    double mean = 0.0, squares = 0.0;
    for (int i = 0; i < n; i++) {
        mean += (double)sample[i] * (i * 37 % 64) / 64.0 / n;
        squares += (double)sample[i] * (double)sample[i] / n;
    }
    const double got[6] = {mean,
                           squares,
                           (double)sample[0],
                           (double)sample[n / 3],
                           (double)sample[n > 3 ? n / 2 + 1 : 0],
                           (double)sample[n - 1]};
    for (int i = 0; i < 6; i++)
        ck_assert_msg(fabs(got[i] - g->figures[i]) <= 1e-6, "figure %d: %.9g, not %.9g", i, got[i],
                      g->figures[i]);
    image_free(&in);
    image_free(&out);
}
END_TEST

/* 8 bits are those of the float result, rounded once and cut. */
START_TEST(rounds_once)
{
    static const enum sample_type types[] = {SAMPLE_U8, SAMPLE_U16};
    for (int t = 0; t < 2; t++) {
        struct image in = drawn(23, 19, 3, types[t]), real, out, want;
        double top = t ? 65535.0 : 255.0, scale = _i ? 3.0 : 1.0 / 3.0;
        MUST(image_convert(&real, &in, SAMPLE_F32));
        MUST(image_resize_bicubic(&out, &in, scale));
        MUST(image_resize_bicubic(&want, &real, scale));
        ck_assert_int_eq(out.type, types[t]);
        for (int i = 0; i < out.width * out.height * 3; i++) {
            double v = fmin(fmax((double)((float *)want.data)[i], 0.0), 1.0) * top;
            double got = t ? ((uint16_t *)out.data)[i] : ((uint8_t *)out.data)[i];
            ck_assert_msg(fabs(got - v) <= (t ? 0.51 : 0.5001), "%d: %g, not %g", i, got, v);
        }
        image_free(&in);
        image_free(&real);
        image_free(&out);
        image_free(&want);
    }
}
END_TEST

/* Flat images stay flat to the last bit, to their corners: no shift, nothing from beyond. */
START_TEST(flat_stays_flat)
{
    static const double scales[] = {0.5, 1.0 / 3.0, 0.25, 0.125, 2.0, 3.0, 4.0, 1.7, 0.61};
    for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++)
        for (int level = 0; level <= 255; level += 51) {
            struct image in, out;
            MUST(image_create(&in, 37, 23, 3, SAMPLE_U8));
            memset(in.data, level, image_bytes(&in));
            MUST(image_resize_bicubic(&out, &in, scales[s]));
            for (size_t i = 0; i < image_bytes(&out); i++)
                ck_assert_int_eq(((uint8_t *)out.data)[i], level);
            image_free(&in);
            image_free(&out);
        }
}
END_TEST

START_TEST(row_by_row_is_the_same)
{
    static const double scales[] = {0.5, 0.25, 1.0 / 3.0, 0.02, 2.0, 1.3};
    struct image in = drawn(61, 803, 3, SAMPLE_U8), whole, rows;
    for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++) {
        threads_set(1);
        MUST(image_resize_bicubic(&whole, &in, scales[s]));
        threads_set(3);
        struct image_scaler *scaler;
        struct image_sink sink = image_collector(&rows);
        MUST(image_scaler_open_bicubic(&scaler, &in, scales[s], &sink));
        for (int y = 0; y < in.height;) {
            struct image band = in;
            band.height = y % 7 + 1 < in.height - y ? y % 7 + 1 : in.height - y;
            band.data = (uint8_t *)in.data + (size_t)y * 61 * 3;
            MUST(image_scaler_put(scaler, &band));
            y += band.height;
        }
        image_scaler_close(scaler);
        ck_assert_int_eq(rows.width, whole.width);
        ck_assert_int_eq(rows.height, whole.height);
        ck_assert_mem_eq(rows.data, whole.data, image_bytes(&whole));
        image_free(&whole);
        image_free(&rows);
    }
    image_free(&in);
}
END_TEST

START_TEST(refuses_sizes)
{
    static const double scales[] = {0.0, -1.0, 1e-30, 1e30, (double)NAN, (double)INFINITY};
    struct image in = drawn(5, 4, 3, SAMPLE_U8), out;
    for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++)
        ck_assert_int_eq(image_resize_bicubic(&out, &in, scales[s]), ERR_DATA);
    MUST(image_resize_bicubic(&out, &in, 1.0 / IMAGE_MAX_SIDE));
    ck_assert(out.width == 1 && out.height == 1);
    image_free(&in);
    image_free(&out);
}
END_TEST

Suite *image_bicubic_suite(void);
Suite *image_bicubic_suite(void)
{
    Suite *suite = suite_create("image_bicubic");
    TCase *tests = tcase_create("bicubic");
    tcase_add_loop_test(tests, agrees_with_matlab, 0, GOLDENS);
    tcase_add_loop_test(tests, rounds_once, 0, 2);
    tcase_add_test(tests, flat_stays_flat);
    tcase_add_test(tests, row_by_row_is_the_same);
    tcase_add_test(tests, refuses_sizes);
    suite_add_tcase(suite, tests);
    return suite;
}
