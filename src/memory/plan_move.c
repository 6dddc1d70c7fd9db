/* From one plan to another, with the state that lives through. */
#include "base/error.h"
#include "base/format.h"
#include "device/device.h"
#include "memory/plan_internal.h"

#include <stdlib.h>
#include <string.h>

/* What must not be lost, and what is kept where the next plan has it too. */
static bool is_state(const struct block *block)
{
    int kind = (int)block->entry.kind;
    return kind == PLAN_PARAMETERS || kind == PLAN_OPTIMISER || kind == PLAN_EMA;
}

static bool is_kept(const struct block *block)
{
    int kind = (int)block->entry.kind;
    return is_state(block) || kind == PLAN_DATA || kind == PLAN_OFFLOAD || kind == PLAN_HOST;
}

static struct block *find_same(const struct plan *plan, const struct block *wanted)
{
    for (int i = 0; i < plan->count; i++) {
        struct block *block = &plan->blocks[i];
        if (is_kept(block) && block->entry.bytes == wanted->entry.bytes &&
            strcmp(block->name, wanted->name) == 0)
            return block;
    }
    return NULL;
}

static const struct block *next_of_kind(const struct plan *plan, int kind, int *at)
{
    while (*at < plan->count) {
        const struct block *block = &plan->blocks[(*at)++];
        if ((int)block->entry.kind == kind && block->room) return block;
    }
    return NULL;
}

static bool laid_out_alike(const struct plan *a, const struct plan *b, int kind)
{
    int at_a = 0, at_b = 0;
    if (a->arenas[kind].bytes != b->arenas[kind].bytes) return false;
    for (;;) {
        const struct block *x = next_of_kind(a, kind, &at_a), *y = next_of_kind(b, kind, &at_b);
        if (!x || !y) return x == y;
        if (x->entry.bytes != y->entry.bytes || x->entry.offset != y->entry.offset ||
            strcmp(x->name, y->name) != 0)
            return false;
    }
}

static int check_state(const struct plan *plan, const struct plan *next)
{
    for (int i = 0; i < plan->count; i++) {
        const struct block *block = &plan->blocks[i];
        if (is_state(block) && !find_same(next, block))
            return fail(ERR_INTERNAL, "the next plan has no %s of %s", block->name,
                        format_bytes((int64_t)block->entry.bytes).text);
    }
    return OK;
}

static void plan_move_unpark(struct plan *plan, const bool *parked_now)
{
    for (int i = 0; i < plan->count; i++) {
        if (!parked_now[i]) continue;
        free(plan->blocks[i].parked);
        plan->blocks[i].parked = NULL;
    }
}

/* Between an arena and host memory. */
static int plan_move_fetch(const struct plan *plan, void *to, const struct block *block)
{
    struct device *device = plan->device;
    const void *from = plan_block_address(plan, block);
    if (block->entry.kind < PLAN_OFFLOAD) {
        TRY(device->download(device, to, from, block->entry.bytes));
        return device->synchronize(device);
    }
    memcpy(to, from, block->entry.bytes);
    return OK;
}

static int plan_move_put(const struct plan *plan, const struct block *block, const void *from)
{
    struct device *device = plan->device;
    void *to = plan_block_address(plan, block);
    if (block->entry.kind < PLAN_OFFLOAD) {
        TRY(device->upload(device, to, from, block->entry.bytes));
        return device->synchronize(device);
    }
    memcpy(to, from, block->entry.bytes);
    return OK;
}

/* Copies of all that is to survive and cannot stay where it is. */
static int plan_move_park(struct plan *plan, const struct plan *next, const bool *stays)
{
    bool *now = calloc((size_t)plan->count + 1, sizeof *now);
    if (!now) return fail(ERR_SYSTEM, "out of memory");
    int code = OK;
    for (int i = 0; i < plan->count && code == OK; i++) {
        struct block *block = &plan->blocks[i];
        if (!is_kept(block) || stays[block->entry.kind] || block->parked ||
            !plan_block_address(plan, block) || !find_same(next, block))
            continue;
        void *copy = malloc(block->entry.bytes);
        now[i] = copy != NULL;
        if (copy)
            code = plan_move_fetch(plan, copy, block);
        else
            code = fail(ERR_SYSTEM, "no %s of host memory to put %s aside",
                        format_bytes((int64_t)block->entry.bytes).text, block->name);
        block->parked = copy;
    }
    if (code < 0) plan_move_unpark(plan, now);
    free(now);
    return code;
}

static void give_back(struct plan *next, const bool *stays)
{
    for (int kind = 0; kind < PLAN_KINDS; kind++)
        if (!stays[kind]) plan_arena_free(next, (enum plan_kind)kind);
}

static int plan_move_allocate(struct plan *next, const bool *stays)
{
    for (int kind = 0; kind < PLAN_KINDS; kind++) {
        if (stays[kind]) continue;
        int code = plan_arena_alloc(next, (enum plan_kind)kind);
        if (code == OK) continue;
        give_back(next, stays);
        return code;
    }
    return OK;
}

/* What was put aside goes to its new place; the copies stay until that has succeeded. */
static int plan_move_fill(const struct plan *plan, const struct plan *next, const bool *stays)
{
    for (int i = 0; i < next->count; i++) {
        const struct block *to = &next->blocks[i];
        if (!is_kept(to) || stays[to->entry.kind] || !to->room) continue;
        const struct block *from = find_same(plan, to);
        if (from && from->parked) TRY(plan_move_put(next, to, from->parked));
    }
    return OK;
}

static void hand_over(struct plan *plan, struct plan *next, const bool *stays)
{
    for (int kind = 0; kind < PLAN_KINDS; kind++) {
        if (!stays[kind]) continue;
        next->arenas[kind].memory = plan->arenas[kind].memory;
        plan->arenas[kind].memory = NULL;
    }
}

int plan_replace(struct plan **plan, struct plan *next, struct device *device)
{
    struct plan *old = *plan;
    bool stays[PLAN_KINDS] = {false};
    int code = OK;
    next->device = device;
    TRY_CLEANUP(old->committed ? OK : fail(ERR_INTERNAL, "a plan that is not committed"));
    TRY_CLEANUP(plan_layout(next));
    TRY_CLEANUP(check_state(old, next));
    for (int kind = 0; kind < PLAN_KINDS; kind++)
        stays[kind] = old->arenas[kind].memory && laid_out_alike(old, next, kind);
    TRY_CLEANUP(plan_move_park(old, next, stays));
    for (int kind = 0; kind < PLAN_KINDS; kind++)
        if (!stays[kind]) plan_arena_free(old, (enum plan_kind)kind);
    TRY_CLEANUP(plan_move_allocate(next, stays));
    code = plan_move_fill(old, next, stays);
    if (code < 0) {
        give_back(next, stays);
        goto cleanup;
    }
    hand_over(old, next, stays);
    next->committed = true;
    *plan = next;
    next = old;
cleanup:
    plan_free(next);
    plan_connect(*plan);
    return code;
}
