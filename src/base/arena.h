/* Cuts one block of memory into aligned pieces; without a block it only counts the bytes. */
#ifndef IMGTRAIN_BASE_ARENA_H
#define IMGTRAIN_BASE_ARENA_H

#include <stddef.h>

enum { CARVE_ALIGNMENT = 64 };

struct carver {
    void *base; /* NULL: only counts */
    size_t used;
};

static inline void *carve(struct carver *carver, size_t bytes)
{
    void *p = carver->base ? (char *)carver->base + carver->used : NULL;
    carver->used += (bytes + CARVE_ALIGNMENT - 1) / CARVE_ALIGNMENT * CARVE_ALIGNMENT;
    return p;
}

#endif
