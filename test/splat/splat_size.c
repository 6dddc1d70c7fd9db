/* A fit whose training size changes: the Gaussians stay where they are in the image, numbers and
 * images are of the full size, and a resumed fit does the same. */
#include "base/random.h"
#include "memory/mode.h"
#include "memory/plan.h"
#include "metrics/image_metrics.h"
#include "splat/render.h"
#include "splat/size.h"
#include "splat/splat_schedule.h"
#include "test/splat/splat_run.h"

#include <signal.h>
#include <sys/resource.h>

enum { COUNT = 40 };

static double uniform(int i, int k)
{
    struct philox4 draw = philox_draw(11, STREAM_TEST, (uint64_t)i, (uint64_t)k);
    return (double)philox_uniform(draw.v[0]);
}

/* Long, turned Gaussians at 48x35. */
static void scatter(struct splat_model *model, struct splat_host *host, float *memory,
                    bool sigma_scale)
{
    *model = (struct splat_model){.width = 48,
                                  .height = 35,
                                  .channels = 3,
                                  .count = COUNT,
                                  .capacity = COUNT,
                                  .sigma_scale = sigma_scale,
                                  .blend = {10, false},
                                  .gamma = 1,
                                  .sample_bits = 8};
    memset(host, 0, sizeof *host);
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        int values = COUNT * splat_group_columns(model, g);
        model->group[g] = host->group[g] = memory;
        for (int i = 0; i < values; i++) {
            double u = uniform(i, g);
            double sigma = i % 2 ? 0.6 + u : 2 + 6 * u;
            *memory++ = (float)(g == SPLAT_SCALE ? (sigma_scale ? sigma : 1 / sigma)
                                : g == SPLAT_ROT ? 7 * u - 3.5
                                                 : u);
        }
    }
    host->first[SPLAT_SCALE] = memory;
    host->second[SPLAT_SCALE] = memory + 2 * COUNT;
    for (int i = 0; i < 4 * COUNT; i++)
        memory[i] = (float)(uniform(i, 9) + 0.1);
}

static const struct carry {
    bool sigma_scale;
    int width, height;
    double most; /* of a sample of 0..1 */
} carries[] = {
    {false, 96, 70, 1e-4}, /* the same shape */
    {true, 96, 70, 1e-4},
    {false, 61, 45, 0.03}, /* 1.2 % */
    {true, 61, 45, 0.03},
};

START_TEST(carried_gaussians_look_the_same)
{
    const struct carry *c = &carries[_i];
    struct splat_model model, carried;
    struct splat_host host;
    float memory[14 * COUNT], before[6 * COUNT];
    struct image expected, got;
    scatter(&model, &host, memory, c->sigma_scale);
    const struct splat_window window = {c->width, c->height, 0, 0, c->width, c->height};
    ck_assert_int_eq(splat_render_image(device, &model, NULL, NULL, &window, SAMPLE_F32, &expected),
                     0);
    memcpy(before, host.group[SPLAT_SCALE], 2 * COUNT * sizeof(float));
    memcpy(before + 2 * COUNT, host.first[SPLAT_SCALE], 4 * COUNT * sizeof(float));
    carried = model;
    carried.width = c->width;
    carried.height = c->height;
    splat_size_carry(&host, &carried, &model, 0.01f, 1000);
    ck_assert_int_eq(splat_render_image(device, &carried, NULL, NULL, &window, SAMPLE_F32, &got),
                     0);
    double most = 0;
    for (int i = 0; i < c->width * c->height * 3; i++)
        most =
            fmax(most, fabs((double)((float *)expected.data)[i] - (double)((float *)got.data)[i]));
    ck_assert_msg(!!(most <= c->most), "they differ by %g", most);
    for (int i = 0; i < 2 * COUNT; i++) { /* a gradient times its parameter has no unit */
        double ratio = (double)(host.group[SPLAT_SCALE][i] / before[i]);
        double wanted = c->sigma_scale ? c->width / 48.0 : 48.0 / c->width;
        ck_assert(!!(fabs(ratio / wanted - 1) <= 0.04));
        double m = (double)(host.first[SPLAT_SCALE][i] / before[2 * COUNT + i]) * ratio;
        double v = (double)(host.second[SPLAT_SCALE][i] / before[4 * COUNT + i]) * ratio * ratio;
        ck_assert_msg(!!(fabs(m - 1) <= 1e-5) && !!(fabs(v - 1) <= 1e-5), "%d: %g, %g", i, m, v);
    }
    image_free(&expected);
    image_free(&got);
}
END_TEST

START_TEST(sigmas_are_clamped_in_the_new_pixels)
{
    struct splat_model model, small;
    struct splat_host host;
    float memory[14 * COUNT];
    scatter(&model, &host, memory, true);
    small = model;
    small.width = 12;
    small.height = 9;
    splat_size_carry(&host, &small, &model, 0.3f, 2);
    bool least = false;
    for (int i = 0; i < 2 * COUNT; i++) {
        float sigma = host.group[SPLAT_SCALE][i];
        ck_assert(sigma >= 0.3f && sigma <= 2);
        if (sigma <= 0.3f) least = true;
    }
    ck_assert(least);
}
END_TEST

/* ---- a fit ---- */

static void change(struct task_state *state, int size)
{
    struct memory_mode mode = *task_splat.mode(state);
    struct memory_need need;
    mode.work.size = size;
    ck_assert_int_eq(task_splat.need(state, &mode, &need), 0);
    ck_assert_msg(task_splat.replan(state, &mode) == 0, "%s", error_message());
    ck_assert_uint_eq(need.device_bytes, plan_device_bytes(task_splat.plan(state)));
    ck_assert_int_eq(task_splat.mode(state)->work.size, size);
}

static double psnr_of_picture(struct task_state *state)
{
    struct image target, final;
    const char *file = in_folder("final.png");
    double psnr;
    ck_assert_msg(task_splat.write_final(state, file) == 0, "%s", error_message());
    ck_assert_int_eq(image_load(&target, path), 0);
    ck_assert_int_eq(image_load(&final, file), 0);
    ck_assert_int_eq(metric_psnr(&target, &final, &psnr), 0);
    image_free(&target);
    image_free(&final);
    return psnr;
}

static const struct mode {
    const char *config;
    double psnr; /* at least, at the end; measured 3 dB above */
} ways[] = {
    {"", 38},
    {"disable_inverse_scale: true\n", 38},
    {"quantize: true\n", 38},
    {"downsample: true\ndownsample_ratio: 1.25\n", 28},
};

/* 60 steps at the full size, 60 at 32 pixels, 60 at 48, 70 at the full size again. */
START_TEST(learns_at_any_size)
{
    draw("a.png", 3, SAMPLE_U8);
    struct config *config = configure(ways[_i].config);
    struct task_state *state = open_state(config, NULL);
    struct task_report report = {0};
    int full = task_splat.mode(state)->work.size, from = 0;
    const int sizes[] = {full, 32, 48, full}, until[] = {60, 120, 180, 250};
    double before = 0;
    for (int i = 0; i < 4; i++) {
        if (i) change(state, sizes[i]);
        ck_assert_uint_eq(plan_device_bytes(task_splat.plan(state)), device->used_bytes);
        double now = psnr_of_picture(state);
        /* what does not fit into coarser pixels is lost, otherwise nothing is */
        if (i) ck_assert_msg(now > before - (i == 1 ? 2 : 0.2), "%.2f dB, then %.2f", before, now);
        train(state, from, until[i], &report);
        from = until[i];
        before = psnr_of_picture(state);
        double told = metric(&report, "psnr"); /* before the file's 8 bits */
        ck_assert_msg(!!(fabs(before - told) <= 0.7), "%.2f dB told, %.2f dB seen", told, before);
    }
    ck_assert_msg(!!(before >= ways[_i].psnr), "%.2f dB", before);
    task_splat.close(state);
    config_free(config);
}
END_TEST

/* Changed at steps 20 and 40; stopped at any other. */
static void train_with_changes(struct task_state *state, int from, int to)
{
    struct task_report report;
    for (int step = from; step < to; step++) {
        if (step == 20) change(state, 32);
        if (step == 40) change(state, 61);
        train(state, step, step + 1, &report);
    }
}

START_TEST(resumes_over_changes)
{
    draw("a.png", 3, SAMPLE_U8);
    struct config *config = configure("max_steps: 60\neval_steps: 7\n");
    int at = 2 + 4 * _i;
    expect_resumes(config, at, train_with_changes);
    struct store_file *middle;
    ck_assert_int_eq(store_open(&middle, in_folder("middle.safetensors")), 0);
    struct task_state *resumed = open_state(config, middle);
    ck_assert_int_eq(task_splat.mode(resumed)->work.size, at > 20 && at <= 40 ? 32 : 61);
    store_close(middle);
    task_splat.close(resumed);
    config_free(config);
}
END_TEST

/* No room for the scaled image: what is saved then is at the new size all the same. */
START_TEST(a_change_that_fails_leaves_a_sound_state)
{
    draw("a.png", 3, SAMPLE_U8);
    struct config *config = configure("");
    struct task_state *state = NULL, *sound = open_state(config, NULL);
    struct task_setup setup = {.config = config, .device = device, .spill_dir = folder};
    struct task_report report = {0};
    ck_assert_msg(task_splat.open(&state, &setup) == 0, "%s", error_message());
    train(state, 0, 20, &report);
    train(sound, 0, 20, &report);
    change(sound, 32);
    struct memory_mode mode = *task_splat.mode(state);
    mode.work.size = 32;
    struct rlimit before, none;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = before;
    none.rlim_cur = 16;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    int code = task_splat.replan(state, &mode);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_lt(code, 0);
    struct store_file *expected = checkpoint(sound, "expected"), *got = checkpoint(state, "got");
    expect_equal(expected, got, 20);
    store_close(expected);
    store_close(got);
    task_splat.close(sound);
    task_splat.close(state);
    config_free(config);
}
END_TEST

/* A model that is saved while the fit is small is one of the whole image. */
START_TEST(models_are_of_the_whole_picture)
{
    draw("a.png", 3, SAMPLE_U8);
    struct config *config = configure("max_steps: 60\n");
    struct task_state *state = open_state(config, NULL);
    struct task_report report = {0};
    struct splat_model model;
    struct image expected, got;
    train(state, 0, 30, &report);
    change(state, 32);
    train(state, 30, 60, &report);
    ck_assert_int_eq(task_splat.image(state, 0, &expected), 0);
    struct store_writer *writer = store_writer_create();
    const char *file = in_folder("model.safetensors");
    ck_assert_int_eq(task_splat.save_model(state, writer), 0);
    ck_assert_int_eq(store_set(writer, "task", "splat"), 0);
    ck_assert_int_eq(store_write(writer, file, false), 0);
    store_writer_free(writer);
    struct store_file *stored;
    ck_assert_int_eq(store_open(&stored, file), 0);
    ck_assert_int_eq(splat_model_describe(&model, stored), 0);
    ck_assert_int_eq(model.width, WIDTH);
    ck_assert_int_eq(model.height, HEIGHT);
    float memory[250 * 9], *at = memory;
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        model.group[g] = at;
        at += model.count * splat_group_columns(&model, g);
    }
    ck_assert_int_eq(splat_model_read(&model, stored, true, model.group), 0);
    struct splat_window window = splat_window_whole(&model);
    ck_assert_int_eq(splat_render_image(device, &model, NULL, NULL, &window, SAMPLE_U8, &got), 0);
    int most = 0;
    for (int i = 0; i < WIDTH * HEIGHT * 3; i++) {
        int d = abs(((uint8_t *)expected.data)[i] - ((uint8_t *)got.data)[i]);
        if (d > most) most = d;
    }
    ck_assert_msg(most <= 3, "the model's picture differs by %d", most);
    store_close(stored);
    image_free(&expected);
    image_free(&got);
    task_splat.close(state);
    config_free(config);
}
END_TEST

START_TEST(sizes_have_a_pixel_for_each_gaussian)
{
    draw("a.png", 3, SAMPLE_U8);
    struct config *config = configure("memory.grow: true\nmemory.max_size: 47\n");
    struct task_state *state = open_state(config, NULL);
    struct memory_growth growth;
    task_splat.growth(state, &growth);
    ck_assert_int_eq(growth.size.now, 32);   /* max_size, in steps of 16 */
    ck_assert_int_eq(growth.size.floor, 32); /* 16 x 12 pixels are less than 250 */
    ck_assert_int_eq(growth.size.most, 61);
    ck_assert_int_eq(growth.size.multiple, 16);
    ck_assert_int_eq(growth.batch.most, 0);
    task_splat.close(state);
    config_free(config);
}
END_TEST

START_TEST(the_plateau_begins_anew)
{
    struct config *config;
    char *words[] = {"lr_end=1"}; /* by the plateau rule, not along a cosine */
    ck_assert_int_eq(config_load_text(&config, "test", "", 0, 1, words), 0);
    struct splat_schedule s;
    splat_schedule_init(&s);
    for (int step = 100; step <= 1500; step += 100)
        splat_schedule_update(&s, &config->splat, step, 0, 30, 0.9);
    ck_assert_int_eq((int)s.decays, 1);
    splat_schedule_resize(&s, false); /* smaller, and worse: no plateau of 30 dB is waited for */
    splat_schedule_update(&s, &config->splat, 1600, 0, 25, 0.8);
    ck_assert_int_eq((int)s.last_gain, 1600);
    ck_assert_int_eq((int)s.decays, 1);
    splat_schedule_resize(&s, true);
    ck_assert_int_eq((int)s.decays, 0);
    ck_assert(s.factor >= 1);
    config_free(config);
}
END_TEST

Suite *splat_size_suite(void);
Suite *splat_size_suite(void)
{
    Suite *suite = suite_create("splat_size");
    TCase *tests = tcase_create("size");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, carried_gaussians_look_the_same, 0,
                        (int)(sizeof carries / sizeof carries[0]));
    tcase_add_test(tests, sigmas_are_clamped_in_the_new_pixels);
    tcase_add_loop_test(tests, learns_at_any_size, 0, (int)(sizeof ways / sizeof ways[0]));
    tcase_add_loop_test(tests, resumes_over_changes, 0, 14);
    tcase_add_test(tests, a_change_that_fails_leaves_a_sound_state);
    tcase_add_test(tests, models_are_of_the_whole_picture);
    tcase_add_test(tests, sizes_have_a_pixel_for_each_gaussian);
    tcase_add_test(tests, the_plateau_begins_anew);
    suite_add_tcase(suite, tests);
    return suite;
}
