/* Decides whether a run may go on with this config. */
#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/log.h"
#include "config/config.h"
#include "run/session.h"
#include "store/checkpoint.h"
#include "task/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_LIMIT = 1 << 24, LIST_BYTES = 512 };

/* Whether a run may go on with this key's other value: default.yaml says so of each. */
static bool may_differ(const char *key, const char *stored, const char *current)
{
    enum config_resume mark = config_resume_of(key);
    if (mark == CONFIG_RESUME_START)
        return strcmp(stored, "\"\"") != 0 && strcmp(current, "\"\"") != 0;
    return mark != CONFIG_RESUME_SAME;
}

struct difference {
    const struct task *task;
    bool say;              /* what may differ: once it is known that nothing else does */
    char list[LIST_BYTES]; /* of what may not */
    size_t used;
    int count;
    bool input_renamed;
    char reason[LIST_BYTES]; /* the task's, why the first of them may not */
};

static int note_difference(void *context, const char *key, const char *stored, const char *current)
{
    struct difference *difference = context;
    difference->input_renamed =
        difference->input_renamed || config_resume_of(key) == CONFIG_RESUME_INPUT;
    if (may_differ(key, stored, current)) {
        if (difference->say) log_info("resuming with %s %s (was %s)", key, current, stored);
        return OK;
    }
    bool first = difference->count++ == 0;
    if (first && difference->task->fail_changed &&
        difference->task->fail_changed(key, stored, current) < 0)
        snprintf(difference->reason, LIST_BYTES, "%s", error_message());
    size_t room = LIST_BYTES - difference->used;
    int added = snprintf(difference->list + difference->used, room, "%s%s (%s then, %s now)",
                         difference->used ? ", " : "", key, stored, current);
    if (added > 0) difference->used += (size_t)added < room ? (size_t)added : room - 1;
    return OK;
}

/* *input_renamed may be NULL. */
static int compare_text(const char *text, const char *path, const struct session *session, bool say,
                        bool *input_renamed)
{
    const struct config *config = session->config;
    struct difference difference = {.task = session->task};
    int code = config_diff(text, config, note_difference, &difference);
    if (code < 0) return fail_within(code, "%s", path);
    if (input_renamed) *input_renamed = difference.input_renamed;
    if (difference.count == 1 && difference.reason[0])
        return fail(ERR_CONFIG, "%s", difference.reason);
    if (difference.used > 0)
        return fail(ERR_CONFIG,
                    "the run cannot be resumed with other values of %s: put them back, or begin a "
                    "new run",
                    difference.list);
    difference.say = say;
    return say ? config_diff(text, config, note_difference, &difference) : OK;
}

/* whole: a file that ends within a line is damaged. It may still be read as YAML, and would pass
 * for one whose last keys were never set. */
static int compare_file(const char *path, const struct session *session, bool say, bool whole)
{
    uint8_t *text = NULL;
    size_t bytes = 0;
    TRY(file_read_own(path, CONFIG_LIMIT, &text, &bytes));
    int code = whole && bytes > 0 && text[bytes - 1] != '\n'
                   ? fail(ERR_DATA, "%s ends within a line", path)
                   : compare_text((const char *)text, path, session, say, NULL);
    free(text);
    return code;
}

/* A config.yaml that is lost or does not fit may be damaged, or was edited: what the newest
 * checkpoint says it was made with counts. Without one, `code` does. */
static int compare_checkpoint(const struct session *session, const char *run_dir, const char *path,
                              bool say, int code)
{
    char reason[LIST_BYTES];
    struct store_file *file = NULL;
    int64_t step;
    snprintf(reason, sizeof reason, "%s", error_message());
    int opened = checkpoint_latest(run_dir, &file, &step);
    const char *text = opened == OK ? store_get(file, "config") : NULL;
    if (text)
        code = compare_text(text, store_path(file), session, say, NULL);
    else if (code < 0)
        fail(code, "%s", reason);
    if (text && code == OK && say)
        log_warning("%s %s: it is made again from the checkpoint of step %lld", path,
                    file_exists(path) ? "is damaged or was changed" : "is lost", (long long)step);
    store_close(file);
    return code;
}

int session_check_config(const struct session *session, const char *run_dir)
{
    char *path = path_join(run_dir, "config.yaml");
    if (!path) return ERR_SYSTEM;
    int code = OK;
    bool say = session->folder.path; /* else the run is only looked at */
    bool there = file_exists(path);
    if (there) code = compare_file(path, session, say, true);
    if (!there || code == ERR_CONFIG || code == ERR_DATA)
        code = compare_checkpoint(session, run_dir, path, say, code);
    if (there && code == ERR_DATA)
        code = compare_file(path, session, say, false); /* all there is */
    free(path);
    return code;
}

int session_write_config(const struct session *session)
{
    char *path = path_join(session->folder.path, "config.yaml");
    if (!path) return ERR_SYSTEM;
    int code =
        file_atomic_write_whole(path, session->config_text, strlen(session->config_text), true);
    free(path);
    return code;
}

int session_check_checkpoint(struct session *session, const struct store_file *file)
{
    const char *text = store_get(file, "config");
    return text ? compare_text(text, store_path(file), session, false, &session->input_renamed)
                : OK;
}

int session_check_beginning(const struct session *session)
{
    char *path = path_join(session->folder.path, "model.safetensors");
    if (!path) return ERR_SYSTEM;
    bool ended = file_exists(path);
    free(path);
    if (!ended) return OK;
    return fail(
        ERR_INPUT,
        "%s has a model but no checkpoint any more, so it cannot go on: begin a new run, or "
        "remove its model.safetensors to do it again from the start",
        session->folder.path);
}
