/* A file of prepared data: made once, in a cache folder or without a name, and mapped
 * afterwards. */
#ifndef IMGTRAIN_DATA_CACHE_FILE_H
#define IMGTRAIN_DATA_CACHE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache_file {
    const uint8_t *map;
    size_t bytes;
    char *path; /* NULL: a file that has no name (yet), open as */
    int fd;
};

struct cache_content {
    const char *name; /* of the file, in whatever folder */
    const char *what; /* is in it, for messages: "the images" */
    /* Writes the bytes to `fd` from its start on, and leaves its position at their end. `name`: of
     * the file, for messages. */
    int (*make)(void *context, int fd, const char *name);
    bool (*is_sound)(void *context, const uint8_t *map, size_t bytes);
    void *context;
};

struct cache_places {
    const char *cache_dir; /* where the file may be written; NULL: nowhere yet */
    const char *look_dir;  /* where it may lie already, without cache_dir; NULL: nowhere */
    const char *spill_dir; /* where it is made without a name; NULL: in memory */
};

/* Maps the file after making it where it is missing or damaged. A folder that cannot take it costs
 * a warning: it then stays without a name. Two processes that want the same file both make it, and
 * the later one's stays. ERR_SYSTEM, and what `make` fails with. */
int cache_file_open(struct cache_file *file, const struct cache_content *content,
                    const struct cache_places *places);
void cache_file_close(struct cache_file *file); /* accepts a zeroed struct */
/* Gives a file without a name its name in `dir`; where that cannot be, a warning. */
int cache_file_keep(struct cache_file *file, const struct cache_content *content, const char *dir);

#endif
