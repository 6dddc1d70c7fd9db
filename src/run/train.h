/* The training loop around any task: run folder, resume, frames, metrics, checkpoints, progress,
 * signals, and the files that a finished run leaves. */
#ifndef IMGTRAIN_RUN_TRAIN_H
#define IMGTRAIN_RUN_TRAIN_H

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
    bool allow_changed_input; /* with another picture or data set than it began with, too */
    bool dry_run;             /* print the forecast, make nothing */
    bool quiet, json;         /* how progress is shown */
    bool every_step;          /* show each step: a sign of life */
};

/* The whole run. Signal handlers must have been installed (signals_install). 0: finished;
 * ERR_STOPPED: stopped on request, state saved; ERR_DIVERGED; ERR_OUTPUT: the folder exists, is no
 * run or is in use; ERR_CONFIG: resumed with a config that does not fit; ERR_DEVICE_MEMORY and
 * ERR_IO: what is needed is not there. */
int train_run(const struct train_request *request);

/* Whether train_run would begin: config, device, input, memory and the run folder are looked at,
 * and nothing is made. 0, or what train_run would end with. */
int train_look(const struct train_request *request);

#endif
