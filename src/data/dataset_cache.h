/* The packed cache of a data set: one file with all pictures at their final size, made once and
 * mapped afterwards.
 *
 * The file: a header of 4096 bytes (struct dataset_header, zero padding), the pictures
 * [count][height][width][3] of uint8, padding to 8 bytes, their checksums [count] of uint64, labels
 * [count] of int32, and the names of the classes, each ended by a zero byte. Numbers are in the
 * machine's order. */
#ifndef IMGTRAIN_DATA_DATASET_CACHE_H
#define IMGTRAIN_DATA_DATASET_CACHE_H

#include "data/dataset.h"
#include "data/scan.h"

enum { DATASET_HEADER_BYTES = 4096 };

struct dataset_header {
    char magic[8];
    uint64_t key;      /* of files and options: dataset_cache_key */
    uint64_t contents; /* checksum of all that a training sees */
    uint32_t width, height, count, classes, names_bytes;
    uint32_t skipped; /* files that could not be read */
    uint64_t check;   /* checksum of the numbers above */
};

struct dataset_cache {
    uint8_t *map;
    size_t bytes;
    struct dataset_header header;
    const uint8_t *pixels;
    const uint64_t *sums;  /* [count] checksums of the pictures */
    const int32_t *labels; /* [count] */
    const char *names;     /* of the classes */
    char *path;            /* NULL: in memory, or a file that has no name yet, */
    bool unnamed;          /* which is open as */
    int fd;
};

/* Maps the cache of the scanned pictures, after making it where it is missing or damaged. A folder
 * that cannot take it costs a warning: the pictures then stay in memory. Two processes that want
 * the same cache make it once. ERR_DATA: no picture is readable; ERR_STOPPED. */
int dataset_cache_open(struct dataset_cache *cache, const struct dataset_options *options,
                       const struct scan *scan);
void dataset_cache_close(struct dataset_cache *cache); /* accepts a zeroed struct */
/* See dataset_keep. */
int dataset_cache_keep(struct dataset_cache *cache, const char *dir);

/* dataset_build.c: decodes all pictures and writes the cache's bytes to `fd` from its start on. */
int dataset_build(int fd, const char *name, uint64_t key, const struct dataset_options *options,
                  const struct scan *scan);

/* Checksums of the header's own numbers, and of all that a training sees. */
uint64_t dataset_header_check(const struct dataset_header *header);
uint64_t dataset_contents(const struct dataset_header *header, const uint64_t *sums,
                          const int32_t *labels, const char *names);

/* Where each part begins. */
struct dataset_offsets {
    size_t pixels, sums, labels, names, end;
};
struct dataset_offsets dataset_offsets(const struct dataset_header *header);

#endif
