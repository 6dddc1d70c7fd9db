/* Stopping by signal, time and kill, and going on. */
#include "test/run/toy_run.h"

START_TEST(stop_signals_save)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGUSR1};
    toy.hold_step = 10;
    struct child run = spawn(run_dir, false, "checkpoint.every=0");
    wait_for(run, run_dir, "frames/000000001.json");
    kill(run.pid, signals[_i]);
    child_assert_status(run, 75);
    int saved = newest_checkpoint(run_dir);
    ck_assert_int_gt(saved, 0);
    ck_assert_int_le(saved, 11);
    char other[128];
    snprintf(other, sizeof other, "%s/unbroken", folder);
    toy.hold_step = 0;
    ck_assert_int_eq(train(run_dir, true, "checkpoint.every=0"), OK);
    ck_assert_int_eq(toy.steps_taken, 40 - saved);
    ck_assert_int_eq(train(other, false, ""), OK);
    assert_same_model(run_dir, other);
}
END_TEST

/* Two that come before the first is heard are one: a busy machine may hear none for a while. */
START_TEST(a_second_interrupt_leaves_at_once)
{
    char begun[128];
    snprintf(begun, sizeof begun, "%s/begun", folder);
    toy.begun = begun;
    toy.step_microseconds = 1000000000; /* the first one is not seen before the step ends */
    struct child run = spawn(run_dir, false, "");
    child_wait_for_file(run, begun);
    int status, interrupts = 0;
    double since = clock_seconds();
    while ((status = child_poll(run)) < 0) {
        if (clock_seconds() > since + CHILD_HANGS_SECONDS) child_hangs(run, "its end");
        kill(run.pid, SIGINT);
        interrupts++;
        usleep(50000);
    }
    ck_assert_int_eq(status, 130);
    ck_assert_int_ge(interrupts, 2);
}
END_TEST

START_TEST(sigusr2_saves_and_goes_on)
{
    toy.step_microseconds = 5000;
    struct child run = spawn(run_dir, false, "checkpoint.every=0 max_steps=100000");
    wait_for(run, run_dir, "frames/000000001.json");
    kill(run.pid, SIGUSR2);
    double since = clock_seconds();
    while (newest_checkpoint(run_dir) < 0)
        child_wait(run, since, "a checkpoint");
    int saved = newest_checkpoint(run_dir);
    ck_assert_int_gt(saved, 0);
    ck_assert_int_lt(saved, 100000);
    ck_assert_int_eq(kill(run.pid, SIGTERM), 0); /* still running */
    child_assert_status(run, 75);
}
END_TEST

START_TEST(stopped_while_loading)
{
    toy.open_microseconds = 1000000000;
    struct child run = spawn(run_dir, false, "");
    wait_for(run, run_dir, "config.yaml");
    kill(run.pid, SIGTERM);
    child_assert_status(run, 75);
    toy.open_microseconds = 0;
    ck_assert_int_eq(train(run_dir, true, ""), OK);
}
END_TEST

START_TEST(the_time_limit_stops)
{
    toy.step_microseconds = 10000;
    signals_set_time_limit(0.1);
    ck_assert_int_eq(train(run_dir, false, ""), ERR_STOPPED);
    ck_assert_ptr_nonnull(strstr(error_message(), "time limit"));
    signals_reset();
    toy.step_microseconds = 0;
    ck_assert_int_eq(train(run_dir, true, ""), OK);
}
END_TEST

/* kill -9 at 20 random moments of one run, which then ends as if nothing had been. */
START_TEST(killed_runs_end_the_same)
{
    char other[128], settings[] = "max_steps=400 checkpoint.every=7 frames.every=5 eval_steps=3";
    snprintf(other, sizeof other, "%s/unbroken", folder);
    ck_assert_int_eq(train(other, false, settings), OK);
    toy.step_microseconds = 1000;
    int kills = 0;
    for (int i = 0; i < 20; i++) {
        struct child run = spawn(run_dir, true, settings);
        struct philox4 draw = philox_draw(7, STREAM_TEST, 0, (uint64_t)i);
        usleep(2000 + (useconds_t)(philox_uniform(draw.v[0]) * 60000));
        kill(run.pid, SIGKILL);
        int status = child_status(run);
        if (status != 0 && status != 1000 + SIGKILL) child_tell_words(run);
        ck_assert_msg(status == 0 || status == 1000 + SIGKILL, "status %d", status);
        kills += status != 0;
    }
    ck_assert_int_ge(kills, 10);
    toy.step_microseconds = 0;
    ck_assert_msg(train(run_dir, true, settings) == OK, "%s", error_message());
    assert_same_model(run_dir, other);
    /* Every metrics line and frame is there once, whatever was torn apart. */
    char *broken = read_text(run_dir, "metrics.jsonl"), *whole = read_text(other, "metrics.jsonl");
    ck_assert_int_eq(count_of(broken, "\n"), count_of(whole, "\n"));
    ck_assert_int_eq(count_of(broken, "{\"step\": "), count_of(whole, "{\"step\": "));
    free(broken);
    free(whole);
    for (int step = 5; step <= 400; step += 5) {
        char name[64];
        snprintf(name, sizeof name, "frames/%09d.jpg", step);
        ck_assert_msg(run_has(run_dir, name), "%s", name);
        snprintf(name, sizeof name, "frames/%09d.json", step);
        ck_assert_msg(run_has(run_dir, name), "%s", name);
    }
}
END_TEST

START_TEST(resume_drops_what_lies_past_the_checkpoint)
{
    ck_assert_int_eq(train(run_dir, false, "max_steps=8 frames.every=1"), OK);
    char *jsonl = in_run(run_dir, "metrics.jsonl"),
         *frame = in_run(run_dir, "frames/000000010.jpg");
    char *lonely = in_run(run_dir, "frames/000000007.jpg");
    char *json = in_run(run_dir, "frames/000000007.json");
    FILE *file = fopen(jsonl, "a");
    fputs("{\"step\": 9, \"loss\": 1}\n{\"step\": 10, \"lo", file);
    fclose(file);
    ck_assert_int_eq(file_atomic_write_whole(frame, "x", 1, false), OK);
    unlink(json);
    toy.nan_loss_step = 0;
    ck_assert_int_eq(train(run_dir, true, "max_steps=8 frames.every=1"), OK);
    char *text = read_text(run_dir, "metrics.jsonl");
    ck_assert_ptr_null(strstr(text, "\"step\": 9"));
    ck_assert_ptr_null(strstr(text, "\"step\": 10"));
    ck_assert_int_eq(text[strlen(text) - 1], '\n');
    free(text);
    ck_assert(!file_exists(frame));
    ck_assert(!file_exists(lonely));
    free(jsonl), free(frame), free(lonely), free(json);
}
END_TEST

START_TEST(a_finished_run_is_left_alone)
{
    ck_assert_int_eq(train(run_dir, false, ""), OK);
    char *model = in_run(run_dir, "model.safetensors"), *final = in_run(run_dir, "final.png");
    struct stat before, after;
    ck_assert_int_eq(stat(model, &before), 0);
    toy.steps_taken = 0;
    ck_assert_int_eq(train(run_dir, true, ""), OK);
    ck_assert_int_eq(toy.steps_taken, 0);
    ck_assert_int_eq(stat(model, &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    unlink(model);
    unlink(final);
    ck_assert_int_eq(train(run_dir, true, ""), OK);
    ck_assert_int_eq(toy.steps_taken, 0);
    ck_assert(file_exists(model) && file_exists(final));
    free(model);
    free(final);
    /* More steps: it goes on, and its files are those of the new end. */
    char other[128];
    snprintf(other, sizeof other, "%s/longer", folder);
    ck_assert_int_eq(train(run_dir, true, "max_steps=60"), OK);
    ck_assert_int_eq(toy.steps_taken, 20);
    ck_assert_int_eq(train(other, false, "max_steps=60"), OK);
    assert_same_model(run_dir, other);
}
END_TEST

START_TEST(the_tasks_own_rule_ends_a_run)
{
    toy.finish_step = 13;
    ck_assert_int_eq(train(run_dir, false, ""), OK);
    ck_assert_int_eq(toy.steps_taken, 13);
    ck_assert_int_eq(newest_checkpoint(run_dir), 13);
    ck_assert(run_has(run_dir, "frames/000000013.json"));
    char *text = read_text(run_dir, "metrics.jsonl");
    ck_assert_ptr_nonnull(strstr(text, "{\"step\": 13, "));
    free(text);
    ck_assert_int_eq(train(run_dir, true, ""), OK);
    ck_assert_int_eq(toy.steps_taken, 13);
}
END_TEST

START_TEST(config_changes_on_resume)
{
    ck_assert_int_eq(train(run_dir, false, ""), OK);
    ck_assert_int_eq(train(run_dir, true, "frames.every=3 threads=1 checkpoint.keep=3"), OK);
    ck_assert_int_eq(train(run_dir, true, "seed=7 pos_lr=0.5"), ERR_CONFIG);
    ck_assert_msg(strstr(error_message(), "seed") && strstr(error_message(), "pos_lr"), "%s",
                  error_message());
    char *text = read_text(run_dir, "config.yaml");
    ck_assert_ptr_nonnull(strstr(text, "seed: 123"));
    free(text);
}
END_TEST

Suite *run_resume_suite(void);
Suite *run_resume_suite(void)
{
    Suite *suite = suite_create("run_resume");
    TCase *tests = tcase_create("run");
    tcase_add_checked_fixture(tests, enter_folder, folder_remove);
    tcase_add_loop_test(tests, stop_signals_save, 0, 3);
    tcase_add_test(tests, a_second_interrupt_leaves_at_once);
    tcase_add_test(tests, sigusr2_saves_and_goes_on);
    tcase_add_test(tests, stopped_while_loading);
    tcase_add_test(tests, the_time_limit_stops);
    tcase_add_test(tests, killed_runs_end_the_same);
    tcase_add_test(tests, resume_drops_what_lies_past_the_checkpoint);
    tcase_add_test(tests, a_finished_run_is_left_alone);
    tcase_add_test(tests, the_tasks_own_rule_ends_a_run);
    tcase_add_test(tests, config_changes_on_resume);
    suite_add_tcase(suite, tests);
    return suite;
}
