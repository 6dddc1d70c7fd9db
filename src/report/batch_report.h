/* What became of the runs of a batch, for people, tables and programs. */
#ifndef IMGTRAIN_REPORT_BATCH_REPORT_H
#define IMGTRAIN_REPORT_BATCH_REPORT_H

struct config;

struct batch_report_job {
    int number;          /* from 1 */
    const char *folder;  /* NULL: there is none */
    const char *state;   /* "done", "failed", "stopped", "waiting" */
    int status;          /* exit status; -1: it has not ended */
    const char *message; /* why it failed; NULL: it has not */
};

/* PREFIX.csv and PREFIX.json: a line a run with the values that vary and its last numbers;
 * PREFIX.html: that, and the runs beside one another. `config` is the batch. */
int batch_report_write(const char *prefix, const struct config *config,
                       const struct batch_report_job *jobs, int count);

#endif
