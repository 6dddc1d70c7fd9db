/* Which buffers the pass needs, and for how long; what it costs. */
#include "base/error.h"
#include "device/device.h"
#include "diffusion/blocks/block_linear.h"
#include "diffusion/mmdit/mmdit_internal.h"
#include "memory/plan.h"

#include <stdio.h>
#include <stdlib.h>

static const double MMDIT_THETA = 10000;

int mmdit_matrix_rows(const struct mmdit_model *model, const struct mmdit_size *size, int block,
                      int slot)
{
    int image = size->height / MMDIT_PATCH * (size->width / MMDIT_PATCH), text = size->text_rows;
    switch (mmdit_part_of(model, block)) {
    case MMDIT_EMBED: return slot == MMDIT_X ? image : slot == MMDIT_TEXT ? text : 1;
    case MMDIT_DOUBLE:
        if (slot % MMDIT_STREAM == MMDIT_MODULATION) return 1;
        return slot < MMDIT_STREAM ? image : text;
    case MMDIT_SINGLE: return slot == MMDIT_MODULATION ? 1 : image + text;
    default: return slot == MMDIT_FINAL_OUT ? image : 1;
    }
}

double mmdit_macs(const struct mmdit_model *model, const struct mmdit_size *size)
{
    double macs = 0;
    for (int i = 0; i < model->list.tensor_count; i++) {
        const struct block_tensor *t = &model->list.tensors[i];
        if (t->is_matrix)
            macs += (double)mmdit_matrix_rows(model, size, t->block, t->slot) * (double)t->count;
    }
    /* Each token with each, twice: how much it matters, and the sum. */
    double tokens =
        size->text_rows + size->height / MMDIT_PATCH * (double)(size->width / MMDIT_PATCH);
    int blocks = model->config.double_blocks + model->config.single_blocks;
    return macs + 2.0 * blocks * tokens * tokens * mmdit_dim(&model->config);
}

/* ---- the plan ---- */

static size_t mmdit_workspace(const struct mmdit *mmdit)
{
    size_t most = 0;
    for (int i = 0; i < mmdit->model->list.tensor_count; i++) {
        const struct block_tensor *t = &mmdit->model->list.tensors[i];
        if (!t->is_matrix) continue;
        int rows = mmdit_matrix_rows(mmdit->model, &mmdit->size, t->block, t->slot);
        size_t bytes = block_linear_workspace(mmdit->device, t, mmdit->size.samples * rows, 0);
        if (most < bytes) most = bytes;
    }
    return most;
}

static size_t mmdit_angle_floats(const struct mmdit *mmdit)
{
    return (size_t)mmdit_tokens(mmdit) * (size_t)mmdit->model->config.head_dim / 2;
}

static int mmdit_declare(struct mmdit *mmdit, struct plan *plan, int first)
{
    const struct mmdit_config *config = &mmdit->model->config;
    struct mmdit_buffers *b = mmdit->buffers;
    size_t n = (size_t)mmdit->size.samples, dim = (size_t)mmdit_dim(config);
    size_t tokens = n * (size_t)mmdit_tokens(mmdit), all = tokens * dim;
    size_t patches = n * (size_t)mmdit->image_tokens * (size_t)mmdit_patch_dim(config);
    size_t feed = tokens < MMDIT_FEED_ROWS ? tokens : MMDIT_FEED_ROWS;
    int last = first + mmdit->model->list.block_count - 1, blocks = last - 1;
    const struct {
        const char *name;
        size_t floats;
        int first, last;
        float **slot;
    } buffers[] = {
        {"x", all, first, last, &b->x},
        {"y", all, first + 1, last, &b->y},
        {"q", all, first + 1, blocks, &b->q},
        {"k", all, first + 1, blocks, &b->k},
        {"v", all, first + 1, blocks, &b->v},
        {"feed", feed * (dim + (size_t)mmdit_hidden(config)), first + 1, blocks, &b->feed},
        {"modulation", n * MMDIT_STREAMS * MMDIT_MODULATIONS * dim, first + 1, last,
         &b->modulation},
        {"c", n * dim, first, last, &b->c},
        {"middle", n * dim, first, first, &b->middle},
        {"patches", patches, first, first, &b->patches},
        {"tokens", patches, last, last, &b->tokens},
        {"cosines", mmdit_angle_floats(mmdit), PLAN_ALWAYS, &b->cosines},
        {"sines", mmdit_angle_floats(mmdit), PLAN_ALWAYS, &b->sines},
    };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) {
        char name[32];
        snprintf(name, sizeof name, "mmdit.%s", buffers[i].name);
        if (buffers[i].floats > PLAN_BYTES_MAX / sizeof(float))
            return fail(ERR_USAGE, "the network is too large for this size of image");
        TRY(plan_declare(plan, name, PLAN_ACTIVATIONS, buffers[i].floats * sizeof(float),
                         buffers[i].first, buffers[i].last, (void **)buffers[i].slot));
    }
    return plan_declare(plan, "mmdit.workspace", PLAN_WORKSPACE, mmdit_workspace(mmdit), first,
                        last, &b->space);
}

int mmdit_memory(struct mmdit *mmdit, const struct mmdit_model *model,
                 const struct mmdit_size *size, struct device *device, struct plan *plan, int first)
{
    *mmdit = (struct mmdit){.model = model, .size = *size, .device = device};
    TRY(token_check_device(device));
    TRY(mmdit_check_size(&model->config, size->height, size->width, size->text_rows));
    if (size->samples < 1) return fail(ERR_INTERNAL, "%d samples", size->samples);
    mmdit->image_tokens = size->height / MMDIT_PATCH * (size->width / MMDIT_PATCH);
    int64_t rows = (int64_t)size->samples * mmdit_tokens(mmdit);
    if (rows * model->config.heads >= INT32_MAX ||
        rows * mmdit_patch_dim(&model->config) >= INT32_MAX)
        return fail(ERR_USAGE, "%lld tokens at a time are too many", (long long)rows);
    mmdit->buffers = calloc(1, sizeof *mmdit->buffers);
    if (!mmdit->buffers) return fail(ERR_SYSTEM, "out of memory");
    return mmdit_declare(mmdit, plan, first);
}

/* Text stands at 0 on all axes, the image on the second and third. */
static void mmdit_make_angles(const struct mmdit *mmdit, float *cosines, float *sines)
{
    struct rotary_axes rotary;
    int text = mmdit->size.text_rows, columns = mmdit->size.width / MMDIT_PATCH;
    size_t half = (size_t)mmdit->model->config.head_dim / 2;
    rotary_axes_make(&rotary, mmdit->model->config.axes, MMDIT_THETA, false);
    for (int i = 0; i < mmdit_tokens(mmdit); i++) {
        int at = i - text;
        const int place[ROTARY_AXES] = {0, at < 0 ? 0 : at / columns, at < 0 ? 0 : at % columns};
        rotary_axes_line(&rotary, place, cosines + (size_t)i * half, sines + (size_t)i * half);
    }
}

int mmdit_connect(struct mmdit *mmdit)
{
    size_t floats = mmdit_angle_floats(mmdit), bytes = floats * sizeof(float);
    float *angles = malloc(2 * bytes);
    int code = OK;
    if (!angles) return fail(ERR_SYSTEM, "out of memory");
    mmdit_make_angles(mmdit, angles, angles + floats);
    TRY_CLEANUP(device_send(mmdit->device, mmdit->buffers->cosines, angles, bytes));
    TRY_CLEANUP(device_send(mmdit->device, mmdit->buffers->sines, angles + floats, bytes));
cleanup:
    free(angles);
    return code;
}

void mmdit_close(struct mmdit *mmdit)
{
    free(mmdit->buffers);
    mmdit->buffers = NULL;
}
