/* metrics.jsonl and metrics.csv of a run: one line each, one write each. */
#ifndef IMGTRAIN_RUN_METRICS_H
#define IMGTRAIN_RUN_METRICS_H

#include "run/record.h"

#include <stdbool.h>

struct metrics {
    int jsonl_fd, csv_fd;
    char *jsonl_path, *csv_path;
    bool warned;
};

/* Opens both files of the run folder for appending and drops the lines past `step` (and a line that
 * a kill cut short). ERR_OUTPUT, ERR_ACCESS, ERR_IO. */
int metrics_open(struct metrics *metrics, const char *run_dir, int64_t step);

/* Appends a line to each. A line that cannot be written (disk full) is left out with one warning:
 * it is not worth the run. */
void metrics_add(struct metrics *metrics, const struct record *record);

/* The same for another file of lines that begin with {"step": N, (csv: with N,). */
int metrics_open_file(const char *path, int64_t step, bool csv, int *fd);

void metrics_close(struct metrics *metrics); /* accepts a zeroed struct */

#endif
