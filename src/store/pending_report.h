/* A step whose measurement was stopped: its report is written after the measurement, which may be
 * made by another process. So the checkpoint holds what else the report says. */
#ifndef IMGTRAIN_STORE_PENDING_REPORT_H
#define IMGTRAIN_STORE_PENDING_REPORT_H

#include <stdint.h>

struct store_file;
struct store_writer;

struct pending_number {
    const char *name;
    double *value;
};

/* Metadata TASK.pending, the steps done, and TASK.report.NAME. */
int pending_report_store(struct store_writer *writer, const char *task, int64_t steps_done,
                         const struct pending_number *numbers, int count);
/* *pending and the numbers stay as they are where the file has no TASK.pending. ERR_DATA unless it
 * is `steps_done` and all numbers are there and finite. */
int pending_report_load(const struct store_file *file, const char *task, int64_t steps_done,
                        int64_t *pending, const struct pending_number *numbers, int count);

#endif
