/* Files on their way to their final name: NAME.tmp-HOST-PID-RANDOM beside it. The process that
 * writes one holds a lock on it (flock), so that another one, in whatever container or on whatever
 * machine, can tell what a killed process left from what is being written. */
#ifndef IMGTRAIN_BASE_TEMPORARY_H
#define IMGTRAIN_BASE_TEMPORARY_H

#include <stdbool.h>

/* Creates one beside `path` and locks it: its name in *name (malloc), its descriptor in *fd. Until
 * temporary_forget, a signal that ends the process removes it. ERR_OUTPUT, ERR_ACCESS, ... */
int temporary_create(const char *path, char **name, int *fd);

/* Gives a file without a name (O_TMPFILE) a temporary one, locked in the same way. */
int temporary_link(const char *path, int fd, char **name);

/* Call when the file was renamed or removed: a signal has nothing to remove any more. */
void temporary_forget(const char *name);

/* Removes temporary files that killed processes left in the folder `dir`, of names that begin with
 * `prefix` (NULL: of all). Files that are being written stay; where there are no locks, files
 * written to within a day. Failures go to the log. */
void temporary_clean(const char *dir, const char *prefix);
/* The same for the temporary files of one final name. */
void temporary_clean_beside(const char *path);

/* Whether a file of this name is a temporary one (those of earlier versions, NAME.tmpPID, too). */
bool temporary_is_name(const char *name);

/* Removes all temporary files of this process, from a signal handler that ends it. */
void temporary_remove_all(void);

#endif
