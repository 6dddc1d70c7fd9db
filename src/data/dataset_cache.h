/* The packed cache of a data set, made once and mapped afterwards. */
#ifndef IMGTRAIN_DATA_DATASET_CACHE_H
#define IMGTRAIN_DATA_DATASET_CACHE_H

#include "data/cache_format.h"
#include "data/dataset_options.h"

struct dataset_cache {
    uint8_t *map;
    size_t bytes;
    struct dataset_header header;
    int channels;
    const uint8_t *pixels;
    const uint64_t *sums;  /* [count] checksums of the images */
    const int32_t *labels; /* [count] */
    const char *names;     /* of the classes */
    char *path;            /* NULL: in memory, or a file that has no name yet, */
    bool unnamed;          /* which is open as */
    int fd;
};

/* Maps the cache of the scanned images, after making it where it is missing or damaged. A folder
 * that cannot take it costs a warning: the images then stay in memory. Two processes that want
 * the same cache make it once. ERR_DATA: no image is readable; ERR_STOPPED. */
int dataset_cache_open(struct dataset_cache *cache, const struct dataset_options *options,
                       const struct scan *scan);
void dataset_cache_close(struct dataset_cache *cache); /* accepts a zeroed struct */
/* See dataset_keep. */
int dataset_cache_keep(struct dataset_cache *cache, const char *dir);

#endif
