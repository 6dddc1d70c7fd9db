#include "versioning/versions.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/threads.h"
#include "versioning/version_store.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct versions {
    struct version_store store;
    char *git_dir, *remote, *include, *branch, *shown; /* shown: the remote without a password */
    char *next;                                        /* versions_path */
    char *path, *message; /* of the version on its way; NULL: what is stored is pushed */
    int64_t step;
    bool begun;             /* the repository is there */
    bool examined;          /* all of it was read by this process */
    bool busy;              /* a version is on its way */
    bool closing, in_a_row; /* the last push failed */
    atomic_bool stop;
    struct versions_state state;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static void versions_free(struct versions *v)
{
    pthread_cond_destroy(&v->changed);
    pthread_mutex_destroy(&v->lock);
    free(v->git_dir);
    free(v->remote);
    free(v->include);
    free(v->branch);
    free(v->shown);
    free(v->next);
    free(v->path);
    free(v->message);
    free(v);
}

/* ---- in the thread ---- */

/* *any: there was something to push. The file is removed once its bytes are stored, and where they
 * cannot be. */
static int versions_bring(struct versions *v, bool *any)
{
    bool added = true;
    *any = true;
    int code = v->begun ? OK : version_store_begin(&v->store);
    v->begun = v->begun || code == OK;
    if (code == OK && v->path) code = version_store_add(&v->store, v->path, v->message, &added);
    unlink(v->next); /* of this version, or of a process that was killed */
    if (code == OK) code = version_store_push(&v->store, any);
    return code;
}

static void versions_note(struct versions *v, int code, bool any)
{
    if (code == ERR_STOPPED || !any) return;
    if (code < 0) {
        v->state.failed++;
        if (!v->in_a_row)
            log_warning("%s; training goes on, and the next version is pushed again",
                        error_message());
    } else {
        v->state.pushed++;
        v->state.step = v->step;
        if (v->in_a_row) log_info("git: pushed to %s again", v->shown);
    }
    v->in_a_row = code < 0;
}

/* A first push that fails may do so for what lies here: only reading all of it tells. */
static void versions_examine(struct versions *v, int failure)
{
    if (failure != ERR_IO || !v->begun || v->examined || atomic_load(&v->stop)) return;
    v->examined = true;
    v->begun = false;
    if (version_store_examine(&v->store) < 0) log_debug("versions: %s", error_message());
}

/* After the message of what failed before has been said. */
static void versions_prune(const struct versions *v)
{
    if (!v->begun || atomic_load(&v->stop)) return;
    if (version_store_prune(&v->store) < 0) log_debug("versions: %s", error_message());
}

static void *versions_main(void *argument)
{
    struct versions *v = argument;
    bool any = false;
    pthread_mutex_lock(&v->lock);
    while (true) {
        while (!v->busy && !v->closing)
            pthread_cond_wait(&v->changed, &v->lock);
        if (!v->busy) break;
        pthread_mutex_unlock(&v->lock);
        int code = versions_bring(v, &any);
        pthread_mutex_lock(&v->lock);
        versions_note(v, code, any);
        pthread_mutex_unlock(&v->lock);
        versions_examine(v, code);
        versions_prune(v);
        pthread_mutex_lock(&v->lock);
        v->busy = false;
        pthread_cond_broadcast(&v->changed);
    }
    pthread_mutex_unlock(&v->lock);
    return NULL;
}

/* ---- for the run ---- */

static char *versions_copy(const char *text)
{
    return text ? string_format("%s", text) : NULL;
}

static bool versions_fill(struct versions *v, const struct versions_options *options)
{
    v->git_dir = versions_copy(options->git_dir);
    v->remote = versions_copy(options->remote);
    v->include = versions_copy(options->include);
    v->branch = versions_copy(options->branch);
    v->shown = versions_copy(options->remote);
    v->next = path_join(options->git_dir, "next.safetensors");
    if (v->shown) git_hide_secrets(v->shown);
    v->store = (struct version_store){.git_dir = v->git_dir,
                                      .remote = v->remote,
                                      .include = v->include,
                                      .branch = v->branch,
                                      .keep = options->keep,
                                      .lfs = options->lfs,
                                      .seconds = options->seconds,
                                      .stop = &v->stop};
    v->state.step = v->step = -1;
    v->busy = v->next && file_exists(v->git_dir); /* of an earlier process */
    return v->git_dir && v->remote && v->branch && v->shown && v->next &&
           (v->include || !options->include);
}

int versions_open(struct versions **versions, const struct versions_options *options)
{
    struct versions *v = calloc(1, sizeof *v);
    if (!v) return fail(ERR_SYSTEM, "out of memory");
    pthread_condattr_t monotonic;
    pthread_mutex_init(&v->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&v->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int code = versions_fill(v, options) ? file_check_own_folder(v->git_dir) : ERR_SYSTEM;
    if (code == OK) code = file_make_dirs(v->git_dir);
    if (code == OK) {
        int failed = threads_start(&v->thread, false, versions_main, v);
        if (failed) code = fail(ERR_SYSTEM, "start a thread: %s", strerror(failed));
    }
    if (code < 0)
        versions_free(v);
    else
        *versions = v;
    return code;
}

bool versions_is_free(struct versions *v)
{
    pthread_mutex_lock(&v->lock);
    bool busy = v->busy;
    if (busy) v->state.skipped++;
    pthread_mutex_unlock(&v->lock);
    return !busy;
}

const char *versions_path(const struct versions *v)
{
    return v->next;
}

void versions_give(struct versions *v, const char *path, int64_t step, const char *message)
{
    pthread_mutex_lock(&v->lock);
    free(v->path);
    free(v->message);
    v->path = versions_copy(path);
    v->message = versions_copy(message);
    v->step = step;
    v->busy = true;
    pthread_cond_broadcast(&v->changed);
    pthread_mutex_unlock(&v->lock);
}

void versions_lost(struct versions *v, int64_t step)
{
    pthread_mutex_lock(&v->lock);
    v->state.failed++;
    pthread_mutex_unlock(&v->lock);
    log_warning("git: the version of step %lld is left out: %s", (long long)step, error_message());
}

/* Looks at `stop` several times a second, which no condition tells. */
static bool versions_wait_until(struct versions *v, bool (*stop)(void), double end)
{
    pthread_mutex_lock(&v->lock);
    while (v->busy && !(stop && stop()) && clock_seconds() < end) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 100000000;
        if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
        pthread_cond_timedwait(&v->changed, &v->lock, &until);
    }
    bool done = !v->busy;
    pthread_mutex_unlock(&v->lock);
    return done;
}

bool versions_wait(struct versions *v, bool (*stop)(void))
{
    return versions_wait_until(v, stop, 1e300); /* every call of git has its own limit */
}

void versions_look(struct versions *v, struct versions_state *state)
{
    pthread_mutex_lock(&v->lock);
    *state = v->state;
    pthread_mutex_unlock(&v->lock);
}

void versions_close(struct versions *v, double seconds)
{
    if (!v) return;
    versions_wait_until(v, NULL, clock_seconds() + seconds);
    atomic_store(&v->stop, true);
    pthread_mutex_lock(&v->lock);
    v->closing = true;
    pthread_cond_broadcast(&v->changed);
    pthread_mutex_unlock(&v->lock);
    pthread_join(v->thread, NULL);
    versions_free(v);
}
