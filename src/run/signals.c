#include "run/signals.h"

#include "base/clock.h"
#include "base/temporary.h"

#include <signal.h>
#include <unistd.h>

enum { EXIT_SECOND_INTERRUPT = 130 };

static volatile sig_atomic_t stop_signal;
static volatile sig_atomic_t save_signal;
static double deadline; /* 0 = none */

static void on_stop(int number)
{
    if (number == SIGINT && stop_signal == SIGINT) {
        temporary_remove_all();
        _exit(EXIT_SECOND_INTERRUPT);
    }
    stop_signal = number;
}

static void on_save(int number)
{
    (void)number;
    save_signal = 1;
}

static void set_handler(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_flags = SA_RESTART};
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void signals_install(void)
{
    set_handler(SIGTERM, on_stop);
    set_handler(SIGINT, on_stop);
    set_handler(SIGUSR1, on_stop);
    set_handler(SIGUSR2, on_save);
    set_handler(SIGPIPE, SIG_IGN);
    set_handler(SIGXFSZ, SIG_IGN);
    if (getpid() == 1) set_handler(SIGCHLD, SIG_IGN); /* the kernel reaps for us */
}

void signals_set_time_limit(double seconds)
{
    deadline = seconds > 0 ? clock_seconds() + seconds : 0;
}

bool signals_stop_requested(void)
{
    return stop_signal != 0 || (deadline > 0 && clock_seconds() >= deadline);
}

const char *signals_stop_reason(void)
{
    switch (stop_signal) {
    case 0: return signals_stop_requested() ? "time limit" : NULL;
    case SIGTERM: return "SIGTERM";
    case SIGINT: return "SIGINT";
    case SIGUSR1: return "SIGUSR1";
    default: return "signal";
    }
}

bool signals_take_save(void)
{
    bool asked = save_signal != 0;
    save_signal = 0;
    return asked;
}

void signals_reset(void)
{
    stop_signal = 0;
    save_signal = 0;
    deadline = 0;
}
