#include "store/checkpoint.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/version.h"
#include "store/store_bounds.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char prefix[] = "step-", suffix[] = ".safetensors";

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

static int append(int64_t **steps, int *count, int64_t step)
{
    int64_t *larger = realloc(*steps, ((size_t)*count + 1) * sizeof *larger);
    if (!larger) return fail(ERR_SYSTEM, "out of memory");
    larger[(*count)++] = step;
    *steps = larger;
    return OK;
}

int checkpoint_list(const char *run_dir, int64_t **steps, int *count)
{
    *steps = NULL;
    *count = 0;
    int code = OK;
    char *folder = folder_path(run_dir);
    if (!folder) return ERR_SYSTEM;
    DIR *dir = opendir(folder);
    if (!dir) {
        bool system = errno == ENOMEM || errno == EMFILE || errno == ENFILE;
        if (errno != ENOENT && errno != ENOTDIR)
            code = fail_errno(system ? ERR_SYSTEM : ERR_IO, "open %s", folder);
        goto cleanup;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *rest;
        int64_t step = step_of_name(entry->d_name, &rest);
        if (step >= 0 && *rest == '\0') TRY_CLEANUP(append(steps, count, step));
    }
    if (*count > 1) qsort(*steps, (size_t)*count, sizeof **steps, compare_newest_first);
cleanup:
    if (dir) closedir(dir);
    free(folder);
    if (code < 0) {
        free(*steps);
        *steps = NULL;
        *count = 0;
    }
    return code;
}

void checkpoint_clean(const char *run_dir)
{
    char *folder = folder_path(run_dir);
    DIR *dir = folder ? opendir(folder) : NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        const char *rest;
        if (step_of_name(entry->d_name, &rest) < 0 || strncmp(rest, ".tmp", 4) != 0) continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) != 0)
            log_warning("remove %s/%s: %s", folder, entry->d_name, strerror(errno));
    }
    if (dir) closedir(dir);
    free(folder);
}

static void remove_step(const char *run_dir, int64_t step)
{
    char *path = checkpoint_path(run_dir, step);
    if (path && unlink(path) != 0 && errno != ENOENT)
        log_warning("remove old checkpoint %s: %s", path, strerror(errno));
    free(path);
}

/* A checkpoint too many is no reason to stop a run: failures are warnings. */
static void prune(const char *run_dir, int64_t written, int keep)
{
    int64_t *steps;
    int count, kept = 0;
    checkpoint_clean(run_dir);
    if (checkpoint_list(run_dir, &steps, &count) < 0) {
        log_warning("%s", error_message());
        return;
    }
    for (int i = 0; i < count; i++)
        if (steps[i] > written || kept++ >= keep) remove_step(run_dir, steps[i]);
    free(steps);
}

int checkpoint_write(const char *run_dir, int64_t step, struct store_writer *writer, int keep,
                     bool sync)
{
    char *folder = folder_path(run_dir), *path = checkpoint_path(run_dir, step);
    int code = OK;
    if (!folder || !path) TRY_CLEANUP(ERR_SYSTEM);
    TRY_CLEANUP(store_set_int(writer, "step", step));
    TRY_CLEANUP(file_make_dirs(folder));
    TRY_CLEANUP(store_write(writer, path, sync));
    prune(run_dir, step, keep < 1 ? 1 : keep);
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
    int code = store_open(file, path);
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

int checkpoint_latest(const char *run_dir, struct store_file **file, int64_t *step)
{
    int64_t *steps;
    int count, code = ERR_INPUT;
    *file = NULL;
    TRY(checkpoint_list(run_dir, &steps, &count));
    for (int i = 0; i < count; i++) {
        code = open_step(run_dir, steps[i], file);
        *step = steps[i];
        if (code == OK || code == ERR_SYSTEM) break;
        log_warning("checkpoint of step %" PRId64 " is not used: %s", steps[i], error_message());
    }
    if (count == 0) fail(ERR_INPUT, "%s: no checkpoint there", run_dir);
    if (count > 0 && code < 0 && code != ERR_SYSTEM)
        code = fail(ERR_DATA, "%s: none of its %d checkpoints is sound", run_dir, count);
    free(steps);
    return code;
}

int checkpoint_open(const char *path, struct store_file **file)
{
    *file = NULL;
    if (!file_is_dir(path)) {
        TRY(store_open(file, path));
    } else {
        char *model = path_join(path, "model.safetensors");
        if (!model) return ERR_SYSTEM;
        int64_t step;
        int code =
            file_exists(model) ? store_open(file, model) : checkpoint_latest(path, file, &step);
        free(model);
        if (code == ERR_INPUT && !*file)
            return fail(code, "%s: no model and no checkpoint there", path);
        TRY(code);
    }
    int code = checkpoint_expect(*file, NULL, NULL);
    if (code < 0) {
        store_close(*file);
        *file = NULL;
    }
    return code;
}

int checkpoint_expect(const struct store_file *file, const char *task, const char *kind)
{
    const char *format = store_get(file, "format"), *has_task = store_get(file, "task");
    const char *has_kind = store_get(file, "kind"), *path = store_path(file);
    if (!format || strcmp(format, "imgtrain") != 0)
        return fail(ERR_DATA, "%s: no file of this program (metadata has no format: imgtrain)",
                    path);
    if (task && (!has_task || strcmp(has_task, task) != 0))
        return fail(ERR_DATA, "%s: task is %s, expected %s", path, has_task ? has_task : "missing",
                    task);
    if (kind && (!has_kind || strcmp(has_kind, kind) != 0))
        return fail(ERR_DATA, "%s: kind is %s, expected %s", path, has_kind ? has_kind : "missing",
                    kind);
    return OK;
}
