/* What became of the runs of a batch: PREFIX-summary.csv, .json and .html. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/train/train_batch_internal.h"
#include "config/config.h"
#include "report/batch_report.h"

#include <stdlib.h>
#include <string.h>

/* What names of the files begin with: -o, or the run's name, or the first folder that there is. */
static char *summary_prefix(const struct train_batch *batch)
{
    const char *first = NULL;
    for (int i = batch->count - 1; i >= 0; i--)
        if (batch->jobs[i].folder) first = batch->jobs[i].folder;
    char *name = NULL, *whole = NULL;
    if (batch->options->output)
        name = string_format("%s", batch->options->output);
    else if (batch->config->exp_name[0])
        name = path_join(batch->config->log_root, batch->config->exp_name);
    else if (first)
        name = string_format("%s", first);
    if (name && batch->options->shard)
        whole = string_format("%s-summary-%d-of-%d", name, batch->shard.index, batch->shard.count);
    else if (name)
        whole = string_format("%s-summary", name);
    free(name);
    return whole;
}

static const char *summary_state(const struct train_job *job)
{
    if (job->state == TRAIN_JOB_WAITS) return "waiting";
    if (job->state != TRAIN_JOB_ENDED) return "stopped";
    return job->code < 0 ? "failed" : "done";
}

void train_summary_write(const struct train_batch *batch)
{
    char *prefix = summary_prefix(batch);
    struct batch_report_job *jobs = calloc((size_t)batch->count, sizeof *jobs);
    int count = 0, code = prefix && jobs ? OK : ERR_SYSTEM;
    for (int i = 0; i < batch->count && code == OK; i++) {
        if (!train_batch_has(batch, i)) continue;
        const struct train_job *job = &batch->jobs[i];
        jobs[count++] = (struct batch_report_job){
            .number = i + 1,
            .folder = job->folder && file_is_dir(job->folder) ? job->folder : NULL,
            .state = summary_state(job),
            .status = job->state == TRAIN_JOB_ENDED ? error_exit_status(job->code) : -1,
            .message = job->message,
        };
    }
    if (code == OK) code = batch_report_write(prefix, batch->config, jobs, count);
    if (code < 0)
        log_warning("summary: %s", error_message());
    else
        log_info("summary: %s.html, .csv, .json", prefix);
    free(jobs);
    free(prefix);
}
