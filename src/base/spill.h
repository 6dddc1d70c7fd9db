/* Bytes that need not fit into memory: written once from the beginning to the end into a file
 * without a name, then read through a mapping, whose pages the system keeps or drops as it needs.
 * The file is gone with the process, however that ends. */
#ifndef IMGTRAIN_BASE_SPILL_H
#define IMGTRAIN_BASE_SPILL_H

#include <stdbool.h>
#include <stddef.h>

struct spill {
    const void *data; /* after spill_end */
    size_t bytes;
    size_t used; /* written */
    int fd;      /* -1: no file, but memory */
    void *memory;
};

/* Reserves `bytes` in a file below `dir`, or in memory where that is NULL or cannot hold files (the
 * log says so). ERR_IO when the disk is too full, ERR_SYSTEM. */
int spill_open(struct spill *spill, const char *dir, size_t bytes);
/* Appends; never more than was reserved. ERR_IO. */
int spill_write(struct spill *spill, const void *data, size_t bytes);
/* Call when all bytes are written: from now on they can be read. ERR_SYSTEM. */
int spill_end(struct spill *spill);
void spill_free(struct spill *spill); /* accepts a zeroed one */

/* Whether the bytes are in a file (else in memory). */
bool spill_is_file(const struct spill *spill);

#endif
