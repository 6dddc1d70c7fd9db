/* Inside src/report: the runs of a page. */
#ifndef IMGTRAIN_REPORT_REPORT_INTERNAL_H
#define IMGTRAIN_REPORT_REPORT_INTERNAL_H

#include "report/run_story.h"

#include <stdio.h>

struct report {
    FILE *out;
    struct run_story *stories; /* [count] */
    int count;
};

/* The names of all columns, each once, in the order of the first run that has it: [*count],
 * borrowed names in a list that is owned. */
int report_list_columns(const struct report *report, const char ***names, int *count);
/* Not a column that says when and where a line was written. */
bool report_is_measure(const char *column);
/* The most memory of a run; NaN: not known. */
double report_peak(const struct run_story *story);
/* Curves, memory, differences and last frames of several runs. */
int report_write_beside(const struct report *report);

#endif
