/* Which runs the operands of `imgtrain watch` stand for. */
#include "base/error.h"
#include "base/file.h"
#include "cmd/watch/watch_runs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int watch_add(struct watch_runs *all, char *path)
{
    struct watch_run *more = realloc(all->runs, ((size_t)all->count + 1) * sizeof *more);
    if (more) all->runs = more;
    if (!more || !path) {
        free(path);
        return fail(ERR_SYSTEM, "out of memory");
    }
    const double unknown = (double)NAN;
    more[all->count++] = (struct watch_run){
        .path = path, .step = unknown, .total = unknown, .left = unknown, .age = unknown};
    return OK;
}

static bool watch_is_run(const char *path)
{
    return file_is_dir(path) &&
           (file_exists_in(path, "config.yaml") || file_exists_in(path, "metrics.jsonl") ||
            file_exists_in(path, "lock"));
}

/* "NAME-001" for "NAME"; any, for "". */
static bool watch_belongs(const char *name, const char *stem)
{
    size_t length = strlen(stem);
    if (length == 0) return name[0] != '.';
    const char *digits = name + length + 1;
    return strncmp(name, stem, length) == 0 && name[length] == '-' && strlen(digits) >= 3 &&
           digits[strspn(digits, "0123456789")] == '\0';
}

static int watch_compare(const void *a, const void *b)
{
    return strcmp(((const struct watch_run *)a)->path, ((const struct watch_run *)b)->path);
}

/* The runs in `dir` whose names belong to `stem`, in the order of their names. */
static int watch_add_folder(struct watch_runs *all, const char *dir, const char *stem)
{
    DIR *folder = file_open_folder(dir, true);
    if (!folder) return fail_errno(ERR_INPUT, "open %s", dir);
    const char *name;
    int code = OK, more = 0, first = all->count;
    while (code == OK && (more = file_next_name(folder, dir, &name)) > 0) {
        if (!watch_belongs(name, stem)) continue;
        char *path = strcmp(dir, ".") == 0 ? string_format("%s", name) : path_join(dir, name);
        if (path && !watch_is_run(path))
            free(path);
        else
            code = watch_add(all, path);
    }
    closedir(folder);
    if (code == OK) code = more;
    if (all->count > first)
        qsort(all->runs + first, (size_t)(all->count - first), sizeof *all->runs, watch_compare);
    if (all->count > first) all->many = true;
    return code;
}

/* ---- the summary of a batch ---- */

/* The newest of "STEM-summary.json" and those of shards (malloc); NULL: there is none. */
static char *watch_find_summary(const char *dir, const char *stem)
{
    char *newest = NULL, *begin = string_format("%s-summary", stem);
    DIR *folder = file_open_folder(dir, true);
    const char *name;
    while (folder && begin && file_next_name(folder, dir, &name) > 0) {
        size_t length = strlen(name);
        if (strncmp(name, begin, strlen(begin)) != 0) continue;
        if (length < 5 || strcmp(name + length - 5, ".json") != 0) continue;
        if (newest && watch_age(dir, newest) <= watch_age(dir, name)) continue;
        free(newest);
        newest = string_format("%s", name);
    }
    if (folder) closedir(folder);
    free(begin);
    return newest;
}

/* Runs that failed before they had a folder. */
static int watch_add_failed(struct watch_runs *all, const char *operand, const char *path)
{
    enum { MOST_BYTES = 1 << 26 };
    uint8_t *text = NULL;
    size_t bytes = 0;
    if (file_read_own(path, MOST_BYTES, &text, &bytes) < 0) return OK;
    cJSON *summary = cJSON_ParseWithLength((const char *)text, bytes);
    const cJSON *job, *jobs = cJSON_GetObjectItemCaseSensitive(summary, "runs");
    int code = OK;
    cJSON_ArrayForEach(job, jobs)
    {
        const cJSON *number = cJSON_GetObjectItemCaseSensitive(job, "run");
        const char *state = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(job, "state"));
        bool has_folder = cJSON_IsString(cJSON_GetObjectItemCaseSensitive(job, "folder"));
        if (code < 0 || has_folder || !state || strcmp(state, "failed") != 0) continue;
        if (!cJSON_IsNumber(number)) continue;
        code = watch_add(all, string_format("%s-%03d", operand, number->valueint));
        if (code < 0) continue;
        all->runs[all->count - 1].state = WATCH_FAILED;
        code = watch_run_note(&all->runs[all->count - 1], job);
    }
    cJSON_Delete(summary);
    free(text);
    return code;
}

/* A batch writes its summary when it ends; one that is older than a process of its runs is of an
 * earlier end. */
static int watch_add_summary(struct watch_runs *all, int first, const char *operand,
                             const char *dir, const char *stem)
{
    char *name = watch_find_summary(dir, stem), *path = name ? path_join(dir, name) : NULL;
    bool is_last = name != NULL;
    for (int i = first; i < all->count && is_last; i++)
        is_last = !(watch_age(all->runs[i].path, "processes.jsonl") < watch_age(dir, name));
    int code = is_last && path ? watch_add_failed(all, operand, path) : OK;
    if (all->count > first)
        qsort(all->runs + first, (size_t)(all->count - first), sizeof *all->runs, watch_compare);
    if (all->count > first) all->many = true;
    if (all->count > first && !is_last) all->more_to_come = true;
    free(path);
    free(name);
    return code;
}

/* ---- operands ---- */

/* What is no run: a folder of runs, what a batch was given as -o, or a run to come. */
int watch_find(struct watch_runs *all, const char *operand)
{
    int first = all->count, code = OK;
    if (watch_is_run(operand)) return watch_add(all, string_format("%s", operand));
    if (file_is_dir(operand)) {
        TRY(watch_add_folder(all, operand, ""));
        if (all->count > first) return OK;
        if (!all->looked) return fail(ERR_INPUT, "%s holds no run", operand);
        return watch_add(all, string_format("%s", operand));
    }
    const char *slash = strrchr(operand, '/'), *stem = slash ? slash + 1 : operand;
    if (file_exists(operand)) return fail(ERR_INPUT, "%s is no run folder", operand);
    char *dir = slash == operand ? string_format("/")
                : slash          ? string_format("%.*s", (int)(slash - operand), operand)
                                 : string_format(".");
    if (!dir) return ERR_SYSTEM;
    if (!*stem || !file_is_dir(dir))
        code = fail(ERR_INPUT, "%s: no such run, and no folder that it could come in", operand);
    if (code == OK) code = watch_add_folder(all, dir, stem);
    if (code == OK) code = watch_add_summary(all, first, operand, dir, stem);
    if (code == OK && all->count == first) code = watch_add(all, string_format("%s", operand));
    free(dir);
    return code;
}
