#include "diffusion/text_encoder/text_layers.h"

#include "base/error.h"
#include "device/device.h"
#include "diffusion/blocks/block_linear.h"
#include "memory/plan.h"

#include <stdio.h>
#include <string.h>

/* ---- tensors ---- */

static int text_length(const struct text_widths *widths, char letter)
{
    switch (letter) {
    case 'h': return widths->hidden;
    case 'f': return widths->mlp;
    case 'q': return widths->queries;
    case 'k': return widths->keys;
    case 'd': return widths->head;
    default: return 0;
    }
}

/* prefix: "": none */
static void text_list_add(struct block_list *list, const char *prefix, const struct text_row *row,
                          const struct text_widths *widths)
{
    struct block_tensor *tensor =
        block_list_add(list, text_length(widths, row->rows), text_length(widths, row->columns));
    snprintf(tensor->name, sizeof tensor->name, "%s%s%s", prefix, *prefix ? "." : "", row->name);
    tensor->is_matrix = row->columns != ' ';
}

int text_list_create(struct block_list *list, const struct text_layout *layout, int layers,
                     const struct text_widths *widths)
{
    char name[32];
    TRY(block_list_create(list, layers + 1));
    for (int layer = 0; layer < layers; layer++) {
        snprintf(name, sizeof name, "%s%d", layout->prefix, layer);
        block_list_begin(list, name);
        for (int i = 0; i < layout->row_count; i++)
            text_list_add(list, name, &layout->rows[i], widths);
    }
    if (layout->last_count > 0) block_list_begin(list, layout->last);
    for (int i = 0; i < layout->last_count; i++)
        text_list_add(list, "", &layout->last_rows[i], widths);
    block_list_finish(list);
    return OK;
}

bool text_list_has(const struct block_list *list, const char *name)
{
    for (int t = 0; t < list->tensor_count; t++)
        if (strcmp(name, list->tensors[t].name) == 0) return true;
    return false;
}

/* ---- a pass ---- */

double text_macs(const struct text_encoder *encoder, const struct text_size *size)
{
    const struct block_list *list = encoder->list;
    double matrices = 0, macs = 0;
    for (int t = 0; t < list->tensor_count; t++)
        if (list->tensors[t].is_matrix) matrices += (double)list->tensors[t].count;
    for (int i = 0; i < size->prompts; i++) {
        double n = size->lengths[i], pairs = encoder->network->is_causal ? n * (n + 1) / 2 : n * n;
        macs += n * matrices + pairs * encoder->pair_macs;
    }
    return macs;
}

static size_t text_workspace(const struct text_pass *pass)
{
    const struct block_list *list = pass->encoder.list;
    size_t most = 0;
    for (int slot = 0; slot < list->first[1]; slot++) {
        if (!list->tensors[slot].is_matrix) continue;
        size_t bytes = block_linear_workspace(pass->device, &list->tensors[slot], pass->rows, 0);
        if (bytes > most) most = bytes;
    }
    return most;
}

int text_declare(const struct text_pass *pass, struct plan *plan, const struct text_buffer *buffers,
                 size_t count)
{
    for (size_t i = 0; i < count; i++)
        TRY(plan_declare(plan, buffers[i].name, PLAN_ACTIVATIONS,
                         (size_t)pass->rows * (size_t)buffers[i].width * sizeof(float),
                         buffers[i].first, buffers[i].last, (void **)buffers[i].slot));
    return OK;
}

int text_declare_attention(struct text_pass *pass, struct plan *plan,
                           const struct text_widths *widths)
{
    const struct text_buffer buffers[] = {
        {"text.x", widths->hidden, PLAN_ALWAYS, &pass->x},
        {"text.normed", widths->hidden, PLAN_ALWAYS, &pass->normed},
        {"text.q", widths->queries, TEXT_ATTENTION, TEXT_ATTENTION, &pass->q},
        {"text.k", widths->keys, TEXT_ATTENTION, TEXT_ATTENTION, &pass->k},
        {"text.v", widths->keys, TEXT_ATTENTION, TEXT_ATTENTION, &pass->v},
        {"text.o", widths->queries, TEXT_ATTENTION, TEXT_ATTENTION, &pass->o},
    };
    return text_declare(pass, plan, buffers, sizeof buffers / sizeof *buffers);
}

int text_pass_memory(struct text_pass *pass, const struct text_encoder *encoder,
                     const struct text_size *size, struct device *device, struct plan *plan)
{
    *pass = (struct text_pass){.encoder = *encoder, .size = *size, .device = device};
    TRY(token_check_device(device));
    for (int i = 0; i < size->prompts; i++) {
        if (size->lengths[i] < 1 || size->lengths[i] > encoder->positions)
            return fail(ERR_USAGE, "a prompt of %d tokens: the text encoder takes 1 to %d",
                        size->lengths[i], encoder->positions);
        pass->rows += size->lengths[i];
    }
    TRY(encoder->network->declare(pass, plan));
    return plan_declare(plan, "text.workspace", PLAN_WORKSPACE, text_workspace(pass), PLAN_ALWAYS,
                        &pass->workspace);
}

int text_pass_connect(struct text_pass *pass, const float *table)
{
    const struct text_network *network = pass->encoder.network;
    return network->connect ? network->connect(pass, table) : OK;
}

int text_pass_forward(struct text_pass *pass, const struct block_source *source,
                      bool (*stop_requested)(void))
{
    struct block_weights weights;
    for (int block = 0; block < pass->encoder.list->block_count; block++) {
        if (stop_requested && stop_requested()) return fail(ERR_STOPPED, "stopped");
        TRY(source->acquire(source->context, block, &weights));
        TRY(pass->encoder.network->block(pass, block, &weights));
        TRY(source->release(source->context, block));
    }
    return OK;
}

int text_linear(const struct text_pass *pass, const struct block_weights *weights, int slot,
                float *y, const float *x, const struct token_epilogue *epilogue)
{
    const struct block_tensor *tensor = block_tensor_of(pass->encoder.list, 0, slot);
    const struct token_linear linear = block_linear_of(tensor, weights, pass->rows);
    return pass->device->token->linear_forward(pass->device, &linear, y, x, epilogue,
                                               pass->workspace);
}

int text_attention(const struct text_pass *pass, const struct token_attention *heads)
{
    struct token_attention attention = *heads;
    const size_t queries = (size_t)(heads->heads * heads->head_dim);
    const size_t keys = (size_t)(heads->kv_heads * heads->head_dim);
    size_t at = 0;
    attention.samples = 1;
    attention.causal = pass->encoder.network->is_causal;
    for (int i = 0; i < pass->size.prompts; i++) {
        attention.q_tokens = attention.k_tokens = pass->size.lengths[i];
        TRY(pass->device->token->attention_forward(pass->device, &attention, pass->o + at * queries,
                                                   NULL, pass->q + at * queries,
                                                   pass->k + at * keys, pass->v + at * keys));
        at += (size_t)pass->size.lengths[i];
    }
    return OK;
}
