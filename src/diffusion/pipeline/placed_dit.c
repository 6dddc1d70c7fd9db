#include "diffusion/pipeline/placed_dit.h"

#include "base/error.h"
#include "device/device.h"
#include "store/tensor.h"

#include <stdlib.h>
#include <string.h>

/* ---- the component ---- */

static void placed_dit_list(struct placed_dit *p, const struct placed_dit_setup *setup)
{
    for (int t = 0; t < p->model->tensor_count; t++) {
        const struct s3dit_tensor *tensor = &p->model->tensors[t];
        struct placement_block *block = &p->blocks[tensor->block];
        enum tensor_type stored = setup->weights ? setup->weights[t]->type : setup->stored;
        p->tensors[t] =
            (struct placement_tensor){.name = tensor->name,
                                      .stored = stored,
                                      .wanted = placed_type(tensor->is_matrix, stored, setup->half),
                                      .count = tensor->count,
                                      .in_memory = setup->weights && setup->weights[t]->is_copy};
        if (block->count++ == 0) block->first = t;
    }
    for (int b = 0; b < p->model->block_count; b++) {
        s3dit_block_name(p->model, b, p->names[b], sizeof p->names[b]);
        p->blocks[b].name = p->names[b];
    }
}

int placed_dit_open(struct placed_dit *p, struct placement *placement, struct device *device,
                    const struct placed_dit_setup *setup)
{
    const struct s3dit_model *model = setup->model;
    *p = (struct placed_dit){.model = model,
                             .weights = {setup->weights, model->tensor_count, setup->shards},
                             .placement = placement,
                             .device = device};
    p->tensors = calloc((size_t)model->tensor_count, sizeof *p->tensors);
    p->blocks = calloc((size_t)model->block_count, sizeof *p->blocks);
    p->names = calloc((size_t)model->block_count, sizeof *p->names);
    p->key = strdup(setup->key);
    if (!p->tensors || !p->blocks || !p->names || !p->key) return fail(ERR_SYSTEM, "out of memory");
    placed_dit_list(p, setup);
    const struct placement_source source = {.name = "denoiser",
                                            .key = p->key,
                                            .tensors = p->tensors,
                                            .tensor_count = model->tensor_count,
                                            .blocks = p->blocks,
                                            .block_count = model->block_count,
                                            .is_file = true,
                                            .open = placed_weights_map,
                                            .read = setup->shards ? placed_weights_read : NULL,
                                            .context = &p->weights};
    return placement_add(placement, &source, &p->component);
}

void placed_dit_close(struct placed_dit *p)
{
    s3dit_close(&p->dit);
    free(p->tensors);
    free(p->blocks);
    free(p->names);
    free(p->key);
    memset(p, 0, sizeof *p);
}

/* ---- a stage ---- */

static int placed_dit_declare(void *context, int chunking, struct plan *plan)
{
    struct placed_dit *p = context;
    (void)chunking;
    s3dit_close(&p->dit);
    memset(&p->dit, 0, sizeof p->dit);
    TRY(s3dit_memory(&p->dit, p->model, &p->size, S3DIT_FORWARD_ONLY, p->device, plan, 0));
    return p->declare_more ? p->declare_more(p->more, plan) : OK;
}

struct placement_stage placed_dit_stage(struct placed_dit *p, const struct s3dit_size *size,
                                        int64_t passes,
                                        int (*declare_more)(void *context, struct plan *plan),
                                        void *more)
{
    p->size = *size;
    p->declare_more = declare_more;
    p->more = more;
    return (struct placement_stage){.name = "denoise",
                                    .component = p->component,
                                    .passes = passes,
                                    .work = 2 * s3dit_macs(p->model, size, true) * size->samples,
                                    .declare = placed_dit_declare,
                                    .chunkings = 1,
                                    .context = p};
}

int placed_dit_begin(struct placed_dit *p, const struct placement_stage *stage)
{
    TRY(placement_begin(p->placement, stage));
    int code = s3dit_connect(&p->dit);
    if (code < 0) placement_end(p->placement);
    return code;
}

static int placed_dit_acquire(void *context, int block, struct s3dit_weights *weights)
{
    const struct placed_dit *p = context;
    const void *const *at;
    memset(weights, 0, sizeof *weights);
    TRY(placement_acquire(p->placement, block, &at));
    for (int t = 0; t < p->blocks[block].count; t++) {
        int index = p->blocks[block].first + t, slot = p->model->tensors[index].slot;
        weights->at[slot] = at[t];
        weights->type[slot] = placed_token_type(p->tensors[index].wanted);
    }
    return OK;
}

static int placed_dit_release(void *context, int block)
{
    const struct placed_dit *p = context;
    return placement_release(p->placement, block);
}

struct s3dit_source placed_dit_source(struct placed_dit *p)
{
    return (struct s3dit_source){placed_dit_acquire, placed_dit_release, p};
}
