/* Versions of a model as commits of a bare repository of their own, in the run folder, and on a
 * branch of the remote. The branch holds the newest `keep` of them and nothing before: weights of
 * two steps have no bytes in common, so that an older version that stays costs as much as it did.
 * No other repository is written to. */
#ifndef IMGTRAIN_VERSIONING_VERSION_STORE_H
#define IMGTRAIN_VERSIONING_VERSION_STORE_H

#include "versioning/git_command.h"

#include <stdatomic.h>
#include <stdbool.h>

struct version_store {
    const char *git_dir; /* from the root, or relative to the current folder */
    const char *remote;  /* URL or path */
    const char *include; /* settings of the user's repository; NULL: none */
    const char *branch;  /* "imgtrain/RUN" */
    int keep;            /* versions, 1 at least */
    bool lfs;            /* the model is a pointer; its bytes go to the remote's LFS store */
    double seconds;      /* that one call of git may take */
    const atomic_bool *stop;
};

/* Makes the repository, unless it is there and whole, and takes away what a killed process left in
 * it. */
int version_store_begin(const struct version_store *store);
/* Reads every byte of it, and removes it where any is wrong: for when a push has failed, whose
 * reason may be here. It is to be begun again. */
int version_store_examine(const struct version_store *store);
/* A commit of the file as model.safetensors, before which `keep` - 1 older ones stay. *added: false
 * where the newest version holds these bytes already. */
int version_store_add(const struct version_store *store, const char *path, const char *message,
                      bool *added);
/* Brings the remote's branch to the newest version, whatever it held. *any: there is one. */
int version_store_push(const struct version_store *store, bool *any);
/* Drops what no version needs any more. */
int version_store_prune(const struct version_store *store);

#endif
