/* Whole runs of the toy task, and reports of them, while one call fails: memory, disk. */
#include "report/report.h"
#include "report/run_story.h"
#include "test/failing_calls.h"
#include "test/run/toy_run.h"

static const char settings[] = "max_steps=6 eval_steps=2 checkpoint.every=2 frames.every=3";

static void assert_orderly(int code, const char *call, int turn)
{
    ck_assert_msg(code == OK || code == ERR_SYSTEM || code == ERR_IO || code == ERR_OUTPUT ||
                      code == ERR_ACCESS,
                  "%s, call %d: %d: %s", call, turn, code, error_message());
}

/* Once, and from then on: an orderly end; resumed, the run ends with the same bits. */
START_TEST(a_run_fails_at_any_call)
{
    char whole[128];
    snprintf(whole, sizeof whole, "%s/whole", folder);
    fsync_is_instant();
    log_set_level(LOG_ERROR);
    MUST(train(whole, false, settings));
    const char *call = "";
    for (int turn = 1; call; turn = turn_behind(turn, 8)) {
        snprintf(run_dir, sizeof run_dir, "%s/run-%d", folder, turn);
        CALL_FAILS(.turn = turn, .every = _i % 2);
        int code = train(run_dir, false, settings);
        call = call_that_failed();
        assert_orderly(code, call, turn);
        MUST(train(run_dir, true, settings));
        assert_same_model(run_dir, whole);
    }
}
END_TEST

/* A run that was stopped, resumed. */
START_TEST(a_resume_fails_at_any_call)
{
    char whole[128], command[500];
    snprintf(whole, sizeof whole, "%s/whole", folder);
    fsync_is_instant();
    log_set_level(LOG_ERROR);
    MUST(train(whole, false, settings));
    const char *call = "";
    for (int turn = 1; call; turn = turn_behind(turn, 8)) {
        snprintf(run_dir, sizeof run_dir, "%s/run-%d", folder, turn);
        snprintf(command, sizeof command,
                 "cp -r '%s' '%s' && cd '%s' && rm checkpoints/*6.safetensors model* final*", whole,
                 run_dir, run_dir);
        ck_assert_int_eq(system(command), 0);
        CALL_FAILS(.turn = turn, .every = _i % 2);
        int code = train(run_dir, true, settings);
        call = call_that_failed();
        assert_orderly(code, call, turn);
        MUST(train(run_dir, true, settings));
        assert_same_model(run_dir, whole);
    }
}
END_TEST

START_TEST(a_report_fails_at_any_call)
{
    fsync_is_instant();
    MUST(train(run_dir, false, settings));
    log_set_level(LOG_ERROR);
    const char *call = "";
    for (int turn = 1; call; turn = turn_behind(turn, 8)) {
        const char *runs[] = {run_dir, run_dir};
        struct run_story story;
        CALL_FAILS(.turn = turn, .every = _i);
        int code = run_story_read(&story, run_dir);
        if (code == OK) code = report_write(runs, 2, in_folder("report.html"));
        call = call_that_failed();
        if (code != ERR_INPUT) assert_orderly(code, call, turn); /* the folder may be missing */
        run_story_free(&story);
    }
    ck_assert(file_exists(in_folder("report.html")));
}
END_TEST

Suite *run_fails_suite(void);
Suite *run_fails_suite(void)
{
    Suite *suite = suite_create("run_fails");
    TCase *tests = tcase_create("run");
    tcase_add_checked_fixture(tests, enter_folder, folder_remove);
    tcase_add_loop_test(tests, a_run_fails_at_any_call, 0, 2);
    tcase_add_loop_test(tests, a_resume_fails_at_any_call, 0, 2);
    tcase_add_loop_test(tests, a_report_fails_at_any_call, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
