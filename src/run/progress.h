/* The progress that a user sees while a run trains: a bar on a terminal, else a plain line every 10
 * seconds and after evaluations; with json, objects on stdout. */
#ifndef IMGTRAIN_RUN_PROGRESS_H
#define IMGTRAIN_RUN_PROGRESS_H

#include "run/record.h"

#include <stdbool.h>

struct progress;

struct progress_options {
    int64_t total; /* steps */
    bool quiet;    /* nothing but warnings and errors */
    bool json;     /* {"event": "progress", ...} lines on stdout instead */
    bool every_step;
    bool rows; /* of an image, instead of steps: progress_rows(); what takes seconds shows nothing
                */
};

/* NULL without memory: every function accepts that and shows nothing. */
struct progress *progress_open(const struct progress_options *options);

/* There are another number of steps than was said. */
void progress_set_total(struct progress *progress, int64_t total);

/* Shows the state after a step when it is time to. evaluated: its metrics are exact; the last known
 * ones are shown otherwise. free_bytes: device memory still free, -1 = unknown. */
void progress_update(struct progress *progress, const struct record *record, bool evaluated,
                     int64_t free_bytes);

/* Shows that so many rows of an image are done, when it is time to. */
void progress_rows(struct progress *progress, int64_t done);

/* A JSON event on stdout: {"event": "NAME", MEMBERS}; does nothing unless json was asked for. */
void progress_event(struct progress *progress, const char *name, const char *members);

void progress_close(struct progress *progress);

/* The plain line: "step 1200/10000 12% loss 0.0123 psnr 31.42 it/s 412 mem 0.4/11.8G eta 21s". */
size_t progress_line(char *out, size_t room, const struct record *record, int64_t total,
                     int64_t free_bytes);
/* And of rows: "row 1200/8000 15% eta 21s". */
size_t progress_rows_line(char *out, size_t room, int64_t done, int64_t total, double seconds);

#endif
