/* Blocks on their way: acquire, release, and the copies ahead of them.
 *
 * Where a device copies beside its operations, a block goes through a part of the pinned staging
 * ring into its place: the host fills the part, QUEUE_IN copies it once the operations that read
 * what was in the slot are done, and the operations of its own acquire wait for that copy alone.
 * The next block is filled when one is released, so that the device has work meanwhile. */
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "device/device.h"
#include "placement/placement_internal.h"

#include <sys/mman.h>
#include <unistd.h>

enum { MARK_IN, MARK_WORK = MARK_IN + PLACEMENT_SLOTS };
_Static_assert((int)MARK_WORK + (int)PLACEMENT_SLOTS < (int)PLACEMENT_MARK_FRESH, "marks overlap");

/* ---- pages of the mapping ---- */

void placement_advise(const struct placement_component *c, int block, bool in_place, int advice)
{
    const struct placement_block *b = &c->source.blocks[block];
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (!c->source.is_file || !c->is_open) return;
    for (int t = b->first; t < b->first + b->count; t++) {
        const struct placement_tensor *tensor = &c->source.tensors[t];
        uintptr_t from = (uintptr_t)c->data[t];
        uintptr_t to = from + tensor->count * tensor_type_bytes(tensor->stored);
        if (tensor->stays_mapped || tensor->in_memory || c->in_place[t] != in_place) continue;
        if (advice == MADV_DONTNEED) /* pages that are its alone */
            from = (from + page - 1) / page * page, to = to / page * page;
        else
            from = from / page * page;
        if (from < to) madvise((void *)from, to - from, advice); /* only advice */
    }
}

/* A page that cannot be had any more, as the file got smaller or its disk failed, is an error here
 * instead of a SIGBUS when it is read. */
static int check_pages(const struct placement_component *c, int block)
{
    const struct placement_block *b = &c->source.blocks[block];
    for (int t = b->first; c->source.is_file && t < b->first + b->count; t++) {
        const struct placement_tensor *tensor = &c->source.tensors[t];
        if (tensor->stays_mapped || tensor->in_memory ||
            file_pages_are_there(c->data[t], tensor->count * tensor_type_bytes(tensor->stored)))
            continue;
        return fail(ERR_IO,
                    "%s: %s cannot be read any more: its file got smaller, or its disk failed",
                    c->source.key, tensor->name);
    }
    return OK;
}

/* ---- moves ---- */

static struct placement_component *component_at_work(struct placement *p)
{
    return &p->components[p->stage.component];
}

/* A tensor's bytes out of its file. */
static int placement_read_tensor(const struct placement *p, const struct placement_component *c,
                                 int index, void *to)
{
    const struct placement_tensor *tensor = &c->source.tensors[index];
    if (tensor->stored == tensor->wanted) return c->source.read(c->source.context, index, to);
    TRY(c->source.read(c->source.context, index, p->reading));
    return placement_convert(to, tensor, p->reading);
}

static int convert_block(const struct placement *p, const struct placement_component *c, int block,
                         char *to)
{
    const struct placement_block *b = &c->source.blocks[block];
    for (int t = b->first; t < b->first + b->count; t++) {
        const struct placement_tensor *tensor = &c->source.tensors[t];
        if (c->in_place[t]) continue;
        if (component_is_read(p, c)) {
            TRY(placement_read_tensor(p, c, t, to + c->tensor_at[t]));
            continue;
        }
        TRY(placement_convert(to + c->tensor_at[t], tensor, c->data[t]));
    }
    return OK;
}

/* Through the staging ring; it is known to have a part that no copy awaits an acquire for. */
static int send_block(struct placement *p, struct placement_component *c, int block, char *to,
                      int slot)
{
    struct device *device = p->device;
    size_t bytes = c->block_bytes[block];
    int part = (int)(p->flights % p->parts);
    char *staged = (char *)p->staging + (size_t)part * p->staging_bytes;
    if (p->flights >= p->parts) {
        double before = clock_seconds();
        TRY(device->await_host(device, MARK_IN + part));
        p->wait_seconds += clock_seconds() - before;
    }
    double before = clock_seconds();
    TRY(convert_block(p, c, block, staged));
    p->load_seconds += clock_seconds() - before;
    if (slot >= 0 && p->slot_was_used[slot]) TRY(device->await(device, QUEUE_IN, MARK_WORK + slot));
    TRY(device->copy(device, QUEUE_IN, to, staged, bytes));
    TRY(device->mark(device, QUEUE_IN, MARK_IN + part));
    c->flight_of[block] = part;
    p->flights++;
    p->outstanding++;
    return OK;
}

static int bring_block(struct placement *p, int block, char *to, int slot)
{
    struct placement_component *c = component_at_work(p);
    if (!component_is_read(p, c)) TRY(check_pages(c, block));
    if (p->device->copy) {
        TRY(send_block(p, c, block, to, slot));
    } else {
        double before = clock_seconds();
        TRY(convert_block(p, c, block, to));
        p->load_seconds += clock_seconds() - before;
    }
    p->counts.copies++;
    p->counts.copied_bytes += c->block_bytes[block];
    if (p->predicted.way == PLACEMENT_SEQUENTIAL) placement_advise(c, block, false, MADV_DONTNEED);
    return OK;
}

static int placement_move_next(struct placement *p)
{
    struct placement_component *c = component_at_work(p);
    struct placement_walk *walk = &p->walk;
    int slot, block = walk_block(walk, walk->ahead);
    enum walk_move move = walk_next(walk, &slot);
    char *arena = c->arena;
    if (move == WALK_TO_PLACE)
        TRY(bring_block(p, block, arena + holding_block_at(c, &c->holding, block), -1));
    if (move == WALK_TO_SLOT) {
        int other = walk->slot_block[slot];
        if (other >= 0 && c->holds[other] > 0)
            return fail(ERR_INTERNAL, "%s: block %s is needed while %s is held in its place",
                        p->stage.name, c->source.blocks[block].name, c->source.blocks[other].name);
        if (other >= 0) c->slot_of[other] = -1, p->counts.evictions++;
        TRY(bring_block(p, block, arena + holding_slot_at(c, &c->holding, slot), slot));
        c->slot_of[block] = slot;
    }
    walk_advance(walk);
    return OK;
}

/* A slot is free for another block when nothing before `position` needs what is in it. */
static bool may_move_ahead(const struct placement *p)
{
    const struct placement_walk *walk = &p->walk;
    int slot;
    if (walk->ahead >= walk->end || p->outstanding >= p->parts) return false;
    if (walk_next(walk, &slot) != WALK_TO_SLOT) return true;
    int other = walk->slot_block[slot];
    return other < 0 || (walk->slot_use[slot] < p->position &&
                         p->components[p->stage.component].holds[other] == 0);
}

static int move_ahead(struct placement *p)
{
    if (!p->options.prefetch) return OK;
    if (p->device->copy) {
        while (may_move_ahead(p))
            TRY(placement_move_next(p));
    } else if (p->predicted.way == PLACEMENT_SEQUENTIAL && p->position < p->walk.end) {
        int next = walk_block(&p->walk, p->position);
        placement_advise(component_at_work(p), next, true, MADV_WILLNEED);
        placement_advise(component_at_work(p), next, false, MADV_WILLNEED);
    }
    return OK;
}

/* ---- acquire and release ---- */

static bool has_tensor_in_place(const struct placement_component *c, int block)
{
    const struct placement_block *b = &c->source.blocks[block];
    for (int t = b->first; t < b->first + b->count; t++)
        if (c->in_place[t]) return true;
    return false;
}

static void find_pointers(const struct placement_component *c, int block)
{
    const struct placement_block *b = &c->source.blocks[block];
    const char *at = c->arena;
    if (c->slot_of[block] >= 0)
        at += holding_slot_at(c, &c->holding, c->slot_of[block]);
    else if (at)
        at += holding_block_at(c, &c->holding, block);
    for (int t = b->first; t < b->first + b->count; t++)
        c->pointers[t] = c->in_place[t] ? c->data[t] : at + c->tensor_at[t];
}

int placement_acquire(struct placement *p, int block, const void *const **tensors)
{
    struct placement_component *c = component_at_work(p);
    if (!p->in_stage) return fail(ERR_INTERNAL, "a block is acquired outside of a stage");
    if (p->position >= p->walk.end || walk_block(&p->walk, p->position) != block)
        return fail(ERR_INTERNAL, "%s: block %d is not the next of its walk", p->stage.name, block);
    while (p->walk.ahead <= p->position)
        TRY(placement_move_next(p));
    if (c->flight_of[block] >= 0) {
        TRY(p->device->await(p->device, QUEUE_WORK, MARK_IN + c->flight_of[block]));
        c->flight_of[block] = -1;
        p->outstanding--;
    }
    if (has_tensor_in_place(c, block)) TRY(check_pages(c, block));
    find_pointers(c, block);
    c->holds[block]++;
    p->position++;
    p->counts.acquired++;
    *tensors = c->pointers + c->source.blocks[block].first;
    return OK;
}

int placement_release(struct placement *p, int block)
{
    struct placement_component *c = component_at_work(p);
    if (!p->in_stage || block < 0 || block >= c->source.block_count || c->holds[block] == 0)
        return fail(ERR_INTERNAL, "block %d is released, but not held", block);
    c->holds[block]--;
    p->counts.released++;
    int slot = c->slot_of[block];
    if (p->device->copy && slot >= 0) {
        TRY(p->device->mark(p->device, QUEUE_WORK, MARK_WORK + slot));
        p->slot_was_used[slot] = true;
    }
    if (p->predicted.way == PLACEMENT_SEQUENTIAL && !c->source.blocks[block].always)
        placement_advise(c, block, true, MADV_DONTNEED);
    return move_ahead(p);
}
