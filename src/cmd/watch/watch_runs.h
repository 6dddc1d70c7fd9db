/* The runs that are watched, read from their folders' files; nothing there is written or held. */
#ifndef IMGTRAIN_CMD_WATCH_RUNS_H
#define IMGTRAIN_CMD_WATCH_RUNS_H

#include "report/run_story.h"

#include <stdbool.h>

enum watch_state {
    WATCH_WAITING,
    WATCH_RUNNING,
    WATCH_DONE,
    WATCH_STOPPED,
    WATCH_FAILED,
    WATCH_KILLED
};

struct watch_run {
    char *path;
    struct run_story story;
    enum watch_state state;
    bool ending;        /* its last process has said how it ended, and one is there still (or
                           again) */
    int status;         /* exit status of its last process, where that has ended */
    char *message;      /* why it ended; NULL: nothing was said */
    int begun;          /* how often a process has begun */
    double step, total; /* NaN: not known */
    double left;        /* seconds; NaN: not known */
    double age;         /* seconds since the last line of metrics; NaN: there is none */
};

struct watch_runs {
    const char *const *operands; /* [operand_count], borrowed */
    int operand_count;
    bool many;              /* a row a run, instead of one run in full */
    struct watch_run *runs; /* [count] */
    int count;
    bool more_to_come; /* a batch is not at its end, as it has not summed up */
    bool looked;       /* all have been read once: a folder that holds no run is one to come */
};

/* Reads all anew. An operand is a run (which may not be there yet), a folder of runs, or what a
 * batch was given as -o. ERR_INPUT for what is neither. */
int watch_runs_read(struct watch_runs *all);
void watch_runs_free(struct watch_runs *all); /* the operands stay */

/* No run trains, and none is to begin. */
bool watch_runs_ended(const struct watch_runs *all);
/* What became of them: OK; the error of the first that failed; ERR_STOPPED where one was stopped or
 * killed. With its message. */
int watch_runs_conclude(const struct watch_runs *all);

/* "running", "done", ... */
const char *watch_state_name(const struct watch_run *run);
/* Seconds since a file of the folder was written, by the clock of this machine; NaN: none. */
double watch_age(const char *run_dir, const char *name);
/* Takes status and message out of an object that says how a run ended. */
int watch_run_note(struct watch_run *run, const cJSON *end);

/* watch_find.c: adds the runs that an operand stands for, not read yet but for those that have no
 * folder and of which their batch's summary says why. */
int watch_find(struct watch_runs *all, const char *operand);

#endif
