/* Cuts one block of memory into aligned buffers; without a block it only counts the bytes. */
#ifndef IMGTRAIN_BASE_ARENA_H
#define IMGTRAIN_BASE_ARENA_H

#include <stddef.h>

enum { ARENA_ALIGNMENT = 64 };

struct arena {
    void *base; /* NULL: only counts */
    size_t used;
};

static inline void *arena_take(struct arena *arena, size_t bytes)
{
    void *p = arena->base ? (char *)arena->base + arena->used : NULL;
    arena->used += (bytes + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    return p;
}

#endif
