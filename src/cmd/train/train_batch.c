#include "cmd/train/train_batch.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/train/train_batch_internal.h"
#include "config/config.h"
#include "run/signals.h"

#include <stdlib.h>
#include <string.h>

bool train_batch_has(const struct train_batch *batch, int index)
{
    if (batch->options->only) return index + 1 == batch->options->only;
    return index % batch->shard.count == batch->shard.index;
}

int train_batch_folder(const struct train_batch *batch, int index, char **folder)
{
    struct config *one = NULL;
    *folder = NULL;
    if (batch->options->output) {
        *folder = string_format("%s-%03d", batch->options->output, index + 1);
        return *folder ? OK : ERR_SYSTEM;
    }
    if (!batch->config->exp_name[0]) return OK;
    int code = config_batch(batch->config, index, &one);
    if (code == OK) *folder = path_join(one->log_root, one->exp_name);
    config_free(one);
    return code == OK && !*folder ? ERR_SYSTEM : code;
}

static int train_batch_one(struct train_batch *batch, int index, enum train_pass pass)
{
    struct config *one = NULL;
    char *run_dir = NULL, *folder = NULL;
    int code = config_batch(batch->config, index, &one);
    if (code == OK && batch->options->output) code = train_batch_folder(batch, index, &run_dir);
    if (code == OK) code = train_one(one, batch->options, run_dir, pass, &folder);
    if (folder) {
        free(batch->jobs[index].folder);
        batch->jobs[index].folder = folder;
    }
    free(run_dir);
    config_free(one);
    return code;
}

void train_batch_fail(struct train_batch *batch, int index, int code)
{
    struct train_job *job = &batch->jobs[index];
    if (!batch->options->only)
        log_error("run %d of %d: %s", index + 1, batch->count, error_message());
    *job = (struct train_job){.state = TRAIN_JOB_ENDED, .code = code, .folder = job->folder};
    job->message = string_format("%s", error_message());
    batch->failed++;
}

static int train_batch_fail_stopped(int index, int count)
{
    return fail(ERR_STOPPED, "stopped (%s) before run %d of %d: run again with --resume",
                signals_stop_reason(), index + 1, count);
}

/* All runs are looked at before the first begins, so that a mistake in the last one shows at once;
 * what is wrong with one is no reason to leave the others. Only a stop ends the batch. */
static int train_batch_pass(struct train_batch *batch, enum train_pass pass)
{
    for (int i = 0; i < batch->count; i++) {
        struct train_job *job = &batch->jobs[i];
        if (!train_batch_has(batch, i) || job->state == TRAIN_JOB_ENDED) continue;
        if (signals_stop_requested()) return train_batch_fail_stopped(i, batch->count);
        if (pass == TRAIN_RUN) {
            log_info("run %d of %d", i + 1, batch->count);
            batch->started = true;
        }
        int code = train_batch_one(batch, i, pass);
        if (code == ERR_STOPPED && pass == TRAIN_RUN) job->state = TRAIN_JOB_STOPPED;
        if (code == ERR_STOPPED) return code;
        if (code < 0) train_batch_fail(batch, i, code);
        if (code == OK && pass == TRAIN_RUN) job->state = TRAIN_JOB_ENDED;
    }
    return OK;
}

/* The exit status of the batch is that of its first run that failed. */
static int train_batch_conclude(const struct train_batch *batch)
{
    int wanted = 0;
    for (int i = 0; i < batch->count; i++)
        wanted += train_batch_has(batch, i);
    for (int i = 0; i < batch->count; i++)
        if (batch->jobs[i].code < 0 && batch->options->only)
            return fail(batch->jobs[i].code, "run %d of %d: %s", i + 1, batch->count,
                        batch->jobs[i].message ? batch->jobs[i].message : "");
        else if (batch->jobs[i].code < 0)
            return fail(batch->jobs[i].code, "%d of %d runs failed, the first of them run %d: %s",
                        batch->failed, wanted, i + 1,
                        batch->jobs[i].message ? batch->jobs[i].message : "");
    return OK;
}

static int train_batch_run(struct train_batch *batch)
{
    const struct train_options *options = batch->options;
    int code = OK;
    if (!options->dry_run) {
        log_set_level(LOG_ERROR); /* a run's warnings come when it begins */
        code = train_batch_pass(batch, TRAIN_LOOK);
        train_set_log_level(batch->config, options->quiet);
    }
    if (code == OK && options->jobs > 1 && !options->dry_run)
        code = train_jobs_run(batch);
    else if (code == OK)
        code = train_batch_pass(batch, TRAIN_RUN);
    return code;
}

/* What a stop says must not be lost by what the summary says. */
static int train_batch_sum_up(const struct train_batch *batch, int code)
{
    char *reason = string_format("%s", error_message());
    if (batch->started && !batch->options->dry_run && !batch->options->only)
        train_summary_write(batch);
    if (code < 0) fail(code, "%s", reason ? reason : "");
    free(reason);
    return code == OK ? train_batch_conclude(batch) : code;
}

/* Adds the branches that runs are told to push to. */
static int train_batch_name_branches(const struct train_batch *batch, char **names, int *count)
{
    for (int i = 0; i < batch->count; i++) {
        struct config *one = NULL;
        TRY(config_batch(batch->config, i, &one));
        bool pushes = one->git.mode != CONFIG_GIT_MODE_NONE && *one->git.branch;
        if (pushes) names[*count] = string_format("%s", one->git.branch);
        bool failed = pushes && !names[*count];
        *count += pushes && !failed;
        config_free(one);
        if (failed) return ERR_SYSTEM;
    }
    return OK;
}

/* Each would overwrite what the one before has pushed. */
static int train_batch_check_branches(const struct train_batch *batch)
{
    int count = 0;
    if (batch->options->only || config_is_default(batch->config, "git.branch")) return OK;
    char **names = calloc((size_t)batch->count, sizeof *names);
    if (!names) return fail(ERR_SYSTEM, "out of memory");
    int code = train_batch_name_branches(batch, names, &count);
    qsort(names, (size_t)count, sizeof *names, string_compare);
    for (int i = 1; code == OK && i < count; i++)
        if (strcmp(names[i], names[i - 1]) == 0)
            code = fail(ERR_CONFIG,
                        "git.branch %s (%s): more than one run of the batch would overwrite it; "
                        "empty, it is imgtrain/ and each run's name",
                        names[i], config_origin(batch->config, "git.branch"));
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return code;
}

static int train_batch_check(const struct train_batch *batch)
{
    const struct train_options *options = batch->options;
    bool named = options->output || batch->config->exp_name[0];
    if (options->only > batch->count)
        return fail(ERR_USAGE, "--only %lld: the batch has %d runs", (long long)options->only,
                    batch->count);
    if (options->resume && !named)
        return fail(ERR_USAGE, "a batch can only be resumed by name: give -o or exp_name");
    if ((options->jobs > 1 || options->shard || options->only) && !named)
        return fail(ERR_USAGE,
                    "runs that know nothing of one another need names: give -o or exp_name");
    return train_batch_check_branches(batch);
}

int train_batch(const struct config *config, const struct train_options *options, bool expanded)
{
    struct train_batch batch = {
        .config = config, .options = options, .count = config_batch_count(config)};
    TRY(train_shard_parse(&batch.shard, options->shard));
    if (batch.count == 1 && !expanded)
        return train_one(config, options, options->output, TRAIN_RUN, NULL);
    TRY(train_batch_check(&batch));
    batch.jobs = calloc((size_t)batch.count, sizeof *batch.jobs);
    if (!batch.jobs) return fail(ERR_SYSTEM, "out of memory");
    int code = train_batch_run(&batch);
    code = train_batch_sum_up(&batch, code);
    for (int i = 0; i < batch.count; i++) {
        free(batch.jobs[i].folder);
        free(batch.jobs[i].message);
    }
    free(batch.jobs);
    return code;
}
