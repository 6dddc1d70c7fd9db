/* Reports of a run of the toy task while one call fails: memory, disk. (Runs: torture/torture.py,
 * rows errors and malloc.) */
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

Suite *report_fails_suite(void);
Suite *report_fails_suite(void)
{
    Suite *suite = suite_create("report_fails");
    TCase *tests = tcase_create("run");
    tcase_add_checked_fixture(tests, enter_folder, folder_remove);
    tcase_add_loop_test(tests, a_report_fails_at_any_call, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
