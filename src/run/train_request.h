/* What a command asks of a run. */
#ifndef IMGTRAIN_RUN_TRAIN_REQUEST_H
#define IMGTRAIN_RUN_TRAIN_REQUEST_H

#include <stdbool.h>

struct config;
struct device;
struct task;

struct train_request {
    const struct config *config;
    const struct task *task;
    struct device *device;    /* open; a run's own: its memory limit and counts are the run's */
    const char *run_dir;      /* -o; NULL = from log_root, exp_name and name */
    const char *name;         /* the config's or input's stem, for a numbered run folder */
    bool resume;              /* continue the run if it is there, else begin it */
    bool allow_changed_input; /* with another image or data set than it began with, too */
    bool dry_run;             /* print the forecast, make nothing */
    bool quiet, json;         /* how progress is shown */
    bool every_step;          /* show each step: a sign of life */
    char **folder;            /* where it was: owned by the caller; NULL: not wanted */
};

#endif
