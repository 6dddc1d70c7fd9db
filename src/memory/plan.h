/* The memory plan: every tensor is declared before any is allocated; tensors whose lifetimes do not
 * meet share bytes; one allocation for each kind; nothing is allocated after the commit. */
#ifndef IMGTRAIN_MEMORY_PLAN_H
#define IMGTRAIN_MEMORY_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct device;

/* What bytes are for: one arena each, and one line each in the forecast. */
enum plan_kind {
    PLAN_PARAMETERS,
    PLAN_GRADIENTS,
    PLAN_OPTIMISER,
    PLAN_EMA,
    PLAN_DATA,        /* the target picture, batches */
    PLAN_ACTIVATIONS, /* what a step keeps between its phases */
    PLAN_WORKSPACE,   /* of one operation */
    PLAN_OFFLOAD,     /* state moved out of the device: pinned host memory, or a mapped file */
    PLAN_HOST,        /* host memory beside a device: snapshots, queues */
    PLAN_KINDS
};

/* Lifetimes are phases of a step, first and last inclusive; PLAN_ALWAYS lives through all. */
enum { PLAN_FIRST = 0, PLAN_LAST = 1 << 20 };
#define PLAN_ALWAYS PLAN_FIRST, PLAN_LAST

/* Every address and every arena's size is a multiple of this: a cache line, and an AVX-512
 * register. No tensor is larger than the maximum, so that sums cannot overflow. */
#define PLAN_ALIGNMENT ((size_t)64)
#define PLAN_BYTES_MAX ((size_t)1 << 60)

static inline size_t plan_aligned(size_t bytes)
{
    return (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
}

struct plan;

struct plan *plan_create(void); /* NULL without memory */
/* Frees the arenas too, so it comes before device_close; accepts NULL. */
void plan_free(struct plan *plan);

/* Declares `bytes` for `name` and remembers where to put the address: *slot is left alone until
 * plan_commit sets it to 64-byte aligned, zeroed memory (slot may be NULL for a forecast). Zero
 * bytes give NULL. */
int plan_declare(struct plan *plan, const char *name, enum plan_kind kind, size_t bytes, int first,
                 int last, void **slot);

/* Lays the declared tensors out (first fit by size over their lifetimes); idempotent. */
int plan_layout(struct plan *plan);

/* Lays out and allocates each arena on `device` (PLAN_OFFLOAD, PLAN_HOST: host memory) and sets
 * every slot.
 * ERR_DEVICE_MEMORY when an arena cannot be had: nothing stays allocated. A plan is committed once;
 * the device must outlive it. */
int plan_commit(struct plan *plan, struct device *device);

/* Replaces a committed plan by `next`, taken over: the bytes of every tensor of parameters,
 * optimiser, EMA, data, offload and host that `next` has too (by name and size) are the same
 * afterwards, wherever they went; all others may hold anything. Arenas that are laid out alike stay
 * where they are. The rest is copied to the host, given back, allocated anew and filled: at no time
 * is there more than the larger of both on the device.
 *
 * ERR_DEVICE_MEMORY: `next` is freed, and *plan holds the kept tensors on the host: their slots
 * point to them, so that the state can be saved, and another plan_replace may follow. All other
 * slots are NULL. ERR_INTERNAL (parameters, optimiser or EMA missing in `next`) and ERR_SYSTEM (no
 * room for the copy) leave *plan as it was. Slots are set in every case. */
int plan_replace(struct plan **plan, struct plan *next, struct device *device);

/* Sets every slot again to where its tensor is, NULL where it is nowhere. */
void plan_connect(const struct plan *plan);

/* Bytes of a kind's arena after plan_layout; of all device kinds; of PLAN_OFFLOAD and PLAN_HOST;
 * and the plain sum of what was declared, to show what sharing saved. */
size_t plan_kind_bytes(const struct plan *plan, enum plan_kind kind);
size_t plan_device_bytes(const struct plan *plan);
size_t plan_host_bytes(const struct plan *plan);
size_t plan_declared_bytes(const struct plan *plan);
const char *plan_kind_name(enum plan_kind kind);

/* What was declared, in that order; offsets within the kind's arena are known after plan_layout. */
struct plan_entry {
    const char *name; /* borrowed from the plan */
    enum plan_kind kind;
    size_t bytes, offset;
    int first, last;
};

int plan_count(const struct plan *plan);
const struct plan_entry *plan_at(const struct plan *plan, int index);

/* The forecast as a table: a line for each kind that is used and one for the device; `verbose`: one
 * for each tensor too. After plan_layout. */
void plan_print(const struct plan *plan, FILE *out, bool verbose);

#endif
