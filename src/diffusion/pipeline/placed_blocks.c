#include "diffusion/pipeline/placed_blocks.h"

#include "base/error.h"
#include "store/tensor.h"

#include <stdlib.h>
#include <string.h>

static void placed_blocks_list(struct placed_blocks *p, const struct placed_setup *setup)
{
    const struct block_list *list = p->list;
    for (int t = 0; t < list->tensor_count; t++) {
        const struct block_tensor *tensor = &list->tensors[t];
        enum tensor_type stored = setup->weights ? setup->weights[t]->type : setup->stored;
        p->tensors[t] = (struct placement_tensor){
            .name = tensor->name,
            .stored = stored,
            .wanted = placed_type(tensor->is_matrix, stored, setup->matrices),
            .count = tensor->count,
            .row = (size_t)tensor->shape[tensor->dims - 1],
            .in_memory = setup->weights && setup->weights[t]->is_copy};
    }
    for (int b = 0; b < list->block_count; b++)
        p->blocks[b] = (struct placement_block){.name = list->names[b],
                                                .first = list->first[b],
                                                .count = list->first[b + 1] - list->first[b]};
}

int placed_blocks_open(struct placed_blocks *p, struct placement *placement,
                       const struct placed_setup *setup)
{
    const struct block_list *list = setup->list;
    *p = (struct placed_blocks){.list = list,
                                .weights = {setup->weights, list->tensor_count, setup->shards},
                                .bf16 = setup->bf16,
                                .placement = placement};
    p->tensors = calloc((size_t)list->tensor_count, sizeof *p->tensors);
    p->blocks = calloc((size_t)list->block_count, sizeof *p->blocks);
    p->key = strdup(setup->key);
    if (!p->tensors || !p->blocks || !p->key) return fail(ERR_SYSTEM, "out of memory");
    placed_blocks_list(p, setup);
    const struct placement_source source = {.name = setup->name,
                                            .key = p->key,
                                            .tensors = p->tensors,
                                            .tensor_count = list->tensor_count,
                                            .blocks = p->blocks,
                                            .block_count = list->block_count,
                                            .is_file = true,
                                            .open = placed_weights_map,
                                            .read = setup->shards ? placed_weights_read : NULL,
                                            .context = &p->weights};
    return placement_add(placement, &source, &p->component);
}

void placed_blocks_close(struct placed_blocks *p)
{
    free(p->tensors);
    free(p->blocks);
    free(p->key);
    memset(p, 0, sizeof *p);
}

static int placed_blocks_acquire(void *context, int block, struct block_weights *weights)
{
    const struct placed_blocks *p = context;
    const void *const *at;
    int first = p->list->first[block];
    memset(weights, 0, sizeof *weights);
    TRY(placement_acquire(p->placement, block, &at));
    weights->bf16 = p->bf16;
    for (int slot = 0; slot < p->blocks[block].count; slot++) {
        weights->at[slot] = at[slot];
        weights->type[slot] = placed_token_type(p->tensors[first + slot].wanted);
    }
    return OK;
}

static int placed_blocks_release(void *context, int block)
{
    const struct placed_blocks *p = context;
    return placement_release(p->placement, block);
}

struct block_source placed_blocks_source(struct placed_blocks *p)
{
    return (struct block_source){placed_blocks_acquire, placed_blocks_release, p};
}

static int placed_blocks_declare(void *context, int chunking, struct plan *plan)
{
    const struct placed_passes *passes = &((struct placed_blocks *)context)->passes;
    (void)chunking;
    TRY(passes->memory(passes->context, plan));
    return passes->declare_more ? passes->declare_more(passes->more, plan) : OK;
}

struct placement_stage placed_blocks_stage(struct placed_blocks *p,
                                           const struct placed_passes *passes)
{
    p->passes = *passes;
    return (struct placement_stage){.name = "denoise",
                                    .component = p->component,
                                    .passes = passes->count,
                                    .work = passes->work,
                                    .declare = placed_blocks_declare,
                                    .chunkings = 1,
                                    .context = p};
}
