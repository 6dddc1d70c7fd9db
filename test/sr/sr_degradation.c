/* Degradations as a whole: what is drawn, that it is the same again, and how much memory it takes.
 */
#include "config/config.h"
#include "sr/degrade/degradation.h"
#include "test/support.h"

#include <math.h>
#include <string.h>

static struct degrade_choices choices_of(int count, const char **overrides)
{
    struct config *config;
    struct degrade_choices choices;
    char *all[32] = {"task=sr", "data_mode=otf"};
    for (int i = 0; i < count; i++)
        all[2 + i] = (char *)(size_t)overrides[i];
    MUST(config_load(&config, NULL, 2 + count, all));
    MUST(degrade_choices_of(&choices, config));
    config_free(config);
    return choices;
}

static void within(double value, double low, double high)
{
    ck_assert_msg(value >= low && value <= high, "%g is outside %g..%g", value, low, high);
}

/* Of many, everything lies in its range, and comes as often as its probability says. */
START_TEST(draws)
{
    enum { COUNT = 4000 };
    const char *keys[] = {"scale=4",
                          "lq_usm=true",
                          "lq_usm_radius_range=[3,25]",
                          "thicklines_prob=0.25",
                          "jpeg_prob2=0.5",
                          "kernel_range=[7,21]"};
    const struct degrade_choices choices = choices_of(6, keys);
    double blurred = 0, up = 0, down = 0, sinc = 0, grey = 0, thick = 0, jpeg = 0, after = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        struct degrade_recipe r, again;
        degrade_recipe_draw(&r, &choices, 9, i / 16, i % 16);
        degrade_recipe_draw(&again, &choices, 9, i / 16, i % 16);
        ck_assert_double_eq(r.round[0].factor, again.round[0].factor);
        ck_assert_int_eq(r.round[1].quality, again.round[1].quality);
        within(r.usm, 3, 25);
        ck_assert_int_eq(r.usm % 2, 1);
        within(r.x, 0, DEGRADE_SHIFTS - 1);
        within(degrade_recipe_margin(&r, 4), DEGRADE_SHIFTS / 2 + 1, DEGRADE_MARGIN);
        ck_assert(r.round[0].blur && !r.paired);
        ck_assert_int_eq(r.noise.field, i % 16 * 2);
        for (int k = 0; k < 2; k++) {
            const struct degrade_round *round = &r.round[k];
            within(round->kernel.size, 7, 21);
            ck_assert_int_eq(round->kernel.size % 2, 1);
            within(round->factor, k ? 0.3 : 0.15, k ? 1.2 : 1.5);
            within(round->amount, round->gaussian ? 1 / 255.0 : 0.05,
                   round->gaussian ? (k ? 25 : 30) / 255.0 : (k ? 2.5 : 3));
            if (round->quality || k == 0) within(round->quality, 30, 95);
            if (round->kernel.shape == DEGRADE_SINC)
                within(round->kernel.omega, 3.14159 / 5, 3.1416);
            else
                within(round->kernel.sigma_x, 0.2, k ? 1.5 : 3);
        }
        blurred += r.round[1].blur;
        up += r.round[0].factor > 1;
        down += r.round[0].factor < 1;
        sinc += r.round[0].kernel.shape == DEGRADE_SINC;
        grey += r.round[1].grey;
        thick += r.thick;
        jpeg += r.round[1].quality > 0;
        after += r.jpeg_last;
    }
    within(blurred / COUNT, 0.78, 0.82);
    within(up / COUNT, 0.18, 0.22);
    within(down / COUNT, 0.68, 0.72);
    within(sinc / COUNT, 0.085, 0.115);
    within(grey / COUNT, 0.38, 0.42);
    within(thick / COUNT, 0.23, 0.27);
    within(jpeg / COUNT, 0.48, 0.52);
    within(after / COUNT, 0.48, 0.52);
}
END_TEST

/* Another seed, step or patch is another draw. */
START_TEST(draws_differ)
{
    const struct degrade_choices choices = choices_of(0, NULL);
    struct degrade_recipe r[4];
    degrade_recipe_draw(&r[0], &choices, 1, 2, 3);
    degrade_recipe_draw(&r[1], &choices, 2, 2, 3);
    degrade_recipe_draw(&r[2], &choices, 1, 3, 3);
    degrade_recipe_draw(&r[3], &choices, 1, 2, 4);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            ck_assert_double_ne(r[i].last_kernel.omega, r[k].last_kernel.omega);
}
END_TEST

static void draw_window(float *gt, size_t count)
{
    for (size_t i = 0; i < count; i++)
        gt[i] = (float)((i * i * 7 + i * 101) / 64 % 256) / 255.0f;
}

/* What memory held before counts nothing, and nothing is written behind it. */
START_TEST(memory)
{
    static const struct {
        int w, h, scale;
    } sizes[] = {{72, 72, 4}, {66, 71, 1}, {5, 9, 2}, {1, 1, 4}, {65, 1, 3}, {80, 70, 2}};
    int w = sizes[_i].w, h = sizes[_i].h;
    char scale[32];
    snprintf(scale, sizeof scale, "scale=%d", sizes[_i].scale);
    const char *keys[] = {scale,
                          "lq_usm=true",
                          "thicklines_prob=0.3",
                          "resize_range=[0.05,2]",
                          "resize_mode_list=[lanczos,nearest-exact]",
                          "resize_mode_prob=[1,1]"};
    const struct degrade_choices choices = choices_of(6, keys);
    size_t bytes = degrade_window_bytes(&choices, w, h);
    size_t count = (size_t)(w * h * sizes[_i].scale * sizes[_i].scale) * 3;
    unsigned char *first = malloc(bytes + 64), *second = malloc(bytes + 64);
    ck_assert(first && second);
    for (uint32_t i = 0; i < 24; i++) {
        struct degrade_recipe recipe;
        const float *a, *b;
        degrade_recipe_draw(&recipe, &choices, 3, 0, i);
        memset(first, 0xFF, bytes);
        memset(second, 0x00, bytes);
        memset(first + bytes, 0xA5, 64);
        draw_window((float *)first, count);
        draw_window((float *)second, count);
        MUST(degrade_window(&a, first, w, h, &choices, &recipe));
        MUST(degrade_window(&b, second, w, h, &choices, &recipe));
        ck_assert_mem_eq(a, b, (size_t)(w * h) * 3 * sizeof *a);
        for (int k = 0; k < w * h * 3; k++)
            ck_assert(a[k] >= 0 && a[k] <= 1 && fabsf(roundf(a[k] * 255) - a[k] * 255) <= 1e-4f);
        for (int k = 0; k < 64; k++)
            ck_assert_int_eq(first[bytes + (size_t)k], 0xA5);
    }
    free(first);
    free(second);
}
END_TEST

/* "Reducing" by a range that lies above 1 makes a window larger. */
START_TEST(memory_of_factors_above_1)
{
    enum { SIDE = 256 };
    const char *keys[] = {"scale=1", "resize_prob=[0,1,0]", "resize_range=[2,4]"};
    const struct degrade_choices choices = choices_of(3, keys);
    size_t bytes = degrade_window_bytes(&choices, SIDE, SIDE), largest = 0;
    float *window = malloc(bytes);
    ck_assert_ptr_nonnull(window);
    for (uint32_t i = 0; i < 16; i++) {
        struct degrade_recipe recipe;
        degrade_recipe_draw(&recipe, &choices, 3, 0, i);
        size_t side = (size_t)(SIDE * recipe.round[0].factor);
        if (side > largest) largest = side;
        if (2 * 3 * sizeof(float) * side * side > bytes || i > 0) continue;
        const float *lq;
        draw_window(window, (size_t)SIDE * SIDE * 3);
        MUST(degrade_window(&lq, window, SIDE, SIDE, &choices, &recipe));
    }
    ck_assert_uint_gt(largest, SIDE * 3 / 2);
    ck_assert_uint_ge(bytes, 2 * 3 * sizeof(float) * largest * largest);
    free(window);
}
END_TEST

/* With nothing asked for, an image of the same size comes back but for its rounding. */
START_TEST(nothing)
{
    const char *keys[] = {"scale=1",
                          "blur_prob=0",
                          "blur_prob2=0",
                          "resize_prob=[0,0,1]",
                          "resize_prob2=[0,0,1]",
                          "noise_range=[0,0]",
                          "noise_range2=[0,0]",
                          "poisson_scale_range=[0,0]",
                          "poisson_scale_range2=[0,0]",
                          "jpeg_prob=0",
                          "jpeg_prob2=0",
                          "final_sinc_prob=0"};
    const struct degrade_choices choices = choices_of(12, keys);
    struct degrade_recipe recipe;
    float *window = malloc(degrade_window_bytes(&choices, 30, 20)), gt[30 * 20 * 3];
    const float *lq;
    draw_window(gt, 30 * 20 * 3);
    memcpy(window, gt, sizeof gt);
    degrade_recipe_draw(&recipe, &choices, 1, 0, 0);
    MUST(degrade_window(&lq, window, 30, 20, &choices, &recipe));
    for (int i = 0; i < 30 * 20 * 3; i++)
        ck_assert(fabsf(lq[i] - gt[i]) <= 1e-6f);
    free(window);
}
END_TEST

START_TEST(wrong_keys)
{
    static const struct {
        const char *key, *said;
    } cases[] = {
        {"kernel_prob=[1,2]", "kernel_prob: expected 6 numbers"},
        {"kernel_prob2=[0,0,0,0,0,0]", "kernel_prob2: all are 0"},
        {"resize_prob=[1,2]", "resize_prob: expected 3 numbers"},
        {"blur_sigma=[3,1]", "blur_sigma: expected two numbers"},
        {"jpeg_range2=[30]", "jpeg_range2: expected two numbers"},
        {"kernel_range=[8,8]", "kernel_range: there is no odd number"},
        {"final_kernel_range=[9]", "final_kernel_range: expected two whole"},
        {"resize_mode_list3=[area]", "resize_mode_prob3: expected 1 numbers"},
        {"lq_usm_radius_range=[9,3]", "lq_usm_radius_range: expected two whole"},
    };
    struct config *config;
    struct degrade_choices choices;
    char *overrides[] = {"task=sr", (char *)(size_t)cases[_i].key};
    MUST(config_load(&config, NULL, 2, overrides));
    ck_assert_int_eq(degrade_choices_of(&choices, config), ERR_CONFIG);
    ck_assert_msg(strstr(error_message(), cases[_i].said), "said: %s", error_message());
    config_free(config);
}
END_TEST

Suite *sr_degradation_suite(void);
Suite *sr_degradation_suite(void)
{
    Suite *suite = suite_create("sr_degradation");
    TCase *tests = tcase_create("degradation");
    tcase_add_test(tests, draws);
    tcase_add_test(tests, draws_differ);
    tcase_add_loop_test(tests, memory, 0, 6);
    tcase_add_test(tests, memory_of_factors_above_1);
    tcase_add_test(tests, nothing);
    tcase_add_loop_test(tests, wrong_keys, 0, 9);
    suite_add_tcase(suite, tests);
    return suite;
}
