/* Bytes and places of blocks within an arena. */
#include "base/error.h"
#include "device/device.h"
#include "memory/plan.h"
#include "placement/placement_internal.h"

static size_t placement_aligned(size_t bytes)
{
    return (bytes + PLACEMENT_ALIGNMENT - 1) / PLACEMENT_ALIGNMENT * PLACEMENT_ALIGNMENT;
}

/* On the host, what is stored in the type that is wanted need not be placed. */
static bool is_read_in_place(const struct placement *p, const struct placement_component *c,
                             const struct placement_tensor *tensor)
{
    if (tensor->stays_mapped) return true;
    return p->device->is_host && !p->options.place && !component_is_read(p, c) &&
           tensor->stored == tensor->wanted;
}

int component_measure(const struct placement *p, struct placement_component *c)
{
    const struct placement_source *s = &c->source;
    for (int b = 0; b < s->block_count; b++) {
        const struct placement_block *block = &s->blocks[b];
        if (block->first < 0 || block->count < 0 || block->first > s->tensor_count - block->count)
            return fail(ERR_INTERNAL, "%s: block %s has tensors that there are not", s->name,
                        block->name);
        for (int t = block->first; t < block->first + block->count; t++) {
            const struct placement_tensor *tensor = &s->tensors[t];
            if (!placement_converts(tensor->stored, tensor->wanted))
                return fail(ERR_INTERNAL, "%s: %s as %s is not to be had", tensor->name,
                            tensor_type_name(tensor->stored), tensor_type_name(tensor->wanted));
            if (tensor->wanted == TENSOR_I8 && (!tensor->row || tensor->count % tensor->row))
                return fail(ERR_INTERNAL, "%s: %zu numbers in rows of %zu", tensor->name,
                            tensor->count, tensor->row);
            if (tensor->count > PLAN_BYTES_MAX / 8)
                return fail(ERR_DATA, "%s: %s is too large", s->name, tensor->name);
            c->mapped_bytes += tensor->count * tensor_type_bytes(tensor->stored);
            c->tensor_at[t] = c->block_bytes[b];
            c->in_place[t] = is_read_in_place(p, c, tensor);
            if (!c->in_place[t])
                c->block_bytes[b] += placement_aligned(placement_wanted_bytes(tensor));
        }
        c->placed_bytes += c->block_bytes[b];
        if (c->placed_bytes > PLAN_BYTES_MAX || c->mapped_bytes > PLAN_BYTES_MAX)
            return fail(ERR_DATA, "%s is too large", s->name);
    }
    return OK;
}

bool component_is_read(const struct placement *p, const struct placement_component *c)
{
    return p->options.by_reading && c->source.read;
}

size_t placement_reading_bytes(const struct placement *p, const struct placement_component *c)
{
    size_t most = 0;
    for (int t = 0; component_is_read(p, c) && t < c->source.tensor_count; t++) {
        const struct placement_tensor *tensor = &c->source.tensors[t];
        size_t bytes = tensor->count * tensor_type_bytes(tensor->stored);
        if (!c->in_place[t] && tensor->stored != tensor->wanted && bytes > most) most = bytes;
    }
    return most;
}

size_t component_largest_block(const struct placement_component *c)
{
    size_t most = 0;
    for (int b = 0; b < c->source.block_count; b++)
        if (c->block_bytes[b] > most) most = c->block_bytes[b];
    return most;
}

/* ---- arenas: blocks that stay, then the slots ---- */

static size_t slot_bytes(const struct placement_component *c, const struct holding *h)
{
    size_t most = 0;
    for (int b = 0; b < c->source.block_count; b++)
        if (!block_stays(c, h->residents, b) && c->block_bytes[b] > most) most = c->block_bytes[b];
    return most;
}

size_t holding_block_at(const struct placement_component *c, const struct holding *h, int block)
{
    size_t at = 0;
    for (int b = 0; b < block; b++)
        if (block_stays(c, h->residents, b)) at += c->block_bytes[b];
    return at;
}

size_t holding_slot_at(const struct placement_component *c, const struct holding *h, int slot)
{
    return holding_block_at(c, h, c->source.block_count) + (size_t)slot * slot_bytes(c, h);
}

size_t holding_bytes(const struct placement_component *c, const struct holding *h)
{
    return holding_slot_at(c, h, h->slots);
}
