#include "cmd/watch/watch_runs.h"

#include "base/error.h"
#include "base/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* ---- one run ---- */

double watch_age(const char *run_dir, const char *name)
{
    struct stat info;
    char *path = path_join(run_dir, name);
    bool there = path && stat(path, &info) == 0;
    free(path);
    if (!there) return (double)NAN;
    double age = difftime(time(NULL), info.st_mtim.tv_sec);
    return age > 0 ? age : 0;
}

/* Who trains holds the lock, from before its first event until after its last one. */
static enum watch_state watch_judge(const struct watch_run *run)
{
    const struct run_story *story = &run->story;
    if (story->running) return WATCH_RUNNING;
    const cJSON *last = run_story_event(story, NULL);
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(last, "status");
    if (cJSON_IsNumber(status))
        return run->status == 0 ? WATCH_DONE : run->status == 75 ? WATCH_STOPPED : WATCH_FAILED;
    if (last) return WATCH_KILLED;
    return story->finished ? WATCH_DONE : story->rows > 0 ? WATCH_STOPPED : WATCH_WAITING;
}

/* A frame may be newer than the last line of metrics. */
static void watch_measure(struct watch_run *run)
{
    const struct run_story *story = &run->story;
    run->step = run_story_last(story, "step");
    run->age = story->rows > 0 ? watch_age(run->path, "metrics.jsonl") : (double)NAN;
    if (story->frames.count > 0 && !(run->step >= (double)story->frames.entries[0].number))
        run->step = (double)story->frames.entries[0].number;
    run->total = run_story_number(run_story_event(story, "start"), "total");
    if (!(run->total >= 1 && run->total < 1e15)) run->total = (double)NAN;
    if (!(run->step >= 0 && run->step < 1e15)) run->step = (double)NAN;
    if (run->step > run->total || (run->state == WATCH_DONE && run->step >= 0))
        run->total = run->step;
    double speed = run_story_last(story, "steps_per_second");
    if (run->state == WATCH_RUNNING && speed > 0 && run->total > run->step && !run->ending)
        run->left = fmax((run->total - run->step) / speed - (isnan(run->age) ? 0 : run->age), 0);
}

int watch_run_note(struct watch_run *run, const cJSON *end)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(end, "message"));
    double status = run_story_number(end, "status");
    run->status = status >= 0 && status < 256 ? (int)status : 0;
    if (text && !run->message) run->message = string_format("%s", text);
    if (text && !run->message) return ERR_SYSTEM;
    for (char *at = run->message; at && *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7F) *at = '?';
    return OK;
}

static int watch_look_at_events(struct watch_run *run)
{
    const cJSON *event, *last = run_story_event(&run->story, NULL);
    cJSON_ArrayForEach(event, run->story.events)
    {
        const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(event, "event"));
        run->begun += kind && strcmp(kind, "start") == 0;
    }
    run->ending = run->story.running && !isnan(run_story_number(last, "status"));
    return watch_run_note(run, last);
}

/* What a process makes first is the lock. */
static bool watch_may_begin(const char *path)
{
    return !file_exists(path) || file_exists_in(path, "lock");
}

/* looked: its folder may be on its way, or on its way out. */
static int watch_run_read(struct watch_run *run, bool looked)
{
    int code = run_story_read_last(&run->story, run->path);
    if (code == ERR_INPUT && (looked || watch_may_begin(run->path))) return OK; /* it waits */
    TRY(code);
    TRY(watch_look_at_events(run));
    run->state = watch_judge(run);
    watch_measure(run);
    return OK;
}

const char *watch_state_name(const struct watch_run *run)
{
    static const char *const names[] = {"not begun", "running", "done",
                                        "stopped",   "failed",  "killed"};
    return run->ending ? "ending" : names[run->state];
}

void watch_runs_free(struct watch_runs *all)
{
    for (int i = 0; i < all->count; i++) {
        run_story_free(&all->runs[i].story);
        free(all->runs[i].path);
        free(all->runs[i].message);
    }
    free(all->runs);
    all->runs = NULL;
    all->count = 0;
}

int watch_runs_read(struct watch_runs *all)
{
    watch_runs_free(all);
    all->many = all->operand_count > 1;
    all->more_to_come = false;
    for (int i = 0; i < all->operand_count; i++)
        TRY(watch_find(all, all->operands[i]));
    for (int i = 0; i < all->count; i++)
        if (!all->runs[i].message) TRY(watch_run_read(&all->runs[i], all->looked));
    all->looked = true;
    return OK;
}

/* ---- what became of them ---- */

/* A batch whose run was killed was killed with it, and sums up nothing. */
bool watch_runs_ended(const struct watch_runs *all)
{
    bool killed = false;
    for (int i = 0; i < all->count; i++)
        killed = killed || all->runs[i].state == WATCH_KILLED;
    for (int i = 0; i < all->count; i++)
        if (all->runs[i].state == WATCH_RUNNING || all->runs[i].state == WATCH_WAITING)
            return false;
    return killed || !all->more_to_come;
}

/* The error whose exit status that is. */
static int watch_error_of(int status)
{
    const struct error_status *row;
    for (int i = 0; (row = error_status_at(i)); i++)
        if (row->status == status && row->code < 0) return row->code;
    return ERR_INTERNAL;
}

int watch_runs_conclude(const struct watch_runs *all)
{
    for (int i = 0; i < all->count; i++)
        if (all->runs[i].state == WATCH_FAILED)
            return fail(watch_error_of(all->runs[i].status), "%s failed with status %d: %s",
                        all->runs[i].path, all->runs[i].status,
                        all->runs[i].message ? all->runs[i].message : "");
    for (int i = 0; i < all->count; i++)
        if (all->runs[i].state == WATCH_KILLED)
            return fail(ERR_STOPPED, "%s was killed: --resume goes on from its last checkpoint",
                        all->runs[i].path);
    for (int i = 0; i < all->count; i++)
        if (all->runs[i].state == WATCH_STOPPED)
            return fail(ERR_STOPPED, "%s was stopped, state saved: --resume goes on",
                        all->runs[i].path);
    return OK;
}
