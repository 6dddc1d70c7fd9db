/* What a self-check found is kept in the user's cache folder, $XDG_CACHE_HOME/imgtrain/self-check
 * or
 * ~/.cache/imgtrain/self-check: a small file for each key. Where there is no such folder, or it
 * cannot be read or written, nothing is kept, and nobody is told. */
#ifndef IMGTRAIN_REGISTRY_CHECK_CACHE_H
#define IMGTRAIN_REGISTRY_CHECK_CACHE_H

#include <stdbool.h>
#include <stddef.h>

/* False: not known, or the file is damaged. *passed; `why` of a failure ("" else). */
bool check_cache_read(const char *key, bool *passed, char *why, size_t room);
void check_cache_write(const char *key, bool passed, const char *why);

#endif
