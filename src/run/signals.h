/* Stop and save requests: signals and the time limit. The handlers only set flags; the loop and the
 * long phases look at them. Where nobody looks, because an open or a read does not return, and
 * nothing is there to be saved, a thread that watches ends the process. */
#ifndef IMGTRAIN_RUN_SIGNALS_H
#define IMGTRAIN_RUN_SIGNALS_H

#include <stdbool.h>

/* SIGTERM, SIGINT, SIGUSR1, SIGHUP, SIGXCPU: stop; a second SIGINT ends the process at once with
 * status 130. SIGUSR2: save and go on. SIGPIPE and SIGXFSZ are ignored: their writes fail with an
 * error instead. Those that were ignored stay ignored (nohup). As PID 1 of a container, children
 * are reaped. A second call changes nothing. */
void signals_install(void);

/* The time limit in seconds from now; 0 = none. */
void signals_set_time_limit(double seconds);

/* Whether the run is to save and stop: a signal came or the time is up. */
bool signals_stop_requested(void);

/* "SIGTERM", "time limit", ...; NULL when no stop was requested. */
const char *signals_stop_reason(void);

/* Whether SIGUSR2 came since the last call. */
bool signals_take_save(void);

/* Whether the process holds work that is in no file yet: while it does not, and a stop has been
 * asked for some seconds ago without an answer, it is ended with status 75. False at first. */
void signals_set_unsaved(bool unsaved);

/* Forgets every request (for tests, and for the next run of one process). */
void signals_reset(void);

#endif
