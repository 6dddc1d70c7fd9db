/* Files that readers see as they were or whole: a temp file in the same folder (base/temporary.h),
 * space reserved, written, synced, renamed, folder synced. */
#ifndef IMGTRAIN_BASE_FILE_ATOMIC_H
#define IMGTRAIN_BASE_FILE_ATOMIC_H

#include <stdbool.h>
#include <stddef.h>

struct file_atomic {
    int fd;
    char *path;      /* final name */
    char *temporary; /* name until commit */
};

/* ERR_OUTPUT for the path of a device, or of a link to a device, a pipe or an open file
 * (/dev/stdout): file_atomic_open refuses it, too. */
int file_atomic_check(const char *path);
/* Opens the temp file and reserves `bytes` (0: unknown), so that a full disk shows here. */
int file_atomic_open(struct file_atomic *file, const char *path, size_t bytes);
/* Writes all bytes, or fails with ERR_IO. */
int file_atomic_write(struct file_atomic *file, const void *data, size_t bytes);
/* The same at a place in the file; the file ends behind the last byte that was written. */
int file_atomic_write_at(struct file_atomic *file, size_t at, const void *data, size_t bytes);
/* Syncs (when `sync`) and renames. On failure the temp file is gone and the old file untouched. */
int file_atomic_commit(struct file_atomic *file, bool sync);
/* Drops an open write; does nothing after a commit. */
void file_atomic_abort(struct file_atomic *file);

/* Gives a file without a name (O_TMPFILE) the name `path` on the same file system, synced; it
 * replaces the file that had the name. The descriptor stays open. ERR_OUTPUT where the file system
 * cannot link, ERR_IO, ... */
int file_atomic_name(int fd, const char *path);

/* A whole file in one call. */
int file_atomic_write_whole(const char *path, const void *data, size_t bytes, bool sync);

#endif
