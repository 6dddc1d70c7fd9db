/* The metrics while training: when they are measured, which weights are kept, and that a
 * measurement that was stopped is made up for before the next step. */
#include "base/error.h"
#include "config/config.h"
#include "device/device.h"
#include "gan/gan.h"
#include "gan/tracking.h"
#include "gan_shapes.h"
#include "image/image.h"
#include "store/safetensors.h"
#include "task/task.h"
#include "temp_folder.h"

#include <math.h>

#define MUST(call) ck_assert_msg((call) >= 0, "%s", error_message())

Suite *gan_tracking_suite(void);

enum { SIDE = 16, PICTURES = 12, STEPS = 6 };

static struct device *device;
static struct config *config;
static bool stop;

static bool stop_wanted(void)
{
    return stop;
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
             "batch: 8, samples: 4, micro_batch: 8, eval_every: 1}\n",
             folder);
    MUST(config_load_text(&config, "test", text, strlen(text), 0, NULL));
    MUST(device_open(&device, "cpu", 1));
    stop = false;
}

static void leave(void)
{
    device_close(device);
    config_free(config);
    tear_down();
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

static void same_files(const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof command, "cmp '%s' '%s'", in_folder(a), in_folder(b));
    ck_assert_int_eq(system(command), 0);
}

START_TEST(measures_when_it_is_time)
{
    ck_assert_int_eq(tracking_every(0, 100, 20000), 1000);
    ck_assert_int_eq(tracking_every(0, 100, 20100), 1100);
    ck_assert_int_eq(tracking_every(0, 100, 50), 100);
    ck_assert_int_eq(tracking_every(150, 100, 50), 200);
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

START_TEST(pays_what_a_stop_left_owed)
{
    struct task_state *state = open_task(NULL);
    struct store_file *file;
    int64_t owed;
    run_steps(state, 0, STEPS);
    save(state, STEPS, "unbroken");
    task_gan.close(state);

    state = open_task(NULL);
    run_steps(state, 0, 3);
    stop = true;
    ck_assert_int_eq(run_steps(state, 3, 4), 0);
    save(state, 4, "stopped");
    task_gan.close(state);
    stop = false;
    MUST(store_open(&file, in_folder("stopped")));
    MUST(store_get_int(file, "gan.owed", &owed));
    ck_assert_int_eq(owed, 4);
    state = open_task(file);
    store_close(file);
    run_steps(state, 4, STEPS);
    save(state, STEPS, "resumed");
    task_gan.close(state);
    same_files("unbroken", "resumed");
}
END_TEST

Suite *gan_tracking_suite(void)
{
    Suite *suite = suite_create("gan_tracking");
    TCase *cases = tcase_create("gan_tracking");
    tcase_add_checked_fixture(cases, enter, leave);
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, measures_when_it_is_time);
    tcase_add_test(cases, keeps_the_best);
    tcase_add_test(cases, pays_what_a_stop_left_owed);
    suite_add_tcase(suite, cases);
    return suite;
}
