#include "base/error.h"
#include "base/format.h"
#include "device/device.h"
#include "memory/plan_internal.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const char *plan_kind_name(enum plan_kind kind)
{
    static const char *const names[PLAN_KINDS] = {"parameters", "gradients", "optimiser",
                                                  "ema",        "data",      "activations",
                                                  "workspace",  "offload",   "host"};
    return names[kind];
}

struct plan *plan_create(void)
{
    struct plan *plan = calloc(1, sizeof *plan);
    if (!plan) fail(ERR_SYSTEM, "out of memory");
    return plan;
}

static void free_arenas(struct plan *plan)
{
    for (int kind = 0; kind < PLAN_KINDS; kind++)
        plan_arena_free(plan, (enum plan_kind)kind);
}

void plan_free(struct plan *plan)
{
    if (!plan) return;
    free_arenas(plan);
    for (int i = 0; i < plan->count; i++) {
        free(plan->blocks[i].name);
        free(plan->blocks[i].parked);
    }
    free(plan->blocks);
    free(plan);
}

int plan_declare(struct plan *plan, const char *name, enum plan_kind kind, size_t bytes, int first,
                 int last, void **slot)
{
    if (plan->committed) return fail(ERR_INTERNAL, "%s declared after the plan's commit", name);
    if (first < PLAN_FIRST || first > last || last > PLAN_LAST || bytes > PLAN_BYTES_MAX)
        return fail(ERR_INTERNAL, "%s declared with an impossible size or lifetime", name);
    if (plan->count == plan->room) {
        int room = plan->room ? plan->room * 2 : 64;
        struct block *larger = realloc(plan->blocks, (size_t)room * sizeof *larger);
        if (!larger) return fail(ERR_SYSTEM, "out of memory");
        plan->blocks = larger;
        plan->room = room;
    }
    struct block block = {.entry = {.kind = kind, .bytes = bytes, .first = first, .last = last},
                          .name = strdup(name),
                          .slot = slot,
                          .room = plan_aligned(bytes)};
    if (!block.name) return fail(ERR_SYSTEM, "out of memory");
    block.entry.name = block.name;
    plan->blocks[plan->count++] = block;
    plan->laid_out = false;
    return OK;
}

/* ---- layout ---- */

static bool plan_always(const struct block *block)
{
    return block->entry.first <= PLAN_FIRST && block->entry.last >= PLAN_LAST;
}

static bool plan_meet(const struct block *a, const struct block *b)
{
    return a->entry.first <= b->entry.last && b->entry.first <= a->entry.last;
}

static int compare_declared(const struct block *x, const struct block *y)
{
    return x < y ? -1 : x > y;
}

static int compare_size(const void *a, const void *b)
{
    const struct block *x = *(struct block *const *)a, *y = *(struct block *const *)b;
    if (x->room != y->room) return x->room > y->room ? -1 : 1;
    return compare_declared(x, y);
}

static int compare_life(const void *a, const void *b)
{
    const struct block *x = *(struct block *const *)a, *y = *(struct block *const *)b;
    int life_x = x->entry.last - x->entry.first, life_y = y->entry.last - y->entry.first;
    if (life_x != life_y) return life_x > life_y ? -1 : 1;
    return compare_size(a, b);
}

static int compare_first(const void *a, const void *b)
{
    const struct block *x = *(struct block *const *)a, *y = *(struct block *const *)b;
    if (x->entry.first != y->entry.first) return x->entry.first < y->entry.first ? -1 : 1;
    return compare_size(a, b);
}

static int compare_area(const void *a, const void *b)
{
    const struct block *x = *(struct block *const *)a, *y = *(struct block *const *)b;
    double area_x = (double)x->room * (x->entry.last - x->entry.first + 1);
    double area_y = (double)y->room * (y->entry.last - y->entry.first + 1);
    if (area_x > area_y || area_x < area_y) return area_x > area_y ? -1 : 1;
    return compare_size(a, b);
}

/* A block that is placed, in a list sorted by offset. */
struct placed {
    struct block *block;
    size_t offset;
};

/* The lowest gap of `room` bytes between the placed blocks whose lifetimes meet the block's. */
static size_t first_fit(const struct block *block, const struct placed *placed, int count)
{
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        if (!plan_meet(block, placed[i].block)) continue;
        if (placed[i].offset >= at && placed[i].offset - at >= block->room) break;
        size_t end = placed[i].offset + placed[i].block->room;
        if (end > at) at = end;
    }
    return at;
}

/* Places the blocks in their order; returns the end of the highest one. */
static size_t plan_place(struct block *const *order, int count, struct placed *placed)
{
    size_t top = 0;
    for (int i = 0; i < count; i++) {
        size_t offset = first_fit(order[i], placed, i);
        int at = i;
        for (; at > 0 && placed[at - 1].offset > offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = (struct placed){order[i], offset};
        if (offset + order[i]->room > top) top = offset + order[i]->room;
    }
    return top;
}

/* The most that lives at one time: no layout can be smaller. */
static size_t live_bytes(struct block *const *order, int count)
{
    size_t most = 0;
    for (int i = 0; i < count; i++) { /* a maximum begins where some block begins */
        size_t live = 0;
        for (int j = 0; j < count; j++)
            if (order[j]->entry.first <= order[i]->entry.first &&
                order[i]->entry.first <= order[j]->entry.last)
                live += order[j]->room;
        if (live > most) most = live;
    }
    return most;
}

/* Greedy placement under several orders; the smallest result stays. Returns its size. */
static size_t place_shared(struct block **order, int count, struct placed *placed)
{
    static int (*const orders[])(const void *, const void *) = {compare_size, compare_area,
                                                                compare_life, compare_first};
    size_t least = live_bytes(order, count), best = SIZE_MAX;
    for (size_t k = 0; k < sizeof orders / sizeof orders[0] && best > least; k++) {
        qsort(order, (size_t)count, sizeof(*order), orders[k]);
        size_t top = plan_place(order, count, placed);
        if (top >= best) continue;
        best = top;
        for (int i = 0; i < count; i++)
            placed[i].block->entry.offset = placed[i].offset;
    }
    return best;
}

/* Blocks that always live lie packed at the front, in the order of their declaration. */
static int layout_kind(struct plan *plan, enum plan_kind kind, struct block **order,
                       struct placed *placed)
{
    size_t packed = 0, sum = 0;
    int count = 0;
    for (int i = 0; i < plan->count; i++) {
        struct block *block = &plan->blocks[i];
        if (block->entry.kind != kind || block->room == 0) continue;
        if ((sum += block->room) > PLAN_BYTES_MAX)
            return fail(ERR_INTERNAL, "the plan's sum overflows at %s", block->name);
        if (plan_always(block)) {
            block->entry.offset = packed;
            packed += block->room;
        } else {
            order[count++] = block;
        }
    }
    size_t shared = count ? place_shared(order, count, placed) : 0;
    for (int i = 0; i < count; i++)
        order[i]->entry.offset += packed;
    plan->arenas[kind].bytes = packed + shared;
    return OK;
}

int plan_layout(struct plan *plan)
{
    if (plan->laid_out) return OK;
    size_t room = (size_t)plan->count + 1;
    struct block **order = malloc(room * sizeof(*order));
    struct placed *placed = malloc(room * sizeof(*placed));
    int code = OK;
    if (!order || !placed) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    for (int kind = 0; kind < PLAN_KINDS; kind++)
        TRY_CLEANUP(layout_kind(plan, (enum plan_kind)kind, order, placed));
    plan->laid_out = true;
cleanup:
    free(order);
    free(placed);
    return code;
}

/* ---- commit ---- */

int plan_arena_alloc(struct plan *plan, enum plan_kind kind)
{
    struct arena *arena = &plan->arenas[kind];
    struct device *device = plan->device;
    int code;
    if (arena->bytes == 0) return OK;
    if (kind < PLAN_OFFLOAD)
        code = device->alloc(device, arena->bytes, &arena->memory);
    else if (kind == PLAN_OFFLOAD && device->alloc_offload)
        code = device->alloc_offload(device, arena->bytes, &arena->memory);
    else
        code = device->alloc_host(device, arena->bytes, &arena->memory);
    if (code < 0) return fail_within(code, "%s", plan_kind_name(kind));
    if (kind >= PLAN_OFFLOAD) device_book_host(device, arena->bytes);
    return OK;
}

void plan_arena_free(struct plan *plan, enum plan_kind kind)
{
    struct arena *arena = &plan->arenas[kind];
    struct device *device = plan->device;
    if (!arena->memory) return;
    if (kind < PLAN_OFFLOAD)
        device->free(device, arena->memory, arena->bytes);
    else if (kind == PLAN_OFFLOAD && device->alloc_offload)
        device->free_offload(device, arena->memory, arena->bytes);
    else
        device->free_host(device, arena->memory);
    if (kind >= PLAN_OFFLOAD) device_unbook_host(device, arena->bytes);
    arena->memory = NULL;
}

void *plan_block_address(const struct plan *plan, const struct block *block)
{
    char *arena = plan->arenas[block->entry.kind].memory;
    if (block->parked || block->room == 0) return block->parked;
    return arena ? arena + block->entry.offset : NULL;
}

void plan_connect(const struct plan *plan)
{
    for (int i = 0; i < plan->count; i++)
        if (plan->blocks[i].slot)
            *plan->blocks[i].slot = plan_block_address(plan, &plan->blocks[i]);
}

int plan_commit(struct plan *plan, struct device *device)
{
    if (plan->committed) return fail(ERR_INTERNAL, "a plan is committed once");
    TRY(plan_layout(plan));
    plan->device = device;
    for (int kind = 0; kind < PLAN_KINDS; kind++) {
        int code = plan_arena_alloc(plan, (enum plan_kind)kind);
        if (code < 0) {
            free_arenas(plan);
            plan_connect(plan);
            return code;
        }
    }
    plan_connect(plan);
    plan->committed = true;
    return OK;
}

/* ---- answers ---- */

size_t plan_kind_bytes(const struct plan *plan, enum plan_kind kind)
{
    return plan->arenas[kind].bytes;
}

size_t plan_device_bytes(const struct plan *plan)
{
    size_t sum = 0;
    for (int kind = 0; kind < PLAN_KINDS; kind++)
        if (kind < PLAN_OFFLOAD) sum += plan->arenas[kind].bytes;
    return sum;
}

size_t plan_host_bytes(const struct plan *plan)
{
    return plan->arenas[PLAN_OFFLOAD].bytes + plan->arenas[PLAN_HOST].bytes;
}

size_t plan_declared_bytes(const struct plan *plan)
{
    size_t sum = 0;
    for (int i = 0; i < plan->count; i++)
        sum += plan->blocks[i].entry.bytes;
    return sum;
}

int plan_count(const struct plan *plan)
{
    return plan->count;
}

const struct plan_entry *plan_at(const struct plan *plan, int index)
{
    return &plan->blocks[index].entry;
}

static size_t declared_of_kind(const struct plan *plan, int kind)
{
    size_t sum = 0;
    for (int i = 0; i < plan->count; i++)
        if ((int)plan->blocks[i].entry.kind == kind) sum += plan->blocks[i].entry.bytes;
    return sum;
}

static void plan_print_tensors(const struct plan *plan, int kind, FILE *out)
{
    for (int i = 0; i < plan->count; i++) {
        const struct plan_entry *e = &plan->blocks[i].entry;
        if ((int)e->kind != kind) continue;
        fprintf(out, "    %-32s %14zu B at %14zu", e->name, e->bytes, e->offset);
        if (plan_always(&plan->blocks[i]))
            fputs("  always\n", out);
        else
            fprintf(out, "  %d..%d\n", e->first, e->last);
    }
}

void plan_print(const struct plan *plan, FILE *out, bool verbose)
{
    fprintf(out, "%-14s %16s %16s\n", "memory", "bytes", "without sharing");
    for (int kind = 0; kind < PLAN_KINDS; kind++) {
        size_t bytes = plan->arenas[kind].bytes;
        if (bytes == 0) continue;
        fprintf(out, "  %-12s %16zu %16zu  %s\n", plan_kind_name((enum plan_kind)kind), bytes,
                declared_of_kind(plan, kind), format_bytes((int64_t)bytes).text);
        if (verbose) plan_print_tensors(plan, kind, out);
    }
    size_t device = plan_device_bytes(plan);
    fprintf(out, "  %-12s %16zu %16zu  %s\n", "device", device,
            plan_declared_bytes(plan) - declared_of_kind(plan, PLAN_OFFLOAD) -
                declared_of_kind(plan, PLAN_HOST),
            format_bytes((int64_t)device).text);
}
