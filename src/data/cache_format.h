/* The bytes of a data set's packed cache: one file with all images at their final size.
 *
 * The file: a header of 4096 bytes (struct dataset_header, zero padding), the images
 * [count][height][width][channels] of uint8, padding to 8 bytes, their checksums [count] of uint64,
 * labels [count] of int32, and the names of the classes, each ended by a zero byte. Numbers are in
 * the machine's order. */
#ifndef IMGTRAIN_DATA_CACHE_FORMAT_H
#define IMGTRAIN_DATA_CACHE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

enum { DATASET_HEADER_BYTES = 4096 };

struct dataset_header {
    char magic[8];     /* says the channels, too: "imgtds1" 3; "imgtds2" and a byte of 1 or 4 */
    uint64_t key;      /* hash of the files and the options */
    uint64_t contents; /* checksum of all that a training sees */
    uint32_t width, height, count, classes, names_bytes;
    uint32_t skipped; /* files that could not be read */
    uint64_t check;   /* checksum of the numbers above */
};

/* By the magic; 0: it is none of these. */
int dataset_header_channels(const struct dataset_header *header);
void dataset_header_set_channels(struct dataset_header *header, int channels);

/* Checksums of the header's own numbers, and of all that a training sees. */
uint64_t dataset_header_check(const struct dataset_header *header);
uint64_t dataset_contents(const struct dataset_header *header, const uint64_t *sums,
                          const int32_t *labels, const char *names);

/* Offsets of the parts within the file. */
struct dataset_offsets {
    size_t pixels, sums, labels, names, end;
};
struct dataset_offsets dataset_offsets(const struct dataset_header *header);

#endif
