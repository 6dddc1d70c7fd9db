#include "sr/sr_networks.h"

#include "base/error.h"
#include "base/random.h"
#include "nn/layers.h"
#include "store/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Compact (SRVGGNetCompact): body.N ---- */

static int add_body_conv(struct net *net, int number, int channels)
{
    char name[32];
    struct net_layer conv = net_next_layer(net, &layer_conv);
    conv.c = channels;
    conv.kernel = 3;
    int layer = net_add_layer(net, conv);
    TRY(layer);
    snprintf(name, sizeof name, "body.%d.weight", number);
    TRY(net_add_weight(net, layer, name, 1));
    snprintf(name, sizeof name, "body.%d.bias", number);
    return net_add_bias(net, layer, name);
}

static int add_body_prelu(struct net *net, int number)
{
    char name[32];
    int layer = net_add_layer(net, net_next_layer(net, &layer_prelu));
    TRY(layer);
    snprintf(name, sizeof name, "body.%d.weight", number);
    return net_add_weight(net, layer, name, 0);
}

static int compact_build(struct net *net, const struct sr_design *design, int h, int w)
{
    struct net_layer input = net_next_layer(net, &layer_input);
    input.h = h;
    input.w = w;
    input.c = 3;
    TRY(net_add_layer(net, input));
    for (int i = 0; i <= design->convs; i++) {
        TRY(add_body_conv(net, 2 * i, design->features));
        TRY(add_body_prelu(net, 2 * i + 1));
    }
    TRY(add_body_conv(net, 2 * design->convs + 2, 3 * design->scale * design->scale));
    struct net_layer shuffle = net_next_layer(net, &layer_pixel_shuffle);
    shuffle.factor = design->scale;
    int details = net_add_layer(net, shuffle);
    TRY(details);
    struct net_layer nearest = net_next_layer(net, &layer_nearest_up);
    nearest.factor = design->scale;
    nearest.input[0] = 0;
    int base = net_add_layer(net, nearest);
    TRY(base);
    struct net_layer sum = net_next_layer(net, &layer_add);
    sum.input_count = 2;
    sum.input[0] = details;
    sum.input[1] = base;
    return net_add_layer(net, sum);
}

static int compact_radius(const struct sr_design *design)
{
    return design->convs + 2;
}

/* Size `index` of the tensor PREFIXbody.NUMBER.WHAT; 0 when there is none of `dims` dimensions. */
static int64_t body_size(const struct store_file *file, const char *prefix, int number,
                         const char *what, int dims, int index)
{
    char name[64];
    snprintf(name, sizeof name, "%sbody.%d.%s", prefix, number, what);
    const struct store_tensor *tensor = store_find(file, name);
    return tensor && tensor->dims == dims ? tensor->shape[index] : 0;
}

static bool compact_detect(struct sr_design *design, const struct store_file *file,
                           const char *prefix)
{
    int last = 2;
    int64_t features = body_size(file, prefix, 0, "weight", 4, 0);
    while (last < 2 * SR_CONVS_MOST + 2 && body_size(file, prefix, last + 2, "weight", 4, 0) > 0)
        last += 2;
    int64_t out = body_size(file, prefix, last, "bias", 1, 0);
    if (body_size(file, prefix, 0, "weight", 4, 1) != 3 || features < 1 ||
        features > SR_FEATURES_MOST || body_size(file, prefix, 1, "weight", 1, 0) != features)
        return false;
    for (int scale = 1; scale <= SR_SCALE_MOST; scale++) {
        if (out != 3 * scale * scale) continue;
        *design = (struct sr_design){SR_COMPACT, scale, (int)features, last / 2 - 1};
        return true;
    }
    return false;
}

/* ---- all ---- */

static const struct {
    const char *name;
    int (*build)(struct net *net, const struct sr_design *design, int h, int w);
    int (*radius)(const struct sr_design *design);
    bool (*detect)(struct sr_design *design, const struct store_file *file, const char *prefix);
} networks[SR_NETWORKS] = {
    [SR_COMPACT] = {"compact", compact_build, compact_radius, compact_detect},
};

const char *sr_network_name(enum sr_network network)
{
    return networks[network].name;
}

/* The first layer is the input, the last few are of the size of the output. */
static void mark_groups(struct net *net, int group)
{
    for (int first = 1; group > 1 && first < net->layer_count; first += group) {
        int last = first + group - 1;
        if (last >= net->layer_count - 4) break; /* last convolution, shuffle, nearest, sum */
        net_mark_segment(net, first, last);
    }
}

int sr_network_build(struct net *net, const struct sr_design *design, int h, int w, int group)
{
    *net = (struct net){.layer_count = 0};
    TRY(networks[design->network].build(net, design, h, w));
    mark_groups(net, group);
    return net_finish(net);
}

int sr_network_radius(const struct sr_design *design)
{
    return networks[design->network].radius(design);
}

/* Uniform in +-bound; offsets in the range are what is drawn by, so each number is its own. */
static void fill_uniform(float *to, size_t count, float bound, uint64_t seed, uint64_t offset)
{
    for (size_t i = 0; i < count; i++) {
        struct philox4 draw = philox_draw(seed, STREAM_SR_WEIGHTS, 0, (offset + i) / 4);
        to[i] = bound * (2 * philox_uniform(draw.v[(offset + i) % 4]) - 1);
    }
}

/* As PyTorch does: convolutions and their biases uniform in +-1 / sqrt(fan-in), PReLU .25. */
void sr_network_initialise(const struct net *net, float *parameters, uint64_t seed)
{
    memset(parameters, 0, net->floats * sizeof *parameters);
    for (int i = 0; i < net->layer_count; i++) {
        const struct net_layer *l = &net->layers[i];
        if (l->weight < 0) continue;
        const struct net_parameter *w = &net->parameters[l->weight];
        if (l->kind == &layer_prelu) {
            for (size_t k = 0; k < w->count; k++)
                parameters[w->offset + k] = 0.25f;
            continue;
        }
        float bound = 1 / sqrtf((float)(w->count / (size_t)w->shape[0]));
        fill_uniform(parameters + w->offset, w->count, bound, seed, w->offset);
        if (l->bias < 0) continue;
        const struct net_parameter *b = &net->parameters[l->bias];
        fill_uniform(parameters + b->offset, b->count, bound, seed, b->offset);
    }
}

bool sr_network_detect(struct sr_design *design, const struct store_file *file, const char *prefix)
{
    for (int i = 0; i < SR_NETWORKS; i++)
        if (networks[i].detect(design, file, prefix)) return true;
    return false;
}

int sr_network_require(struct sr_design *design, const struct store_file *file, const char *prefix)
{
    if (sr_network_detect(design, file, prefix)) return OK;
    return fail(ERR_DATA, "%s: it holds none of the networks that enlarge images here (compact)",
                store_path(file));
}
