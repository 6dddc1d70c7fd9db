/* The metrics while training: when they are measured, which weights are kept, and that a
 * measurement that was stopped is made before anything else, to the same bits. */
#include "base/error.h"
#include "config/config.h"
#include "device/device.h"
#include "gan/best_model.h"
#include "gan/gan.h"
#include "gan/gan_task.h"
#include "image/image.h"
#include "registry/devices.h"
#include "run/signals.h"
#include "run/train.h"
#include "run/train_request.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "task/task.h"
#include "test/gan/gan_shapes.h"
#include "test/support.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <unistd.h>

Suite *best_model_test_suite(void);

enum { SIDE = 16, PICTURES = 12, STEPS = 6 };

static struct device *device;
static struct config *config;
static bool stop;
static int asked,
    stop_from; /* how often was asked; from which time on the answer is yes (0: never) */

static bool stop_wanted(void)
{
    asked++;
    return stop || (stop_from && asked >= stop_from);
}

static void enter(void)
{
    char text[512];
    set_up();
    for (int i = 0; i < PICTURES; i++) {
        struct image image;
        char name[32];
        snprintf(name, sizeof name, "%02d.png", i);
        MUST(image_create(&image, SIDE, SIDE, 3, SAMPLE_U8));
        shape_draw(image.data, SIDE, 1, (uint64_t)i);
        MUST(image_save(&image, in_folder(name)));
        image_free(&image);
    }
    snprintf(text, sizeof text,
             "task: gan\neval_steps: 2\ngan: {data: %s, size: 16, widths: [8, 8, 8], images: 48, "
             "batch: 8, samples: 4, micro_batch: 8, eval_every: 1}\nvideo: {enabled: "
             "false}\nframes: {every: 2}\n",
             folder);
    MUST(config_load_text(&config, "test", text, strlen(text), 0, NULL));
    MUST(device_open(&device, "cpu", 1));
    stop = false;
    stop_from = 0;
}

static void leave(void)
{
    device_close(device);
    config_free(config);
    folder_remove();
}

static struct task_state *open_task(const struct store_file *resume)
{
    struct task_state *state;
    struct task_setup setup = {
        .config = config, .device = device, .resume = resume, .stop_requested = stop_wanted};
    MUST(task_gan.open(&state, &setup));
    return state;
}

/* Runs steps first .. end - 1; returns how many of them measured. */
static int run_steps(struct task_state *state, int64_t first, int64_t end)
{
    int measured = 0;
    for (int64_t i = first; i < end; i++) {
        struct task_report report;
        MUST(task_gan.step(state, i, true, &report));
        for (int m = 0; m < report.metric_count; m++)
            if (strcmp(report.metrics[m].name, "rkid") == 0)
                measured += !isnan(report.metrics[m].value);
    }
    return measured;
}

static void save(struct task_state *state, int64_t step, const char *name)
{
    struct store_writer *writer = store_writer_create();
    ck_assert_ptr_nonnull(writer);
    MUST(task_gan.save(state, writer));
    MUST(store_set_int(writer, "step", step));
    MUST(store_write(writer, in_folder(name), false));
    store_writer_free(writer);
}

START_TEST(measures_when_it_is_time)
{
    ck_assert_int_eq(best_model_every(0, 100, 20000), 1000);
    ck_assert_int_eq(best_model_every(0, 100, 20100), 1100);
    ck_assert_int_eq(best_model_every(0, 100, 50), 100);
    ck_assert_int_eq(best_model_every(150, 100, 50), 200);
    struct task_state *state = open_task(NULL);
    ck_assert_int_eq(run_steps(state, 0, 1), 0);
    ck_assert_int_eq(run_steps(state, 1, STEPS), 3);
    task_gan.close(state);
}
END_TEST

/* rKID falls from the first measurement to some later one in so young a training. */
START_TEST(keeps_the_best)
{
    struct task_state *state = open_task(NULL);
    struct store_file *file;
    double best;
    int64_t step, saved;
    run_steps(state, 0, STEPS);
    save(state, STEPS, "end");
    MUST(store_open(&file, in_folder("end")));
    MUST(store_get_double(file, "gan.best_rkid", &best));
    MUST(store_get_int(file, "gan.best_step", &step));
    ck_assert(isfinite(best));
    ck_assert(step == 2 || step == 4 || step == 6);
    store_close(file);
    struct store_writer *writer = store_writer_create();
    MUST(task_gan.save_best(state, writer, &saved));
    ck_assert_int_eq(saved, step);
    store_writer_free(writer);
    task_gan.close(state);
}
END_TEST

START_TEST(a_stopped_measurement_is_in_the_checkpoint)
{
    struct task_state *state = open_task(NULL);
    struct task_report report;
    struct store_file *file;
    int64_t pending;
    run_steps(state, 0, STEPS);
    save(state, STEPS, "unbroken");
    task_gan.close(state);

    state = open_task(NULL);
    run_steps(state, 0, 1);
    asked = 0;
    run_steps(state, 1, 2); /* is measured too */
    int last = asked;
    run_steps(state, 2, 3);
    asked = 0;
    stop_from = last;
    MUST(task_gan.step(state, 3, true, &report));
    ck_assert(report.pending);
    stop_from = 0;
    save(state, 4, "stopped");
    task_gan.close(state);
    MUST(store_open(&file, in_folder("stopped")));
    MUST(store_get_int(file, "gan.pending", &pending));
    ck_assert_int_eq(pending, 4);
    stop = false;
    state = open_task(file);
    store_close(file);
    stop = true;
    MUST(task_gan.complete(state, &report));
    ck_assert(report.pending);
    stop = false;
    MUST(task_gan.complete(state, &report));
    ck_assert(!report.pending && isfinite(report.loss));
    run_steps(state, 4, STEPS);
    save(state, STEPS, "resumed");
    task_gan.close(state);
    same_files("unbroken", "resumed");
}
END_TEST

/* Takes step 2, stopped when it asks for the `from`-th time, saves what there is, and goes on from
 * it. Returns whether it was stopped. */
static bool stop_step(int from, bool *half)
{
    struct task_state *state = open_task(NULL);
    struct task_report report = {0};
    struct store_file *file;
    run_steps(state, 0, 2);
    asked = 0;
    stop_from = from;
    int code = task_gan.step(state, 2, true, &report);
    bool stopped = asked >= from;
    ck_assert_msg(code == (stopped && !report.pending ? ERR_STOPPED : OK), "%d: %s", from,
                  error_message());
    stop_from = 0;
    save(state, code == OK ? 3 : 2, "part");
    task_gan.close(state);
    MUST(store_open(&file, in_folder("part")));
    *half = store_get(file, "gan.half.macs") != NULL;
    state = open_task(file);
    store_close(file);
    if (report.pending) MUST(task_gan.complete(state, &report));
    run_steps(state, code == OK ? 3 : 2, STEPS);
    save(state, STEPS, "whole");
    task_gan.close(state);
    return stopped;
}

/* Before D's update nothing of the step is left, between the updates D's; then measurements. */
START_TEST(a_stop_within_a_step_changes_no_bit)
{
    static const char *const schemes[] = {"a", "c"};
    struct task_state *state;
    int stops = 0, halves = 0;
    config->gan.scheme = _i ? CONFIG_GAN_SCHEME_BLOCK : CONFIG_GAN_SCHEME_NONE;
    config->gan.micro_batch = _i ? 4 : 8;
    state = open_task(NULL);
    run_steps(state, 0, STEPS);
    save(state, STEPS, "unbroken");
    task_gan.close(state);
    for (int from = 1;; from += 5) {
        bool half;
        if (!stop_step(from, &half)) break;
        stops++;
        halves += half;
        same_files("unbroken", "whole");
    }
    ck_assert_msg(stops > 15 && halves > 3 && halves < stops, "scheme %s: %d stops, %d halves",
                  schemes[_i], stops, halves);
}
END_TEST

/* Files of before 2026-11-28 hold no report of the step: the best model is made right all the same.
 */
START_TEST(an_older_checkpoint_is_measured_when_it_is_opened)
{
    config->gan.eval_samples = 0;
    struct task_state *state = open_task(NULL);
    struct store_file *file;
    int64_t step;
    run_steps(state, 0, 4);
    struct store_writer *writer = store_writer_create();
    MUST(task_gan.save(state, writer));
    MUST(store_set_int(writer, "step", 4));
    MUST(store_set_int(writer, "gan.owed", 4));
    MUST(store_write(writer, in_folder("older"), false));
    store_writer_free(writer);
    task_gan.close(state);
    config->gan.eval_samples = 1000;
    MUST(store_open(&file, in_folder("older")));
    state = open_task(file);
    store_close(file);
    writer = store_writer_create();
    MUST(task_gan.save_best(state, writer, &step));
    ck_assert_int_eq(step, 4);
    store_writer_free(writer);
    task_gan.close(state);
}
END_TEST

/* ---- whole runs, stopped at every point of their measurements ---- */

static int polls,
    stop_at; /* of the task since it was opened; a SIGTERM comes at this one (0: none) */
static bool opened, on_host;

static bool polled(void)
{
    if (opened && ++polls == stop_at) raise(SIGTERM);
    return signals_stop_requested();
}

static int open_polled(struct task_state **state, const struct task_setup *setup)
{
    struct task_setup mine = *setup;
    mine.stop_requested = polled;
    opened = false;
    polls = 0;
    int code = task_gan.open(state, &mine);
    opened = true;
    return code;
}

static int run_stopped_at(const char *name, bool resume, int at)
{
    struct task task = task_gan;
    struct device *own = NULL;
    MUST(device_open(&own, config->device, (int)config->threads));
    on_host = own->is_host;
    struct train_request request = {.config = config,
                                    .task = &task,
                                    .device = own,
                                    .run_dir = in_folder(name),
                                    .name = "test",
                                    .resume = resume,
                                    .quiet = true,
                                    .json = true};
    task.open = open_polled;
    stop_at = at;
    signals_reset();
    int code = train_run(&request);
    device_close(own);
    signals_reset();
    return code;
}

/* Equal but for the time that it took. */
static void same_metrics(const char *name)
{
    char command[1024];
    snprintf(command, sizeof command,
             "cd '%s' && for run in whole '%s'; do"
             "  awk -F, -v OFS=, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i ~ /second/) t[i] }"
             "    { for (i in t) $i = \"\"; print }' $run/metrics.csv >$run.csv;"
             "  sed 's/\"seconds.*\"bytes\"/\"bytes\"/' $run/metrics.jsonl >$run.jsonl;"
             "done; cmp whole.csv '%s.csv' && cmp whole.jsonl '%s.jsonl' && test $(wc -l "
             "<whole.csv) = 3",
             folder, name, name, name);
    ck_assert_msg(system(command) == 0, "%s: other metrics", name);
}

static void same_run(const char *name)
{
    static const char *const files[] = {"model.safetensors", "best.safetensors", "final.png",
                                        "frames/000000001.jpg", "frames/000000002.jpg"};
    char a[64], b[64];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(a, sizeof a, "whole/%s", files[i]);
        snprintf(b, sizeof b, "%s/%s", name, files[i]);
        same_files(a, b);
    }
    same_metrics(name);
}

/* The step whose measurement a stopped run is to make first; 0: it was stopped elsewhere. */
static int64_t pending_step(const char *name)
{
    struct store_file *file;
    int64_t step, pending = 0;
    MUST(checkpoint_latest(in_folder(name), &file, &step));
    if (store_get(file, "gan.pending")) MUST(store_get_int(file, "gan.pending", &pending));
    store_close(file);
    return pending;
}

/* On the CPU most stops are within steps, which poll there too; on a GPU, where there is one or it
 * is emulated, only measurements poll. */
START_TEST(a_stop_anywhere_in_a_measurement_loses_nothing)
{
    static const char *const devices[] = {"cpu", "auto"};
    enum { RUN_STEPS = 2 };
    int null = open("/dev/null", O_WRONLY), stops[RUN_STEPS + 1] = {0};
    dup2(null, STDOUT_FILENO);
    close(null);
    signals_install();
    config->gan.size = 8;
    config->gan.widths.count = 1;
    config->gan.images = 2 * config->gan.batch;
    config->eval_steps = 1;
    config->threads = 1;
    free(config->device);
    config->device = strdup(devices[_i]);
    MUST(run_stopped_at("whole", false, 0));
    if (_i && on_host) return; /* as before */
    for (int at = 1;; at += 3) {
        char name[32];
        snprintf(name, sizeof name, "at-%d", at);
        int code = run_stopped_at(name, false, at);
        if (code == OK) break;
        ck_assert_msg(code == ERR_STOPPED, "%d: %s", at, error_message());
        int64_t step = pending_step(name);
        stops[step]++;
        if (step == 0 && at % 4 != 0) continue; /* within a step: enough others */
        if (at % 4 == 0)                        /* and again, while it is made up for */
            ck_assert_int_eq(run_stopped_at(name, true, 1 + at % 3), ERR_STOPPED);
        MUST(run_stopped_at(name, true, 0));
        same_run(name);
    }
    for (int step = 1; step <= RUN_STEPS; step++)
        ck_assert_msg(stops[step] >= 3, "%s: the measurement of step %d was stopped %d times",
                      devices[_i], step, stops[step]);
    ck_assert_msg((stops[0] > 0) == on_host, "%s: %d stops within steps", devices[_i], stops[0]);
}
END_TEST

/* Said once, and not of a single measurement, nor of a small or negative gap, nor where samples are
 * as far away. */
START_TEST(overfitting_is_told_by_gap_and_span)
{
    const struct {
        double gap, span;
        bool shows;
    } cases[] = {{0.8, 1, true},   {0.5, 1, false},   {0.05, 0.05, false},
                 {-0.8, 1, false}, {0.8, -0.2, true}, {2, 5, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gan_overfit overfit = {0};
        int said = 0;
        for (int k = 0; k < 12; k++) {
            bool shows = gan_overfit_shows(&overfit, cases[i].gap, cases[i].span);
            ck_assert(!shows || k >= 4);
            said += shows;
        }
        ck_assert_int_eq(said, cases[i].shows);
    }
    struct gan_overfit once = {0};
    for (int k = 0; k < 12; k++)
        ck_assert(!gan_overfit_shows(&once, k == 6 ? 1.5 : 0, 1));
}
END_TEST

Suite *best_model_test_suite(void)
{
    Suite *suite = suite_create("gan_tracking");
    TCase *cases = tcase_create("gan_tracking");
    tcase_add_checked_fixture(cases, enter, leave);
    tcase_add_test(cases, measures_when_it_is_time);
    tcase_add_test(cases, overfitting_is_told_by_gap_and_span);
    tcase_add_test(cases, keeps_the_best);
    tcase_add_test(cases, a_stopped_measurement_is_in_the_checkpoint);
    tcase_add_loop_test(cases, a_stop_within_a_step_changes_no_bit, 0, 2);
    tcase_add_test(cases, an_older_checkpoint_is_measured_when_it_is_opened);
    tcase_add_loop_test(cases, a_stop_anywhere_in_a_measurement_loses_nothing, 0, 2);
    suite_add_tcase(suite, cases);
    return suite;
}
