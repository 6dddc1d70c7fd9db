/* The inside of a placement, for the files of this folder. */
#ifndef IMGTRAIN_PLACEMENT_PLACEMENT_INTERNAL_H
#define IMGTRAIN_PLACEMENT_PLACEMENT_INTERNAL_H

#include "placement/placement.h"

/* Room for blocks that do not stay; the staging ring has as many. */
enum { PLACEMENT_SLOTS = 2, PLACEMENT_MARK_FRESH = 8 };

/* What of a component is on the device: its first `residents` blocks and those that always stay
 * have a place of their own there, in their order, and `slots` for others lie behind them. */
struct holding {
    bool held;
    int residents, slots;
    bool *loaded; /* of each block: it is in its own place */
};

struct placement_component {
    struct placement_source source;
    bool *in_place;      /* of each tensor: operations read it where it is mapped */
    size_t *tensor_at;   /* within its block, of one that is placed */
    size_t *block_bytes; /* what is placed of each block; 0: nothing is */
    size_t placed_bytes; /* all of them */
    size_t mapped_bytes; /* as stored */
    bool is_open;
    const void **data;     /* of each tensor, while it is open */
    const void **pointers; /* handed out */
    struct holding holding;
    struct plan *plan; /* of the arena below; NULL: there is none */
    void *arena;
    int *slot_of;   /* of each block: the slot that it is in, or -1 */
    int *flight_of; /* ... the part of the staging ring that it comes through, or -1 */
    int *holds;     /* ... how often it is acquired */
};

/* The walk of a stage through a holding, ahead of what is acquired. It decides what is moved and
 * where to; forecast and stage alike follow it. */
struct placement_walk {
    const struct placement_component *component;
    const struct placement_stage *stage;
    struct holding *holding;
    int64_t ahead, end; /* positions: of the next block to decide about, and behind the last */
    int slot_block[PLACEMENT_SLOTS];   /* -1: empty */
    int64_t slot_use[PLACEMENT_SLOTS]; /* the last position that needs what is in it */
    int64_t fetches;                   /* into slots */
};

struct placement {
    struct device *device;
    struct placement_options options;
    enum placement_way way; /* chosen */
    struct placement_component components[PLACEMENT_COMPONENTS];
    int count;
    struct placement_counts counts;

    /* the stage at work: */
    bool in_stage;
    struct placement_stage stage;
    struct placement_forecast predicted;
    int falls;            /* ways that memory failed for */
    struct plan *working; /* activations, workspace, staging */
    void *staging;
    void *reading;        /* what is read before it is converted */
    size_t staging_bytes; /* of each part */
    int parts;
    struct placement_walk walk;
    int64_t position; /* of the next block to acquire */
    int64_t flights;  /* through the staging ring so far */
    int outstanding;  /* of them not yet acquired */
    bool slot_was_used[PLACEMENT_SLOTS];
    size_t outside_bytes, host_outside; /* allocated, but not by us */
    size_t peak_before, host_peak_before;
    struct placement_counts at_start;
    double began, load_seconds, wait_seconds;

    struct placement_report *reports;
    int report_count, report_room;
};

static inline bool block_stays(const struct placement_component *c, int residents, int block)
{
    return block < residents || c->source.blocks[block].always;
}

/* ---- placement_size.c ---- */

/* Fills in_place, tensor_at, block_bytes and their sums. */
int component_measure(const struct placement *p, struct placement_component *c);
/* Bytes of the arena for a holding, and where a block that stays, or a slot, begins in it. */
size_t holding_bytes(const struct placement_component *c, const struct holding *h);
size_t holding_block_at(const struct placement_component *c, const struct holding *h, int block);
size_t holding_slot_at(const struct placement_component *c, const struct holding *h, int slot);
/* It is placed by reading its file; bytes of a buffer for what is converted then. */
bool component_is_read(const struct placement *p, const struct placement_component *c);
size_t placement_reading_bytes(const struct placement *p, const struct placement_component *c);
size_t component_largest_block(const struct placement_component *c);

/* ---- placement_walk.c ---- */

enum walk_move { WALK_THERE, WALK_TO_PLACE, WALK_TO_SLOT };

void walk_begin(struct placement_walk *walk, const struct placement_component *c,
                const struct placement_stage *stage, struct holding *holding);
int walk_block(const struct placement_walk *walk, int64_t position);
/* What is to be done about the block at `ahead`, and in which slot; walk_advance notes that it is.
 */
enum walk_move walk_next(const struct placement_walk *walk, int *slot);
void walk_advance(struct placement_walk *walk);
/* All moves of a stage. */
void walk_count(struct placement_walk *walk, int64_t *copies, uint64_t *bytes);

/* ---- placement_forecast.c ---- */

/* What is on the device, or would be. */
struct residency {
    struct holding of[PLACEMENT_COMPONENTS];
};

/* After a try that memory failed for: from which way on the next one is looked for, and that it
 * takes at most `reach` bytes in all, or at least less than `tried`. INT64_MAX: none was made. */
struct placement_bound {
    enum placement_way from;
    int64_t tried, reach;
};

int residency_copy(struct residency *r, const struct placement *p);
void residency_free(struct residency *r);
/* How a stage would go, from what is there: the first way from bound->from on that fits the budget
 * and the bound's reach; where none does, the last, least one, with fits false. `only`: no other
 * way. */
int stage_decide(const struct placement *p, const struct residency *r,
                 const struct placement_stage *stage, const struct placement_bound *bound,
                 bool only, struct placement_forecast *f);
/* Makes the residency what it is while a stage goes as `f` says, all that it gives up left out. */
void residency_apply(struct residency *r, const struct placement *p,
                     const struct placement_stage *stage, const struct placement_forecast *f);
/* The same, and what a stage moves: copies and staging are added to the forecast. */
int stage_foresee(const struct placement *p, struct residency *r,
                  const struct placement_stage *stage, struct placement_forecast *f);
/* ERR_INTERNAL for a stage of no component, or whose walk leaves it. */
int stage_check(const struct placement *p, const struct placement_stage *stage);
/* ERR_DEVICE_MEMORY: what a stage lacks. */
int stage_fail(const struct placement_stage *stage, const struct placement_forecast *f);
size_t placement_staging_bytes(const struct placement *p, const struct placement_component *c);
/* Whether a component keeps what it has when a stage begins as `f` says. */
bool holding_is_kept(const struct holding *h, bool is_its_own, const struct placement_forecast *f);
/* Bytes of the device that are its own now. */
size_t placement_held_bytes(const struct placement *p);
int64_t placement_budget(const struct placement *p);

/* ---- placement_move.c ---- */

/* Advises about the pages of a block: of its tensors that are read in place, or of those that are
 * placed. */
void placement_advise(const struct placement_component *c, int block, bool in_place, int advice);

/* ---- placement_convert.c ---- */

/* A tensor's stored numbers as the wanted ones; ERR_INTERNAL for a pair that placement_add refuses.
 */
int placement_convert(void *to, const struct placement_tensor *tensor, const void *from);
bool placement_converts(enum tensor_type from, enum tensor_type to);
size_t placement_wanted_bytes(const struct placement_tensor *tensor);

#endif
