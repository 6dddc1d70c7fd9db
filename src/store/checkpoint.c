#include "store/checkpoint.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/retry.h"
#include "base/temporary.h"
#include "base/version.h"
#include "store/store_bounds.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char prefix[] = "step-", suffix[] = ".safetensors", rejected[] = ".bad";

int checkpoint_describe(struct store_writer *writer, const char *kind, const char *task,
                        int64_t step, const char *config)
{
    TRY(store_set(writer, "format", "imgtrain"));
    TRY(store_set(writer, "version", IMGTRAIN_VERSION));
    TRY(store_set(writer, "kind", kind));
    TRY(store_set(writer, "task", task));
    TRY(store_set_int(writer, "step", step));
    return store_set(writer, "config", config);
}

static char *folder_path(const char *run_dir)
{
    return path_join(run_dir, "checkpoints");
}

char *checkpoint_path(const char *run_dir, int64_t step)
{
    char *folder = folder_path(run_dir);
    char *path =
        folder ? string_format("%s/%s%09" PRId64 "%s", folder, prefix, step, suffix) : NULL;
    free(folder);
    return path;
}

/* The step in a file name; *rest is what follows ".safetensors". -1 for any other name, and for a
 * number that is not written as checkpoint_path() does. */
static int64_t step_of_name(const char *name, const char **rest)
{
    size_t digits = 0;
    int64_t step = 0;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) return -1;
    name += sizeof prefix - 1;
    for (; name[digits] >= '0' && name[digits] <= '9'; digits++) {
        if (digits == 18) return -1;
        step = step * 10 + (name[digits] - '0');
    }
    if (digits < 9 || (digits > 9 && name[0] == '0')) return -1;
    name += digits;
    if (strncmp(name, suffix, sizeof suffix - 1) != 0) return -1;
    *rest = name + sizeof suffix - 1;
    return step;
}

static int compare_newest_first(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

static int checkpoint_append(int64_t **steps, int *count, int64_t step)
{
    int64_t *larger = realloc(*steps, ((size_t)*count + 1) * sizeof *larger);
    if (!larger) return fail(ERR_SYSTEM, "out of memory");
    larger[(*count)++] = step;
    *steps = larger;
    return OK;
}

/* Calls `each` for the names of the folder that are a step's, with what follows it; a missing
 * folder is an empty one. A folder that cannot be read to its end must not look like one with less
 * in it. */
static int walk_steps(const char *run_dir,
                      int (*each)(void *context, int64_t step, const char *rest), void *context)
{
    int code = OK, more = 0;
    DIR *dir = NULL;
    char *folder = folder_path(run_dir);
    if (!folder) return ERR_SYSTEM;
    TRY_CLEANUP(file_check_own_folder(folder));
    dir = file_open_folder(folder, false);
    if (!dir && errno != ENOENT && errno != ENOTDIR) {
        code = fail_errno(ERR_IO, "open %s", folder);
        goto cleanup;
    }
    const char *name, *rest;
    while (dir && (more = file_next_name(dir, folder, &name)) > 0) {
        int64_t step = step_of_name(name, &rest);
        if (step >= 0) TRY_CLEANUP(each(context, step, rest));
    }
    code = more;
cleanup:
    if (dir) closedir(dir);
    free(folder);
    return code;
}

struct step_list {
    int64_t *steps;
    int count;
};

static int list_step(void *context, int64_t step, const char *rest)
{
    struct step_list *list = context;
    return *rest == '\0' ? checkpoint_append(&list->steps, &list->count, step) : OK;
}

int checkpoint_list(const char *run_dir, int64_t **steps, int *count)
{
    struct step_list list = {NULL, 0};
    int code = walk_steps(run_dir, list_step, &list);
    if (code < 0) {
        free(list.steps);
        list = (struct step_list){NULL, 0};
    }
    if (list.count > 1)
        qsort(list.steps, (size_t)list.count, sizeof *steps[0], compare_newest_first);
    *steps = list.steps;
    *count = list.count;
    return code;
}

static int count_rejected(void *context, int64_t step, const char *rest)
{
    (void)step;
    *(int *)context += strncmp(rest, rejected, sizeof rejected - 1) == 0;
    return OK;
}

int checkpoint_rejected(const char *run_dir)
{
    int count = 0;
    if (walk_steps(run_dir, count_rejected, &count) < 0) log_debug("%s", error_message());
    return count;
}

void checkpoint_clean(const char *run_dir)
{
    char *folder = folder_path(run_dir);
    if (folder) temporary_clean(folder, prefix);
    free(folder);
}

static void remove_step(const char *run_dir, int64_t step)
{
    char *path = checkpoint_path(run_dir, step);
    if (path && unlink(path) != 0 && errno != ENOENT)
        log_warning("remove old checkpoint %s: %s", path, strerror(errno));
    free(path);
}

/* Out of the way, but not gone: somebody may want to look into it, or be able to mend it. */
static int set_aside(const char *run_dir, int64_t step)
{
    enum { TRIES = 1000 };
    int code = ERR_SYSTEM;
    char *path = checkpoint_path(run_dir, step);
    for (int i = 1; path && i <= TRIES; i++) {
        char *name = i == 1 ? string_format("%s%s", path, rejected)
                            : string_format("%s%s%d", path, rejected, i);
        struct stat info;
        bool taken = name && i < TRIES && lstat(name, &info) == 0;
        if (name && !taken) {
            code = OK;
            if (retry_rename(path, name) != 0 && errno != ENOENT)
                code = fail_errno(ERR_IO, "rename %s to %s", path, name);
            else
                log_warning("%s is kept as %s", path, name);
        }
        free(name);
        if (!taken) break;
    }
    free(path);
    return code;
}

/* Removes old checkpoints. One too many is no reason to stop a run: failures are warnings. */
static void checkpoint_prune(const char *run_dir, int64_t written, struct checkpoint_keep keep)
{
    int64_t *steps;
    int count, kept = 0;
    checkpoint_clean(run_dir);
    if (checkpoint_list(run_dir, &steps, &count) < 0) {
        log_warning("%s", error_message());
        return;
    }
    for (int i = 0; i < count; i++) {
        if (steps[i] > written && set_aside(run_dir, steps[i]) < 0)
            log_warning("%s", error_message());
        else if (steps[i] <= written && kept++ >= keep.newest &&
                 !(keep.every > 0 && steps[i] % keep.every == 0))
            remove_step(run_dir, steps[i]);
    }
    free(steps);
}

int checkpoint_write(const char *run_dir, int64_t step, struct store_writer *writer,
                     struct checkpoint_keep keep, bool sync)
{
    char *folder = folder_path(run_dir), *path = checkpoint_path(run_dir, step);
    int code = OK;
    if (!folder || !path) TRY_CLEANUP(ERR_SYSTEM);
    TRY_CLEANUP(store_set_int(writer, "step", step));
    TRY_CLEANUP(file_make_dirs(folder));
    TRY_CLEANUP(store_write(writer, path, sync));
    if (keep.newest < 1) keep.newest = 1;
    checkpoint_prune(run_dir, step, keep);
cleanup:
    free(folder);
    free(path);
    return code;
}

static int open_step(const char *run_dir, int64_t step, struct store_file **file)
{
    char *path = checkpoint_path(run_dir, step);
    if (!path) return ERR_SYSTEM;
    int64_t inside = -1;
    int code = store_open_own(file, path);
    if (code == OK) code = checkpoint_expect(*file, NULL, "checkpoint");
    if (code == OK) code = store_get_int_in(*file, "step", 0, CHECKPOINT_MOST_STEPS, &inside);
    if (code == OK && inside != step)
        code = fail(ERR_DATA, "%s: holds step %" PRId64, path, inside);
    if (code < 0) {
        store_close(*file);
        *file = NULL;
    }
    free(path);
    return code;
}

/* The findings of a look at all checkpoints. */
struct survey {
    struct store_file *file; /* the newest sound one */
    int64_t step;
    int64_t *damaged; /* the damaged ones that are newer */
    int damaged_count, count;
    bool vanished; /* one was removed meanwhile: newer ones are there */
};

/* Only a damaged one is passed over. Whatever else keeps one from being opened may be over in a
 * moment, and must not cost what was trained since the one before. */
static int look_at_steps(struct survey *survey, const char *run_dir)
{
    int64_t *steps;
    *survey = (struct survey){.step = -1};
    TRY(checkpoint_list(run_dir, &steps, &survey->count));
    int code = OK;
    for (int i = 0; code == OK && i < survey->count && !survey->file; i++) {
        code = open_step(run_dir, steps[i], &survey->file);
        if (code == OK) {
            survey->step = steps[i];
        } else if (code == ERR_DATA) {
            log_warning("checkpoint of step %" PRId64 " is not used: %s", steps[i],
                        error_message());
            code = checkpoint_append(&survey->damaged, &survey->damaged_count, steps[i]);
        } else if (code == ERR_INPUT) {
            survey->vanished = true;
            code = OK;
        }
    }
    free(steps);
    if (code < 0 || survey->file) return code;
    if (survey->damaged_count == 0) return fail(ERR_INPUT, "%s: no checkpoint there", run_dir);
    return fail(ERR_DATA, "%s: none of its %d checkpoints is sound", run_dir, survey->count);
}

/* Finds the newest sound checkpoint. aside: damaged ones that are passed over are renamed, once it
 * is known with which to go on. */
static int find_latest(const char *run_dir, struct store_file **file, int64_t *step, bool aside)
{
    enum { LOOKS = 10 };
    struct survey survey;
    int code = OK;
    for (int i = 0; i < LOOKS; i++) {
        code = look_at_steps(&survey, run_dir);
        for (int k = 0; aside && code == OK && k < survey.damaged_count; k++)
            code = set_aside(run_dir, survey.damaged[k]);
        free(survey.damaged);
        if (survey.file || !survey.vanished) break;
    }
    if (code < 0) {
        store_close(survey.file);
        survey.file = NULL;
    }
    *file = survey.file;
    *step = survey.step;
    return code;
}

int checkpoint_latest(const char *run_dir, struct store_file **file, int64_t *step)
{
    return find_latest(run_dir, file, step, false);
}

int checkpoint_resume(const char *run_dir, struct store_file **file, int64_t *step)
{
    return find_latest(run_dir, file, step, true);
}

int checkpoint_open(const char *path, struct store_file **file)
{
    struct stat info;
    *file = NULL;
    if (retry_stat(path, &info) != 0) return fail_errno(ERR_INPUT, "open %s", path);
    if (!S_ISDIR(info.st_mode)) {
        TRY(store_open(file, path));
    } else {
        char *model = path_join(path, "model.safetensors");
        if (!model) return ERR_SYSTEM;
        int64_t step;
        int code = store_open_own(file, model);
        free(model);
        if (code == ERR_INPUT) code = checkpoint_latest(path, file, &step);
        if (code == ERR_INPUT) return fail(code, "%s: no model and no checkpoint there", path);
        TRY(code);
    }
    int code = checkpoint_expect(*file, NULL, NULL);
    if (code < 0) {
        store_close(*file);
        *file = NULL;
    }
    return code;
}

/* wanted: NULL for any. */
static int expect_metadata(const struct store_file *file, const char *key, const char *wanted)
{
    const char *has = store_get(file, key);
    if (!wanted || (has && strcmp(has, wanted) == 0)) return OK;
    return fail(ERR_DATA, "%s: %s is %s, expected %s", store_path(file), key, has ? has : "missing",
                wanted);
}

int checkpoint_expect(const struct store_file *file, const char *task, const char *kind)
{
    const char *format = store_get(file, "format");
    if (!format || strcmp(format, "imgtrain") != 0)
        return fail(ERR_DATA, "%s: no file of this program (metadata has no format: imgtrain)",
                    store_path(file));
    TRY(expect_metadata(file, "task", task));
    return expect_metadata(file, "kind", kind);
}
