/* The stages that make images worse: numbers of scripts/reference/sr_degrade_goldens.py. */
#include "math/portable.h"
#include "sr/degrade/degrade.h"
#include "sr/degrade/degrade_weigh.h"
#include "test/support.h"

#include <jpeglib.h>
#include <math.h>
#include <string.h>

struct kernel_golden {
    double of[7]; /* shape, size, sigma_x, sigma_y, angle, beta, omega */
    double figures[6];
    double blurred[6];
};

struct resize_golden {
    int mode, w, h, out_w, out_h;
    double figures[6];
};

#include "golden/sr_degrade.h"

enum {
    KERNELS = sizeof kernel_goldens / sizeof kernel_goldens[0],
    SIZES = sizeof resize_goldens / sizeof resize_goldens[0],
};

static float *floats(size_t count)
{
    float *memory = malloc(count * sizeof *memory);
    ck_assert_ptr_nonnull(memory);
    for (size_t i = 0; i < count; i++)
        memory[i] = NAN; /* nothing is read before it is written */
    return memory;
}

static float *drawn(int w, int h)
{
    float *image = floats((size_t)w * (size_t)h * 3);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < 3; c++)
                image[(y * w + x) * 3 + c] =
                    (float)((x * x * 7 + y * y * 13 + x * y * 5 + c * 101) % 256) / 255.0f;
    return image;
}

static void assert_figures(const float *sample, int n, const double *wanted, double tolerance,
                           const char *of)
{
    double mean = 0.0, squares = 0.0;
    for (int i = 0; i < n; i++) {
        mean += (double)sample[i] * (i * 37 % 64) / 64.0 / n;
        squares += (double)sample[i] * (double)sample[i] / n;
    }
    const double got[6] = {mean,
                           squares,
                           (double)sample[0],
                           (double)sample[n / 3],
                           (double)sample[n / 2],
                           (double)sample[n - 1]};
    for (int i = 0; i < 6; i++)
        ck_assert_msg(fabs(got[i] - wanted[i]) <= tolerance, "%s, figure %d: %.9g, not %.9g", of, i,
                      got[i], wanted[i]);
}

START_TEST(kernels_and_blur)
{
    const struct kernel_golden *g = &kernel_goldens[_i];
    const struct degrade_kernel of = {(enum degrade_shape)g->of[0],
                                      (int)g->of[1],
                                      g->of[2],
                                      g->of[3],
                                      g->of[4],
                                      g->of[5],
                                      g->of[6]};
    float kernel[DEGRADE_KERNEL_SIDE * DEGRADE_KERNEL_SIDE];
    degrade_kernel_make(kernel, &of);
    assert_figures(kernel, of.size * of.size, g->figures, 1e-6, "kernel");
    float *image = drawn(26, 23), *out = floats(26 * 23 * 3);
    float *memory = floats(degrade_blur_floats(26, of.size));
    degrade_blur(out, image, 26, 23, kernel, of.size, memory);
    assert_figures(out, 26 * 23 * 3, g->blurred, 3e-6, "blurred");
    free(out);
    free(image);
    free(memory);
}
END_TEST

START_TEST(sharpening)
{
    float *image = drawn(40, 34), *memory = floats(degrade_sharpen_floats(40, 34, 51));
    degrade_sharpen(image, 40, 34, 51, memory);
    assert_figures(image, 40 * 34 * 3, sharpened, 3e-6, "sharpened");
    free(image);
    free(memory);
}
END_TEST

/* What vectors sum up is what the plain loop does, to the bit. */
START_TEST(weighted_sums)
{
    float in[2000], weights[63], out[700], wanted[700];
    for (int i = 0; i < 2000; i++)
        in[i] = (float)(i * 7919 % 1009) / 1009.0f;
    for (int i = 0; i < 63; i++)
        weights[i] = (float)(i * 31 % 17 - 8) / 13.0f;
    for (size_t n = 1; n < 700; n += 23)
        for (int count = 1; count <= 21; count += 5)
            for (int add = 0; add < 2; add++) {
                memcpy(out, in + 900, sizeof out);
                memcpy(wanted, in + 900, sizeof wanted);
                for (size_t k = 0; k < n; k++) {
                    float sum = add ? wanted[k] : 0.0f;
                    for (size_t t = 0; t < (size_t)count; t++)
                        sum += weights[t] * in[3 * t + k];
                    wanted[k] = sum;
                }
                degrade_weigh(out, in, 3, weights, count, n, add);
                ck_assert_mem_eq(out, wanted, sizeof out);
            }
}
END_TEST

START_TEST(thick_lines)
{
    enum { W = 17, H = 11 };
    float *image = drawn(W, H), *thick = drawn(W, H),
          *memory = floats(degrade_thicken_floats(W, H));
    degrade_thicken(thick, W, H, memory);
    for (int i = 0; i < W * H * 3; i++) {
        int x = i / 3 % W, y = i / 3 / W;
        float least = 2;
        for (int v = y - 1; v <= y + 1; v++)
            for (int u = x - 1; u <= x + 1; u++)
                if (u >= 0 && v >= 0 && u < W && v < H && image[(v * W + u) * 3 + i % 3] < least)
                    least = image[(v * W + u) * 3 + i % 3];
        ck_assert(thick[i] == 0.75f * image[i] + 0.25f * least);
    }
    free(image);
    free(thick);
    free(memory);
}
END_TEST

START_TEST(sizes)
{
    const struct resize_golden *g = &resize_goldens[_i];
    float *image = drawn(g->w, g->h), *out = floats((size_t)(g->out_w * g->out_h) * 3);
    float *memory = floats(degrade_resize_floats(g->w, g->h, g->out_w));
    degrade_resize(out, g->out_w, g->out_h, image, g->w, g->h, (enum degrade_resize)g->mode,
                   memory);
    assert_figures(out, g->out_w * g->out_h * 3, g->figures, 1e-5, "resized");
    free(image);
    free(out);
    free(memory);
}
END_TEST

/* As both, one after the other; lines whose kernel reaches beyond the border too. */
START_TEST(blurred_and_reduced_at_once)
{
    static const struct degrade_kernel kernels[] = {{DEGRADE_GAUSSIAN, 21, 2.5, 2.5, 0, 0, 0},
                                                    {DEGRADE_GAUSSIAN, 13, 0.6, 2.9, 0.7, 0, 0},
                                                    {DEGRADE_PLATEAU, 7, 1.2, 2.1, -1, 1.5, 0},
                                                    {DEGRADE_SINC, 15, 0, 0, 0, 0, 2.1},
                                                    {DEGRADE_GAUSSIAN, 9, 0.2, 0.2, 0, 0, 0}};
    static const int smaller[][2] = {{37, 41}, {20, 31}, {9, 6}, {5, 40}}; /* of 37 x 41 */
    enum { W = 37, H = 41, MOST = 63 };
    int mode = _i % 5, done = 0;
    for (size_t i = 0; i < 20; i++) {
        const struct degrade_kernel *of = &kernels[i % 5];
        int out_w = smaller[i / 5][0], out_h = smaller[i / 5][1], side = of->size;
        float *image = drawn(W, H), *blurred = drawn(W, H), kernel[MOST * MOST];
        float *out = floats((size_t)(out_w * out_h) * 3), *other = floats((size_t)(W * H) * 3);
        float *memory = floats(degrade_blur_resize_floats(W, out_w, side));
        float *memory2 = floats(degrade_blur_floats(W, side) + degrade_resize_floats(W, H, out_w));
        degrade_kernel_make(kernel, of);
        degrade_blur(blurred, image, W, H, kernel, side, memory2);
        degrade_resize(other, out_w, out_h, blurred, W, H, (enum degrade_resize)mode, memory2);
        if (degrade_blur_resize(out, out_w, out_h, image, W, H, kernel, side,
                                (enum degrade_resize)mode, memory)) {
            for (int k = 0; k < out_w * out_h * 3; k++)
                ck_assert(fabs((double)out[k] - (double)other[k]) <= 1e-6);
            done++;
        }
        free(image);
        free(blurred);
        free(out);
        free(other);
        free(memory);
        free(memory2);
    }
    ck_assert_int_ge(done, 8); /* others cannot be taken apart */
}
END_TEST

/* ---- noise: its statistics within 1 % ---- */

enum { SIDE = 512, SAMPLES = SIDE * SIDE * 3 };

/* Levels 40 .. 167 at places that have no pattern: 128 of them. */
static float *grains(void)
{
    float *image = floats(SAMPLES);
    for (uint32_t i = 0; i < SAMPLES; i++)
        image[i] = (float)(40 + (i * 2654435761u >> 25)) / 255.0f;
    return image;
}

static void near(double got, double wanted, double tolerance, const char *of)
{
    ck_assert_msg(fabs(got - wanted) <= tolerance, "%s: %g, not %g", of, got, wanted);
}

START_TEST(gaussian_noise)
{
    const double sigma = 20.0 / 255.0;
    const struct degrade_draws draws = {7, 3, 5}, next = {7, 4, 5};
    float *image = floats(SAMPLES), *again = floats(SAMPLES), *other = floats(SAMPLES);
    for (int i = 0; i < SAMPLES; i++)
        image[i] = again[i] = other[i] = 0.5f;
    degrade_gaussian_noise(image, SIDE, SIDE, sigma, _i, &draws);
    degrade_gaussian_noise(again, SIDE, SIDE, sigma, _i, &draws);
    degrade_gaussian_noise(other, SIDE, SIDE, sigma, _i, &next);
    ck_assert_mem_eq(image, again, SAMPLES * sizeof *image);
    double sum = 0, squares = 0, fourth = 0, beside = 0, channels = 0, steps = 0;
    for (int i = 0; i < SAMPLES; i++) {
        double v = ((double)image[i] - 0.5) / sigma;
        sum += v / SAMPLES;
        squares += v * v / SAMPLES;
        fourth += v * v * v * v / SAMPLES;
        beside += v * ((double)image[(i + 3) % SAMPLES] - 0.5) / sigma / SAMPLES;
        channels += v * ((double)image[i / 3 * 3 + (i + 1) % 3] - 0.5) / sigma / SAMPLES;
        steps += v * ((double)other[i] - 0.5) / sigma / SAMPLES;
    }
    near(sum, 0.0, 0.01, "mean");
    near(sqrt(squares), 1.0, 0.01, "deviation");
    near(fourth, 3.0, 0.05, "fourth moment");
    near(beside, 0.0, 0.01, "correlation of neighbours");
    near(channels, _i ? 1.0 : 0.0, 0.01, "correlation of channels");
    near(steps, 0.0, 0.01, "correlation of steps");
    free(image);
    free(again);
    free(other);
}
END_TEST

START_TEST(poisson_noise)
{
    const struct degrade_draws draws = {7, 3, 5};
    struct degrade_poisson *poisson = malloc(degrade_poisson_bytes());
    ck_assert_ptr_nonnull(poisson);
    float *clean = grains(), *image = grains();
    if (_i) /* grey images, so that luma has their levels */
        for (int i = 0; i < SAMPLES; i++)
            clean[i] = image[i] = image[i / 3 * 3];
    degrade_poisson_noise(poisson, image, SIDE, SIDE, 0.5, _i, &draws);
    double sum = 0, squares = 0, expected = 0, channels = 0;
    for (int i = 0; i < SAMPLES; i++) {
        double v = ((double)image[i] - (double)clean[i]) / 0.5;
        int k = i / 3 * 3 + (i + 1) % 3;
        sum += v / SAMPLES;
        squares += v * v / SAMPLES;
        expected += (double)clean[i] / 128.0 / SAMPLES;
        channels += v * ((double)image[k] - (double)clean[k]) / 0.5 / SAMPLES;
    }
    near(sum / sqrt(expected), 0.0, 0.01, "mean");
    near(squares / expected, 1.0, 0.01, "variance");
    near(channels / expected, _i ? 1.0 : 0.0, 0.01, "correlation of channels");
    free(poisson);
    free(clean);
    free(image);
}
END_TEST

/* ---- JPEG: the bytes of libjpeg with nothing said but the quality, as cjpeg writes them ---- */

static unsigned long plain_jpeg(const struct image *image, int quality, unsigned char **data)
{
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    unsigned long count = 0;
    *data = NULL;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, data, &count);
    info.image_width = (JDIMENSION)image->width;
    info.image_height = (JDIMENSION)image->height;
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, TRUE);
    jpeg_start_compress(&info, TRUE);
    for (int y = 0; y < image->height; y++) {
        JSAMPROW line = (uint8_t *)image->data + (size_t)y * (size_t)image->width * 3;
        jpeg_write_scanlines(&info, &line, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    return count;
}

START_TEST(jpeg)
{
    static const int qualities[] = {30, 61, 90, 95, 100};
    float *image = drawn(37, 29);
    struct image real = {37, 29, 3, SAMPLE_F32, image}, bytes, back;
    unsigned char *plain;
    uint8_t *ours;
    size_t count;
    MUST(image_convert(&bytes, &real, SAMPLE_U8));
    unsigned long plain_count = plain_jpeg(&bytes, qualities[_i], &plain);
    MUST(image_encode_jpeg_halved(&bytes, qualities[_i], &ours, &count));
    ck_assert_uint_eq(count, plain_count);
    ck_assert_mem_eq(ours, plain, count);
    MUST(image_decode(&back, plain, plain_count, "plain"));
    MUST(degrade_jpeg(image, 37, 29, qualities[_i]));
    for (size_t i = 0; i < 37 * 29 * 3; i++)
        ck_assert(image[i] == image_sample(&back, i));
    image_free(&bytes);
    image_free(&back);
    free(plain);
    free(ours);
    free(image);
}
END_TEST

static void assert_close(double got, double wanted, double x, const char *of)
{
    ck_assert_msg(fabs(got - wanted) <= 2e-14 * fmax(1.0, fabs(wanted)),
                  "%s(%.17g): %.17g, not %.17g", of, x, got, wanted);
}

START_TEST(functions)
{
    for (int i = -2000; i <= 2000; i++) {
        double x = i * 0.01, u = i * 0.3;
        ck_assert(fabs(portable_exp(u) / exp(u) - 1.0) <= 2e-14);
        assert_close(portable_sin(x), sin(x), x, "sin");
        assert_close(portable_cos(x), cos(x), x, "cos");
        if (i <= 0) continue;
        assert_close(portable_log(x * x), log(x * x), x, "log");
        ck_assert(fabs(portable_pow(x, 2.7) / pow(x, 2.7) - 1.0) <= 2e-14);
        ck_assert(fabs(portable_bessel_j1(7.0 * x) - j1(7.0 * x)) <= 1e-13);
        ck_assert(fabs(portable_bessel_j1(0.001 * x) - j1(0.001 * x)) <= 1e-15);
    }
    ck_assert(portable_pow(0.0, 0.5) == 0.0 && portable_exp(-1e9) == 0.0);
    ck_assert(portable_bessel_j1(0.0) == 0.0);
}
END_TEST

Suite *sr_degrade_test_suite(void);
Suite *sr_degrade_test_suite(void)
{
    Suite *suite = suite_create("sr_degrade_test");
    TCase *tests = tcase_create("degrade");
    tcase_add_loop_test(tests, kernels_and_blur, 0, KERNELS);
    tcase_add_test(tests, sharpening);
    tcase_add_test(tests, weighted_sums);
    tcase_add_test(tests, thick_lines);
    tcase_add_loop_test(tests, sizes, 0, SIZES);
    tcase_add_loop_test(tests, blurred_and_reduced_at_once, 0, 5);
    tcase_add_loop_test(tests, gaussian_noise, 0, 2);
    tcase_add_loop_test(tests, poisson_noise, 0, 2);
    tcase_add_loop_test(tests, jpeg, 0, 5);
    tcase_add_test(tests, functions);
    suite_add_tcase(suite, tests);
    return suite;
}
