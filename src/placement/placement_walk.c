/* Which block is moved where: first in, first out through the slots. The decisions depend on the
 * order of the walk alone, never on time, so a forecast can make them all beforehand. */
#include "placement/placement_internal.h"

static int walk_length(const struct placement_walk *walk)
{
    return walk->stage->walk ? walk->stage->walk_count : walk->component->source.block_count;
}

void walk_begin(struct placement_walk *walk, const struct placement_component *c,
                const struct placement_stage *stage, struct holding *holding)
{
    *walk = (struct placement_walk){.component = c, .stage = stage, .holding = holding};
    walk->end = stage->passes * walk_length(walk);
    for (int s = 0; s < PLACEMENT_SLOTS; s++)
        walk->slot_block[s] = -1, walk->slot_use[s] = -1;
}

int walk_block(const struct placement_walk *walk, int64_t position)
{
    int at = (int)(position % walk_length(walk));
    return walk->stage->walk ? walk->stage->walk[at] : at;
}

enum walk_move walk_next(const struct placement_walk *walk, int *slot)
{
    const struct holding *h = walk->holding;
    int block = walk_block(walk, walk->ahead);
    *slot = -1;
    if (walk->component->block_bytes[block] == 0) return WALK_THERE;
    if (block_stays(walk->component, h->residents, block))
        return h->loaded[block] ? WALK_THERE : WALK_TO_PLACE;
    for (int s = 0; s < h->slots; s++)
        if (walk->slot_block[s] == block) {
            *slot = s;
            return WALK_THERE;
        }
    *slot = (int)(walk->fetches % h->slots);
    return WALK_TO_SLOT;
}

void walk_advance(struct placement_walk *walk)
{
    int slot, block = walk_block(walk, walk->ahead);
    enum walk_move move = walk_next(walk, &slot);
    if (move == WALK_TO_PLACE) walk->holding->loaded[block] = true;
    if (move == WALK_TO_SLOT) walk->slot_block[slot] = block, walk->fetches++;
    if (slot >= 0) walk->slot_use[slot] = walk->ahead;
    walk->ahead++;
}

void walk_count(struct placement_walk *walk, int64_t *copies, uint64_t *bytes)
{
    int length = walk_length(walk);
    bool moved = true;
    *copies = 0;
    *bytes = 0;
    while (walk->ahead < walk->end) {
        int slot;
        if (walk->ahead % length == 0) {
            if (!moved) break; /* a whole pass moved nothing, so no later one does */
            moved = false;
        }
        if (walk_next(walk, &slot) != WALK_THERE) {
            moved = true;
            ++*copies;
            *bytes += walk->component->block_bytes[walk_block(walk, walk->ahead)];
        }
        walk_advance(walk);
    }
}
