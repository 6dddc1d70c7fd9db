/* The runs of a batch as processes: each is this program again, with the config of its run as it
 * was resolved when the batch began. A config that is edited meanwhile, or new files that a pattern
 * matches, do not change what a run is. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/threads.h"
#include "cmd/train/train_batch_internal.h"
#include "config/config.h"
#include "run/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOB_LINE_BYTES = 4096, JOB_WORDS = 16, JOB_WAIT_MS = 200 };

/* A process that runs. */
struct job_process {
    pid_t pid;                 /* 0: none */
    int index;                 /* of its run */
    int messages;              /* where its stderr comes from; -1: it is closed */
    char line[JOB_LINE_BYTES]; /* what of a line is there */
    size_t used;
    char last[JOB_LINE_BYTES]; /* the last line of the program itself: why it failed */
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

/* The environment but for what the config has already. Borrowed words in an owned list. */
static char **job_environment(void)
{
    size_t count = 0, used = 0;
    while (environ && environ[count])
        count++;
    char **kept = calloc(count + 1, sizeof *kept);
    for (size_t i = 0; kept && i < count; i++)
        if (!config_is_variable(environ[i]) && strncmp(environ[i], "IMGTRAIN_TESTING=", 17) != 0)
            kept[used++] = environ[i];
    return kept;
}

/* In the child, between fork and exec: only what is safe there. A process group of its own, so that
 * a Ctrl-C comes from us alone; where we are killed it saves and stops. `held`: signals that wait
 * until the program listens to them. */
static void job_become(char *const *words, char *const *environment, int messages, pid_t parent,
                       const sigset_t *held)
{
    sigprocmask(SIG_SETMASK, held, NULL);
    signal(SIGTERM, SIG_DFL); /* from us alone: nobody else's wish to ignore it counts */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(75);
    if (dup2(messages, STDERR_FILENO) < 0) _exit(71);
    execve("/proc/self/exe", words, environment);
    _exit(71);
}

/* What is asked of a process that has just begun must neither end it nor be lost. */
static pid_t job_fork(char *const *words, char *const *environment, int messages)
{
    sigset_t held, before;
    pid_t parent = getpid();
    sigemptyset(&held);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &held, &before);
    pid_t pid = fork();
    if (pid == 0) job_become(words, environment, messages, parent, &held);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

static int job_start(struct job_pool *pool, struct job_process *process, int index)
{
    char *words[JOB_WORDS] = {NULL}, **environment = job_environment();
    int ends[2] = {-1, -1}, config = -1;
    int code = environment ? OK : fail(ERR_SYSTEM, "out of memory");
    if (code == OK) code = job_write_config(pool, index, &config);
    if (code == OK) code = job_words(pool, index, config, words);
    if (code == OK && pipe2(ends, O_CLOEXEC) != 0) code = fail_errno(ERR_SYSTEM, "pipe");
    if (code == OK) {
        *process = (struct job_process){.index = index, .messages = ends[0]};
        pid_t pid = job_fork(words, environment, ends[1]);
        if (pid < 0) {
            code = fail_errno(ERR_SYSTEM, "start a process");
            close(ends[0]);
        } else {
            process->pid = pid;
            pool->running++;
        }
        close(ends[1]);
    }
    if (config >= 0) close(config);
    for (int i = 0; words[i]; i++)
        free(words[i]);
    free(environment);
    return code;
}

/* ---- what it says ---- */

/* "imgtrain: WHY" is how it ends; anything else is passed on with its number. */
static void job_say(struct job_process *process, const char *line)
{
    static const char own[] = "imgtrain: ";
    if (strncmp(line, own, sizeof own - 1) == 0)
        snprintf(process->last, sizeof process->last, "%s", line + sizeof own - 1);
    else
        log_warning("run %d: %s", process->index + 1,
                    strncmp(line, "warning: ", 9) == 0 ? line + 9 : line);
}

static void job_listen(struct job_process *process)
{
    char *line = process->line, *end;
    ssize_t got =
        read(process->messages, line + process->used, sizeof process->line - 1 - process->used);
    if (got < 0 && errno == EINTR) return;
    if (got > 0) process->used += (size_t)got;
    line[process->used] = '\0';
    while ((end = strchr(line, '\n'))) {
        *end = '\0';
        job_say(process, line);
        process->used -= (size_t)(end + 1 - line);
        memmove(line, end + 1, process->used + 1);
    }
    if (process->used == sizeof process->line - 1) process->used = 0; /* longer than any line */
    if (got > 0) return;
    close(process->messages);
    process->messages = -1;
}

/* ---- its end ---- */

static int job_code_of(int status)
{
    for (int code = OK; code >= ERR_DEVICE_MEMORY; code--)
        if (error_exit_status(code) == status) return code;
    return ERR_INTERNAL;
}

static void job_end(struct job_pool *pool, struct job_process *process, int status)
{
    struct train_batch *batch = pool->batch;
    struct train_job *job = &batch->jobs[process->index];
    int number = WIFEXITED(status) ? WEXITSTATUS(status) : -1, code = OK;
    if (number < 0)
        code = fail(ERR_INTERNAL, "the process was ended by signal %d", WTERMSIG(status));
    else if (number > 0)
        code = fail(job_code_of(number), "%s", process->last);
    process->pid = 0;
    pool->running--;
    job->state = TRAIN_JOB_ENDED;
    if (number == 75)
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
        bool open = pool->processes[i].pid > 0;
        ends[i] = (struct pollfd){open ? pool->processes[i].messages : -1, POLLIN, 0};
    }
    if (ends)
        poll(ends, (nfds_t)pool->room, JOB_WAIT_MS);
    else
        usleep(JOB_WAIT_MS * 1000);
    for (int i = 0; i < pool->room; i++) {
        struct job_process *process = &pool->processes[i];
        int status;
        if (process->pid == 0) continue;
        if (ends && ends[i].revents) job_listen(process);
        if (process->messages >= 0) continue;
        pid_t ended;
        while ((ended = waitpid(process->pid, &status, 0)) < 0 && errno == EINTR) {
        }
        job_end(pool, process, ended > 0 ? status : SIGKILL);
    }
    free(ends);
}

static void job_signal_all(const struct job_pool *pool, int number)
{
    for (int i = 0; i < pool->room; i++)
        if (pool->processes[i].pid > 0) kill(pool->processes[i].pid, number);
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
        if (pool->processes[i].pid > 0 && jobs[pool->processes[i].index].alone) return false;
    return true;
}

static int job_begin_some(struct job_pool *pool)
{
    struct train_batch *batch = pool->batch;
    int index;
    while (!signals_stop_requested() && !pool->stopping &&
           (index = job_next(batch, TRAIN_JOB_WAITS)) >= 0 && job_has_room(pool, index)) {
        struct job_process *process = pool->processes;
        while (process->pid > 0)
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
    signal(SIGCHLD, SIG_DFL);  /* their ends are waited for, as process 1 too */
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
