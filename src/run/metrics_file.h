/* metrics.jsonl and metrics.csv of a run: one line each, one write each. */
#ifndef IMGTRAIN_RUN_METRICS_FILE_H
#define IMGTRAIN_RUN_METRICS_FILE_H

#include "run/record.h"

#include <stddef.h>

/* A file of a run folder whose lines begin with {"step": N, (csv: with N,). */
struct line_file {
    int fd; /* -1: not open */
    char *path;
    int64_t good;      /* bytes of whole lines in it */
    char *held;        /* lines that could not be written yet */
    size_t held_bytes; /* of those */
    bool warned;
    bool half_line; /* part of a line may stand behind `good` */
};

/* Opens it for appending and drops the lines past `step` (and one that a kill cut short).
 * ERR_OUTPUT, ERR_ACCESS, ERR_IO. */
int line_file_open(struct line_file *file, const char *run_dir, const char *name, int64_t step,
                   bool csv);
/* Appends a line, which ends with a newline. A line that cannot be written (disk full) is held,
 * with one warning, and written with a later one: no line is worth the run. */
void line_file_add(struct line_file *file, const char *line, size_t bytes);
bool line_file_is_empty(const struct line_file *file);
/* Tries once more to write what is held, and brings all to the disk. */
void line_file_sync(struct line_file *file);
void line_file_close(struct line_file *file); /* accepts one that is not open */

struct metrics {
    struct line_file jsonl, csv;
};

int metrics_open(struct metrics *metrics, const char *run_dir, int64_t step);
void metrics_add(struct metrics *metrics, const struct record *record);
void metrics_sync(struct metrics *metrics);
void metrics_close(struct metrics *metrics);

#endif
