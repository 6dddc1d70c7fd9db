#include "versioning/version_lfs.h"

#include "base/error.h"
#include "base/file.h"
#include "versioning/git_command.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char OID[] = "oid sha256:";
enum { OID_DIGITS = 64, FOLDERS = 2 };

int version_lfs_point(const struct git_command *git, const char *path, char **pointer)
{
    static const char *const clean[] = {"lfs", "clean", NULL};
    struct git_command command = *git;
    char *text = NULL;
    command.include = NULL; /* the user's repository may name a store of its own */
    command.input_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (command.input_fd < 0) return fail_errno(ERR_IO, "open %s", path);
    int code = git_run(&command, clean, &text);
    close(command.input_fd);
    *pointer = code == OK ? string_format("%s\n", text) : NULL;
    free(text);
    if (code == OK && !*pointer) return ERR_SYSTEM;
    return code;
}

/* The pointers of the newest versions, the newest first, in one text (malloc). */
static int lfs_pointers(const struct git_command *git, const char *ref, int keep, char **all)
{
    char count[24], *list = NULL, *rest = NULL;
    const char *const walk[] = {"rev-list", count, ref, NULL};
    snprintf(count, sizeof count, "-n%d", keep);
    *all = string_format("%s", "");
    int code = *all ? git_run(git, walk, &list) : ERR_SYSTEM;
    char *id = code == OK ? strtok_r(list, "\n", &rest) : NULL;
    for (; id && code == OK; id = strtok_r(NULL, "\n", &rest)) {
        char *name = string_format("%s:model.safetensors", id), *pointer = NULL, *longer = NULL;
        const char *const show[] = {"cat-file", "blob", name, NULL};
        code = name ? git_run(git, show, &pointer) : ERR_SYSTEM;
        if (code == OK) longer = string_format("%s%s\n", *all, pointer);
        if (code == OK && !longer) code = ERR_SYSTEM;
        if (longer) free(*all), *all = longer;
        free(pointer);
        free(name);
    }
    free(list);
    return code;
}

/* The next object that the text points to, from *at on; false behind the last. */
static bool lfs_next(char **at, char oid[OID_DIGITS + 1])
{
    char *found = strstr(*at, OID);
    if (!found) return false;
    snprintf(oid, OID_DIGITS + 1, "%s", found + strlen(OID));
    *at = found + strlen(OID);
    return strlen(oid) == OID_DIGITS;
}

static int lfs_push_one(const struct git_command *git, const char *remote, const char *oid,
                        bool newest)
{
    const char *const push[] = {"lfs", "push", "--object-id", remote, oid, NULL};
    char *path = string_format("%s/lfs/objects/%.2s/%.2s/%s", git->git_dir, oid, oid + 2, oid);
    int code = path ? OK : ERR_SYSTEM;
    bool here = code == OK && file_exists(path);
    if (code == OK && newest && !here) code = fail(ERR_IO, "git lfs: %s is missing", path);
    if (code == OK && here) {
        code = git_run(git, push, NULL);
        if (code == OK && !newest) unlink(path); /* one that stays costs room alone */
    }
    free(path);
    return code;
}

int version_lfs_push(const struct git_command *git, const char *remote, const char *ref, int keep)
{
    char *pointers = NULL, oid[OID_DIGITS + 1];
    char *url = string_format("%s%s", *remote == '/' ? "file://" : "", remote); /* no paths here */
    int code = url ? lfs_pointers(git, ref, keep, &pointers) : ERR_SYSTEM;
    char *at = pointers;
    for (bool newest = true; code == OK && lfs_next(&at, oid); newest = false)
        code = lfs_push_one(git, url, oid, newest);
    free(pointers);
    free(url);
    return code;
}

/* Objects lie two folders deep: ab/cd/abcd... */
static int lfs_prune_folder(const char *folder, const char *pointers, int depth)
{
    DIR *stream = file_open_folder(folder, false);
    const char *name;
    int code = stream || errno == ENOENT ? OK : fail_errno(ERR_IO, "open %s", folder);
    while (stream && code == OK && (code = file_next_name(stream, folder, &name)) > 0) {
        code = OK;
        if (name[0] == '.') continue;
        char *path = path_join(folder, name);
        if (!path)
            code = ERR_SYSTEM;
        else if (depth > 0)
            code = lfs_prune_folder(path, pointers, depth - 1);
        else if (!strstr(pointers, name))
            unlink(path);
        free(path);
    }
    if (stream) closedir(stream);
    return code;
}

int version_lfs_prune(const struct git_command *git, const char *ref, int keep)
{
    char *pointers = NULL, *folder = path_join(git->git_dir, "lfs/objects");
    int code = folder ? lfs_pointers(git, ref, keep, &pointers) : ERR_SYSTEM;
    if (code == OK) code = lfs_prune_folder(folder, pointers, FOLDERS);
    free(pointers);
    free(folder);
    return code;
}
