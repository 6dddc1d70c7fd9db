#include "diffusion/vae/kl_bands.h"

#include "base/error.h"
#include "device/device.h"
#include "diffusion/vae/kl.h"
#include "memory/plan.h"
#include "nn/layers.h"

#include <stdio.h>
#include <stdlib.h>

enum { BAND_ABOVE = 2, BAND_BELOW = 1 }; /* rows more; bands begin at even ones */

static const struct net_layer *band_layer(const struct kl_bands *b, int i)
{
    return &b->net->layers[i];
}

static bool is_norm(const struct kl_bands *b, int i)
{
    return band_layer(b, i)->kind == &layer_group_norm;
}

/* A 1x1 convolution that is another one's residual alone. */
static bool is_projected(const struct kl_bands *b, int i)
{
    const struct net_layer *l = band_layer(b, i), *reader = band_layer(b, l->first_reader);
    return l->kind == &layer_conv && l->kernel == 1 && l->first_reader == l->last_reader &&
           l->first_reader > i && reader->input_count == 2 && reader->input[1] == i &&
           reader->input[0] != i;
}

static bool band_is_kept(const struct kl_bands *b, int i)
{
    return !is_norm(b, i) && !is_projected(b, i);
}

/* By its own function, of whole values: attention, and what halves, whose workspace is small. */
static bool band_is_whole(const struct net_layer *l)
{
    return l->kind == &layer_pixel_attention || l->kind == &layer_conv_halve;
}

static bool is_enlarging(const struct net_layer *l)
{
    return l->kind == &layer_conv_gather;
}

/* The last layer that needs value i, itself or through what is not kept. */
static int band_last_reader(const struct kl_bands *b, int i)
{
    int last = i;
    for (int k = i + 1; k < b->net->layer_count; k++)
        for (int slot = 0; slot < band_layer(b, k)->input_count; slot++) {
            if (band_layer(b, k)->input[slot] != i) continue;
            int reader = band_is_kept(b, k) ? k : band_layer(b, k)->last_reader;
            if (reader > last) last = reader;
        }
    return last;
}

/* The value in whose place value i is made, row by row: its residual, or what that is projected
 * from, which nothing reads behind it and whose rows are as long or longer; -1: none. A convolution
 * sees rows above, but a residual at their own place alone. */
static int band_replaces(const struct kl_bands *b, int i)
{
    const struct net_layer *l = band_layer(b, i);
    if (l->input_count != 2 || is_enlarging(l)) return -1;
    int residual = l->input[1];
    if (is_projected(b, residual)) residual = band_layer(b, residual)->input[0];
    if (band_layer(b, residual)->c < l->c) return -1;
    return residual > 0 && band_is_kept(b, residual) && band_last_reader(b, residual) == i
               ? residual
               : -1;
}

static int band_rows_of(const struct kl_bands *b, int i)
{
    int h = band_layer(b, i)->h;
    return b->rows > 0 && b->rows < h ? b->rows : h;
}

/* Rows of a band of layer i's output with what a 3x3 convolution wants beside them. */
static int band_rows_most(const struct kl_bands *b, int i)
{
    int rows = band_rows_of(b, i) + BAND_ABOVE + BAND_BELOW, h = band_layer(b, i)->h;
    return rows < h ? rows : h;
}

static size_t band_numbers(const struct net_layer *l, int rows)
{
    return (size_t)rows * (size_t)l->w * (size_t)l->c;
}

/* ---- memory ---- */

static struct nn_conv band_conv(const struct kl_bands *b, int i, int rows)
{
    struct nn_conv conv = net_conv(b->net, i, 1, 0);
    conv.h = rows;
    return conv;
}

struct band_room {
    size_t normal, made, projected, workspace; /* numbers; bytes of the last */
};

static void room_more(size_t *most, size_t wanted)
{
    if (wanted > *most) *most = wanted;
}

/* What layer i's bands take. */
static void band_room_add(const struct kl_bands *b, int i, struct band_room *room)
{
    const struct net_layer *l = band_layer(b, i), *from = NULL;
    if (l->kind == &layer_input || is_norm(b, i) || band_is_whole(l)) return;
    from = band_layer(b, l->input[0]);
    int rows = band_rows_most(b, i);
    struct nn_conv conv = band_conv(b, i, rows);
    room_more(&room->workspace, b->device->nn->conv_workspace(b->device, &conv));
    if (is_projected(b, i)) {
        room_more(&room->projected, band_numbers(l, rows));
        return;
    }
    room_more(&room->made, band_numbers(l, rows));
    room_more(&room->normal, (size_t)rows * (size_t)l->w * (size_t)from->c);
}

static int band_declare(struct plan *plan, const char *name, int number, enum plan_kind kind,
                        size_t bytes, int first, int last, void *slot)
{
    char text[32];
    if (bytes == 0) return OK;
    snprintf(text, sizeof text, number < 0 ? "bands.%s" : "bands.%s%d", name, number);
    return plan_declare(plan, text, kind, bytes, first, last, slot);
}

/* The end of what lies where value i does. */
static int band_place_end(const struct kl_bands *b, int i)
{
    int last = band_last_reader(b, i);
    for (int k = i + 1; k < b->net->layer_count; k++)
        if (band_replaces(b, k) == i) return band_place_end(b, k);
    return last;
}

int kl_bands_declare(struct kl_bands *b, const struct net *net, int rows, struct device *device,
                     int phase, struct plan *plan)
{
    struct band_room room = {.normal = 0};
    int layers = net->layer_count, end = phase + layers - 1;
    *b = (struct kl_bands){.net = net, .device = device, .rows = rows};
    if (rows < 0 || rows % 2) return fail(ERR_USAGE, "bands of %d rows: not an even number", rows);
    b->value = calloc((size_t)layers, sizeof *b->value);
    b->sums = calloc((size_t)layers, sizeof *b->sums);
    b->whole = calloc((size_t)layers, sizeof *b->whole);
    b->at = calloc((size_t)net->parameter_count + 1, sizeof *b->at);
    if (!b->value || !b->sums || !b->whole || !b->at) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < layers; i++) {
        const struct net_layer *l = band_layer(b, i);
        band_room_add(b, i, &room);
        if (is_norm(b, i))
            TRY(band_declare(plan, "sums", i, PLAN_ACTIVATIONS,
                             (size_t)l->groups * 2 * sizeof(double), phase + l->input[0],
                             phase + l->last_reader, &b->sums[i]));
        if (band_is_whole(l))
            TRY(band_declare(plan, "whole", i, PLAN_ACTIVATIONS,
                             l->kind->workspace(net, device, i, 1, 0), phase + i, phase + i,
                             &b->whole[i]));
        if (!band_is_kept(b, i) || band_replaces(b, i) >= 0) continue;
        TRY(band_declare(plan, "value", i, PLAN_ACTIVATIONS, net_bytes(net, i), phase + i,
                         i == layers - 1 ? end : phase + band_place_end(b, i), &b->value[i]));
    }
    TRY(band_declare(plan, "normal", -1, PLAN_WORKSPACE, room.normal * sizeof(float), phase, end,
                     &b->normal));
    TRY(band_declare(plan, "made", -1, PLAN_WORKSPACE, room.made * sizeof(float), phase, end,
                     &b->made));
    TRY(band_declare(plan, "projected", -1, PLAN_WORKSPACE, room.projected * sizeof(float), phase,
                     end, &b->projected));
    return band_declare(plan, "workspace", -1, PLAN_WORKSPACE, room.workspace, phase, end,
                        &b->workspace);
}

void kl_bands_close(struct kl_bands *b)
{
    free(b->value);
    free(b->sums);
    free(b->whole);
    free(b->at);
    b->at = NULL;
    b->value = NULL;
    b->sums = NULL;
    b->whole = NULL;
}

/* ---- one layer ---- */

static const float *band_weights(const struct kl_bands *b, int parameter)
{
    return parameter < 0 ? NULL : b->at[parameter];
}

static struct nn_group_norm band_norm(const struct kl_bands *b, int i, int first, int rows)
{
    const struct net_layer *l = band_layer(b, i);
    return (struct nn_group_norm){.x = b->value[l->input[0]] + band_numbers(l, first),
                                  .weight = band_weights(b, l->weight),
                                  .bias = band_weights(b, l->bias),
                                  .n = 1,
                                  .rows = rows,
                                  .width = l->w,
                                  .c = l->c,
                                  .groups = l->groups,
                                  .pixels = (double)l->h * l->w,
                                  .eps = NET_GROUP_NORM_EPS,
                                  .silu = l->silu,
                                  .sums = b->sums[i]};
}

/* Rows first .. first + rows - 1 of what convolution i reads: where they lie, or made. */
static int band_input(struct kl_bands *b, int i, int first, int rows, const float **x)
{
    const struct nn_ops *nn = b->device->nn;
    const struct net_layer *l = band_layer(b, i), *from = band_layer(b, l->input[0]);
    *x = b->normal;
    if (is_norm(b, l->input[0])) {
        struct nn_group_norm norm = band_norm(b, l->input[0], first, rows);
        return nn->group_norm_forward(b->device, &norm, b->normal);
    }
    if (!is_enlarging(l)) {
        *x = b->value[l->input[0]] + band_numbers(from, first);
        return OK;
    }
    int f = l->factor, c = from->c;
    ptrdiff_t row = (ptrdiff_t)l->w * c;
    for (int y = 0, some; y < rows; y += some) { /* a row of the smaller one at a time */
        int at = first + y;
        some = f - at % f < rows - y ? f - at % f : rows - y;
        const struct nn_strided copy = {
            .out = b->normal + y * row,
            .in = b->value[l->input[0]] + (ptrdiff_t)(at / f) * from->w * c,
            .count = {1, some, from->w, f, c},
            .out_stride = {0, row, (ptrdiff_t)f * c, c, 1},
            .in_stride = {0, 0, c, 0, 1},
        };
        TRY(nn->strided_copy(b->device, &copy));
    }
    return OK;
}

/* The residual of those rows of convolution i, or NULL. */
static int band_residual(struct kl_bands *b, int i, int first, int rows, const float **residual)
{
    const struct net_layer *l = band_layer(b, i);
    *residual = NULL;
    if (l->input_count < 2) return OK;
    int from = l->input[1];
    if (band_is_kept(b, from)) {
        *residual = b->value[from] + band_numbers(l, first);
        return OK;
    }
    const struct net_layer *projection = band_layer(b, from);
    const struct nn_epilogue e = {.bias = band_weights(b, projection->bias), .slope = 1};
    struct nn_conv conv = band_conv(b, from, rows);
    const float *x;
    *residual = b->projected;
    TRY(band_input(b, from, first, rows, &x));
    return b->device->nn->conv_forward(b->device, &conv, b->projected, x,
                                       band_weights(b, projection->weight), &e, b->workspace);
}

/* Rows begin .. end - 1 of convolution i. */
static int band_make(struct kl_bands *b, int i, int begin, int end)
{
    const struct nn_ops *nn = b->device->nn;
    const struct net_layer *l = band_layer(b, i);
    int above = l->kernel == 3 ? BAND_ABOVE : 0, below = l->kernel == 3 ? BAND_BELOW : 0;
    int first = begin > above ? begin - above : 0, last = end + below < l->h ? end + below : l->h;
    const float *x, *residual;
    TRY(band_residual(b, i, first, last - first, &residual));
    TRY(band_input(b, i, first, last - first, &x));
    const struct nn_epilogue e = {
        .bias = band_weights(b, l->bias), .residual = residual, .slope = 1};
    struct nn_conv conv = band_conv(b, i, last - first);
    TRY(nn->conv_forward(b->device, &conv, b->made, x, band_weights(b, l->weight), &e,
                         b->workspace));
    return nn->copy(b->device, b->value[i] + band_numbers(l, begin),
                    b->made + band_numbers(l, begin - first),
                    band_numbers(l, end - begin) * sizeof(float));
}

/* Adds rows of value i to the sums of those that normalise it. */
static int band_add_sums(struct kl_bands *b, int i, int begin, int end)
{
    for (int k = i + 1; k < b->net->layer_count; k++) {
        if (!is_norm(b, k) || band_layer(b, k)->input[0] != i) continue;
        struct nn_group_norm norm = band_norm(b, k, begin, end - begin);
        if (begin == 0)
            TRY(b->device->nn->zero(b->device, b->sums[k],
                                    (size_t)norm.groups * 2 * sizeof(double)));
        TRY(b->device->nn->group_norm_sums(b->device, &norm, b->sums[k]));
    }
    return OK;
}

/* All at once, by the layer's own function. */
static int band_make_whole(struct kl_bands *b, int i)
{
    struct network_pass pass = {.n = 1};
    TRY(pass_open(&pass, b->net));
    pass.device = b->device;
    pass.weights = b->at;
    pass.workspace = b->whole[i];
    for (int k = 0; k < b->net->layer_count; k++)
        pass.value[k] = b->value[k];
    int code = band_layer(b, i)->kind->forward(&pass, i, PASS_NO_MASKS);
    pass_close(&pass);
    return code;
}

/* All rows of value i. */
static int band_make_layer(struct kl_bands *b, int i)
{
    const struct net_layer *l = band_layer(b, i);
    int rows = band_rows_of(b, i), place = band_replaces(b, i);
    bool whole = band_is_whole(l) || l->kind == &layer_input;
    if (b->stop_requested && b->stop_requested())
        return fail(ERR_STOPPED, "stopped in an autoencoder");
    if (place >= 0) b->value[i] = b->value[place];
    if (band_is_whole(l)) TRY(band_make_whole(b, i));
    for (int begin = 0; begin < l->h; begin += rows) {
        int end = begin + rows < l->h ? begin + rows : l->h;
        if (!whole) TRY(band_make(b, i, begin, end));
        TRY(band_add_sums(b, i, begin, end));
    }
    return OK;
}

static int bands_run_block(struct kl_bands *b, const struct kl_block *block)
{
    for (int i = block->layer; i < block->layer + block->layers; i++)
        if (band_is_kept(b, i)) TRY(band_make_layer(b, i));
    return OK;
}

int kl_bands_run(struct kl_bands *b)
{
    struct kl_block blocks[KL_BLOCKS_MOST];
    int count = kl_list_blocks(b->net, blocks);
    for (int p = 0; !b->source && p < b->net->parameter_count; p++)
        b->at[p] = b->parameters + b->net->parameters[p].offset;
    TRY(band_make_layer(b, 0)); /* the input */
    for (int k = 0; k < count; k++) {
        if (b->source) TRY(b->source->acquire(b->source->context, k, b->at));
        TRY(bands_run_block(b, &blocks[k]));
        if (b->source) TRY(b->source->release(b->source->context, k));
    }
    return OK;
}

int kl_bands_run_host(struct kl_bands *b, const float *input, float *output)
{
    int last = b->net->layer_count - 1;
    TRY(device_send(b->device, b->value[0], input, net_bytes(b->net, 0)));
    TRY(kl_bands_run(b));
    return device_fetch(b->device, output, b->value[last], net_bytes(b->net, last));
}
