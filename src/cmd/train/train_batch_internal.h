/* Inside train_batch.c, train_jobs.c and train_summary.c: a batch in progress. */
#ifndef IMGTRAIN_CMD_TRAIN_BATCH_INTERNAL_H
#define IMGTRAIN_CMD_TRAIN_BATCH_INTERNAL_H

#include "cmd/train/train_options.h"
#include "cmd/train/train_shard.h"

/* STOPPED: it goes on with --resume. */
enum train_job_state { TRAIN_JOB_WAITS, TRAIN_JOB_RUNS, TRAIN_JOB_STOPPED, TRAIN_JOB_ENDED };

struct train_job {
    enum train_job_state state;
    int code;      /* of its end */
    char *folder;  /* NULL: not known yet */
    char *message; /* why it failed */
    bool alone;    /* its memory leaves none for others */
};

struct train_batch {
    const struct config *config;
    const struct train_options *options;
    struct train_shard shard;
    int count;
    struct train_job *jobs; /* [count] */
    int failed;
    bool started; /* a run has begun */
};

/* Whether run `index` is of this machine's part, or the only one that is wanted. */
bool train_batch_has(const struct train_batch *batch, int index);
/* Notes the error that is set. */
void train_batch_fail(struct train_batch *batch, int index, int code);
/* What -o of the run is; NULL where it is numbered. Owned by the caller. */
int train_batch_folder(const struct train_batch *batch, int index, char **folder);

/* train_jobs.c: the runs as processes of their own, options->jobs at a time. ERR_STOPPED. */
int train_jobs_run(struct train_batch *batch);

/* train_summary.c: what became of each run, as CSV, JSON and HTML beside the folders. Failing is a
 * warning. */
void train_summary_write(const struct train_batch *batch);

#endif
