/* The run folder: where it is, that it is new or resumed, and that only one process is in it. */
#ifndef IMGTRAIN_RUN_FOLDER_H
#define IMGTRAIN_RUN_FOLDER_H

#include <stdbool.h>

struct folder {
    char *path;        /* owned */
    char *checkpoints; /* PATH/checkpoints */
    char *frames;      /* PATH/frames */
    int lock_fd;
    int log_fd;
    bool resumed; /* it was there before */
};

struct folder_request {
    const char *path;     /* -o RUN; NULL = from the three below */
    const char *log_root; /* "runs" */
    const char *exp_name; /* "" = NAME-001, counted up */
    const char *name;     /* the config's or input's stem */
    bool resume;          /* an existing run is continued; a missing one is begun */
};

/* Makes the folder (or enters it, when it is to be resumed or empty), locks it and opens log.txt.
 * ERR_OUTPUT when it exists and is not to be resumed, is no run folder, or another process is in
 * it; ERR_ACCESS. A failure may leave a new folder that can be resumed, and nothing else. */
int folder_open(struct folder *folder, const struct folder_request *request);

/* Whether `path` is a folder with nothing in it but what a file system or Git puts there: as good
 * as a new one. */
bool folder_is_empty(const char *path);

/* Whether folder_open would enter `path`, which exists: ERR_OUTPUT when it is no run folder or is
 * not to be resumed. Whether another process is in it shows only then. */
int folder_check(const struct folder_request *request, const char *path);

/* Releases the lock and the log; accepts a zeroed struct. */
void folder_close(struct folder *folder);

/* The run that folder_open would enter, without entering it (--dry-run): *path is owned by the
 * caller. ERR_OUTPUT, ... when log_root cannot be read; ERR_SYSTEM. */
int folder_plan(const struct folder_request *request, char **path);

#endif
