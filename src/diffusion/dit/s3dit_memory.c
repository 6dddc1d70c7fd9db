/* Which buffers the passes need, and for how long. */
#include "base/error.h"
#include "device/device.h"
#include "diffusion/blocks/block_linear.h"
#include "diffusion/dit/s3dit_internal.h"
#include "memory/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* While buffers are declared: sizes in rows and floats. */
struct s3dit_layout {
    struct s3dit *dit;
    struct plan *plan;
    int first;  /* phase of the embedders' forward pass */
    size_t dim; /* widths */
    size_t hidden, patch, text, time, half;
    size_t n;                                   /* samples */
    size_t image, own, caption, all, text_rows; /* rows of all samples */
};

int s3dit_phases(const struct s3dit_model *model, enum s3dit_use use)
{
    return use == S3DIT_FORWARD_ONLY ? model->list.block_count : 2 * model->list.block_count;
}

static struct s3dit_layout s3dit_layout_of(struct s3dit *dit, struct plan *plan, int first)
{
    const struct s3dit_config *config = &dit->model->config;
    size_t n = (size_t)dit->size.samples;
    return (struct s3dit_layout){
        .dit = dit,
        .plan = plan,
        .first = first,
        .dim = (size_t)config->dim,
        .hidden = (size_t)s3dit_hidden(config),
        .patch = (size_t)s3dit_patch_dim(config),
        .text = (size_t)config->text_dim,
        .time = (size_t)s3dit_time_dim(config),
        .half = (size_t)s3dit_head_dim(config) / 2,
        .n = n,
        .image = n * (size_t)dit->image_padded,
        .own = n * (size_t)dit->image_tokens,
        .caption = n * (size_t)dit->text_padded,
        .all = n * (size_t)(dit->image_padded + dit->text_padded),
        .text_rows = n * (size_t)dit->size.text_rows,
    };
}

/* A buffer that a block's forward pass (or its backward pass) is the first or the last to need. */
static int s3dit_forward_phase(const struct s3dit_layout *l, int block)
{
    return l->first + block;
}

static int s3dit_backward_phase(const struct s3dit_layout *l, int block)
{
    int count = l->dit->model->list.block_count;
    if (l->dit->use == S3DIT_FORWARD_ONLY) return l->first + count - 1;
    return l->first + 2 * count - 1 - block;
}

static int s3dit_declare(const struct s3dit_layout *l, const char *name, size_t floats, int first,
                         int last, float **slot)
{
    char full[80];
    snprintf(full, sizeof full, "dit.%s", name);
    if (floats > PLAN_BYTES_MAX / sizeof(float))
        return fail(ERR_USAGE, "the network is too large for this size of image");
    return plan_declare(l->plan, full, PLAN_ACTIVATIONS, floats * sizeof(float), first, last,
                        (void **)slot);
}

static int s3dit_declare_block(const struct s3dit_layout *l, int block, const char *part,
                               size_t floats, float **slot)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", l->dit->model->list.names[block], part);
    return s3dit_declare(l, name, floats, s3dit_forward_phase(l, block),
                         s3dit_backward_phase(l, block), slot);
}

static size_t s3dit_block_rows_of(const struct s3dit_layout *l, int block)
{
    return l->n * (size_t)s3dit_stream_of(l->dit, block).tokens;
}

/* ---- blocks ---- */

static int s3dit_declare_halves(const struct s3dit_layout *l, int block, size_t rows)
{
    for (int i = 0; i < S3DIT_HELD; i++) {
        char name[16];
        size_t width = (size_t)s3dit_held_width(&l->dit->model->config, i);
        snprintf(name, sizeof name, "half%d", i);
        /* Rows are even in number, so two numbers make a float. */
        TRY(s3dit_declare_block(l, block, name, rows * width / 2,
                                (float **)&l->dit->blocks[block].half[i]));
    }
    return OK;
}

/* What its backward pass reads, but for its input. */
static int s3dit_declare_kept(const struct s3dit_layout *l, int block)
{
    struct s3dit_block *kept = &l->dit->blocks[block];
    size_t rows = s3dit_block_rows_of(l, block);
    const struct {
        const char *name;
        size_t floats;
        float **slot;
        bool stays; /* fp32 in any case */
    } buffers[] = {
        {"m", l->n * 4 * l->dim, &kept->m, true},
        {"q", rows * l->dim, &kept->q, false},
        {"k", rows * l->dim, &kept->k, false},
        {"v", rows * l->dim, &kept->v, false},
        {"o", rows * l->dim, &kept->o, false},
        {"lse", rows * (size_t)l->dit->model->config.heads, &kept->lse, true},
        {"u", rows * l->dim, &kept->u, false},
        {"a", rows * l->hidden, &kept->a, false},
        {"c", rows * l->hidden, &kept->c, false},
        {"f", rows * l->dim, &kept->f, false},
    };
    bool halves = l->dit->use == S3DIT_HALVES;
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        if (!halves || buffers[i].stays)
            TRY(s3dit_declare_block(l, block, buffers[i].name, buffers[i].floats, buffers[i].slot));
    return halves ? s3dit_declare_halves(l, block, rows) : OK;
}

/* Whether the block is the first of its part: its input is written before its own phase. */
static bool s3dit_begins_part(const struct s3dit_layout *l, int block)
{
    const struct s3dit_model *model = l->dit->model;
    return s3dit_part_of(model, block) != s3dit_part_of(model, block - 1);
}

static int s3dit_declare_input(const struct s3dit_layout *l, int block)
{
    char name[64];
    bool layer = s3dit_part_of(l->dit->model, block) == S3DIT_LAYER;
    int written = s3dit_forward_phase(l, block - 1);
    if (s3dit_begins_part(l, block)) written = s3dit_forward_phase(l, layer ? block : 0);
    snprintf(name, sizeof name, "%s.x", l->dit->model->list.names[block]);
    return s3dit_declare(l, name, s3dit_block_rows_of(l, block) * l->dim, written,
                         s3dit_backward_phase(l, block), &l->dit->blocks[block].x);
}

/* One set for all blocks, each of which is done with it when the next begins. */
static int s3dit_declare_shared(const struct s3dit_layout *l)
{
    struct s3dit_block *shared = &l->dit->buffers->shared;
    bool keeps = l->dit->use != S3DIT_FORWARD_ONLY;
    bool own = l->dit->use == S3DIT_HALVES; /* blocks have some of their own */
    size_t feed = keeps || l->all < S3DIT_FEED_ROWS ? l->all : S3DIT_FEED_ROWS;
    const struct {
        const char *name;
        size_t floats;
        float **slot;
        bool is_needed;
    } buffers[] = {
        {"m", l->n * 4 * l->dim, &shared->m, !own},
        {"q", l->all * l->dim, &shared->q, true},
        {"k", l->all * l->dim, &shared->k, true},
        {"v", l->all * l->dim, &shared->v, true},
        {"o", l->all * l->dim, &shared->o, keeps},
        {"lse", l->all * (size_t)l->dit->model->config.heads, &shared->lse, keeps && !own},
        {"u", l->all * l->dim, &shared->u, keeps},
        {"a", feed * l->hidden, &shared->a, true},
        {"c", feed * l->hidden, &shared->c, true},
        {"f", l->all * l->dim, &shared->f, keeps},
    };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        if (buffers[i].is_needed)
            TRY(s3dit_declare(l, buffers[i].name, buffers[i].floats, s3dit_forward_phase(l, 1),
                              s3dit_backward_phase(l, 1), buffers[i].slot));
    return OK;
}

static int s3dit_declare_blocks(const struct s3dit_layout *l)
{
    enum s3dit_use use = l->dit->use;
    for (int block = 1; block < l->dit->model->list.block_count - 1; block++) {
        if (!s3dit_is_in_place(use)) TRY(s3dit_declare_input(l, block));
        if (use == S3DIT_TRAINING || use == S3DIT_HALVES) TRY(s3dit_declare_kept(l, block));
    }
    return use == S3DIT_TRAINING ? OK : s3dit_declare_shared(l);
}

/* ---- workspace of one operation ---- */

static void s3dit_count_linear(const struct s3dit_layout *l, int block, size_t *most)
{
    const struct device *device = l->dit->device;
    bool keeps = l->dit->use != S3DIT_FORWARD_ONLY;
    for (int slot = 0; slot < BLOCK_SLOTS; slot++) {
        const struct block_tensor *tensor = block_tensor_of(&l->dit->model->list, block, slot);
        if (!tensor || !tensor->is_matrix) continue;
        int rows = s3dit_matrix_rows(l->dit->model, &l->dit->size, block, slot);
        size_t bytes = block_linear_workspace(device, tensor, l->dit->size.samples * rows,
                                              keeps ? rows * l->dit->size.chunk : 0);
        if (*most < bytes) *most = bytes;
    }
}

static void s3dit_count_norm(const struct s3dit_layout *l, size_t rows, size_t width, size_t *most)
{
    const struct device *device = l->dit->device;
    int samples = l->dit->size.samples;
    const struct token_norm norm = {.kind = TOKEN_LAYER,
                                    .rows = (int)rows,
                                    .width = (int)width,
                                    .rows_per_sample = (int)rows / samples,
                                    .chunk = (int)rows / samples};
    size_t bytes = device->token->norm_workspace(device, &norm);
    if (*most < bytes) *most = bytes;
}

static size_t s3dit_workspace(const struct s3dit_layout *l)
{
    const struct device *device = l->dit->device;
    const struct s3dit_config *config = &l->dit->model->config;
    int tokens = l->dit->image_padded + l->dit->text_padded;
    size_t most = 0, heads = (size_t)config->heads;
    for (int block = 0; block < l->dit->model->list.block_count; block++)
        s3dit_count_linear(l, block, &most);
    if (l->dit->use == S3DIT_FORWARD_ONLY) return most;
    s3dit_count_norm(l, l->all, l->dim, &most);
    s3dit_count_norm(l, l->all * heads, l->dim / heads, &most);
    s3dit_count_norm(l, l->text_rows, l->text, &most);
    const struct token_attention attention = {.samples = l->dit->size.samples,
                                              .q_tokens = tokens,
                                              .k_tokens = tokens,
                                              .heads = config->heads,
                                              .kv_heads = config->heads,
                                              .head_dim = s3dit_head_dim(config)};
    size_t bytes = device->token->attention_workspace(device, &attention);
    return most < bytes ? bytes : most;
}

static int s3dit_declare_work(const struct s3dit_layout *l)
{
    struct s3dit_work *work = &l->dit->buffers->work;
    int count = l->dit->model->list.block_count, first = s3dit_forward_phase(l, 0);
    int turn = s3dit_backward_phase(l, count - 1), last = s3dit_backward_phase(l, 0);
    size_t rows = l->all * l->dim, h = l->all * (l->hidden > 2 * l->dim ? l->hidden : 2 * l->dim);
    bool keeps = l->dit->use != S3DIT_FORWARD_ONLY;
    TRY(s3dit_declare(l, "y", rows, first, last, &work->y));
    TRY(plan_declare(l->plan, "dit.workspace", PLAN_WORKSPACE, s3dit_workspace(l), first, last,
                     &work->space));
    if (!keeps) return OK;
    TRY(s3dit_declare(l, "h", h, first, last, &work->h));
    TRY(s3dit_declare(l, "e", rows, turn, last, &work->e));
    TRY(s3dit_declare(l, "dq", rows, turn, last, &work->dq));
    TRY(s3dit_declare(l, "dk", rows, turn, last, &work->dk));
    TRY(s3dit_declare(l, "dv", rows, turn, last, &work->dv));
    return s3dit_declare(l, "dm", l->n * 4 * l->dim, turn, last, &work->dm);
}

/* ---- ends ---- */

static int s3dit_declare_ends(const struct s3dit_layout *l)
{
    struct s3dit_buffers *b = l->dit->buffers;
    const struct s3dit_config *config = &l->dit->model->config;
    int count = l->dit->model->list.block_count, layers = 1 + 2 * config->refiner_layers;
    bool keeps = l->dit->use != S3DIT_FORWARD_ONLY;
    int first = s3dit_forward_phase(l, 0), end = s3dit_forward_phase(l, count - 1);
    int turn = s3dit_backward_phase(l, count - 1), last = s3dit_backward_phase(l, 0);
    int join = s3dit_forward_phase(l, layers), part = s3dit_backward_phase(l, layers);
    /* In place, rows stand where they end from the embedders on. */
    bool in_place = s3dit_is_in_place(l->dit->use), again = l->dit->use == S3DIT_HALVES;
    int image = in_place ? first : s3dit_forward_phase(l, config->refiner_layers);
    int text = in_place ? first : s3dit_forward_phase(l, layers - 1);
    int all = in_place ? join : s3dit_forward_phase(l, count - 2);
    const struct {
        const char *name;
        size_t floats;
        int first, last;
        float **slot;
        bool alone; /* with a backward pass alone */
    } buffers[] = {
        {"time_in", l->n * S3DIT_TIME_HIDDEN, first, last, &b->time_in, false},
        {"time_middle", l->n * S3DIT_TIME_HIDDEN, first, last, &b->time_middle, false},
        {"c", l->n * l->time, first, last, &b->c, false},
        {"c_silu", l->n * l->time, end, turn, &b->c_silu, false},
        {"dc", l->n * l->time, turn, last, &b->dc, true},
        {"patches", l->image * l->patch, first, keeps ? last : first, &b->patches, false},
        {"text_in", l->text_rows * l->text, first, keeps ? last : first, &b->text_in, false},
        {"text_rows", l->text_rows * l->dim, first, keeps ? last : first, &b->text_rows, false},
        {"image_end", l->image * l->dim, image, again ? last : join, &b->image_end, false},
        {"text_end", l->caption * l->dim, text, again ? last : join, &b->text_end, false},
        {"end", l->all * l->dim, all, again ? part : end, &b->end, false},
        {"last", l->own * l->dim, end, turn, &b->last, false},
        {"final_scale", l->n * l->dim, end, turn, &b->final_scale, false},
        {"d_final_scale", l->n * l->dim, turn, turn, &b->d_final_scale, true},
        {"tokens", l->own * l->patch, end, turn, &b->tokens, false},
        {"d_all", l->all * l->dim, turn, part, &b->d_all, true},
        {"d_image", l->image * l->dim, part, last, &b->d_image, true},
        {"d_text", l->caption * l->dim, part, last, &b->d_text, true},
    };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        if (keeps || !buffers[i].alone)
            TRY(s3dit_declare(l, buffers[i].name, buffers[i].floats, buffers[i].first,
                              buffers[i].last, buffers[i].slot));
    return OK;
}

static size_t s3dit_angle_floats(const struct s3dit *dit)
{
    size_t lines = (size_t)s3dit_variants(dit) * (size_t)(dit->image_padded + dit->text_padded);
    return lines * (size_t)s3dit_head_dim(&dit->model->config) / 2;
}

static size_t s3dit_length_bytes(const struct s3dit *dit)
{
    return (size_t)S3DIT_LENGTHS * (size_t)dit->size.samples * sizeof(int);
}

static int s3dit_declare_positions(const struct s3dit_layout *l)
{
    struct s3dit_buffers *b = l->dit->buffers;
    size_t floats = s3dit_angle_floats(l->dit);
    TRY(s3dit_declare(l, "cosines", floats, PLAN_ALWAYS, &b->cosines));
    TRY(s3dit_declare(l, "sines", floats, PLAN_ALWAYS, &b->sines));
    return plan_declare(l->plan, "dit.lengths", PLAN_ACTIVATIONS, s3dit_length_bytes(l->dit),
                        PLAN_ALWAYS, (void **)&b->lengths);
}

/* ---- the whole ---- */

static int s3dit_check_rows(const struct s3dit *dit)
{
    const struct s3dit_config *config = &dit->model->config;
    int64_t rows = (int64_t)dit->size.samples * (dit->image_padded + dit->text_padded);
    if (dit->size.samples < 1 || dit->size.chunk < 1)
        return fail(ERR_INTERNAL, "%d samples in chunks of %d", dit->size.samples, dit->size.chunk);
    if (rows * config->heads < INT32_MAX && rows * s3dit_patch_dim(config) < INT32_MAX) return OK;
    return fail(ERR_USAGE, "%lld tokens at a time are too many", (long long)rows);
}

static int s3dit_allocate(struct s3dit *dit)
{
    dit->blocks = calloc((size_t)dit->model->list.block_count, sizeof *dit->blocks);
    dit->buffers = calloc(1, sizeof *dit->buffers);
    if (!dit->blocks || !dit->buffers) return fail(ERR_SYSTEM, "out of memory");
    dit->buffers->host_lengths = malloc(s3dit_length_bytes(dit));
    dit->buffers->wanted_lengths = malloc(s3dit_length_bytes(dit));
    if (!dit->buffers->host_lengths || !dit->buffers->wanted_lengths)
        return fail(ERR_SYSTEM, "out of memory");
    return OK;
}

int s3dit_memory(struct s3dit *dit, const struct s3dit_model *model, const struct s3dit_size *size,
                 enum s3dit_use use, struct device *device, struct plan *plan, int first)
{
    int patch = model->config.patch;
    *dit = (struct s3dit){.model = model, .size = *size, .use = use, .device = device};
    TRY(token_check_device(device));
    TRY(s3dit_check_size(&model->config, size->height, size->width, size->text_rows));
    dit->image_tokens = size->height / patch * (size->width / patch);
    dit->image_padded = s3dit_padded(dit->image_tokens);
    dit->text_padded = s3dit_padded(size->text_rows);
    TRY(s3dit_check_rows(dit));
    TRY(s3dit_allocate(dit));
    const struct s3dit_layout layout = s3dit_layout_of(dit, plan, first);
    TRY(s3dit_declare_positions(&layout));
    TRY(s3dit_declare_ends(&layout));
    TRY(s3dit_declare_blocks(&layout));
    return s3dit_declare_work(&layout);
}

/* Where blocks do not have buffers of their own. */
static void s3dit_share_buffers(struct s3dit *dit)
{
    struct s3dit_buffers *b = dit->buffers;
    struct s3dit_block all = b->shared;
    if (dit->use == S3DIT_FORWARD_ONLY) {
        all.o = b->work.y;
        all.u = all.f = all.q;
    }
    for (int block = 1; block < dit->model->list.block_count - 1; block++) {
        struct s3dit_block *own = &dit->blocks[block];
        enum s3dit_part part = s3dit_part_of(dit->model, block);
        all.x = part == S3DIT_NOISE_REFINER ? b->image_end : b->end;
        if (part == S3DIT_CONTEXT_REFINER) all.x = b->text_end;
        if (!s3dit_is_in_place(dit->use)) all.x = own->x;
        if (dit->use == S3DIT_HALVES) {
            all.m = own->m;
            all.lse = own->lse;
            memcpy(all.half, own->half, sizeof all.half);
        }
        *own = all;
    }
}

int s3dit_connect(struct s3dit *dit)
{
    size_t floats = s3dit_angle_floats(dit);
    float *angles = malloc(2 * floats * sizeof *angles);
    int code = OK;
    if (!angles) return fail(ERR_SYSTEM, "out of memory");
    if (dit->use != S3DIT_TRAINING) s3dit_share_buffers(dit);
    s3dit_make_angles(dit, angles, angles + floats);
    TRY_CLEANUP(device_send(dit->device, dit->buffers->cosines, angles, floats * sizeof *angles));
    TRY_CLEANUP(
        device_send(dit->device, dit->buffers->sines, angles + floats, floats * sizeof *angles));
    memset(dit->buffers->host_lengths, 0xff, s3dit_length_bytes(dit)); /* not known: -1 */
cleanup:
    free(angles);
    return code;
}

void s3dit_close(struct s3dit *dit)
{
    if (dit->buffers) {
        free(dit->buffers->host_lengths);
        free(dit->buffers->wanted_lengths);
    }
    free(dit->buffers);
    free(dit->blocks);
    dit->buffers = NULL;
    dit->blocks = NULL;
}
