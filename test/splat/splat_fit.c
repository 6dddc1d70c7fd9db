/* The task splat as the training loop sees it: it fits what it is given, stays within bounds, and
 * goes on from a checkpoint as if it had never stopped. */
#include "device/splat_ops.h"
#include "image/image.h"
#include "metrics/image_metrics.h"
#include "splat/model.h"
#include "splat/render.h"
#include "splat/splat_schedule.h"
#include "test/splat/splat_run.h"

#include <check.h>
#include <math.h>
#include <stdatomic.h>

/* ---- every kind of image and model learns ---- */

static const struct kind {
    const char *file;
    int channels;
    enum sample_type type;
    double psnr; /* at least; measured 3 dB above */
    const char *config;
} kinds[] = {
    {"a.png", 3, SAMPLE_U8, 45, ""},
    {"a.png", 3, SAMPLE_U8, 45, "topk: 0\n"},
    {"a.png", 3, SAMPLE_U8, 40, "topk: 3\ndisable_prog_optim: true\n"},
    {"a.png", 3, SAMPLE_U8, 36, "disable_topk_norm: true\n"},
    {"a.png", 3, SAMPLE_U8, 40, "disable_inverse_scale: true\ninit_mode: random\n"},
    {"a.png", 3, SAMPLE_U8, 44, "quantize: true\npos_bits: 10\nscale_bits: 8\nrot_bits: 6\n"},
    {"a.png", 1, SAMPLE_U16, 46, "gamma: 2.2\n"},
    {"a.png", 4, SAMPLE_U8, 40, ""},
    {"a.png", 2, SAMPLE_U16, 41, ""},
    {"a.pfm", 3, SAMPLE_F32, 40, "l1_loss_ratio: 1\nl2_loss_ratio: 0\nssim_loss_ratio: 0.1\n"},
    {"a.png", 3, SAMPLE_U8, 36, "downsample: true\ninit_scale: 2\n"},
};

START_TEST(fits_every_kind)
{
    const struct kind *kind = &kinds[_i];
    draw(kind->file, kind->channels, kind->type);
    struct config *config = configure(kind->config);
    struct task_state *state = open_state(config, NULL);
    struct task_report report = {0};
    train(state, 0, 250, &report);
    double psnr = metric(&report, "psnr");
    ck_assert_msg(!!(psnr >= kind->psnr), "%s %s: %.2f dB", kind->file, kind->config, psnr);
    ck_assert_int_eq((int)metric(&report, "gaussians"), 250);

    struct image target, final;
    ck_assert_int_eq(image_load(&target, path), 0);
    const char *final_path = in_folder("final.png");
    ck_assert_msg(task_splat.write_final(state, final_path) == 0, "%s", error_message());
    ck_assert_int_eq(image_load(&final, final_path), 0);
    ck_assert_int_eq(final.width, WIDTH);
    ck_assert_int_eq(final.height, HEIGHT);
    ck_assert_int_eq(final.channels, kind->channels);
    ck_assert_int_eq(final.type, kind->type == SAMPLE_U8 ? SAMPLE_U8 : SAMPLE_U16);
    double measured;
    ck_assert_int_eq(metric_psnr(&target, &final, &measured), 0);
    bool alpha = image_has_alpha(&target); /* measured with colours multiplied by alpha */
    /* the file has samples rounded to 8 bits: an error that comes on top */
    double rounding = kind->type == SAMPLE_U8 ? 1 / (12 * 255.0 * 255.0) : 0;
    psnr = -10 * log10(pow(10, -psnr / 10) + rounding);
    /* beyond 50 dB most errors are below half of its steps, which it takes away */
    double tolerance = psnr > 50 ? 0.7 : 0.1;
    ck_assert_msg(alpha || !!(fabs(measured - psnr) <= tolerance),
                  "%.3f dB reported, %.3f in the file", psnr, measured);
    image_free(&target);
    image_free(&final);
    task_splat.close(state);
    config_free(config);
}
END_TEST

/* ---- resume ---- */

START_TEST(resumes_bit_by_bit)
{
    draw("a.png", 3, SAMPLE_U8);
    struct config *config = configure(_i % 2 ? "max_steps: 60\neval_steps: 7\nrelocate_every: 5\n"
                                               "quantize: true\n"
                                             : "max_steps: 60\neval_steps: 7\nrelocate_every: 5\n");
    expect_resumes(config, 1 + _i * 3, train_on); /* around growth and relocation */
    config_free(config);
}
END_TEST

/* ---- a stop within a step ---- */

enum { STOP_STEPS = 40 };

static atomic_int asked,
    stop_from; /* how often was asked; from when on the answer is yes; 0: never */

static bool stop_wanted(void)
{
    int now = ++asked;
    return stop_from && now >= stop_from;
}

static int save_as(struct task_state *state, const char *name, int steps)
{
    char to[600];
    struct store_writer *writer = store_writer_create();
    snprintf(to, sizeof to, "%s/%s", folder, name);
    int code = task_splat.save(state, writer);
    if (code == OK) code = store_set_int(writer, "step", steps);
    if (code == OK) code = store_write(writer, to, false);
    store_writer_free(writer);
    return code;
}

static bool same_as_unbroken(void)
{
    char command[600];
    snprintf(command, sizeof command, "cd '%s' && cmp -s unbroken ended", folder);
    return system(command) == 0;
}

/* Step `step` is stopped when it asks for the from-th time; what there is is saved and gone on
 * from. */
static bool stop_step(const struct config *config, int step, int from, int *pending)
{
    struct task_report report = {0};
    struct store_file *file;
    char part[600];
    struct task_state *state = open_state(config, NULL);
    train_on(state, 0, step);
    asked = 0;
    stop_from = from;
    int code = task_splat.step(state, step, true, &report);
    bool stopped = asked >= from;
    stop_from = 0;
    ck_assert_msg(code == (stopped && !report.pending ? ERR_STOPPED : OK), "step %d, %d: %s", step,
                  from, error_message());
    int done = step + (code == OK);
    *pending += report.pending;
    ck_assert_int_eq(save_as(state, "part", done), OK);
    task_splat.close(state);
    snprintf(part, sizeof part, "%s/part", folder);
    ck_assert_int_eq(store_open(&file, part), OK);
    state = open_state(config, file);
    store_close(file);
    if (report.pending) {
        ck_assert_int_eq(task_splat.complete(state, &report), OK);
        ck_assert(!report.pending && isfinite(report.loss) && isfinite(metric(&report, "psnr")));
    }
    for (; done < STOP_STEPS; done++)
        ck_assert_int_eq(task_splat.step(state, done, true, &report), OK);
    ck_assert_int_eq(save_as(state, "ended", STOP_STEPS), OK);
    task_splat.close(state);
    return stopped;
}

/* Of growth (every 4 steps), relocation (every 5 after it) and the plateau rule (every 7). */
static const int stopped_steps[] = {0, 4, 6, 16, 20, 25, 27};

/* A checkpoint says whether there are weights and axes: those of versions without them go on so,
 * under a config that has them. */
START_TEST(old_checkpoints_go_on_as_they_began)
{
    enum { MIDDLE = 25, END = 40 };
    const char *common = "max_steps: 40\nrelocate_every: 5\nadd_steps: 4\n";
    char text[256];
    draw("a.png", 3, SAMPLE_U8);
    snprintf(text, sizeof text, "%s%s", common, _i ? "" : "weight_lr: 0\naxes: false\n");
    struct config *first = configure(text);
    snprintf(text, sizeof text, "%s%s", common, _i ? "weight_lr: 0\naxes: false\n" : "");
    struct config *second = configure(text);
    struct task_report report = {0};
    struct task_state *whole = open_state(first, NULL);
    train(whole, 0, MIDDLE, &report);
    struct store_file *middle = checkpoint(whole, "middle");
    ck_assert((store_find(middle, "adam.axes") != NULL) == (_i > 0));
    ck_assert((store_find(middle, "weight") != NULL) == (_i > 0));
    struct task_state *resumed = open_state(second, middle);
    if (!_i) { /* the rate of weights is the config's */
        train(whole, MIDDLE, END, &report);
        train(resumed, MIDDLE, END, &report);
    }
    struct store_file *expected = checkpoint(whole, "expected");
    struct store_file *got = checkpoint(resumed, "got");
    expect_equal(expected, got, MIDDLE);
    store_close(middle);
    store_close(expected);
    store_close(got);
    task_splat.close(whole);
    task_splat.close(resumed);
    config_free(first);
    config_free(second);
}
END_TEST

/* Files written for Image-GS give both of these rates; its models have no weights. */
START_TEST(files_for_image_gs_have_neither_weights_nor_axes)
{
    static const struct {
        const char *keys;
        bool both;
    } files[] = {{"", true},
                 {"pos_lr: 5.0e-4\nscale_lr: 2.0e-3\n", false},
                 {"pos_lr: 5.0e-4\n", true},
                 {"pos_lr: 5.0e-4\nscale_lr: 2.0e-3\nweight_lr: 0.1\naxes: true\n", true}};
    draw("a.png", 3, SAMPLE_U8);
    struct config *config = configure(files[_i].keys);
    struct task_state *state = open_state(config, NULL);
    struct store_file *file = checkpoint(state, "first");
    ck_assert((store_find(file, "weight") != NULL) == files[_i].both);
    ck_assert((store_find(file, "adam.axes") != NULL) == files[_i].both);
    store_close(file);
    task_splat.close(state);
    config_free(config);
}
END_TEST

START_TEST(a_stop_within_a_step_changes_no_bit)
{
    int stops = 0, pending = 0;
    draw("a.png", 3, SAMPLE_U8);
    struct config *config = configure("max_steps: 40\neval_steps: 7\nrelocate_every: 5\n"
                                      "relocate_until: 1\nlr_end: 1\ncheck_decay_steps: 3\n");
    struct task_report report;
    struct task_state *state = open_state(config, NULL);
    for (int step = 0; step < STOP_STEPS; step++)
        ck_assert_int_eq(task_splat.step(state, step, true, &report), OK);
    ck_assert_int_eq(save_as(state, "unbroken", STOP_STEPS), OK);
    task_splat.close(state);
    device->stop_requested = stop_wanted;
    for (int from = 1; stop_step(config, stopped_steps[_i], from, &pending); from += 2, stops++)
        ck_assert_msg(same_as_unbroken(), "stopped in step %d at %d", stopped_steps[_i], from);
    ck_assert_msg(stops >= 3 && pending >= 1 && pending < stops, "%d stops, %d of measurements",
                  stops, pending);
    config_free(config);
}
END_TEST

/* ---- bounds ---- */

START_TEST(wild_rates_stay_within_bounds)
{
    draw("a.png", 3, SAMPLE_U8);
    struct config *config = configure("scale_lr: 5\npos_lr: 1\nrot_lr: 5\nfeat_lr: 1\n");
    struct task_state *state = open_state(config, NULL);
    struct task_report report = {0};
    train(state, 0, 60, &report);
    struct store_file *file = checkpoint(state, "wild");
    const struct store_tensor *xy = store_find(file, "xy"), *scale = store_find(file, "scale");
    for (size_t i = 0; i < xy->bytes / sizeof(float); i++) {
        float p = ((const float *)xy->data)[i], s = ((const float *)scale->data)[i];
        ck_assert_msg(p >= 0 && p <= 1, "position %g", (double)p);
        ck_assert_msg(s > 0 && 1 / s >= 0.2999f && 1 / s <= 1000, "1 / sigma %g", (double)s);
    }
    store_close(file);
    task_splat.close(state);
    config_free(config);
}
END_TEST

/* ---- schedule ---- */

START_TEST(plateau_decays_then_stops)
{
    struct config *config;
    const char *text = "lr_end: 1\n";
    ck_assert_int_eq(config_load_text(&config, "test", text, strlen(text), 0, NULL), 0);
    const struct config_splat *c = &config->splat;
    struct splat_schedule schedule;
    splat_schedule_init(&schedule);
    /* no plateau counts before the last Gaussians are there */
    for (int step = 100; step <= 2000; step += 100)
        splat_schedule_update(&schedule, c, step, -1, 20, 0.5);
    ck_assert(schedule.factor >= 1);
    for (int step = 2100; step <= 3000; step += 100) /* gains */
        splat_schedule_update(&schedule, c, step, 2000, 20 + 0.01 * step, 0.5);
    ck_assert(schedule.factor >= 1);
    for (int step = 3100; step <= 3900; step += 100) /* less than 0.1 dB in all */
        splat_schedule_update(&schedule, c, step, 2000, 50.01, 0.5);
    ck_assert_msg(schedule.factor >= 1, "decayed before 1000 steps without a gain");
    splat_schedule_update(&schedule, c, 4000, 2000, 50.01, 0.5);
    ck_assert(fabs(schedule.factor - 0.1) < 1e-12);
    for (int step = 4100; step <= 4900; step += 100)
        splat_schedule_update(&schedule, c, step, 2000, 50.01, 0.5);
    ck_assert(!schedule.finished);
    splat_schedule_update(&schedule, c, 5000, 2000, 50.01, 0.5);
    ck_assert(schedule.finished);
    config_free(config);
}
END_TEST

/* The cosine begins at lr_hold, has nothing to do with plateaus, and stays at its end. */
START_TEST(rates_fall_along_a_cosine)
{
    struct config *config;
    const char *text = "lr_end: 0.2\nlr_hold: 0.2\nmax_steps: 1000\n";
    ck_assert_int_eq(config_load_text(&config, "test", text, strlen(text), 0, NULL), 0);
    struct splat_schedule schedule;
    splat_schedule_init(&schedule);
    const struct {
        int64_t step;
        double factor;
    } expected[] = {{0, 1},     {200, 1},    {400, 0.6 + 0.4 * sqrt(0.5)},
                    {600, 0.6}, {1000, 0.2}, {2000, 0.2}};
    for (size_t k = 0; k < sizeof expected / sizeof *expected; k++) {
        double factor = splat_schedule_factor(&schedule, &config->splat, config->splat.max_steps,
                                              expected[k].step);
        ck_assert_msg(fabs(factor - expected[k].factor) <= 1e-9, "%g at step %lld", factor,
                      (long long)expected[k].step);
    }
    for (int step = 100; step <= 9000; step += 100)
        splat_schedule_update(&schedule, &config->splat, step, 0, 20, 0.5);
    ck_assert(!schedule.finished && schedule.decays == 0);
    config_free(config);
}
END_TEST

/* ---- rendering at other sizes ---- */

/* One Gaussian on a field of another colour, far larger than a pixel. */
static void two_gaussians(struct splat_model *model, float *storage)
{
    static const float values[2][8] = {{0.5f, 0.5f, 0.001f, 0.001f, 0, 0.2f, 0.4f, 0.6f},
                                       {0.3f, 0.6f, 0.12f, 0.2f, 0.7f, 0.9f, 0.1f, 0.5f}};
    *model = (struct splat_model){.width = 40,
                                  .height = 30,
                                  .channels = 3,
                                  .count = 2,
                                  .capacity = 2,
                                  .blend = {10, false},
                                  .gamma = 1,
                                  .sample_bits = 8};
    float *p = storage;
    for (int g = 0, column = 0; g < SPLAT_GROUPS; g++) {
        int columns = splat_group_columns(model, g);
        model->group[g] = p;
        for (int i = 0; i < 2; i++)
            for (int c = 0; c < columns; c++)
                *p++ = values[i][column + c];
        column += columns;
    }
}

START_TEST(renders_half_pixel_correct)
{
    struct splat_model model;
    float storage[16];
    two_gaussians(&model, storage);
    struct splat_window one = splat_window_whole(&model), four = {160, 120, 0, 0, 160, 120};
    struct image small, large, reduced, part;
    ck_assert_int_eq(splat_render_image(device, &model, NULL, NULL, &one, SAMPLE_F32, &small), 0);
    ck_assert_int_eq(splat_render_image(device, &model, NULL, NULL, &four, SAMPLE_F32, &large), 0);
    ck_assert_int_eq(image_resize(&reduced, &large, 40, 30), 0);
    for (int i = 0; i < 40 * 30 * 3; i++) {
        float d = ((float *)small.data)[i] - ((float *)reduced.data)[i];
        ck_assert_msg(!!(fabsf(d) <= 4e-3f), "sample %d differs by %g", i, (double)d);
    }
    struct splat_window crop = {160, 120, 37, 41, 50, 33};
    ck_assert_int_eq(splat_render_image(device, &model, NULL, NULL, &crop, SAMPLE_F32, &part), 0);
    for (int y = 0; y < 33; y++)
        for (int x = 0; x < 50 * 3; x++)
            ck_assert(((float *)part.data)[y * 150 + x] ==
                      ((float *)large.data)[(y + 41) * 480 + 37 * 3 + x]);
    image_free(&small);
    image_free(&large);
    image_free(&reduced);
    image_free(&part);
}
END_TEST

/* ---- SSIM's windows ---- */

static const struct turns {
    const char *config;
    int steps; /* until all rows have had their windows */
} turns[] = {{"ssim_rows: quarter\n", 4}, {"ssim_rows: half\n", 2}, {"ssim_rows: all\n", 1}};

/* The operations of the device, and of the first 4 rows those with windows in the last step. */
static const struct splat_ops *device_ops;
static unsigned window_rows;

static int train_watched(struct device *of, const struct splat_workspace *workspace,
                         const struct splat_training *training, bool wait, struct splat_sums *sums,
                         int64_t *skipped)
{
    window_rows = 0;
    for (int y = 0; y < 4; y++)
        window_rows |= (unsigned)splat_ssim_has_row(training->loss.ssim_rows, y) << y;
    return device_ops->train(of, workspace, training, wait, sums, skipped);
}

START_TEST(windows_of_all_rows_take_turns)
{
    draw("a.png", 3, SAMPLE_U8);
    struct config *config = configure(turns[_i].config);
    struct task_state *state = open_state(config, NULL);
    struct task_report report = {0};
    device_ops = device->splat;
    struct splat_ops watched = *device_ops;
    watched.train = train_watched;
    device->splat = &watched;
    for (int step = 0; step < 8; step += turns[_i].steps) {
        unsigned seen = 0;
        for (int k = 0; k < turns[_i].steps; k++) {
            train(state, step + k, step + k + 1, &report);
            ck_assert_int_eq(__builtin_popcount(window_rows), 4 / turns[_i].steps);
            seen |= window_rows;
        }
        ck_assert_uint_eq(seen, 15);
    }
    device->splat = device_ops;
    task_splat.close(state);
    config_free(config);
}
END_TEST

Suite *splat_fit_suite(void);
Suite *splat_fit_suite(void)
{
    Suite *suite = suite_create("splat_fit");
    TCase *fit = tcase_create("fit");
    tcase_add_checked_fixture(fit, setup, teardown);
    tcase_add_loop_test(fit, fits_every_kind, 0, (int)(sizeof kinds / sizeof kinds[0]));
    tcase_add_loop_test(fit, resumes_bit_by_bit, 0, 20);
    tcase_add_loop_test(fit, a_stop_within_a_step_changes_no_bit, 0,
                        (int)(sizeof stopped_steps / sizeof stopped_steps[0]));
    tcase_add_loop_test(fit, old_checkpoints_go_on_as_they_began, 0, 2);
    tcase_add_loop_test(fit, files_for_image_gs_have_neither_weights_nor_axes, 0, 4);
    tcase_add_loop_test(fit, windows_of_all_rows_take_turns, 0, 3);
    tcase_add_test(fit, wild_rates_stay_within_bounds);
    tcase_add_test(fit, plateau_decays_then_stops);
    tcase_add_test(fit, rates_fall_along_a_cosine);
    tcase_add_test(fit, renders_half_pixel_correct);
    suite_add_tcase(suite, fit);
    return suite;
}
