/* Files and folders: whole reads, and the few path helpers the program needs. */
#ifndef IMGTRAIN_BASE_FILE_H
#define IMGTRAIN_BASE_FILE_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* printf into a new string (malloc); NULL with the message set when memory runs out. */
char *string_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For qsort and bsearch of texts (char *): by their bytes. */
int string_compare(const void *a, const void *b);

/* DIR/NAME in a new string (malloc); NULL with the message set when memory runs out. */
char *path_join(const char *dir, const char *name);

/* Where temporary files go: TMPDIR, or /tmp where that is not set or empty. */
const char *file_temporary_folder(void);

/* The name of the folder (malloc): of ".", "RUN/" and links that of the folder that they lead to.
 */
char *file_folder_name(const char *path);

/* A path that cannot be looked at (a disk that fails, a folder without permission) counts as there:
 * opening it tells why. */
bool file_exists(const char *path);
bool file_exists_in(const char *dir, const char *name); /* false too without memory to look */
bool file_is_dir(const char *path);

/* Creates `path` and its missing parents (mode 0777 & ~umask), each synced into the folder above.
 * ERR_OUTPUT, ERR_ACCESS, ERR_IO. */
int file_make_dirs(const char *path);
/* Creates the last folder of `path` alone. *existed: whatever has that name was there before. */
int file_make_dir(const char *path, bool *existed);

/* Brings the entries of a folder to the disk. ERR_IO. */
int file_sync_folder(const char *path);
/* The same of the folder that `path` is an entry of. */
int file_sync_parent(const char *path);

/* opendir; follow: `path` may be a link. NULL with errno set. */
DIR *file_open_folder(const char *path, bool follow);
/* The next name in it: 1; 0 at the end, when *name is NULL; ERR_IO when the rest cannot be read. */
int file_next_name(DIR *folder, const char *path, const char **name);

/* Opens a file within a run folder, which may have come from somebody else: a regular one, never
 * through a link, and without waiting for the other end of a pipe. `flags` as of open(); `code`
 * when it cannot be opened for a reason of its own; ERR_ACCESS when it is a link; ERR_DATA instead
 * of ERR_INPUT when it is no file. */
int file_open_own(const char *path, int flags, int code, int *fd);
/* Whether a process holds a lock on a run folder's file: "lock" while it trains there. */
bool file_is_locked_in(const char *dir, const char *name);
/* ERR_ACCESS when the folder within a run folder is a link. */
int file_check_own_folder(const char *path);

/* Reads the whole file into *data (malloc, owned by the caller, one zero byte behind the end).
 * ERR_INPUT when it does not exist, ERR_DATA when larger than `limit` bytes, ERR_IO. */
int file_read(const char *path, size_t limit, uint8_t **data, size_t *bytes);
/* The same of a run folder's file (file_open_own). */
int file_read_own(const char *path, size_t limit, uint8_t **data, size_t *bytes);
/* The same from where a descriptor stands; it stays open. */
int file_read_open(int fd, const char *path, size_t limit, uint8_t **data, size_t *bytes);

/* A file's bytes, mapped: its pages are the system's to keep or to drop. An empty file maps to
 * none. ERR_INPUT, ERR_DATA for what is no file, ERR_IO. */
struct file_map {
    const uint8_t *data;
    size_t bytes;
};
int file_map(struct file_map *map, const char *path);
void file_unmap(struct file_map *map);
/* Gives back the memory of the pages read so far; they can be read again. */
void file_map_drop(const struct file_map *map);
/* Whether mapped bytes of a file can be read, which otherwise ends in a SIGBUS: false where it got
 * smaller, or its disk fails. True where the system cannot say. */
bool file_pages_are_there(const void *from, size_t bytes);

/* Writes all bytes to a descriptor, through short writes and EINTR. 0 or ERR_IO. */
int file_write_all(int fd, const void *data, size_t bytes, const char *name);

/* The nearest folder at or above `path` that exists (malloc); NULL with the message set when memory
 * runs out. */
char *file_existing_parent(const char *path);

/* Bytes free for this user on the file system that holds `path`; -1 if unknown. */
int64_t file_disk_free(const char *path);

#endif
