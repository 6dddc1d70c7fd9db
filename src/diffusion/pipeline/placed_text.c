#include "diffusion/pipeline/placed_text.h"

#include "base/error.h"
#include "base/file.h"
#include "device/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the component ---- */

static void placed_text_list(struct placed_text *p, const struct placed_text_setup *setup)
{
    for (int t = 0; t < p->model->tensor_count; t++) {
        const struct qwen3_tensor *tensor = &p->model->tensors[t];
        const struct store_tensor *stored = setup->weights[t];
        p->tensors[t] = (struct placement_tensor){
            .name = tensor->name,
            .stored = stored->type,
            .wanted = placed_type(tensor->is_matrix, stored->type, setup->half),
            .count = tensor->count,
            .in_memory = stored->is_copy};
    }
    for (int layer = 0; layer < p->model->layers; layer++) {
        snprintf(p->names[layer], sizeof p->names[layer], "layers.%d", layer);
        p->blocks[layer] = (struct placement_block){
            .name = p->names[layer], .first = layer * QWEN3_SLOTS, .count = QWEN3_SLOTS};
    }
}

int placed_text_open(struct placed_text *p, struct placement *placement, struct device *device,
                     const struct placed_text_setup *setup)
{
    const struct qwen3_model *model = setup->model;
    *p = (struct placed_text){.model = model,
                              .weights = {setup->weights, model->tensor_count, setup->shards},
                              .placement = placement,
                              .device = device};
    p->tensors = calloc((size_t)model->tensor_count, sizeof *p->tensors);
    p->blocks = calloc((size_t)model->layers, sizeof *p->blocks);
    p->names = calloc((size_t)model->layers, sizeof *p->names);
    p->key = string_format("%s#text", setup->key);
    if (!p->tensors || !p->blocks || !p->names || !p->key) return fail(ERR_SYSTEM, "out of memory");
    placed_text_list(p, setup);
    const struct placement_source source = {.name = "text_encoder",
                                            .key = p->key,
                                            .tensors = p->tensors,
                                            .tensor_count = model->tensor_count,
                                            .blocks = p->blocks,
                                            .block_count = model->layers,
                                            .is_file = true,
                                            .open = placed_weights_map,
                                            .read = setup->shards ? placed_weights_read : NULL,
                                            .context = &p->weights};
    return placement_add(placement, &source, &p->component);
}

void placed_text_close(struct placed_text *p)
{
    free(p->tensors);
    free(p->blocks);
    free(p->names);
    free(p->key);
    memset(p, 0, sizeof *p);
}

/* ---- a stage ---- */

static int placed_text_declare(void *context, int chunking, struct plan *plan)
{
    struct placed_text *p = context;
    (void)chunking;
    return qwen3_memory(&p->qwen, p->model, &p->size, p->device, plan);
}

struct placement_stage placed_text_stage(struct placed_text *p, const struct qwen3_size *size)
{
    p->size = *size;
    return (struct placement_stage){.name = "text",
                                    .component = p->component,
                                    .passes = 1,
                                    .work = 2 * qwen3_macs(p->model, size),
                                    .declare = placed_text_declare,
                                    .chunkings = 1,
                                    .context = p};
}

static int placed_text_acquire(void *context, int layer, struct qwen3_weights *weights)
{
    const struct placed_text *p = context;
    const void *const *at;
    TRY(placement_acquire(p->placement, layer, &at));
    for (int slot = 0; slot < QWEN3_SLOTS; slot++) {
        weights->at[slot] = at[slot];
        weights->type[slot] = placed_token_type(p->tensors[layer * QWEN3_SLOTS + slot].wanted);
    }
    return OK;
}

static int placed_text_release(void *context, int layer)
{
    const struct placed_text *p = context;
    return placement_release(p->placement, layer);
}

int placed_text_run(struct placed_text *p, float *rows, bool (*stop_requested)(void))
{
    const struct qwen3_source source = {placed_text_acquire, placed_text_release, p};
    size_t bytes = (size_t)p->qwen.rows * (size_t)p->model->config.hidden * sizeof *rows;
    TRY(qwen3_connect(&p->qwen));
    TRY(device_send(p->device, p->qwen.x, rows, bytes));
    TRY(qwen3_forward(&p->qwen, &source, stop_requested));
    return device_fetch(p->device, rows, p->qwen.x, bytes);
}
