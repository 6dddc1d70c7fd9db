#include "nn/graph.h"

#include "base/error.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARAMETER_ALIGNMENT = 16 }; /* floats */

static size_t graph_aligned(size_t floats)
{
    return (floats + PARAMETER_ALIGNMENT - 1) / PARAMETER_ALIGNMENT * PARAMETER_ALIGNMENT;
}

/* Room for one more element of `bytes` each. */
static int graph_reserve(void **array, int count, int *room, size_t bytes)
{
    if (count < *room) return OK;
    int more = *room ? 2 * *room : 64;
    void *grown = realloc(*array, (size_t)more * bytes);
    if (!grown) return fail(ERR_SYSTEM, "out of memory");
    *array = grown;
    *room = more;
    return OK;
}

struct net_layer net_next_layer(const struct net *net, const struct nn_layer_kind *kind)
{
    int last = net->layer_count - 1;
    struct net_layer layer = {.kind = kind, .kernel = 1, .groups = 1, .factor = 1};
    layer.weight = layer.bias = layer.slopes = -1;
    layer.input_count = last >= 0;
    layer.input[0] = last;
    return layer;
}

/* The kind's complaint, with the layer's number and kind before it. */
static int graph_refuse(const struct net_layer *layer, int number, const char *what)
{
    return fail(ERR_CONFIG, "layer %d (%s): %s", number, layer->kind->name, what);
}

int net_add_layer(struct net *net, struct net_layer layer)
{
    int i = net->layer_count;
    const struct nn_layer_kind *kind = layer.kind;
    if (layer.input_count < kind->inputs_least || layer.input_count > kind->inputs_most)
        return graph_refuse(&layer, i, "so many inputs are not possible");
    for (int k = 0; k < layer.input_count; k++)
        if (layer.input[k] < 0 || layer.input[k] >= i)
            return graph_refuse(&layer, i, "it reads a layer that is not before it");
    if (layer.leaky_relu && !kind->can_fuse)
        return graph_refuse(&layer, i, "this kind fuses no leaky ReLU");
    if (kind->shape && kind->shape(net, &layer) < 0)
        return fail_within(ERR_CONFIG, "layer %d (%s)", i, kind->name);
    if (layer.h < 1 || layer.w < 1 || layer.c < 1) return graph_refuse(&layer, i, "it has no size");
    if (layer.leaky_relu && (size_t)layer.h * (size_t)layer.w * (size_t)layer.c % 8)
        return graph_refuse(&layer, i, "masks need a multiple of 8 values");
    TRY(graph_reserve((void **)&net->layers, i, &net->layer_room, sizeof *net->layers));
    layer.begin = layer.end = i;
    layer.derived = net->derived_floats;
    if (kind->derived_floats)
        net->derived_floats += graph_aligned(kind->derived_floats(net, &layer));
    net->layers[i] = layer;
    return net->layer_count++;
}

int net_add_pair(struct net *net, const struct nn_layer_kind *kind, int a, int b)
{
    struct net_layer layer = net_next_layer(net, kind);
    layer.input_count = 2;
    layer.input[0] = a;
    layer.input[1] = b;
    return net_add_layer(net, layer);
}

int net_add_parameter(struct net *net, const char *name, int dims, const int64_t *shape)
{
    TRY(graph_reserve((void **)&net->parameters, net->parameter_count, &net->parameter_room,
                      sizeof *net->parameters));
    struct net_parameter *p = &net->parameters[net->parameter_count];
    *p = (struct net_parameter){.dims = dims, .offset = net->floats, .count = 1};
    snprintf(p->name, sizeof p->name, "%s", name);
    for (int i = 0; i < dims; i++) {
        p->shape[i] = shape[i];
        p->count *= (size_t)shape[i];
    }
    net->floats += graph_aligned(p->count);
    net->parameter_total += p->count;
    return net->parameter_count++;
}

int net_add_weight(struct net *net, int layer, const char *name, float gain)
{
    struct net_layer *l = &net->layers[layer];
    int64_t shape[NET_MAX_DIMS];
    int dims = l->kind->weight_shape(net, l, shape);
    int number = net_add_parameter(net, name, dims, shape);
    TRY(number);
    struct net_parameter *p = &net->parameters[number];
    p->start = l->kind->weight_start;
    p->std = p->start != 0 ? 0 : gain / sqrtf((float)(p->count / (size_t)p->shape[0]));
    return l->weight = number;
}

int net_add_bias(struct net *net, int layer, const char *name)
{
    struct net_layer *l = &net->layers[layer];
    int number = net_add_parameter(net, name, 1, (int64_t[]){l->c});
    TRY(number);
    return l->bias = number;
}

int net_add_named_layer(struct net *net, const char *name, struct net_layer layer)
{
    char full[sizeof net->parameters->name];
    int number = net_add_layer(net, layer);
    TRY(number);
    snprintf(full, sizeof full, "%s.weight", name);
    TRY(net_add_weight(net, number, full, 1));
    snprintf(full, sizeof full, "%s.bias", name);
    TRY(net_add_bias(net, number, full));
    return number;
}

int net_add_slopes(struct net *net, int layer, const char *name)
{
    struct net_layer *l = &net->layers[layer];
    int number = net_add_parameter(net, name, 1, (int64_t[]){net->layers[l->input[0]].c});
    TRY(number);
    net->parameters[number].start = 0.25f;
    return l->slopes = number;
}

void net_mark_segment(struct net *net, int begin, int end)
{
    for (int i = begin; i <= end; i++) {
        net->layers[i].begin = begin;
        net->layers[i].end = end;
    }
}

void net_mix_precision(struct net *net)
{
    for (int i = 0; i < net->layer_count - 1; i++) {
        struct net_layer *l = &net->layers[i];
        bool large = l->h > NET_FULL_PRECISION || l->w > NET_FULL_PRECISION;
        if (large && l->input_count > 0) l->type = NN_BF16;
    }
}

/* ---- what follows from the records ---- */

static bool is_identity(const struct net_layer *l, int slot)
{
    return l->kind->identity >> slot & 1;
}

/* Who reads value `v`: first and last reader, first keeper, and whether all are in its segment. */
static void find_readers(struct net *net, int v)
{
    struct net_layer *from = &net->layers[v];
    from->first_reader = from->last_reader = v;
    from->first_keeper = -1;
    from->inside = v < from->end;
    for (int i = v + 1; i < net->layer_count; i++)
        for (int k = 0; k < net->layers[i].input_count; k++) {
            if (net->layers[i].input[k] != v) continue;
            if (from->first_reader == v) from->first_reader = i;
            from->last_reader = i;
            if (i > from->end) from->inside = false;
            if (from->first_keeper < 0 && net->layers[i].kind->keeps & NN_KEEPS_INPUTS)
                from->first_keeper = i;
        }
    if (from->last_reader == v) from->inside = false;
}

/* A residual that leaves a block's input and comes back at the block's end: that input has two
 * readers, the end (an identity) and a kind that adds the end's gradient to its own for nothing. */
static bool fuse_residual(struct net *net, int v)
{
    const struct net_layer *from = &net->layers[v];
    struct net_layer *first = &net->layers[from->first_reader];
    struct net_layer *last = &net->layers[from->last_reader];
    int readers = 0, slot = -1;
    for (int i = v + 1; i < net->layer_count; i++)
        for (int k = 0; k < net->layers[i].input_count; k++)
            readers += net->layers[i].input[k] == v;
    for (int k = 0; k < last->input_count; k++)
        if (last->input[k] == v) slot = k;
    bool fits = readers == 2 && first != last && is_identity(last, slot) &&
                first->kind->masks_input && !first->silu && first->input[0] == v &&
                !is_identity(first, 0) && first->skip < 0 && last->type == from->type &&
                (!last->inside || last->begin == first->begin); /* it holds all images there */
    if (!fits) return false;
    first->skip = from->last_reader;
    first->gradient[0] = NET_GRADIENT_WRITES;
    last->gradient[slot] = NET_GRADIENT_FUSED;
    net->layers[v].first_writer = net->layers[v].last_writer = from->first_reader;
    return true;
}

/* The order in which the readers of value `v` make its gradient: from the last to the first. */
static int plan_gradient(struct net *net, int v)
{
    struct net_layer *from = &net->layers[v];
    from->first_writer = from->last_writer = -1;
    if (fuse_residual(net, v)) return OK;
    for (int i = net->layer_count - 1; i > v; i--) {
        struct net_layer *l = &net->layers[i];
        for (int k = 0; k < l->input_count; k++) {
            if (l->input[k] != v) continue;
            if (is_identity(l, k) && l->type != from->type)
                return graph_refuse(l, i, "an identity keeps its input's type");
            l->gradient[k] = from->first_writer < 0 ? NET_GRADIENT_WRITES : NET_GRADIENT_ADDS;
            if (from->first_writer < 0) from->first_writer = i;
            from->last_writer = i;
            if (l->gradient[k] == NET_GRADIENT_ADDS && !is_identity(l, k) && !l->kind->can_add)
                net->needs_addend = true;
        }
    }
    return OK;
}

int net_finish(struct net *net)
{
    if (net->layer_count == 0) return fail(ERR_CONFIG, "a network without layers");
    net->needs_addend = false;
    for (int i = 0; i < net->layer_count; i++)
        net->layers[i].skip = -1;
    for (int i = 0; i < net->layer_count; i++) {
        find_readers(net, i);
        if (net->layers[i].last_reader == i && i < net->layer_count - 1)
            return graph_refuse(&net->layers[i], i, "nothing reads it, and it is not the last");
    }
    for (int i = 0; i < net->layer_count; i++)
        TRY(plan_gradient(net, i));
    return OK;
}

int net_require_piecewise_linear(const struct net *net)
{
    for (int i = 0; i < net->layer_count; i++)
        if (!net->layers[i].kind->is_piecewise_linear || net->layers[i].silu)
            return fail(ERR_USAGE,
                        "layer %d (%s) is not piecewise linear: the tangent pass of R1 and R2 "
                        "cannot go through it",
                        i, net->layers[i].kind->name);
    return OK;
}

void net_free(struct net *net)
{
    free(net->layers);
    free(net->parameters);
    *net = (struct net){.layer_count = 0};
}

size_t net_elements(const struct net *net, int layer)
{
    const struct net_layer *l = &net->layers[layer];
    return (size_t)l->h * (size_t)l->w * (size_t)l->c;
}

size_t net_bytes(const struct net *net, int layer)
{
    return net_elements(net, layer) * nn_type_bytes(net->layers[layer].type);
}

struct nn_conv net_conv(const struct net *net, int layer, int n, int chunk)
{
    const struct net_layer *l = &net->layers[layer], *from = &net->layers[l->input[0]];
    return (struct nn_conv){
        .n = n,
        .h = l->h,
        .w = l->w,
        .cin = from->c,
        .cout = l->c,
        .kernel = l->kernel,
        .groups = l->groups,
        .chunk = chunk,
        .in_type = from->type,
        .out_type = l->type,
    };
}

double net_layer_macs(const struct net *net, int layer)
{
    const struct nn_layer_kind *kind = net->layers[layer].kind;
    return kind->macs ? kind->macs(net, layer) : 0;
}

double net_macs(const struct net *net)
{
    double sum = 0;
    for (int i = 0; i < net->layer_count; i++)
        sum += net_layer_macs(net, i);
    return sum;
}
