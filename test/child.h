/* Processes that tests fork. What a child writes to stderr is kept, and a test that waits for one
 * says at once how it ended, or where it hangs: lines "child PID: ..." on stderr. */
#ifndef IMGTRAIN_TEST_CHILD_H
#define IMGTRAIN_TEST_CHILD_H

#include "base/clock.h"
#include "base/log.h"
#include "test/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Nothing that a child does takes so long, on a busy machine and under a sanitizer. */
static const double CHILD_HANGS_SECONDS = 300;

struct child {
    pid_t pid;
    int words; /* a file in memory */
};

/* In the child, pid is 0. It dies with the test. */
static inline struct child child_fork(void)
{
    struct child child = {.words = memfd_create("words", MFD_CLOEXEC)};
    ck_assert_int_ge(child.words, 0);
    fflush(NULL);
    child.pid = fork();
    ck_assert_int_ge(child.pid, 0);
    if (child.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(child.words, STDERR_FILENO);
        log_set_level(LOG_INFO);
    }
    return child;
}

/* The end of what it wrote. */
static inline void child_tell_words(struct child child)
{
    char text[8192] = "";
    struct stat file = {0};
    fstat(child.words, &file);
    off_t room = sizeof text - 1, from = file.st_size > room ? file.st_size - room : 0;
    if (pread(child.words, text, sizeof text - 1, from) <= 0) strcpy(text, "(wrote nothing)");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        fprintf(stderr, "child %d: %s\n", (int)child.pid, line);
}

/* What its threads wait for; with gdb, where. */
static inline void child_tell_threads(pid_t pid)
{
    char command[600];
    snprintf(command, sizeof command,
             "pid=%d; { cd /proc/$pid/task && for t in *; do"
             "  echo \"thread $t $(cat $t/comm): $(sed 's/.*) \\(.\\) .*/\\1/' $t/stat)"
             " in $(cat $t/wchan)\"; done;"
             " gdb -batch -p $pid -ex 'thread apply all bt' </dev/null |"
             "  grep -E '^(#|Thread )' | head -n 150; } 2>/dev/null |"
             " sed \"s/^/child $pid: /\" >&2",
             (int)pid);
    fflush(NULL);
    if (system(command) != 0) fprintf(stderr, "child %d: no word of its threads\n", (int)pid);
}

static inline void child_hangs(struct child child, const char *what)
{
    child_tell_words(child);
    child_tell_threads(child.pid);
    kill(child.pid, SIGKILL);
    waitpid(child.pid, NULL, 0);
    ck_abort_msg("%s: not in %.0f s, the child hangs", what, CHILD_HANGS_SECONDS);
}

/* -1 while it runs; its exit status, or 1000 and the number of the signal that ended it. */
static inline int child_poll(struct child child)
{
    int status = 0;
    pid_t ended = waitpid(child.pid, &status, WNOHANG);
    ck_assert_msg(ended == 0 || ended == child.pid, "no child %d", (int)child.pid);
    if (ended == 0) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* Waits for its end; child_poll()'s status. */
static inline int child_status(struct child child)
{
    double limit = clock_seconds() + CHILD_HANGS_SECONDS;
    int status;
    while ((status = child_poll(child)) < 0) {
        if (clock_seconds() > limit) child_hangs(child, "its end");
        usleep(500);
    }
    return status;
}

static inline void child_assert_status(struct child child, int wanted)
{
    int status = child_status(child);
    if (status != wanted) child_tell_words(child);
    ck_assert_msg(status == wanted, "the child ended with status %d, not %d", status, wanted);
}

/* For loops that wait for what a child does, and which it does not end soon after: sleeps for a
 * moment. `since`: when the loop began. */
static inline void child_wait(struct child child, double since, const char *what)
{
    int status = child_poll(child);
    if (status >= 0) child_tell_words(child);
    ck_assert_msg(status < 0, "%s: the child had ended with status %d", what, status);
    if (clock_seconds() > since + CHILD_HANGS_SECONDS) child_hangs(child, what);
    usleep(500);
}

static inline void child_wait_for_file(struct child child, const char *path)
{
    double since = clock_seconds();
    while (access(path, F_OK) != 0)
        child_wait(child, since, path);
}

#endif
