/* The plan of growth is made once, when a fit begins: resumed at any step with any max_steps, from
 * files of older versions and of anybody, Gaussians come in as it says and nothing else is touched.
 */
#include "test/splat/splat_run.h"

enum { STEPS = 100, GAUSSIANS = 60 };

/* Rates that no max_steps changes: then a step depends on the plan alone. */
static const char constant[] =
    "disable_lr_schedule: true\nrelocate_every: 0\neval_steps: 1000\nnum_gaussians: 60\n"
    "initial_ratio: 0.3\nadd_times: 5\nadd_steps: 500\n";

static struct config *with_steps(int max_steps)
{
    char text[1024];
    struct config *config;
    snprintf(text, sizeof text, "input_path: \"%s\"\nmax_steps: %d\n%s", path, max_steps, constant);
    ck_assert_msg(config_load_text(&config, "test", text, strlen(text), 0, NULL) == 0, "%s",
                  error_message());
    return config;
}

/* Gaussians after `steps` steps of a run of STEPS. */
static int64_t planned(int steps)
{
    int every = STEPS / (2 * 6), first = 18, turns = steps == 0 ? 0 : (steps - 1) / every;
    return first + (GAUSSIANS - first) * (turns < 5 ? turns : 5) / 5;
}

static struct store_file *at_step[STEPS + 1]; /* of the whole run */

static void train_whole(void)
{
    struct task_report report;
    struct config *config = with_steps(STEPS);
    struct task_state *state = open_state(config, NULL);
    for (int step = 0; step <= STEPS; step++) {
        at_step[step] = checkpoint(state, "whole");
        ck_assert_int_eq(store_find(at_step[step], "rot")->shape[0], planned(step));
        if (step < STEPS) train(state, step, step + 1, &report);
    }
    task_splat.close(state);
    config_free(config);
}

static void forget_whole(void)
{
    for (int step = 0; step <= STEPS; step++)
        store_close(at_step[step]);
}

struct change {
    const char *key, *value; /* NULL: the key goes */
};

/* The file again, with other metadata. */
static struct store_file *rewrite(const struct store_file *file, const struct change *changes,
                                  int count)
{
    char name[512];
    struct store_file *opened;
    struct store_writer *writer = store_writer_create();
    for (int i = 0; i < store_count(file); i++) {
        const struct store_tensor *t = store_at(file, i);
        ck_assert_int_eq(store_add(writer, t->name, t->type, t->dims, t->shape, t->data), 0);
    }
    for (int i = 0; i < store_metadata_count(file); i++) {
        const char *key, *value;
        bool left = true;
        store_metadata_at(file, i, &key, &value);
        for (int c = 0; c < count; c++)
            left = left && strcmp(changes[c].key, key) != 0;
        if (left && strncmp(key, "crc32", 5) != 0)
            ck_assert_int_eq(store_set(writer, key, value), 0);
    }
    for (int c = 0; c < count; c++)
        if (changes[c].value)
            ck_assert_int_eq(store_set(writer, changes[c].key, changes[c].value), 0);
    snprintf(name, sizeof name, "%s/changed.safetensors", folder);
    ck_assert_msg(store_write(writer, name, false) == 0, "%s", error_message());
    store_writer_free(writer);
    ck_assert_msg(store_open(&opened, name) == 0, "%s", error_message());
    return opened;
}

/* Resumed from `file` after `from` steps with `max_steps`; ends like the whole run. */
static void expect_plan(const struct store_file *file, int from, int max_steps)
{
    struct task_report report;
    struct config *config = with_steps(max_steps);
    struct task_state *state = open_state(config, file);
    ck_assert_int_eq(task_splat.steps(state), max_steps);
    train(state, from, max_steps, &report);
    struct store_file *end = checkpoint(state, "end");
    ck_assert_msg(store_find(end, "rot")->shape[0] == planned(max_steps),
                  "%d to %d: %lld Gaussians, not %lld", from, max_steps,
                  (long long)store_find(end, "rot")->shape[0], (long long)planned(max_steps));
    if (max_steps <= STEPS) expect_equal(at_step[max_steps], end, from);
    store_close(end);
    task_splat.close(state);
    config_free(config);
}

START_TEST(resumes_with_any_steps)
{
    draw("input.png", 3, SAMPLE_U8);
    train_whole();
    for (int from = 1; from < STEPS; from += 3) {
        expect_plan(at_step[from], from, from + 1 + (from * 7) % (STEPS - from));
        expect_plan(at_step[from], from, from + (from * 5) % (2 * STEPS));
    }
    /* each of the two ends */
    expect_plan(at_step[35], 35, 40);
    expect_plan(at_step[35], 35, 80);
    expect_plan(at_step[35], 35, 1000);
    forget_whole();
}
END_TEST

/* Files of a version that kept no plan: the config that is in the file has it. */
START_TEST(derives_the_plan)
{
    draw("input.png", 3, SAMPLE_U8);
    train_whole();
    const struct change old[] = {
        {"grow_every", NULL},
        {"grow_times", NULL},
        {"config", "splat:\n  max_steps: 100\n  initial_ratio: 0.3\n  add_times: 5\n"}};
    const int ends[] = {36, 40, 60, 99, 100, 150};
    for (size_t k = 0; k < sizeof ends / sizeof ends[0]; k++) {
        struct store_file *file = rewrite(at_step[35], old, 3);
        expect_plan(file, 35, ends[k]);
        store_close(file);
    }
    forget_whole();
}
END_TEST

/* Without it, or with one that is long over, the fit grows to its end and no further. */
START_TEST(stays_within_its_buffers)
{
    draw("input.png", 3, SAMPLE_U8);
    train_whole();
    const struct change bad[][3] = {
        {{"grow_every", NULL}, {"grow_times", NULL}, {"grown_at", "-1"}}, /* at full count */
        {{"grow_every", "1"}, {"grow_times", "1"}, {"grown_at", "-1"}},
        {{"grow_every", "1"}, {"grow_times", "1000000000"}, {"grown_at", "-1"}},
        {{"grow_every", "3"}, {"grow_times", "2"}, {"grow_first", "1"}},
    };
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++)
        for (int from = 5; from <= STEPS; from += 19) {
            struct task_report report;
            struct store_file *file = rewrite(at_step[from], bad[k], 3);
            struct config *config = with_steps(from + 60);
            struct task_state *state = open_state(config, file);
            train(state, from, from + 60, &report);
            ck_assert(metric(&report, "gaussians") <= GAUSSIANS);
            task_splat.close(state);
            config_free(config);
            store_close(file);
        }
    forget_whole();
}
END_TEST

Suite *splat_growth_suite(void);
Suite *splat_growth_suite(void)
{
    Suite *suite = suite_create("splat_growth");
    TCase *tests = tcase_create("tests");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, resumes_with_any_steps);
    tcase_add_test(tests, derives_the_plan);
    tcase_add_test(tests, stays_within_its_buffers);
    suite_add_tcase(suite, tests);
    return suite;
}
