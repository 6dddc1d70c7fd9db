/* The bytes of the packed cache of a set of pairs.
 *
 * The file: a header of 4096 bytes (struct pairs_header, zero padding), then of each pair LQ and GT
 * as [height][width][3] of uint8 or uint16, each padded to 8 bytes, then the index [count] of
 * struct pairs_entry. Numbers are in the machine's order. */
#ifndef IMGTRAIN_DATA_PAIRS_FORMAT_H
#define IMGTRAIN_DATA_PAIRS_FORMAT_H

#include "base/checksum.h"

struct pairs_header {
    char magic[8];
    uint64_t key;      /* hash of the files and the options */
    uint64_t contents; /* checksum of the index, which has those of the images */
    uint64_t index;    /* where it begins */
    uint32_t count, scale;
    uint64_t check; /* checksum of the numbers above */
};

struct pairs_entry {
    uint64_t lq, gt;                        /* where they begin */
    uint64_t sum;                           /* checksum of both */
    uint32_t file;                          /* of the scan of GT */
    uint32_t w, h;                          /* of LQ */
    uint8_t lq_bytes, gt_bytes, padding[2]; /* of a sample: 1 or 2; 0: there is no LQ */
};

static inline uint64_t pairs_header_check(const struct pairs_header *header)
{
    return hash_bytes(0, header, offsetof(struct pairs_header, check));
}

#endif
