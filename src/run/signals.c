#include "run/signals.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/temporary.h"
#include "base/threads.h"

#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_SECOND_INTERRUPT = 130 };

/* Phases that look at the flags do so within a second or two, on a busy machine too. */
#define GRACE_SECONDS 6.0

/* Atomic: other threads than the one that got the signal read them. */
static atomic_int stop_signal, save_signal;
static atomic_int resets; /* requests of before are forgotten */
static atomic_bool unsaved_work;
static _Atomic double deadline; /* 0 = none */
static sem_t request;           /* posted when one of them changes */

static const struct {
    int number;
    const char *name;
} stops[] = {{SIGTERM, "SIGTERM"},
             {SIGUSR1, "SIGUSR1"},
             {SIGHUP, "SIGHUP"},
             {SIGXCPU, "SIGXCPU"},
             {SIGINT, "SIGINT"}};

static void on_stop(int number)
{
    if (number == SIGINT && atomic_load(&stop_signal) == SIGINT) {
        temporary_remove_all();
        _exit(EXIT_SECOND_INTERRUPT);
    }
    atomic_store(&stop_signal, number);
    sem_post(&request);
}

static void on_save(int number)
{
    (void)number;
    atomic_store(&save_signal, 1);
}

static bool is_ignored(int number)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(number, NULL, &action);
    return action.sa_handler == SIG_IGN;
}

/* A shell without job control starts background commands with SIGINT and SIGQUIT ignored, which is
 * not meant to protect them from a SIGINT sent to them alone. */
static bool stays_ignored(int number)
{
    return is_ignored(number) && !(number == SIGINT && is_ignored(SIGQUIT));
}

static void set_handler(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_flags = SA_RESTART};
    if (stays_ignored(number)) return;
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

/* ---- the watching thread ---- */

static void sleep_seconds(double seconds)
{
    struct timespec time = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    nanosleep(&time, NULL);
}

static void wait_for_stop(void)
{
    while (!signals_stop_requested()) {
        double end = atomic_load(&deadline);
        struct timespec time = {(time_t)end, (long)(1e9 * (end - (double)(time_t)end))};
        if (end > 0)
            sem_clockwait(&request, CLOCK_MONOTONIC, &time);
        else
            sem_wait(&request);
    }
}

/* Takes no lock and never blocks: the thread that hangs may hold the lock of the log, and a full
 * pipe may be the reason. */
static void say_left(void)
{
    char line[160];
    int bytes = snprintf(line, sizeof line,
                         "imgtrain: stopped (%s) while something did not return, a file, a disk or "
                         "much work perhaps; nothing was unsaved\n",
                         signals_stop_reason());
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    poll(&out, 1, 0);
    ssize_t told = out.revents & POLLOUT ? write(STDERR_FILENO, line, (size_t)bytes) : 0;
    (void)told; /* there may be nobody to tell */
}

static void *signals_watch(void *unused)
{
    (void)unused;
    for (;;) {
        wait_for_stop();
        int before = atomic_load(&resets);
        sleep_seconds(GRACE_SECONDS);
        while (atomic_load(&resets) == before && atomic_load(&unsaved_work))
            sleep_seconds(0.2);
        if (atomic_load(&resets) != before) continue;
        say_left();
        temporary_remove_all();
        _exit(error_exit_status(ERR_STOPPED));
    }
    return NULL;
}

/* ---- */

void signals_install(void)
{
    static pid_t installed; /* a forked process has no watching thread */
    pthread_t thread;
    if (installed == getpid()) return;
    installed = getpid();
    sem_init(&request, 0, 0);
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++)
        set_handler(stops[i].number, on_stop);
    set_handler(SIGUSR2, on_save);
    set_handler(SIGPIPE, SIG_IGN);
    set_handler(SIGXFSZ, SIG_IGN);
    if (getpid() == 1) set_handler(SIGCHLD, SIG_IGN); /* the kernel reaps for us */
    sigset_t early; /* a batch blocks them until here: what came meanwhile is heard now */
    sigemptyset(&early);
    sigaddset(&early, SIGTERM);
    sigaddset(&early, SIGUSR2);
    pthread_sigmask(SIG_UNBLOCK, &early, NULL);
    threads_start(&thread, true, signals_watch, NULL); /* without it: all else is as well */
}

void signals_set_time_limit(double seconds)
{
    atomic_store(&deadline, seconds > 0 ? clock_seconds() + seconds : 0);
    sem_post(&request);
}

bool signals_stop_requested(void)
{
    double end = atomic_load(&deadline);
    return atomic_load(&stop_signal) != 0 || (end > 0 && clock_seconds() >= end);
}

const char *signals_stop_reason(void)
{
    int number = atomic_load(&stop_signal), i = 0;
    if (number == 0) return signals_stop_requested() ? "time limit" : NULL;
    while (stops[i].number != number) /* on_stop hears no others */
        i++;
    return stops[i].name;
}

bool signals_take_save(void)
{
    return atomic_exchange(&save_signal, 0) != 0;
}

void signals_set_unsaved(bool unsaved)
{
    atomic_store(&unsaved_work, unsaved);
}

void signals_reset(void)
{
    atomic_store(&stop_signal, 0);
    atomic_store(&save_signal, 0);
    atomic_store(&deadline, 0);
    atomic_store(&unsaved_work, false);
    atomic_fetch_add(&resets, 1);
}
