#include "versioning/version_remote.h"

#include "base/error.h"
#include "base/file.h"
#include "versioning/git_command.h"

#include <stdlib.h>
#include <string.h>

enum { LOOK_SECONDS = 60 }; /* for what hangs */

static int remote_ask(const char *const *arguments, char **output)
{
    const struct git_command command = {.seconds = LOOK_SECONDS};
    return git_run(&command, arguments, output);
}

/* The settings of the user's repository, as it may hold what its servers want to know (credentials,
 * proxies, names of URLs). Nothing where there is no repository. */
static int remote_find_settings(struct version_remote *remote)
{
    static const char *const where[] = {"rev-parse", "--git-common-dir", NULL};
    char *folder = NULL;
    int code = remote_ask(where, &folder);
    if (code == ERR_IO) return OK;
    TRY(code);
    char *path = path_join(folder, "config");
    remote->include = path ? realpath(path, NULL) : NULL;
    free(path);
    free(folder);
    return OK;
}

/* As git has it: no "host:path", and no "https://". */
static bool remote_is_path(const char *url)
{
    size_t plain = strcspn(url, ":/");
    return url[plain] != ':';
}

/* A path that a remote is given by begins at the top of the user's repository, whichever of its
 * folders is the current one. */
static int remote_settle_top(struct version_remote *remote)
{
    static const char *const tree[] = {"rev-parse", "--show-toplevel", NULL};
    static const char *const bare[] = {"rev-parse", "--absolute-git-dir", NULL};
    char *top = NULL;
    if (strchr("/~", *remote->url) || !remote_is_path(remote->url)) return OK;
    int code = remote_ask(tree, &top);
    if (code == ERR_IO) code = remote_ask(bare, &top);
    TRY(code);
    char *whole = path_join(top, remote->url);
    free(top);
    if (!whole) return ERR_SYSTEM;
    free(remote->url);
    remote->url = whole;
    return OK;
}

/* A path relative to the current folder is made one from the root: pushes do not depend on where
 * git looks from. */
static int remote_settle_path(struct version_remote *remote)
{
    char *whole = file_exists(remote->url) ? realpath(remote->url, NULL) : NULL;
    if (!whole) return OK; /* not there yet, or of another machine */
    free(remote->url);
    remote->url = whole;
    return OK;
}

int version_remote_find(struct version_remote *remote, const char *name, bool lfs)
{
    static const char *const version[] = {"lfs", "version", NULL};
    const char *const url[] = {"remote", "get-url", "--push", "--", *name ? name : "origin", NULL};
    *remote = (struct version_remote){0};
    TRY(remote_find_settings(remote));
    int code = lfs ? remote_ask(version, NULL) : OK;
    if (code == ERR_IO)
        return fail(ERR_CONFIG, "git.mode lfs: the program git-lfs is not installed");
    TRY(code);
    if (strpbrk(name, "/:")) {
        remote->url = string_format("%s", name);
    } else {
        code = remote_ask(url, &remote->url);
        if (code == ERR_IO && *name)
            return fail(ERR_CONFIG,
                        "git.remote %s: the current folder's repository has no such remote (a path "
                        "is written with a /)",
                        name);
        if (code == ERR_IO)
            return fail(ERR_CONFIG, "git.remote is not set, and the current folder's repository "
                                    "has no remote `origin`");
        TRY(code);
        TRY(remote_settle_top(remote));
    }
    return remote->url ? remote_settle_path(remote) : ERR_SYSTEM;
}

int version_branch_check(const char *name)
{
    char *ref = string_format("refs/heads/%s", name);
    const char *const check[] = {"check-ref-format", ref, NULL};
    int code = ref ? remote_ask(check, NULL) : ERR_SYSTEM;
    free(ref);
    return code == ERR_IO ? fail(ERR_CONFIG, "git.branch %s: Git takes no such name", name) : code;
}

void version_remote_free(struct version_remote *remote)
{
    free(remote->url);
    free(remote->include);
    *remote = (struct version_remote){0};
}
