/* One moment of a run in numbers, and how it is written: a line of metrics.jsonl, of metrics.csv,
 * the JSON beside a frame. */
#ifndef IMGTRAIN_RUN_RECORD_H
#define IMGTRAIN_RUN_RECORD_H

#include "memory/mode.h"
#include "task/task.h"

#include <stddef.h>
#include <stdint.h>

struct record {
    int64_t step; /* steps done */
    const struct task_report *report;
    double seconds;                 /* training time, continued over resume */
    double steps_per_second;        /* NaN = not known yet */
    int64_t bytes;                  /* device memory in use */
    const struct memory_mode *mode; /* the mode it runs in; NULL: the task has one only */
};

enum { RECORD_BYTES = 4096 }; /* room for any record */

/* {"step": 100, "loss": 0.5, ..., "bytes": 123} without a newline; %.9g. Unknown metrics are null;
 * a loss that is not finite or an infinite metric is null too and adds "nonfinite": true.
 * extra: "" or more members, beginning with ", ". Returns the length. */
size_t record_json(char *out, size_t room, const struct record *record, const char *extra);

/* The same as a CSV row, and the head row that goes with it; unknown = empty. */
size_t record_csv(char *out, size_t room, const struct record *record);
size_t record_csv_head(char *out, size_t room, const struct record *record);

/* `text` as a JSON string with its quotes (control characters and non-ASCII bytes as they are
 * allowed). Returns the length. */
size_t record_json_string(char *out, size_t room, const char *text);

#endif
