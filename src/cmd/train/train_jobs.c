/* The runs of a batch as processes: each is this program again, with the config of its run as it
 * was resolved when the batch began. A config that is edited meanwhile, or new files that a pattern
 * matches, do not change what a run is. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/threads.h"
#include "cmd/train/train_batch_internal.h"
#include "config/config.h"
#include "run/own_process.h"
#include "run/signals.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { JOB_WORDS = 16, JOB_WAIT_MS = 200 };

/* A process that runs. */
struct job_process {
    struct own_process process;
    int index; /* of its run */
};

struct job_pool {
    struct train_batch *batch;
    struct job_process *processes; /* [room] */
    int room, running;
    uint64_t share; /* memory.limit of each; 0: none */
    bool stopping;
};

/* ---- a process ---- */

static int job_add(char **words, int *count, int room, char *word)
{
    if (!word || *count + 1 >= room) {
        free(word);
        return word ? fail(ERR_INTERNAL, "too many words") : ERR_SYSTEM;
    }
    words[(*count)++] = word;
    words[*count] = NULL;
    return OK;
}

/* The config of a run, in a file without a name. */
static int job_write_config(const struct job_pool *pool, int index, int *file)
{
    int threads = threads_default() / pool->room;
    struct config *one = NULL;
    char *text = NULL;
    int code = config_batch(pool->batch->config, index, &one);
    if (code == OK) {
        if (one->threads == 0) one->threads = threads > 1 ? threads : 1;
        if (pool->share > 0 && !pool->batch->jobs[index].alone) one->memory.limit = pool->share;
        code = config_print_text(one, &text);
    }
    if (code == OK && (*file = memfd_create("config", 0)) < 0)
        code = fail_errno(ERR_SYSTEM, "pass on the config of run %d", index + 1);
    if (code == OK) code = file_write_all(*file, text, strlen(text), "the config of a run");
    free(text);
    config_free(one);
    return code;
}

/* The command line of a run. Owned words. */
static int job_words(const struct job_pool *pool, int index, int config, char **words)
{
    const struct train_options *options = pool->batch->options;
    const char *folder = pool->batch->jobs[index].folder;
    int count = 0, room = JOB_WORDS;
    if (!folder) return fail(ERR_SYSTEM, "out of memory");
    TRY(job_add(words, &count, room, string_format("imgtrain")));
    TRY(job_add(words, &count, room, string_format("train")));
    TRY(job_add(words, &count, room, string_format("/proc/self/fd/%d", config)));
    TRY(job_add(words, &count, room, string_format("-o%s", folder)));
    if (options->resume) TRY(job_add(words, &count, room, string_format("--resume")));
    if (options->allow_changed_input)
        TRY(job_add(words, &count, room, string_format("--allow-changed-input")));
    TRY(job_add(words, &count, room, string_format("--time-limit=0"))); /* is ours to watch */
    return job_add(words, &count, room, string_format("--quiet"));
}

static int job_start(struct job_pool *pool, struct job_process *process, int index)
{
    char *words[JOB_WORDS] = {NULL};
    int config = -1, code = job_write_config(pool, index, &config);
    if (code == OK) code = job_words(pool, index, config, words);
    if (code == OK) {
        process->index = index;
        code = own_process_start(&process->process, &(struct own_process_request){
                                                        .words = words, .when_orphaned = SIGTERM});
        if (code == OK) pool->running++;
    }
    if (config >= 0) close(config);
    for (int i = 0; words[i]; i++)
        free(words[i]);
    return code;
}

/* What it says is passed on with its number. */
static void job_say(void *context, bool is_warning, const char *line)
{
    const struct job_process *process = context;
    (void)is_warning; /* all that a run says with --quiet */
    log_warning("run %d: %s", process->index + 1, line);
}

/* ---- its end ---- */

static void job_end(struct job_pool *pool, struct job_process *process)
{
    struct train_batch *batch = pool->batch;
    struct train_job *job = &batch->jobs[process->index];
    int code = own_process_end(&process->process);
    pool->running--;
    job->state = TRAIN_JOB_ENDED;
    if (code == ERR_STOPPED)
        job->state = TRAIN_JOB_STOPPED;
    else if (code < 0)
        train_batch_fail(batch, process->index, code);
    else
        log_info("run %d of %d: done: %s", process->index + 1, batch->count,
                 job->folder ? job->folder : "");
}

/* Waits until something is said or ends, a little at a time. */
static void job_wait(struct job_pool *pool)
{
    struct pollfd *ends = calloc((size_t)pool->room, sizeof *ends);
    for (int i = 0; ends && i < pool->room; i++) {
        const struct own_process *process = &pool->processes[i].process;
        ends[i] = (struct pollfd){process->pid > 0 ? process->messages : -1, POLLIN, 0};
    }
    if (ends)
        poll(ends, (nfds_t)pool->room, JOB_WAIT_MS);
    else
        usleep(JOB_WAIT_MS * 1000);
    for (int i = 0; i < pool->room; i++) {
        struct job_process *process = &pool->processes[i];
        if (process->process.pid == 0) continue;
        if (ends && ends[i].revents) own_process_listen(&process->process, job_say, process);
        if (process->process.messages < 0) job_end(pool, process);
    }
    free(ends);
}

static void job_signal_all(const struct job_pool *pool, int number)
{
    for (int i = 0; i < pool->room; i++)
        if (pool->processes[i].process.pid > 0) kill(pool->processes[i].process.pid, number);
}

/* ---- all of them ---- */

static int job_next(const struct train_batch *batch, enum train_job_state state)
{
    for (int i = 0; i < batch->count; i++)
        if (train_batch_has(batch, i) && batch->jobs[i].state == state) return i;
    return -1;
}

/* A run whose memory leaves none for others begins when they have ended, and they when it has. */
static bool job_has_room(const struct job_pool *pool, int index)
{
    const struct train_job *jobs = pool->batch->jobs;
    if (pool->running == 0) return true;
    if (pool->running == pool->room || jobs[index].alone) return false;
    for (int i = 0; i < pool->room; i++)
        if (pool->processes[i].process.pid > 0 && jobs[pool->processes[i].index].alone)
            return false;
    return true;
}

static int job_begin_some(struct job_pool *pool)
{
    struct train_batch *batch = pool->batch;
    int index;
    while (!signals_stop_requested() && !pool->stopping &&
           (index = job_next(batch, TRAIN_JOB_WAITS)) >= 0 && job_has_room(pool, index)) {
        struct job_process *process = pool->processes;
        while (process->process.pid > 0)
            process++;
        log_info("run %d of %d begins: %s", index + 1, batch->count,
                 batch->jobs[index].folder ? batch->jobs[index].folder : "");
        int code = job_start(pool, process, index);
        if (code < 0) {
            train_batch_fail(batch, index, code);
            continue;
        }
        batch->jobs[index].state = TRAIN_JOB_RUNS;
        batch->started = true;
    }
    return pool->running;
}

/* Where memory is limited, each run gets an equal share: the sum is the limit at any moment, and a
 * run's mode does not depend on which others there are. One that does not fit its share runs alone
 * with all of it. */
static void job_share_memory(struct job_pool *pool)
{
    struct train_batch *batch = pool->batch;
    uint64_t limit = (uint64_t)batch->config->memory.limit;
    pool->share = limit / (uint64_t)pool->room;
    if (pool->share == 0) return;
    log_set_level(LOG_ERROR);
    for (int i = 0; i < batch->count; i++) {
        struct config *one = NULL;
        char *folder = NULL;
        if (!train_batch_has(batch, i) || batch->jobs[i].state != TRAIN_JOB_WAITS) continue;
        int code = config_batch(batch->config, i, &one);
        if (code == OK) code = train_batch_folder(batch, i, &folder);
        if (code == OK) {
            one->memory.limit = pool->share;
            code = train_one(one, batch->options, folder, TRAIN_LOOK, NULL);
        }
        batch->jobs[i].alone = code == ERR_DEVICE_MEMORY;
        free(folder);
        config_free(one);
    }
    train_set_log_level(batch->config, batch->options->quiet);
}

int train_jobs_run(struct train_batch *batch)
{
    struct job_pool pool = {.batch = batch, .room = (int)batch->options->jobs};
    if (pool.room > batch->count) pool.room = batch->count;
    pool.processes = calloc((size_t)pool.room, sizeof *pool.processes);
    if (!pool.processes) return fail(ERR_SYSTEM, "out of memory");
    signals_set_unsaved(true); /* while they save, this process waits */
    job_share_memory(&pool);
    for (int i = 0; i < batch->count; i++)
        if (train_batch_has(batch, i) && !batch->jobs[i].folder)
            train_batch_folder(batch, i, &batch->jobs[i].folder);
    while (job_begin_some(&pool) > 0) {
        job_wait(&pool);
        if (signals_take_save()) job_signal_all(&pool, SIGUSR2);
        if (signals_stop_requested() && !pool.stopping) {
            pool.stopping = true;
            job_signal_all(&pool, SIGTERM);
        }
    }
    free(pool.processes);
    signals_set_unsaved(false);
    int left = job_next(batch, TRAIN_JOB_STOPPED);
    if (left < 0) left = job_next(batch, TRAIN_JOB_WAITS);
    if (left < 0) return OK;
    return fail(ERR_STOPPED, "stopped (%s) before the end of run %d of %d: run again with --resume",
                signals_stop_reason() ? signals_stop_reason() : "by a run", left + 1, batch->count);
}
