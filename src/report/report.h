/* report.html: a run, or several beside one another, in one file that a browser shows without a
 * network: curves, first, middle and last frame, memory, settings, machine. */
#ifndef IMGTRAIN_REPORT_REPORT_H
#define IMGTRAIN_REPORT_REPORT_H

/* Writes the report of the run folders `paths` to `output` (NULL: RUN/report.html of the first),
 * atomically. ERR_INPUT where one is no run folder; ERR_OUTPUT, ... */
int report_write(const char *const *paths, int count, const char *output);

#endif
