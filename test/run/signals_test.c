/* Signals and the time limit, each in a process of its own; and the thread that ends a process
 * which does not answer. */
#include "run/signals.h"
#include "test/child.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* In a child: whether the signal is heard, by this name. */
static bool is_heard_as(int number, const char *name)
{
    raise(number);
    const char *reason = signals_stop_reason();
    bool same = name ? reason && strcmp(reason, name) == 0 : !reason;
    signals_reset();
    return same && !signals_stop_requested();
}

START_TEST(stops_by_name)
{
    struct child child = child_fork();
    if (child.pid == 0) {
        signal(SIGHUP, SIG_DFL); /* under nohup it would stay ignored */
        signal(SIGINT, SIG_DFL);
        signals_install();
        signals_install(); /* changes nothing */
        raise(SIGUSR2);
        raise(SIGPIPE);
        raise(SIGXFSZ);
        bool right = signals_take_save() && !signals_take_save() && !signals_stop_reason();
        right &= is_heard_as(SIGTERM, "SIGTERM") && is_heard_as(SIGINT, "SIGINT");
        right &= is_heard_as(SIGUSR1, "SIGUSR1") && is_heard_as(SIGHUP, "SIGHUP");
        right &= is_heard_as(SIGXCPU, "SIGXCPU");
        signals_set_time_limit(1e-9);
        while (!signals_stop_requested())
            usleep(1000);
        right &= strcmp(signals_stop_reason(), "time limit") == 0;
        signals_set_time_limit(1000);
        right &= !signals_stop_requested();
        signals_set_time_limit(0);
        right &= !signals_stop_requested();
        _exit(right ? 0 : 1);
    }
    child_assert_status(child, 0);
}
END_TEST

START_TEST(a_second_interrupt_ends_at_once)
{
    struct child child = child_fork();
    if (child.pid == 0) {
        signal(SIGINT, SIG_DFL);
        signals_install();
        signals_set_unsaved(true);
        raise(SIGINT);
        raise(SIGINT);
        _exit(0);
    }
    child_assert_status(child, 130);
}
END_TEST

/* SIGINT is heard when a shell without job control has ignored it with SIGQUIT. */
START_TEST(what_was_ignored_stays_so)
{
    for (int shell = 0; shell < 2; shell++) {
        struct child child = child_fork();
        if (child.pid == 0) {
            signal(SIGHUP, SIG_IGN);
            signal(SIGINT, SIG_IGN);
            signal(SIGQUIT, shell ? SIG_IGN : SIG_DFL);
            signals_install();
            bool right = is_heard_as(SIGHUP, NULL) && is_heard_as(SIGTERM, "SIGTERM");
            _exit(right && is_heard_as(SIGINT, shell ? "SIGINT" : NULL) ? 0 : 1);
        }
        child_assert_status(child, 0);
    }
}
END_TEST

/* Process 1 of a container has nobody else to reap what its children left. */
START_TEST(process_1_reaps)
{
    enum { NOT_ALLOWED = 40 };
    struct child child = child_fork();
    if (child.pid == 0) {
        if (unshare(CLONE_NEWPID) != 0) _exit(NOT_ALLOWED);
        pid_t first = fork();
        if (first == 0) {
            struct sigaction action;
            signals_install();
            sigaction(SIGCHLD, NULL, &action);
            _exit(getpid() == 1 && action.sa_handler == SIG_IGN ? 0 : 1);
        }
        int status = 1;
        waitpid(first, &status, 0);
        _exit(first > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 2);
    }
    int status = child_status(child);
    ck_assert_msg(status == 0 || status == NOT_ALLOWED, "%d", status);
}
END_TEST

/* ---- the watching thread ---- */

static const double GRACE_SECONDS = 6; /* of signals.c */

/* Nothing looks at the flags any more. */
static void hang(double seconds)
{
    double end = clock_seconds() + seconds;
    while (clock_seconds() < end)
        usleep(10000);
}

static struct child stopped(void)
{
    struct child child = child_fork();
    if (child.pid == 0) {
        signals_install();
        raise(SIGTERM);
    }
    return child;
}

/* Nobody reads what it would say. */
static struct child ends_without_a_word(bool full)
{
    struct child child = child_fork();
    if (child.pid == 0) {
        int ends[2];
        if (pipe(ends) != 0) _exit(1);
        fcntl(ends[1], F_SETFL, O_NONBLOCK);
        while (full && write(ends[1], "x", 1) > 0)
            ;
        fcntl(ends[1], F_SETFL, 0); /* whoever writes to it waits */
        if (!full) close(ends[0]);
        dup2(ends[1], STDERR_FILENO);
        signals_install();
        signals_set_time_limit(0.01);
        hang(CHILD_HANGS_SECONDS);
    }
    return child;
}

/* While work is unsaved it is not ended; when it is saved, it is. */
static struct child ends_when_saved(void)
{
    struct child child = stopped();
    if (child.pid == 0) {
        signals_set_unsaved(true);
        hang(GRACE_SECONDS + 0.8);
        signals_set_unsaved(false);
        hang(CHILD_HANGS_SECONDS);
    }
    return child;
}

/* A request that is forgotten, in the time for an answer or while work was unsaved, ends nothing.
 */
static struct child goes_on(bool unsaved)
{
    struct child child = stopped();
    if (child.pid == 0) {
        signals_set_unsaved(unsaved);
        hang(unsaved ? GRACE_SECONDS + 0.8 : 0.5);
        signals_reset();
        hang(unsaved ? 0.8 : GRACE_SECONDS + 0.5);
        _exit(9);
    }
    return child;
}

START_TEST(who_does_not_answer_is_ended)
{
    double began = clock_seconds();
    struct child full = ends_without_a_word(true), none = ends_without_a_word(false);
    struct child saved = ends_when_saved(), forgotten = goes_on(false), later = goes_on(true);
    child_assert_status(full, 75);
    child_assert_status(none, 75);
    ck_assert(clock_seconds() > began + GRACE_SECONDS);
    child_assert_status(saved, 75);
    ck_assert(clock_seconds() > began + GRACE_SECONDS + 0.8);
    char said[200] = "";
    ck_assert_int_gt(pread(saved.words, said, sizeof said - 1, 0), 0);
    ck_assert_ptr_nonnull(strstr(said, "stopped (SIGTERM)"));
    child_assert_status(forgotten, 9);
    child_assert_status(later, 9);
}
END_TEST

Suite *signals_test_suite(void);
Suite *signals_test_suite(void)
{
    Suite *suite = suite_create("signals_test");
    TCase *tests = tcase_create("signals");
    tcase_add_test(tests, stops_by_name);
    tcase_add_test(tests, a_second_interrupt_ends_at_once);
    tcase_add_test(tests, what_was_ignored_stays_so);
    tcase_add_test(tests, process_1_reaps);
    tcase_add_test(tests, who_does_not_answer_is_ended);
    suite_add_tcase(suite, tests);
    return suite;
}
