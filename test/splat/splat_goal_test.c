/* Goals: how many Gaussians and steps a PSNR, a size or a time takes, by runs of a small image and
 * a clock of our own. */
#include "image/image.h"
#include "metrics/image_metrics.h"
#include "splat/splat_goal.h"
#include "store/checkpoint.h"
#include "test/splat/splat_run.h"

/* Steps until the fit says that it is done, from step `from`; at most `most`. */
static int goal_run(struct task_state *state, int from, int most, struct task_report *report)
{
    int step = from;
    for (; step < task_splat.steps(state); step++) {
        ck_assert_int_lt(step, most);
        ck_assert_msg(task_splat.step(state, step, false, report) == 0, "%s", error_message());
    }
    return step;
}

/* As the image on the disk has it. */
static double goal_shown(const struct task_report *report)
{
    double mse = pow(10, -metric(report, "psnr") / 10);
    return -10 * log10(mse + 1 / (12 * 255.0 * 255.0));
}

static const struct goal_case {
    double psnr;
    const char *config;
    bool finds; /* how many Gaussians */
} psnrs[] = {
    {38, "num_gaussians: auto\nmax_steps: 300\n", true},
    {42, "num_gaussians: auto\nmax_steps: 300\n", true},
    {38, "num_gaussians: 250\nmax_steps: 300\n", false},
    {40, "num_gaussians: 250\nmax_steps: 300\nlr_end: 1\n", false},
};

START_TEST(a_psnr_is_met)
{
    const struct goal_case *wanted = &psnrs[_i];
    draw("a.png", 3, SAMPLE_U8);
    char text[256];
    snprintf(text, sizeof text, "%starget_psnr: %g\neval_steps: 50\n", wanted->config,
             wanted->psnr);
    struct config *config = configure(text);
    struct task_state *state = open_state(config, NULL);
    struct task_report report = {0};
    int steps = goal_run(state, 0, 3000, &report);
    /* so small an image gains .15 dB a step here; photographs come within .01 */
    double over = goal_shown(&report) - wanted->psnr;
    ck_assert_msg(!!(over >= 0 && over <= 0.1), "%d steps, %.0f Gaussians: %+.3f dB", steps,
                  metric(&report, "gaussians"), over);
    double count = metric(&report, "gaussians");
    ck_assert(wanted->finds ? count < WIDTH * HEIGHT / 8 : count <= 250);
    /* the image itself */
    double measured;
    struct image target, final;
    ck_assert_int_eq(image_load(&target, path), 0);
    ck_assert_int_eq(task_splat.write_final(state, in_folder("final.png")), 0);
    ck_assert_int_eq(image_load(&final, in_folder("final.png")), 0);
    ck_assert_int_eq(metric_psnr(&target, &final, &measured), 0);
    ck_assert_msg(!!(measured >= wanted->psnr && measured <= wanted->psnr + 0.1),
                  "the file has %.3f dB", measured);
    image_free(&target);
    image_free(&final);
    task_splat.close(state);
    config_free(config);
}
END_TEST

/* Late in a fit, Gaussians that came or moved cost a dB, which is back in no time: of a photograph
 * with 32 dB to reach the next look came 74 steps later, at 32.12. */
START_TEST(a_psnr_that_fell_is_looked_at_soon)
{
    struct config *config =
        configure("num_gaussians: 250\nmax_steps: 3000\ntarget_psnr: 32\neval_steps: 500\n");
    struct splat_source source = {.fit = {.width = 384, .height = 256, .channels = 3}};
    struct splat_fit fit = {.config = config,
                            .full = {.channels = 3},
                            .source = &source,
                            .goal = {.steps = 3000, .look = 1}};
    static const double seen[] = {31.968, 31.969, 31.97, 30.94};
    for (int i = 0; i < 4; i++) {
        fit.psnr = seen[i];
        splat_goal_decide(&fit, 2096 + 2 * i, true);
    }
    ck_assert(splat_goal_wants(&fit, 2106));
    fit.psnr = 31.3; /* a rise of .09 a step */
    splat_goal_decide(&fit, 2106, true);
    ck_assert(splat_goal_wants(&fit, 2107));
    config_free(config);
}
END_TEST

enum { GOAL_STOPS = 6 };

static const struct {
    const char *config;
    int stops[GOAL_STOPS]; /* all before the end */
} searches[] = {
    {"target_psnr: 48\nmax_steps: 100\nrelocate_every: 10\n", {1, 7, 8, 31, 50, 70}},
    /* settled early and on few, so that more come after max_steps */
    {"target_psnr: 40\nmax_steps: 60\nrelocate_every: 0\nlr_hold: 0.1\n", {2, 5, 33, 60, 61, 70}},
};

/* Stopped anywhere, also in the search, it ends with the same bits at the same step. */
START_TEST(a_search_resumes)
{
    const int *stops = searches[_i].stops;
    draw("a.png", 3, SAMPLE_U8);
    char text[256];
    snprintf(text, sizeof text, "num_gaussians: auto\neval_steps: 50\n%s", searches[_i].config);
    struct config *config = configure(text);
    struct task_report report;
    struct task_state *whole = open_state(config, NULL);
    struct store_file *middles[GOAL_STOPS];
    int reached = 0;
    for (int i = 0; i < GOAL_STOPS; i++) {
        for (; reached < stops[i]; reached++)
            ck_assert_int_eq(task_splat.step(whole, reached, false, &report), 0);
        char name[32];
        snprintf(name, sizeof name, "middle-%d", i);
        middles[i] = checkpoint(whole, name);
    }
    int end = goal_run(whole, reached, 2000, &report);
    ck_assert_int_gt(end, stops[GOAL_STOPS - 1]);
    struct store_file *expected = checkpoint(whole, "expected");
    for (int i = 0; i < GOAL_STOPS; i++) {
        struct task_state *resumed = open_state(config, middles[i]);
        ck_assert_int_eq(goal_run(resumed, stops[i], 2000, &report), end);
        struct store_file *got = checkpoint(resumed, "got");
        expect_equal(expected, got, stops[i]);
        store_close(middles[i]);
        store_close(got);
        task_splat.close(resumed);
    }
    store_close(expected);
    task_splat.close(whole);
    config_free(config);
}
END_TEST

/* What is out of reach ends at max_steps, or when there is no room for more; a resume with less to
 * reach is done, one with more goes on. */
START_TEST(a_psnr_out_of_reach)
{
    draw("a.png", 3, SAMPLE_U8);
    struct config *config = configure("target_psnr: 90\nmax_steps: 40\n");
    struct config *lower = configure("target_psnr: 20\nmax_steps: 40\n");
    struct config *longer = configure("target_psnr: 90\nmax_steps: 60\n");
    struct task_report report;
    struct task_state *state = open_state(config, NULL);
    ck_assert_int_eq(goal_run(state, 0, 100, &report), 40);
    struct store_file *end = checkpoint(state, "end");
    struct task_state *again = open_state(lower, end);
    ck_assert_int_eq((int)task_splat.steps(again), 40);
    task_splat.close(again);
    again = open_state(longer, end);
    ck_assert_int_eq(goal_run(again, 40, 100, &report), 60);
    task_splat.close(again);
    store_close(end);
    task_splat.close(state);
    config_free(config);
    config_free(lower);
    config_free(longer);
}
END_TEST

/* What a run decided is not the last word: max_steps may be another, and a run that has reached its
 * goal is done. */
START_TEST(a_resume_sees_what_was_reached)
{
    draw("a.png", 3, SAMPLE_U8);
    struct config *config = configure("target_psnr: 38\nmax_steps: 300\n");
    struct config *lower = configure("target_psnr: 30\nmax_steps: 300\n");
    struct config *longer = configure("target_psnr: 90\nmax_steps: 400\n");
    struct config *in_time = configure("target_psnr: 38\nmax_steps: 300\ntime_budget: 1000\n");
    const struct config *ended[] = {config, lower, in_time};
    struct task_report report;
    struct task_state *state = open_state(config, NULL);
    task_splat.step(state, 0, false, &report);
    struct store_file *begun = checkpoint(state, "begun");
    int end = goal_run(state, 1, 300, &report);
    struct store_file *reached = checkpoint(state, "reached");
    task_splat.close(state);
    for (size_t i = 0; i < sizeof ended / sizeof *ended; i++) {
        state = open_state(ended[i], reached);
        ck_assert_int_eq((int)task_splat.steps(state), end);
        task_splat.close(state);
    }
    state = open_state(longer, begun);
    ck_assert_int_eq((int)task_splat.steps(state), 400);
    task_splat.close(state);
    draw("b.png", 3, SAMPLE_U16); /* another image, of which nothing is known */
    struct config *other = configure("target_psnr: 38\nmax_steps: 300\n");
    struct task_setup setup = {
        .config = other, .device = device, .resume = reached, .allow_changed_input = true};
    ck_assert_msg(task_splat.open(&state, &setup) == 0, "%s", error_message());
    ck_assert_int_eq((int)task_splat.steps(state), 300);
    task_splat.close(state);
    store_close(begun);
    store_close(reached);
    config_free(config);
    config_free(lower);
    config_free(longer);
    config_free(in_time);
    config_free(other);
}
END_TEST

/* As a run writes it, with the number of steps. */
static struct store_file *goal_checkpoint(struct task_state *state, const char *name, int step)
{
    struct store_file *opened;
    struct store_writer *writer = store_writer_create();
    ck_assert_int_eq(task_splat.save(state, writer), 0);
    ck_assert_int_eq(store_set_int(writer, "step", step), 0);
    ck_assert_int_eq(store_write(writer, in_folder(name), false), 0);
    ck_assert_int_eq(store_open(&opened, in_folder(name)), 0);
    store_writer_free(writer);
    return opened;
}

/* A goal that comes on a resume finds a fit that was planned without. */
START_TEST(a_goal_may_come_late)
{
    draw("a.png", 3, SAMPLE_U8);
    struct config *config = configure("num_gaussians: auto\nmax_steps: 5\n"); /* none is added */
    struct config *goal = configure("num_gaussians: auto\nmax_steps: 6\ntarget_psnr: 90\n");
    struct task_report report;
    struct task_state *state = open_state(config, NULL);
    goal_run(state, 0, 100, &report);
    struct store_file *end = goal_checkpoint(state, "end", 5);
    task_splat.close(state);
    state = open_state(goal, end);
    goal_run(state, 5, 100, &report);
    ck_assert_int_gt((int)metric(&report, "gaussians"), WIDTH * HEIGHT / 40);
    task_splat.close(state);
    store_close(end);
    config_free(config);
    config_free(goal);
    /* before all are there: their number is known, so no rate is another */
    config = configure("max_steps: 200\n");
    goal = configure("max_steps: 200\ntarget_psnr: 90\n");
    state = open_state(config, NULL);
    train(state, 0, 10, &report);
    end = goal_checkpoint(state, "end", 10);
    train(state, 10, 12, &report);
    struct store_file *without = checkpoint(state, "without");
    task_splat.close(state);
    state = open_state(goal, end);
    train(state, 10, 12, &report);
    struct store_file *with = checkpoint(state, "with");
    expect_equal(without, with, 10);
    task_splat.close(state);
    store_close(end);
    store_close(without);
    store_close(with);
    config_free(config);
    config_free(goal);
}
END_TEST

/* Saves the model as a run does. Its bytes. */
static size_t goal_model_bytes(struct task_state *state, const struct config *config)
{
    struct store_writer *writer = store_writer_create();
    struct store_file *file;
    size_t announced, bytes;
    char *all, *result;
    ck_assert_int_eq(task_splat.save_model(state, writer), 0);
    ck_assert_int_eq(config_print_text(config, &all), 0);
    ck_assert_ptr_nonnull(result = config_result_text(all));
    ck_assert_int_eq(checkpoint_describe(writer, "model", "splat", 2, result), 0);
    ck_assert_int_eq(store_write(writer, in_folder("m.safetensors"), false), 0);
    ck_assert_int_eq(store_open(&file, in_folder("m.safetensors")), 0);
    bytes = store_bytes(file);
    ck_assert_int_eq(store_writer_bytes(writer, &announced), 0);
    ck_assert_uint_eq(announced, bytes);
    store_close(file);
    store_writer_free(writer);
    free(all);
    free(result);
    return bytes;
}

/* Of the file that is written. */
START_TEST(bytes_are_met)
{
    static const int sizes[] = {20000, 47000, 200000};
    draw("a.png", 3, SAMPLE_U8);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char text[128];
        snprintf(text, sizeof text, "target_bytes: %d\nmax_steps: 2\n", sizes[i]);
        struct config *config = configure(text);
        struct task_state *state = open_state(config, NULL);
        struct task_report report;
        goal_run(state, 0, 10, &report);
        size_t bytes = goal_model_bytes(state, config);
        double share = (double)bytes / sizes[i];
        ck_assert_msg(!!(share <= 1 && share >= 0.99), "%zu bytes, not %d", bytes, sizes[i]);
        task_splat.close(state);
        config_free(config);
    }
    /* the last one's Gaussians have weights: so do those of a fit that begins with them */
    char text[640];
    ck_assert_int_eq(rename(in_folder("m.safetensors"), in_folder("start.safetensors")), 0);
    snprintf(text, sizeof text,
             "target_bytes: 220000\nmax_steps: 20\nweight_lr: 0\ninit_from_checkpoint: \"%s\"\n",
             in_folder("start.safetensors"));
    struct config *config = configure(text);
    struct task_state *state = open_state(config, NULL);
    struct task_report report;
    goal_run(state, 0, 100, &report);
    size_t bytes = goal_model_bytes(state, config);
    ck_assert_msg(bytes <= 220000 && bytes >= 218000, "%zu bytes", bytes);
    task_splat.close(state);
    config_free(config);
    config = configure("target_bytes: 2000\n");
    state = NULL;
    struct task_setup setup = {.config = config, .device = device};
    ck_assert_int_eq(task_splat.open(&state, &setup), ERR_CONFIG);
    task_splat.close(state);
    config_free(config);
}
END_TEST

/* Numbers in the header of a large file are longer, and it ends at a multiple of eight bytes. */
START_TEST(bytes_of_a_large_model_are_met)
{
    struct splat_source source = {.fit = {.width = 7680, .height = 4320, .channels = 3}};
    char text[128], name[] = "12345678";
    source.full = source.fit;
    float *zeros = NULL;
    for (int i = 0; i < 8; i++) {
        name[8 - i] = '\0';
        snprintf(text, sizeof text, "target_bytes: 40000000\nckpt_file: \"%s\"\n", name);
        struct config *config = configure(text);
        struct splat_fit fit = {.config = config};
        int64_t before, count;
        splat_fit_describe(&fit, &source, 1);
        ck_assert_int_eq(splat_goal_capacity(&fit, &before), 0);
        do { /* to where there is just room for one more */
            config->splat.target_bytes++;
            ck_assert_int_eq(splat_goal_capacity(&fit, &count), 0);
        } while (count == before);
        if (!zeros) zeros = calloc((size_t)count + 1, 3 * sizeof *zeros);
        ck_assert_ptr_nonnull(zeros);
        float *groups[SPLAT_GROUPS] = {zeros, zeros, zeros, zeros, zeros};
        struct store_writer *writer = store_writer_create();
        char *all, *result;
        size_t bytes;
        fit.model.count = count;
        ck_assert_int_eq(splat_model_save(&fit.model, groups, writer), 0);
        ck_assert_int_eq(config_print_text(config, &all), 0);
        ck_assert_ptr_nonnull(result = config_result_text(all));
        ck_assert_int_eq(checkpoint_describe(writer, "model", "splat", 10000, result), 0);
        ck_assert_int_eq(store_writer_bytes(writer, &bytes), 0);
        ck_assert_msg(bytes <= config->splat.target_bytes, "%zu bytes, not %llu", bytes,
                      (unsigned long long)config->splat.target_bytes);
        store_writer_free(writer);
        free(all);
        free(result);
        config_free(config);
    }
    free(zeros);
}
END_TEST

/* ---- time: each question after it makes a step's time go by ---- */

static double now, step_time;

static double goal_test_clock(void)
{
    return now;
}

static int goal_run_in_time(struct task_state *state, int from, struct task_report *report)
{
    int step = from;
    for (; step < task_splat.steps(state); step++) {
        ck_assert_int_lt(step, 5000);
        now += step_time * (step < 60 ? 0.5 : 1); /* it gets slower, as more Gaussians come in */
        ck_assert_msg(task_splat.step(state, step, false, report) == 0, "%s", error_message());
    }
    return step;
}

static const double step_times[] = {0.1, 0.4, 7};

START_TEST(a_time_is_met)
{
    draw("a.png", 3, SAMPLE_U8);
    splat_goal_clock = goal_test_clock;
    now = 1000;
    step_time = step_times[_i];
    struct config *config = configure("num_gaussians: 30\ntime_budget: 100\nmax_steps: 7\n");
    struct config *more = configure("num_gaussians: 30\ntime_budget: 150\nmax_steps: 7\n");
    struct task_state *state = open_state(config, NULL);
    struct task_report report;
    int half = (int)(40 / step_time);
    for (int step = 0; step < half; step++) {
        now += step_time * (step < 60 ? 0.5 : 1);
        ck_assert_int_eq(task_splat.step(state, step, false, &report), 0);
    }
    double used = now - 1000;
    struct store_file *middle = checkpoint(state, "middle");
    task_splat.close(state);
    now += 50000; /* between two processes nothing counts */
    double before = now;
    state = open_state(config, middle);
    int steps = goal_run_in_time(state, half, &report);
    used += now - before;
    ck_assert_msg(!!(used >= 95 - step_time && used <= 105), "%d steps, %.2f s of 100", steps,
                  used);
    ck_assert((int)metric(&report, "gaussians") == 30);
    /* rates have fallen to their end */
    if (step_time < 1) ck_assert(!!(metric(&report, "lr_factor") <= 0.05));
    struct store_file *end = checkpoint(state, "end");
    task_splat.close(state);
    state = open_state(config, end);
    ck_assert_int_eq((int)task_splat.steps(state), steps); /* it has ended */
    task_splat.close(state);
    before = now;
    state = open_state(more, end);
    goal_run_in_time(state, steps, &report);
    used += now - before;
    ck_assert_msg(!!(used >= 142 - step_time && used <= 158), "%.2f s of 150", used);
    task_splat.close(state);
    store_close(end);
    store_close(middle);
    config_free(config);
    config_free(more);
}
END_TEST

/* A process that goes back to its last checkpoint goes on with the time that is left. */
START_TEST(time_counts_once)
{
    draw("a.png", 3, SAMPLE_U8);
    splat_goal_clock = goal_test_clock;
    now = 1000;
    step_time = 0.4;
    struct config *config = configure("num_gaussians: 30\ntime_budget: 100\n");
    struct task_input *input = NULL;
    struct task_setup setup = {.config = config, .device = device, .input = &input};
    struct task_state *state;
    struct task_report report;
    struct store_file *middle = NULL;
    ck_assert_int_eq(task_splat.open(&state, &setup), 0);
    for (int step = 0; step < 150; step++) {
        if (step == 100) middle = checkpoint(state, "middle");
        now += step_time;
        ck_assert_int_eq(task_splat.step(state, step, false, &report), 0);
    }
    task_splat.close(state);
    setup.resume = middle;
    ck_assert_int_eq(task_splat.open(&state, &setup), 0);
    goal_run_in_time(state, 100, &report);
    ck_assert_msg(!!(now >= 1095 && now <= 1105), "%.2f s of 100", now - 1000);
    task_splat.close(state);
    task_splat.free_input(input);
    store_close(middle);
    config_free(config);
}
END_TEST

/* Time alone counts: no step is planned, and a share of none is nothing to search by. */
START_TEST(time_needs_no_steps)
{
    draw("a.png", 3, SAMPLE_U8);
    splat_goal_clock = goal_test_clock;
    now = 1000;
    step_time = 2;
    struct config *config =
        configure("num_gaussians: auto\ntarget_psnr: 90\ntime_budget: 50\nmax_steps: 0\n");
    struct task_state *state = open_state(config, NULL);
    struct task_report report;
    goal_run_in_time(state, 0, &report);
    ck_assert(!!(now >= 1045 && now <= 1055));
    task_splat.close(state);
    config_free(config);
}
END_TEST

START_TEST(auto_is_a_share_of_the_pixels)
{
    draw("a.png", 3, SAMPLE_U8);
    struct config *config = configure("num_gaussians: auto\nmax_steps: 40\n");
    ck_assert_int_eq((int)config->splat.num_gaussians, 0);
    struct task_state *state = open_state(config, NULL);
    struct task_report report;
    goal_run(state, 0, 100, &report);
    ck_assert_int_eq((int)metric(&report, "gaussians"), WIDTH * HEIGHT / 40);
    task_splat.close(state);
    config_free(config);
}
END_TEST

Suite *splat_goal_test_suite(void);
Suite *splat_goal_test_suite(void)
{
    Suite *suite = suite_create("splat_goal_test");
    TCase *tests = tcase_create("goal");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_psnr_that_fell_is_looked_at_soon);
    tcase_add_loop_test(tests, a_psnr_is_met, 0, (int)(sizeof psnrs / sizeof *psnrs));
    tcase_add_loop_test(tests, a_search_resumes, 0, (int)(sizeof searches / sizeof *searches));
    tcase_add_test(tests, a_psnr_out_of_reach);
    tcase_add_test(tests, a_resume_sees_what_was_reached);
    tcase_add_test(tests, a_goal_may_come_late);
    tcase_add_test(tests, bytes_are_met);
    tcase_add_test(tests, bytes_of_a_large_model_are_met);
    tcase_add_loop_test(tests, a_time_is_met, 0, (int)(sizeof step_times / sizeof *step_times));
    tcase_add_test(tests, time_counts_once);
    tcase_add_test(tests, time_needs_no_steps);
    tcase_add_test(tests, auto_is_a_share_of_the_pixels);
    suite_add_tcase(suite, tests);
    return suite;
}
