/* The inside of a plan, for plan.c and plan_move.c. */
#ifndef IMGTRAIN_MEMORY_PLAN_INTERNAL_H
#define IMGTRAIN_MEMORY_PLAN_INTERNAL_H

#include "memory/plan.h"

struct block {
    struct plan_entry entry;
    char *name; /* entry.name, owned */
    void **slot;
    size_t room;  /* bytes rounded up to the alignment */
    void *parked; /* host copy (malloc) while the arena is given up */
};

struct arena {
    void *memory;
    size_t bytes;
};

struct plan {
    struct block *blocks;
    int count, room;
    bool laid_out, committed;
    struct device *device;
    struct arena arenas[PLAN_KINDS];
};

/* One arena's memory, of the kind's own sort. An arena of no bytes has none. */
int plan_arena_alloc(struct plan *plan, enum plan_kind kind);
void plan_arena_free(struct plan *plan, enum plan_kind kind);

/* Where a block is: parked, in its arena, or nowhere (NULL). */
void *plan_block_address(const struct plan *plan, const struct block *block);

#endif
