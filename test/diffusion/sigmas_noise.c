/* Levels of noise and normal numbers against diffusers and PyTorch (diffusion_noise_goldens.py). */
#include "diffusion/noise.h"
#include "diffusion/sigmas.h"
#include "test/support.h"

#include <math.h>

struct noise_golden {
    uint64_t seed;
    int count;
    double figures[7]; /* weighted mean, mean of squares, four numbers, the next draw's first */
};

struct schedule_golden {
    int kind;
    double shift;
    int steps, tokens;
    double figures[5]; /* mean, weighted mean, three levels */
};

#include "golden/diffusion_noise.h"

enum {
    NOISES = sizeof noise_goldens / sizeof noise_goldens[0],
    SCHEDULES = sizeof schedule_goldens / sizeof schedule_goldens[0],
};

static void assert_near(double got, double wanted, double tolerance, const char *of, int at)
{
    ck_assert_msg(fabs(got - wanted) <= tolerance, "%s %d: %.9g, not %.9g", of, at, got, wanted);
}

static double weighted(const float *v, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++)
        sum += (double)v[i] * (i * 37 % 64) / 64.0 / n;
    return sum;
}

static double mean(const float *v, int n, int power)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++)
        sum += (power == 2 ? (double)v[i] * (double)v[i] : (double)v[i]) / n;
    return sum;
}

START_TEST(noise_is_that_of_torch)
{
    const struct noise_golden *g = &noise_goldens[_i];
    struct noise_stream stream;
    float *v = malloc((size_t)g->count * sizeof *v);
    ck_assert_ptr_nonnull(v);
    noise_open(&stream, NOISE_TORCH, g->seed);
    MUST(noise_draw(&stream, v, (size_t)g->count));
    const int at[4] = {0, 16 % g->count, g->count / 2 + 3, g->count - 1};
    assert_near(weighted(v, g->count), g->figures[0], 1e-6, "weighted mean", _i);
    assert_near(mean(v, g->count, 2), g->figures[1], 2e-6, "squares", _i);
    for (int k = 0; k < 4; k++)
        assert_near((double)v[at[k]], g->figures[2 + k], 2e-6, "number", at[k]);
    MUST(noise_draw(&stream, v, (size_t)g->count));
    assert_near((double)v[0], g->figures[6], 2e-6, "the next draw", _i);
    free(v);
}
END_TEST

START_TEST(philox_draws_are_normal_and_apart)
{
    enum { N = 65536 };
    static float a[N], b[N], c[N];
    struct noise_stream stream, other;
    noise_open(&stream, NOISE_PHILOX, 1ull << 40);
    noise_open(&other, NOISE_PHILOX, 0);
    MUST(noise_draw(&stream, a, N));
    MUST(noise_draw(&stream, b, N));
    MUST(noise_draw(&other, c, N));
    assert_near(mean(a, N, 1), 0.0, 0.02, "mean", 0);
    assert_near(mean(a, N, 2), 1.0, 0.03, "variance", 0);
    double ab = 0.0, ac = 0.0;
    for (int i = 0; i < N; i++) {
        ab += (double)a[i] * (double)b[i] / N;
        ac += (double)a[i] * (double)c[i] / N;
    }
    assert_near(ab, 0.0, 0.02, "draws", 0);
    assert_near(ac, 0.0, 0.02, "seeds", 0);
    noise_open(&stream, NOISE_PHILOX, 1ull << 40);
    MUST(noise_draw(&stream, c, N));
    ck_assert_int_eq(memcmp(a, c, sizeof a), 0);
}
END_TEST

START_TEST(odd_counts_are_refused)
{
    struct noise_stream stream;
    float v[32] = {0};
    noise_open(&stream, NOISE_TORCH, 1);
    ck_assert_int_eq(noise_draw(&stream, v, 20), ERR_USAGE);
    ck_assert(v[0] == 0.0f);
    MUST(noise_draw(&stream, v, 0));
}
END_TEST

START_TEST(levels_are_those_of_diffusers)
{
    const struct schedule_golden *g = &schedule_goldens[_i];
    struct sigma_schedule schedule = sigma_schedule_of_shift(g->shift);
    float v[64];
    schedule.kind = (enum sigma_shift_kind)g->kind;
    MUST(sigmas_make(v, &schedule, g->steps, g->tokens));
    const int at[3] = {1, g->steps / 2, g->steps - 1};
    ck_assert(v[0] == 1.0f && v[g->steps] == 0.0f);
    assert_near(mean(v, g->steps + 1, 1), g->figures[0], 1e-6, "mean", _i);
    assert_near(weighted(v, g->steps + 1), g->figures[1], 1e-6, "weighted mean", _i);
    for (int k = 0; k < 3; k++)
        assert_near((double)v[at[k]], g->figures[2 + k], 1e-6, "level", at[k]);
}
END_TEST

/* Z-Image-Turbo's: a list that is shifted twice would begin 1 .94754. */
START_TEST(eight_steps_of_turbo)
{
    const struct sigma_schedule schedule = sigma_schedule_of_shift(3.0);
    const double wanted[9] = {1, .95455, .9, .83333, .75, .64286, .5, .3, 0};
    float v[9];
    MUST(sigmas_make(v, &schedule, 8, 1024));
    for (int i = 0; i < 9; i++)
        assert_near((double)v[i], wanted[i], 5e-6, "level", i);
    ck_assert(sigmas_model_time(1.0f) == 0.0f && sigmas_model_time(0.0f) == 1.0f);
}
END_TEST

START_TEST(steps_and_schedules_out_of_range)
{
    struct sigma_schedule schedule = sigma_schedule_of_shift(1.0);
    static float v[SIGMAS_MOST_STEPS + 1];
    MUST(sigmas_make(v, &schedule, SIGMAS_MOST_STEPS, 64));
    ck_assert_int_eq(sigmas_make(v, &schedule, 0, 64), ERR_USAGE);
    ck_assert_int_eq(sigmas_make(v, &schedule, 1000000, 64), ERR_USAGE);
    schedule.shift = 0.01; /* 1 becomes 1.00000095 in float */
    MUST(sigmas_make(v, &schedule, 4, 64));
    ck_assert(v[0] == 1.0f && v[4] == 0.0f);
    schedule.shift = 0.0;
    ck_assert_int_eq(sigmas_make(v, &schedule, 4, 64), ERR_DATA);
    schedule.shift = (double)NAN;
    ck_assert_int_eq(sigmas_make(v, &schedule, 4, 64), ERR_DATA);
    schedule = sigma_schedule_of_shift(1.0);
    schedule.kind = SIGMA_SHIFT_LINEAR;
    schedule.base_shift = schedule.max_shift = -1.0;
    ck_assert_int_eq(sigmas_make(v, &schedule, 4, 64), ERR_DATA);
    schedule = sigma_schedule_of_shift(1.0);
    schedule.kind = SIGMA_SHIFT_EXPONENTIAL;
    MUST(sigmas_make(v, &schedule, 28, 65536)); /* 4096 x 4096 pixels of FLUX.1-dev */
    ck_assert_int_eq(sigmas_make(v, &schedule, 28, 262144), ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(error_message(), "images of 262144 tokens are too large"));
    ck_assert_int_eq(sigmas_make(v, &schedule, 4, INT64_C(1) << 24), ERR_USAGE); /* infinite */
}
END_TEST

START_TEST(strength_says_where_it_begins)
{
    const double strength[7] = {0.01, 0.12, 0.13, 0.3, 0.6, 0.99, 1.0};
    const int first[7] = {7, 7, 6, 5, 3, 0, 0};
    int got;
    for (int i = 0; i < 7; i++) {
        MUST(sigmas_first_step(&got, 8, strength[i]));
        ck_assert_int_eq(got, first[i]);
    }
    const double refused[4] = {0.0, -0.5, 1.5, (double)NAN};
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(sigmas_first_step(&got, 8, refused[i]), ERR_USAGE);
}
END_TEST

START_TEST(kept_pixels_are_the_images)
{
    enum { CHANNELS = 3, N = 16 };
    float x[CHANNELS * N], image[CHANNELS * N], noise[CHANNELS * N], mask[N];
    for (int i = 0; i < CHANNELS * N; i++) {
        x[i] = 9.0f;
        image[i] = (float)i / 7.0f - 3.0f;
        noise[i] = (float)(i * 5 % 11) - 5.0f;
    }
    for (int i = 0; i < N; i++)
        mask[i] = (float)i / (N - 1);
    sigmas_keep_image(x, image, noise, mask, CHANNELS, N, 0.25f);
    for (int i = 0; i < CHANNELS * N; i++)
        assert_near((double)x[i],
                    i % N < 8 ? 0.25 * (double)noise[i] + 0.75 * (double)image[i] : 9.0, 1e-6,
                    "mixed", i);
    sigmas_keep_image(x, image, noise, mask, CHANNELS, N, 0.0f);
    for (int i = 0; i < CHANNELS * N; i++)
        ck_assert(x[i] == (i % N < 8 ? image[i] : 9.0f));
    sigmas_add_noise(x, image, noise, CHANNELS * N, 1.0f);
    for (int i = 0; i < CHANNELS * N; i++)
        ck_assert(x[i] == noise[i]);
}
END_TEST

/* Along its own velocity, noise comes to the image in any number of steps. */
START_TEST(straight_velocity_ends_at_the_image)
{
    const struct sigma_schedule schedule = sigma_schedule_of_shift(3.0);
    float v[9], x[16], velocity[16], without[16];
    for (int i = 0; i < 16; i++) {
        x[i] = (float)i - 8.0f;
        velocity[i] = x[i] - 0.5f;
        without[i] = 1.0f;
    }
    MUST(sigmas_make(v, &schedule, 8, 64));
    for (int i = 0; i < 8; i++)
        sigmas_step(x, velocity, 16, v[i], v[i + 1]);
    for (int i = 0; i < 16; i++)
        assert_near((double)x[i], 0.5, 1e-5, "image", i);
    sigmas_guide(velocity, without, 16, 0.0);
    ck_assert(velocity[15] == 6.5f);
    sigmas_guide(velocity, without, 16, 2.0);
    ck_assert(velocity[15] == 17.5f);
}
END_TEST

Suite *sigmas_noise_suite(void);
Suite *sigmas_noise_suite(void)
{
    Suite *suite = suite_create("sigmas_noise");
    TCase *noise = tcase_create("noise"), *levels = tcase_create("levels");
    tcase_add_loop_test(noise, noise_is_that_of_torch, 0, NOISES);
    tcase_add_test(noise, philox_draws_are_normal_and_apart);
    tcase_add_test(noise, odd_counts_are_refused);
    suite_add_tcase(suite, noise);
    tcase_add_loop_test(levels, levels_are_those_of_diffusers, 0, SCHEDULES);
    tcase_add_test(levels, eight_steps_of_turbo);
    tcase_add_test(levels, steps_and_schedules_out_of_range);
    tcase_add_test(levels, strength_says_where_it_begins);
    tcase_add_test(levels, kept_pixels_are_the_images);
    tcase_add_test(levels, straight_velocity_ends_at_the_image);
    suite_add_tcase(suite, levels);
    return suite;
}
