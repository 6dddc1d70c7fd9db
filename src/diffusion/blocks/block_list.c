#include "diffusion/blocks/block_list.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int block_check_range(const char *key, int64_t value, int64_t least, int64_t most)
{
    if (value >= least && value <= most) return OK;
    return fail(ERR_DATA, "%s is %lld: it must be %lld to %lld", key, (long long)value,
                (long long)least, (long long)most);
}

int block_list_create(struct block_list *list, int blocks)
{
    *list = (struct block_list){0};
    list->tensors = calloc((size_t)blocks * BLOCK_SLOTS, sizeof *list->tensors);
    list->names = calloc((size_t)blocks, sizeof *list->names);
    list->first = calloc((size_t)blocks + 1, sizeof *list->first);
    if (!list->tensors || !list->names || !list->first) return fail(ERR_SYSTEM, "out of memory");
    return OK;
}

void block_list_free(struct block_list *list)
{
    free(list->tensors);
    free(list->names);
    free(list->first);
    *list = (struct block_list){0};
}

void block_list_begin(struct block_list *list, const char *name)
{
    int block = list->block_count++;
    snprintf(list->names[block], sizeof list->names[block], "%s", name);
    list->first[block] = list->first[block + 1] = list->tensor_count;
}

struct block_tensor *block_list_add(struct block_list *list, int64_t rows, int64_t columns)
{
    int block = list->block_count - 1;
    struct block_tensor *tensor = &list->tensors[list->tensor_count];
    *tensor = (struct block_tensor){.dims = columns ? 2 : 1,
                                    .shape = {rows, columns},
                                    .block = block,
                                    .slot = list->tensor_count - list->first[block],
                                    .count = (size_t)rows * (columns ? (size_t)columns : 1)};
    list->first[block + 1] = ++list->tensor_count;
    list->parameter_total += tensor->count;
    return tensor;
}

/* As net_add_parameter lays parameters out. */
static void block_list_place(struct block_list *list, bool matrices)
{
    for (int i = 0; i < list->tensor_count; i++) {
        struct block_tensor *tensor = &list->tensors[i];
        if (tensor->is_matrix != matrices) continue;
        tensor->offset = list->floats;
        list->floats += (tensor->count + 15) / 16 * 16;
    }
}

void block_list_finish(struct block_list *list)
{
    block_list_place(list, true);
    list->matrix_floats = list->floats;
    block_list_place(list, false);
}

const struct block_tensor *block_tensor_of(const struct block_list *list, int block, int slot)
{
    int index = list->first[block] + slot;
    return index < list->first[block + 1] ? &list->tensors[index] : NULL;
}

static int block_flat_acquire(void *context, int block, struct block_weights *weights)
{
    const struct block_flat *flat = context;
    memset(weights, 0, sizeof *weights);
    for (int slot = 0; slot < BLOCK_SLOTS; slot++) {
        const struct block_tensor *tensor = block_tensor_of(flat->list, block, slot);
        if (tensor) weights->at[slot] = flat->parameters + tensor->offset;
    }
    return OK;
}

static int block_flat_release(void *context, int block)
{
    (void)context;
    (void)block;
    return OK;
}

struct block_source block_flat_source(struct block_flat *flat)
{
    return (struct block_source){block_flat_acquire, block_flat_release, flat};
}
