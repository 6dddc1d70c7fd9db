/* Models as pointers: their bytes go to the remote's store of large files by the program git-lfs.
 */
#ifndef IMGTRAIN_VERSIONING_VERSION_LFS_H
#define IMGTRAIN_VERSIONING_VERSION_LFS_H

struct git_command;

/* A pointer to the file's bytes (malloc), which are from now on in the repository's own store. */
int version_lfs_point(const struct git_command *git, const char *path, char **pointer);
/* Uploads what the newest versions of `ref`, `keep` at most, point to and that is not yet known to
 * be there; of what is, the newest alone stays in the repository's own store. */
int version_lfs_push(const struct git_command *git, const char *remote, const char *ref, int keep);
/* Removes what no version points to from the repository's own store. */
int version_lfs_prune(const struct git_command *git, const char *ref, int keep);

#endif
