/* Saving, stacks, converting and resampling. */
#include "test/image/image_folder.h"

/* ---- saving ---- */

static struct image draw(int width, int height, int channels, enum sample_type type)
{
    struct image image;
    ck_assert_int_eq(image_create(&image, width, height, channels, type), OK);
    for (int i = 0; i < width * height * channels; i++) {
        unsigned v = sample_at(i, 3, 1, 16);
        switch (type) {
        case SAMPLE_U8: ((uint8_t *)image.data)[i] = (uint8_t)v; break;
        case SAMPLE_U16: ((uint16_t *)image.data)[i] = (uint16_t)v; break;
        case SAMPLE_F32: ((float *)image.data)[i] = (float)v / 16384.0f - 1.0f; break;
        }
    }
    return image;
}

/* Lossless formats give back every bit, by every name that can hold the image. */
START_TEST(lossless_round_trips)
{
    static const struct {
        const char *name;
        int channels;
        enum sample_type type;
    } cases[] = {
        {"a.png", 1, SAMPLE_U8},  {"a.png", 2, SAMPLE_U16}, {"a.PNG", 3, SAMPLE_U16},
        {"a.png", 4, SAMPLE_U8},  {"a.ppm", 3, SAMPLE_U8},  {"a.ppm", 3, SAMPLE_U16},
        {"a.pgm", 1, SAMPLE_U16}, {"a.pnm", 1, SAMPLE_U8},  {"a.pnm", 4, SAMPLE_U16},
        {"a.pnm", 7, SAMPLE_U8},  {"a.pfm", 1, SAMPLE_F32}, {"a.pfm", 3, SAMPLE_F32},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct image image = draw(13, 7, cases[i].channels, cases[i].type), back;
        const char *path = in_folder(cases[i].name);
        ck_assert_msg(image_save(&image, path) == OK, "%s", error_message());
        ck_assert_msg(image_load(&back, path) == OK, "%s", error_message());
        assert_shape(&back, 13, 7, cases[i].channels, cases[i].type);
        ck_assert_mem_eq(back.data, image.data, image_bytes(&image));
        image_free(&image);
        image_free(&back);
    }
}
END_TEST

/* Float is rounded, alpha lies over black. */
START_TEST(saving_converts)
{
    float rgba[8] = {1.0f, 0.5f, -2.0f, 0.5f, 9.0f, 0.4f, 0.6f, 1.0f};
    struct image image = {2, 1, 4, SAMPLE_F32, rgba}, back;
    static const int png[8] = {255, 128, 0, 128, 255, 102, 153, 255};
    ck_assert_int_eq(image_save(&image, in_folder("f.png")), OK);
    ck_assert_int_eq(image_load(&back, in_folder("f.png")), OK);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(((uint8_t *)back.data)[i], png[i]);
    image_free(&back);
    uint8_t grey[64 * 2];
    for (int i = 0; i < 64; i++)
        grey[2 * i] = 200, grey[2 * i + 1] = 127;
    struct image veiled = {8, 8, 2, SAMPLE_U8, grey};
    ck_assert_int_eq(image_save(&veiled, in_folder("g.jpeg")), OK);
    ck_assert_int_eq(image_load(&back, in_folder("g.jpeg")), OK);
    assert_shape(&back, 8, 8, 1, SAMPLE_U8);
    ck_assert_int_le(abs(((uint8_t *)back.data)[20] - 100), 1);
    image_free(&back);
}
END_TEST

START_TEST(saving_refuses)
{
    struct image image = draw(3, 3, 5, SAMPLE_U8);
    static const char *const names[] = {"a.png", "a.jpg", "a.ppm", "a.pgm",
                                        "a.pfm", "a.gif", "png"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ck_assert_int_eq(image_save(&image, in_folder(names[i])), ERR_USAGE);
        ck_assert_ptr_nonnull(strstr(error_message(), names[i]));
        ck_assert(!file_exists(in_folder(names[i])));
    }
    ck_assert_int_eq(image_save(&image, in_folder("none/a.pnm")), ERR_OUTPUT);
    image_free(&image);
}
END_TEST

/* ---- stacks ---- */

START_TEST(stacks)
{
    struct image colour = draw(5, 4, 3, SAMPLE_U8), height = draw(5, 4, 1, SAMPLE_U16), stack;
    ck_assert_int_eq(image_save(&height, in_folder("b.png")), OK);
    ck_assert_int_eq(image_save(&colour, in_folder("a.png")), OK);
    ck_assert_int_eq(file_atomic_write_whole(in_folder("notes.txt"), "hi", 2, false), OK);
    ck_assert_int_eq(file_atomic_write_whole(in_folder(".hidden.png"), "hi", 2, false), OK);
    ck_assert_msg(image_load_stack(&stack, folder) == OK, "%s", error_message());
    assert_shape(&stack, 5, 4, 4, SAMPLE_U16);
    for (int i = 0; i < 20; i++) {
        const uint16_t *pixel = (uint16_t *)stack.data + 4 * i;
        for (int c = 0; c < 3; c++)
            ck_assert_int_eq(pixel[c], ((uint8_t *)colour.data)[3 * i + c] * 257);
        ck_assert_int_eq(pixel[3], ((uint16_t *)height.data)[i]);
    }
    image_free(&stack);
    image_free(&height);
    height = draw(4, 5, 1, SAMPLE_U8);
    ck_assert_int_eq(image_save(&height, in_folder("c.pgm")), OK);
    ck_assert_int_eq(image_load_stack(&stack, folder), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "c.pgm is 4x5"));
    image_free(&colour);
    image_free(&height);
}
END_TEST

START_TEST(stacks_missing)
{
    struct image stack;
    ck_assert_int_eq(image_load_stack(&stack, folder), ERR_DATA);
    ck_assert_int_eq(image_load_stack(&stack, in_folder("none")), ERR_INPUT);
    ck_assert_ptr_null(stack.data);
}
END_TEST

/* ---- converting and resampling ---- */

START_TEST(conversions)
{
    struct image eight, sixteen, real, back;
    ck_assert_int_eq(image_create(&eight, 256, 1, 1, SAMPLE_U8), OK);
    for (int i = 0; i < 256; i++)
        ((uint8_t *)eight.data)[i] = (uint8_t)i;
    ck_assert_int_eq(image_convert(&sixteen, &eight, SAMPLE_U16), OK);
    ck_assert_int_eq(image_convert(&real, &sixteen, SAMPLE_F32), OK);
    ck_assert_int_eq(image_convert(&back, &real, SAMPLE_U8), OK);
    for (int i = 0; i < 256; i++) {
        ck_assert_int_eq(((uint16_t *)sixteen.data)[i], i * 257);
        ck_assert(fabs((double)((float *)real.data)[i] - i / 255.0) <= 1e-7);
    }
    ck_assert_mem_eq(back.data, eight.data, 256);
    image_free(&back);
    float odd[4] = {NAN, -INFINITY, INFINITY, 0.5f};
    struct image wild = {4, 1, 1, SAMPLE_F32, odd};
    ck_assert_int_eq(image_convert(&back, &wild, SAMPLE_U8), OK);
    ck_assert_mem_eq(back.data, "\0\0\377\200", 4);
    image_free(&back);
    image_free(&eight);
    image_free(&sixteen);
    image_free(&real);
}
END_TEST

/* Weight of input j in output i: overlap of intervals, or Catmull-Rom in its textbook form (Hermite
 * pieces with central differences), not as the code has it. */
static double reference_weight(int i, int j, int in, int out)
{
    double scale = (double)in / out;
    if (in > out) return fmax(0.0, fmin((i + 1) * scale, j + 1.0) - fmax(i * scale, j)) / scale;
    double at = (i + 0.5) * scale - 0.5, t = at - floor(at), weight = 0.0;
    double basis[4] = {(-t + 2 * t * t - t * t * t) / 2, (2 - 5 * t * t + 3 * t * t * t) / 2,
                       (t + 4 * t * t - 3 * t * t * t) / 2, (t * t * t - t * t) / 2};
    for (int k = 0; k < 4; k++) {
        int tap = (int)floor(at) - 1 + k;
        tap = tap < 0 ? 0 : tap >= in ? in - 1 : tap;
        if (tap == j) weight += basis[k];
    }
    return weight;
}

static double reference_sample(const struct image *in, int width, int height, int x, int y, int c)
{
    double sum = 0.0, opaque = 0.0;
    bool alpha = image_has_alpha(in);
    for (int j = 0; j < in->height; j++) {
        for (int i = 0; i < in->width; i++) {
            double w = reference_weight(x, i, in->width, width) *
                       reference_weight(y, j, in->height, height);
            size_t pixel = (size_t)(j * in->width + i) * (size_t)in->channels;
            double a = alpha ? (double)image_sample(in, pixel + (size_t)in->channels - 1) : 1.0;
            if (c == in->channels - 1 && alpha) a = 1.0;
            sum += w * a * (double)image_sample(in, pixel + (size_t)c);
            opaque += w * a;
        }
    }
    double v = alpha && c < in->channels - 1 ? (opaque > 0.0 ? sum / opaque : 0.0) : sum;
    return in->type == SAMPLE_F32 ? v : fmin(fmax(v, 0.0), 1.0);
}

START_TEST(resampling)
{
    static const int sizes[][2] = {{5, 4}, {26, 23}, {5, 30}, {13, 1}, {1, 1}, {14, 11}};
    for (int channels = 1; channels <= 5; channels++) {
        struct image in = draw(13, 11, channels, _i ? SAMPLE_U16 : SAMPLE_U8), out;
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            int width = sizes[s][0], height = sizes[s][1];
            ck_assert_int_eq(image_resize(&out, &in, width, height), OK);
            assert_shape(&out, width, height, channels, in.type);
            for (int i = 0; i < width * height * channels; i++) {
                double want = reference_sample(&in, width, height, i / channels % width,
                                               i / channels / width, i % channels);
                double got = (double)image_sample(&out, (size_t)i);
                ck_assert_msg(fabs(got - want) <= (_i ? 0.52 / 65535 : 0.501 / 255),
                              "%dx%d [%d]: %g, not %g", width, height, i, got, want);
            }
            image_free(&out);
        }
        image_free(&in);
    }
}
END_TEST

/* Colour below zero opacity does not bleed; float keeps values beyond 1. */
START_TEST(resampling_of_odd_values)
{
    uint8_t two[8] = {10, 20, 30, 255, 250, 250, 250, 0};
    struct image pair = {2, 1, 4, SAMPLE_U8, two}, out;
    ck_assert_int_eq(image_resize(&out, &pair, 1, 1), OK);
    ck_assert_mem_eq(out.data, "\12\24\36\200", 4);
    image_free(&out);
    float hdr[2] = {3.0f, 5.0f};
    struct image bright = {2, 1, 1, SAMPLE_F32, hdr};
    ck_assert_int_eq(image_resize(&out, &bright, 1, 1), OK);
    ck_assert(((float *)out.data)[0] == 4.0f);
    image_free(&out);
    ck_assert_int_eq(image_resize(&out, &bright, 0, 5), ERR_DATA);
}
END_TEST

Suite *image_convert_suite(void);
Suite *image_convert_suite(void)
{
    Suite *suite = suite_create("image_convert");
    TCase *tests = tcase_create("image");
    tcase_add_checked_fixture(tests, folder_make, folder_remove);
    tcase_add_test(tests, lossless_round_trips);
    tcase_add_test(tests, saving_converts);
    tcase_add_test(tests, saving_refuses);
    tcase_add_test(tests, stacks);
    tcase_add_test(tests, stacks_missing);
    tcase_add_test(tests, conversions);
    tcase_add_loop_test(tests, resampling, 0, 2);
    tcase_add_test(tests, resampling_of_odd_values);
    suite_add_tcase(suite, tests);
    return suite;
}
