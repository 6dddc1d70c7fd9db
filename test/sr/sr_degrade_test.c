/* The stages that make images worse: numbers of scripts/reference/sr_degrade_goldens.py. */
#include "math/portable.h"
#include "sr/degrade.h"
#include "test/support.h"

#include <math.h>

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
    float *image = drawn(26, 23), *memory = floats(degrade_blur_floats(26, 23, of.size));
    degrade_blur(image, image, 26, 23, kernel, of.size, memory);
    assert_figures(image, 26 * 23 * 3, g->blurred, 3e-6, "blurred");
    free(image);
    free(memory);
}
END_TEST

START_TEST(sizes)
{
    const struct resize_golden *g = &resize_goldens[_i];
    float *image = drawn(g->w, g->h), *out = floats((size_t)(g->out_w * g->out_h) * 3);
    float *memory = floats(degrade_resize_floats(g->w, g->h, g->out_w, g->out_h));
    degrade_resize(out, g->out_w, g->out_h, image, g->w, g->h, (enum degrade_resize)g->mode,
                   memory);
    assert_figures(out, g->out_w * g->out_h * 3, g->figures, 1e-5, "resized");
    free(image);
    free(out);
    free(memory);
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
    tcase_add_loop_test(tests, sizes, 0, SIZES);
    tcase_add_test(tests, functions);
    suite_add_tcase(suite, tests);
    return suite;
}
