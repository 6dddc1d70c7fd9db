/* A hash table from pairs of numbers: what two tokens merge into, what node of a trie a byte leads
 * to. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_PAIR_TABLE_H
#define IMGTRAIN_DIFFUSION_TEXT_PAIR_TABLE_H

#include "base/checksum.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct pair_slot {
    int left, right; /* the key; left < 0: a free slot */
    int rank, id;    /* what it leads to */
};

enum { PAIR_TABLE_FIRST = 64 }; /* slots */

/* Zeroed: not open. */
struct pair_table {
    struct pair_slot *slots; /* [mask + 1], owned */
    size_t mask, count;
};

/* Empty, of a power of two of slots. ERR_SYSTEM. */
static inline int pair_table_open(struct pair_table *table, size_t slots)
{
    *table = (struct pair_table){malloc(slots * sizeof *table->slots), slots - 1, 0};
    if (!table->slots) return fail(ERR_SYSTEM, "out of memory");
    for (size_t i = 0; i <= table->mask; i++)
        table->slots[i].left = -1;
    return OK;
}

static inline void pair_table_free(struct pair_table *table)
{
    free(table->slots);
    *table = (struct pair_table){0};
}

/* Where the pair is; left < 0 there: where it would be. */
static inline struct pair_slot *pair_table_at(const struct pair_table *table, int left, int right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t slot = (size_t)hash_mix(key) & table->mask;
    while (table->slots[slot].left >= 0 &&
           (table->slots[slot].left != left || table->slots[slot].right != right))
        slot = (slot + 1) & table->mask;
    return &table->slots[slot];
}

/* Adds a pair, or puts it in the place of the same one. ERR_SYSTEM: all is as it was. */
static inline int pair_table_put(struct pair_table *table, struct pair_slot pair)
{
    if (3 * (table->count + 1) > 2 * (table->mask + 1)) {
        struct pair_table larger;
        TRY(pair_table_open(&larger, 2 * (table->mask + 1)));
        larger.count = table->count;
        for (size_t i = 0; i <= table->mask; i++) {
            const struct pair_slot old = table->slots[i];
            if (old.left >= 0) *pair_table_at(&larger, old.left, old.right) = old;
        }
        free(table->slots);
        *table = larger;
    }
    struct pair_slot *slot = pair_table_at(table, pair.left, pair.right);
    table->count += slot->left < 0;
    *slot = pair;
    return OK;
}

#endif
