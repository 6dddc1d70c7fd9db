#include "versioning/version_store.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "versioning/version_lfs.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char NEWEST[] = "refs/imgtrain/newest", PUSHED[] = "refs/imgtrain/pushed";
static const char ATTRIBUTES[] = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n";

static struct git_command store_command(const struct version_store *store)
{
    return (struct git_command){.git_dir = store->git_dir,
                                .include = store->include,
                                .seconds = store->seconds,
                                .stop = store->stop};
}

static int store_run(const struct version_store *store, const char *const *arguments, char **output)
{
    struct git_command command = store_command(store);
    return git_run(&command, arguments, output);
}

static int store_run_on(const struct version_store *store, const char *input,
                        const char *const *arguments, char **output)
{
    struct git_command command = store_command(store);
    command.input = input;
    return git_run(&command, arguments, output);
}

/* ---- the repository ---- */

static int store_remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info, (void)kind, (void)at;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

/* Files or folders of the repository, where they are there: nobody else is in this run's folder. */
static int store_remove(const struct version_store *store, const char *const *names)
{
    enum { OPEN_FOLDERS = 16 };
    int code = OK;
    for (; *names && code == OK; names++) {
        char *path = path_join(store->git_dir, *names);
        if (!path) return ERR_SYSTEM;
        if (nftw(path, store_remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS) != 0 &&
            errno != ENOENT)
            code = fail_errno(ERR_IO, "remove %s", path);
        free(path);
    }
    return code;
}

/* Versions to come make it anew; the error message says why. */
static int store_drop(const struct version_store *store)
{
    static const char *const broken[] = {"HEAD", "packed-refs", "refs", "objects", NULL};
    log_info("%s is made anew: %s", store->git_dir, error_message());
    return store_remove(store, broken);
}

static int store_init(const struct version_store *store)
{
    static const char *const init[] = {"init", "--quiet", "--bare", "--template=", NULL};
    return store_run(store, init, NULL);
}

/* Whether every object that a version needs is there and begins as it should: of a large model's
 * only the first bytes are read. ERR_IO: not. */
static int store_check_heads(const struct git_command *command)
{
    static const char *const heads[] = {"cat-file", "--batch-all-objects", "--batch-check", NULL};
    static const char *const links[] = {"fsck", "--connectivity-only", "--no-dangling",
                                        "--no-progress", NULL};
    char *list = NULL;
    TRY(git_run(command, links, NULL));
    TRY(git_run(command, heads, &list));
    int code = strstr(list, " missing") ? fail(ERR_IO, "an object is damaged") : OK;
    free(list);
    return code;
}

/* Before Git 2.36 it was left to the system when objects reach the disk: after a power cut they may
 * be empty, and what an empty one is the name of is not written again. */
static int store_repair(const struct version_store *store)
{
    struct git_command command = store_command(store);
    command.seconds = 1e9; /* the disk's own time, not that of a push */
    int code = store_check_heads(&command);
    if (code != ERR_IO) return code;
    TRY(store_drop(store));
    return store_init(store);
}

int version_store_examine(const struct version_store *store)
{
    static const char *const all[] = {"fsck", "--no-dangling", "--no-progress", NULL};
    struct git_command command = store_command(store);
    command.seconds = 1e9;
    int code = git_run(&command, all, NULL);
    return code == ERR_IO ? store_drop(store) : code;
}

/* Who makes the commits, where the user's settings do not say: a container has no name for anybody.
 */
static int store_name_author(const struct version_store *store, const char *key, const char *value)
{
    const char *const get[] = {"config", "--get", key, NULL};
    const char *const set[] = {"config", key, value, NULL};
    char *name = NULL;
    int code = store_run(store, get, &name);
    free(name);
    return code == ERR_IO ? store_run(store, set, NULL) : code;
}

int version_store_begin(const struct version_store *store)
{
    /* Locks of a process that was killed; settings that `init` did not make name programs that git
     * starts, and the run may have come from somebody else. */
    static const char *const stale[] = {"refs/imgtrain/newest.lock", "refs/imgtrain/pushed.lock",
                                        "config.lock", "config", NULL};
    TRY(store_remove(store, stale));
    TRY(store_init(store)); /* first: its settings say by which hash objects are named */
    TRY(store_repair(store));
    TRY(store_name_author(store, "user.name", "imgtrain"));
    return store_name_author(store, "user.email", "imgtrain@localhost");
}

/* The object that `name` means (malloc); NULL where there is none. */
static int store_find(const struct version_store *store, const char *name, char **id)
{
    const char *const parse[] = {"rev-parse",        "--quiet", "--verify",
                                 "--end-of-options", name,      NULL};
    *id = NULL;
    int code = store_run(store, parse, id);
    return code == ERR_IO ? OK : code;
}

/* ---- a version ---- */

/* The bytes of the file, or a pointer to them. */
static int store_blob(const struct version_store *store, const char *path, char **blob)
{
    const char *const plain[] = {"hash-object", "-w", "--no-filters", "--", path, NULL};
    static const char *const text[] = {"hash-object", "-w", "--stdin", NULL};
    if (!store->lfs) return store_run(store, plain, blob);
    struct git_command command = store_command(store);
    char *pointer = NULL;
    TRY(version_lfs_point(&command, path, &pointer));
    int code = store_run_on(store, pointer, text, blob);
    free(pointer);
    return code;
}

static int store_tree(const struct version_store *store, const char *path, char **tree)
{
    static const char *const text[] = {"hash-object", "-w", "--stdin", NULL};
    static const char *const make[] = {"mktree", NULL};
    char *blob = NULL, *attributes = NULL, *list = NULL;
    int code = store_blob(store, path, &blob);
    if (code == OK && store->lfs) code = store_run_on(store, ATTRIBUTES, text, &attributes);
    if (code == OK)
        list = string_format("%s%s%s100644 blob %s\tmodel.safetensors\n",
                             attributes ? "100644 blob " : "", attributes ? attributes : "",
                             attributes ? "\t.gitattributes\n" : "", blob);
    if (code == OK) code = list ? store_run_on(store, list, make, tree) : ERR_SYSTEM;
    free(list);
    free(attributes);
    free(blob);
    return code;
}

/* The same commit behind another one, or ("") behind none. */
static int store_move(const struct version_store *store, const char *id, char **parent)
{
    const char *const show[] = {"cat-file", "commit", id, NULL};
    static const char *const write[] = {"hash-object", "-t", "commit", "-w", "--stdin", NULL};
    char *text = NULL, *moved = NULL;
    TRY(store_run(store, show, &text));
    char *rest = strchr(text, '\n'); /* behind the line of its tree */
    int code = rest ? OK : fail(ERR_IO, "git cat-file: no commit");
    if (code == OK) {
        *rest++ = '\0';
        if (strncmp(rest, "parent ", 7) == 0)
            rest += strcspn(rest, "\n") + (strchr(rest, '\n') != NULL);
        moved = string_format("%s\n%s%s%s%s\n", text, **parent ? "parent " : "", *parent,
                              **parent ? "\n" : "", rest);
        code = moved ? OK : ERR_SYSTEM;
    }
    free(text);
    free(*parent);
    *parent = NULL;
    if (code == OK) code = store_run_on(store, moved, write, parent);
    free(moved);
    return code;
}

/* The commit that a new one follows: the newest, with `keep` - 2 before it and none before those;
 * "" for none. */
static int store_parent(const struct version_store *store, char **parent)
{
    char count[24], *list = NULL, *newest;
    const char *const walk[] = {"rev-list", "--reverse", count, NEWEST, NULL};
    *parent = string_format("%s", "");
    if (!*parent) return ERR_SYSTEM;
    snprintf(count, sizeof count, "-n%d", store->keep - 1);
    TRY(store_find(store, NEWEST, &newest));
    bool none = !newest || store->keep == 1;
    free(newest);
    if (none) return OK;
    TRY(store_run(store, walk, &list));
    char *rest = NULL;
    int code = OK;
    for (char *id = strtok_r(list, "\n", &rest); id && code == OK; id = strtok_r(NULL, "\n", &rest))
        code = store_move(store, id, parent);
    free(list);
    return code;
}

static int store_commit(const struct version_store *store, const char *tree, const char *message)
{
    char *parent = NULL, *commit = NULL;
    int code = store_parent(store, &parent);
    bool first = code < 0 || !*parent;
    const char *const make[] = {"commit-tree", tree, first ? NULL : "-p", parent, NULL};
    if (code == OK) code = store_run_on(store, message, make, &commit);
    const char *const move[] = {"update-ref", NEWEST, commit, NULL};
    if (code == OK) code = store_run(store, move, NULL);
    free(commit);
    free(parent);
    return code;
}

int version_store_add(const struct version_store *store, const char *path, const char *message,
                      bool *added)
{
    char *tree = NULL, *before = NULL, *of_newest = string_format("%s^{tree}", NEWEST);
    int code = of_newest ? store_tree(store, path, &tree) : ERR_SYSTEM;
    if (code == OK) code = store_find(store, of_newest, &before);
    *added = code == OK && !(before && strcmp(before, tree) == 0);
    if (*added) code = store_commit(store, tree, message);
    free(of_newest);
    free(before);
    free(tree);
    return code;
}

/* ---- the remote ---- */

/* PUSHED keeps the objects that the remote has, so that the next push need not bring them again. */
static int store_push(const struct version_store *store, const char *commit)
{
    char *where = string_format("%s:refs/heads/%s", commit, store->branch);
    const char *const push[] = {
        "push", "--force",     "--quiet", "--no-verify", "--no-signed", "--no-recurse-submodules",
        "--",   store->remote, where,     NULL};
    const char *const note[] = {"update-ref", PUSHED, commit, NULL};
    struct git_command command = store_command(store);
    int code = where ? OK : ERR_SYSTEM;
    if (code == OK && store->lfs)
        code = version_lfs_push(&command, store->remote, commit, store->keep);
    if (code == OK) code = store_run(store, push, NULL);
    if (code == OK) code = store_run(store, note, NULL);
    free(where);
    return code;
}

int version_store_push(const struct version_store *store, bool *any)
{
    char *newest = NULL;
    int code = store_find(store, NEWEST, &newest);
    *any = newest != NULL;
    if (code == OK && newest) code = store_push(store, newest);
    free(newest);
    return code;
}

/* ---- */

int version_store_prune(const struct version_store *store)
{
    static const char *const prune[] = {"prune", "--expire=now", NULL};
    struct git_command command = store_command(store);
    TRY(store_run(store, prune, NULL));
    return store->lfs ? version_lfs_prune(&command, NEWEST, store->keep) : OK;
}
