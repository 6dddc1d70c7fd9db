/* Whether a run may go on with this config. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "config/config.h"
#include "run/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_LIMIT = 1 << 24, LIST_BYTES = 512 };

/* Keys that change no number of the steps that are done, or only how long the run goes on. */
static bool may_change(const char *key)
{
    static const char *const keys[] = {
        "device",   "threads",   "log_level", "time_limit",    "log_root",
        "exp_name", "max_steps", "steps",     "deterministic", "vis_gaussians",
    };
    static const char *const sections[] = {"frames.", "video.", "checkpoint.", "memory."};
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        if (strncmp(key, sections[i], strlen(sections[i])) == 0) return true;
    const char *dot = strrchr(key, '.');
    const char *leaf = dot ? dot + 1 : key;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(leaf, keys[i]) == 0) return true;
    return false;
}

struct difference {
    char list[LIST_BYTES];
    size_t used;
};

static int note_difference(void *context, const char *key, const char *stored, const char *current)
{
    struct difference *difference = context;
    if (may_change(key)) {
        log_info("resuming with %s %s (was %s)", key, current, stored);
        return OK;
    }
    size_t room = LIST_BYTES - difference->used;
    int added = snprintf(difference->list + difference->used, room, "%s%s (%s then, %s now)",
                         difference->used ? ", " : "", key, stored, current);
    if (added > 0) difference->used += (size_t)added < room ? (size_t)added : room - 1;
    return OK;
}

static int compare(const char *path, const struct config *config)
{
    uint8_t *text = NULL;
    size_t bytes = 0;
    TRY(file_read(path, CONFIG_LIMIT, &text, &bytes));
    struct difference difference = {.used = 0};
    int code = config_diff((const char *)text, config, note_difference, &difference);
    free(text);
    if (code < 0) return fail_within(code, "%s", path);
    if (difference.used == 0) return OK;
    return fail(ERR_CONFIG,
                "the run cannot be resumed with other values of %s: put them back, or begin a new "
                "run",
                difference.list);
}

int session_check_config(const struct session *session)
{
    char *path = path_join(session->folder.path, "config.yaml");
    if (!path) return ERR_SYSTEM;
    int code = OK;
    if (session->folder.resumed && file_exists(path)) code = compare(path, session->config);
    if (code == OK)
        code = file_write_atomic(path, session->config_text, strlen(session->config_text), true);
    free(path);
    return code;
}
