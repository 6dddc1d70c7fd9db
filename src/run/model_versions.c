#include "run/model_versions.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "config/config.h"
#include "run/progress.h"
#include "run/session.h"
#include "run/signals.h"
#include "versioning/version_remote.h"
#include "versioning/versions.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* After a stop; within the time that a stop may take (signals.c). */
static const double LAST_SECONDS = 2;

enum { MESSAGE_BYTES = 4096 };

struct model_versions {
    struct version_remote remote;
    struct versions *versions; /* NULL: not begun, or could not be */
    int64_t period;            /* of git.every, counted from 0 */
    int64_t shown;             /* pushed versions that an event was made of */
};

/* ---- before the run ---- */

void model_versions_remark(const struct config *config)
{
    static const char *const keys[] = {"every", "keep", "remote", "branch", "timeout"};
    if (config->git.mode != CONFIG_GIT_MODE_NONE) return;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char key[32];
        snprintf(key, sizeof key, "git.%s", keys[i]);
        if (config_is_default(config, key)) continue;
        log_warning("%s (%s) has no effect: git.mode is none", key, config_origin(config, key));
    }
}

int model_versions_check(struct session *session)
{
    const struct config *config = session->config;
    bool lfs = config->git.mode == CONFIG_GIT_MODE_LFS;
    if (config->git.mode == CONFIG_GIT_MODE_NONE) return OK;
    struct model_versions *git = calloc(1, sizeof *git);
    if (!git) return fail(ERR_SYSTEM, "out of memory");
    session->git = git;
    int code = version_remote_find(&git->remote, config->git.remote, lfs);
    if (code == OK && *config->git.branch) code = version_branch_check(config->git.branch);
    if (code == ERR_INPUT) return fail(ERR_CONFIG, "git.mode: %s", error_message());
    return code;
}

/* ---- the run ---- */

/* Which of the periods of git.every the run is in. */
static int64_t git_period(const struct session *session)
{
    int64_t every = session->config->git.every, shown = session->step, images = 1;
    if (every > 0) return session->step / every;
    if (session->task->images_shown)
        session->task->images_shown(session->state, session->step, &shown, &images);
    return shown / (images > 0 ? images : 1) / -every;
}

/* A branch's name may not hold what a folder's may. */
static char *git_branch(const struct session *session)
{
    const char *wanted = session->config->git.branch;
    if (*wanted) return string_format("%s", wanted);
    char *run = file_folder_name(session->folder.path);
    char *branch = run ? string_format("imgtrain/%s", run) : NULL;
    free(run);
    for (char *c = branch ? branch + strlen("imgtrain/") : ""; *c; c++) {
        bool bad = strchr(" ~^:?*[\\@{", *c) || (unsigned char)*c < ' ' || *c == 127;
        if (bad ||
            (*c == '.' && (c[1] == '.' || c[1] == '\0' || c[-1] == '/' || !strcmp(c, ".lock"))))
            *c = '-';
    }
    return branch;
}

void model_versions_begin(struct session *session)
{
    struct model_versions *git = session->git;
    if (!git) return;
    git->period = git_period(session);
    if (git->versions) return;
    char *branch = git_branch(session), *folder = path_join(session->folder.path, "git");
    const struct versions_options options = {.git_dir = folder,
                                             .remote = git->remote.url,
                                             .include = git->remote.include,
                                             .branch = branch,
                                             .keep = (int)session->config->git.keep,
                                             .lfs =
                                                 session->config->git.mode == CONFIG_GIT_MODE_LFS,
                                             .seconds = session->config->git.timeout};
    int code = branch && folder ? versions_open(&git->versions, &options) : ERR_SYSTEM;
    if (code < 0) log_warning("git: %s; no version is pushed, training goes on", error_message());
    free(folder);
    free(branch);
}

/* What `git log` shows of a version. */
static void git_message(const struct session *session, char text[MESSAGE_BYTES])
{
    const struct task_report *report = &session->report;
    char *run = file_folder_name(session->folder.path);
    int used = snprintf(text, MESSAGE_BYTES, "%.200s: step %" PRId64 "\n\ntask %s\n",
                        run ? run : "run", session->step, session->task->name);
    if (isfinite(report->loss))
        used += snprintf(text + used, (size_t)(MESSAGE_BYTES - used), "loss %.9g\n", report->loss);
    for (int i = 0; i < report->metric_count; i++) {
        const struct task_metric *metric = &report->metrics[i];
        if (!isfinite(metric->value) || used > MESSAGE_BYTES - 100) continue;
        used += snprintf(text + used, (size_t)(MESSAGE_BYTES - used), "%.60s %.9g\n", metric->name,
                         metric->value);
    }
    free(run);
}

static void git_tell(struct session *session)
{
    struct versions_state state;
    struct model_versions *git = session->git;
    versions_look(git->versions, &state);
    if (state.pushed == git->shown) return;
    git->shown = state.pushed;
    char members[160];
    snprintf(members, sizeof members,
             "\"step\": %" PRId64 ", \"pushed\": %" PRId64 ", \"failed\": %" PRId64
             ", \"skipped\": %" PRId64,
             state.step, state.pushed, state.failed, state.skipped);
    progress_event(session->progress, "version", members);
}

void model_versions_step(struct session *session)
{
    struct model_versions *git = session->git;
    if (!git || !git->versions) return;
    git_tell(session);
    int64_t period = git_period(session);
    bool due = period > git->period && !session->finished; /* the last one is that of the result */
    git->period = period;
    if (!due || !versions_is_free(git->versions)) return;
    char message[MESSAGE_BYTES];
    const char *path = versions_path(git->versions);
    git_message(session, message);
    if (session_write_model(session, path) < 0)
        versions_lost(git->versions, session->step);
    else
        versions_give(git->versions, path, session->step, message);
}

int model_versions_finish(struct session *session, const char *path)
{
    struct model_versions *git = session->git;
    struct versions_state state, before;
    char message[MESSAGE_BYTES];
    if (!git || !git->versions) return OK;
    bool done = versions_wait(git->versions, signals_stop_requested);
    git_tell(session); /* of the push that the run was ahead of */
    versions_look(git->versions, &before);
    git_message(session, message);
    if (done) {
        versions_give(git->versions, path, session->step, message);
        done = versions_wait(git->versions, signals_stop_requested);
    }
    if (!done)
        return fail(ERR_STOPPED, "stopped (%s) while the model was pushed: run again with --resume",
                    signals_stop_reason());
    git_tell(session);
    versions_look(git->versions, &state);
    if (state.failed > before.failed)
        log_warning("git: the finished model was not pushed (%" PRId64 " of %" PRId64
                    " pushes failed); --resume tries again",
                    state.failed, state.failed + state.pushed);
    return OK;
}

void model_versions_end(struct session *session)
{
    if (!session->git) return;
    versions_close(session->git->versions, LAST_SECONDS);
    version_remote_free(&session->git->remote);
    free(session->git);
    session->git = NULL;
}

void model_versions_count(const struct session *session, int64_t *pushed, int64_t *failed)
{
    struct versions_state state = {0};
    if (session->git && session->git->versions) versions_look(session->git->versions, &state);
    *pushed = state.pushed;
    *failed = state.failed;
}
