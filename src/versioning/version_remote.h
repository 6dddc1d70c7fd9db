/* Where versions of a model are pushed to, looked at before a run begins. */
#ifndef IMGTRAIN_VERSIONING_VERSION_REMOTE_H
#define IMGTRAIN_VERSIONING_VERSION_REMOTE_H

#include <stdbool.h>

struct version_remote {
    char *url;     /* or path */
    char *include; /* settings of the repository that the current folder is in; NULL: none */
};

/* `name`: a URL, a path, a remote of the repository that the current folder is in, or "" for its
 * origin. Nothing is connected to. ERR_INPUT: no program git; ERR_CONFIG: no such remote, or lfs
 * without the program git-lfs; ERR_IO, ERR_SYSTEM. */
int version_remote_find(struct version_remote *remote, const char *name, bool lfs);
void version_remote_free(struct version_remote *remote);

/* ERR_CONFIG: no branch can have that name. */
int version_branch_check(const char *name);

#endif
