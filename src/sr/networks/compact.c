/* Compact (SRVGGNetCompact): body.N, convolutions and PReLUs by turns, and the input enlarged by
 * nearest neighbour. */
#include "base/error.h"
#include "config/config.h"
#include "nn/layers.h"
#include "sr/sr_networks_internal.h"

#include <stdio.h>

static int compact_configure(struct sr_design *design, const struct config *config)
{
    design->features = (int)config->sr.num_feat;
    design->convs = (int)config->sr.num_conv;
    return OK;
}

static void compact_sizes(const struct sr_design *design, char *text, size_t room)
{
    snprintf(text, room, "%d-%d", design->features, design->convs);
}

/* The PReLU body.(number - 1) and the convolution body.number behind it. */
static int add_body_conv(struct net *net, int number, int channels)
{
    char name[32];
    struct net_layer conv = net_next_layer(net, &layer_prelu_conv);
    conv.c = channels;
    conv.kernel = 3;
    int layer = net_add_layer(net, conv);
    TRY(layer);
    snprintf(name, sizeof name, "body.%d.weight", number - 1);
    TRY(net_add_slopes(net, layer, name));
    snprintf(name, sizeof name, "body.%d.weight", number);
    TRY(net_add_weight(net, layer, name, 1));
    snprintf(name, sizeof name, "body.%d.bias", number);
    return net_add_bias(net, layer, name);
}

/* The last few layers are of the size of the output. */
static void mark_body_groups(struct net *net, int group)
{
    for (int first = 1; group > 1 && first < net->layer_count; first += group) {
        int last = first + group - 1;
        if (last >= net->layer_count - 4) break; /* last convolution, shuffle, nearest, sum */
        net_mark_segment(net, first, last);
    }
}

static int compact_build(struct net *net, const struct sr_design *design, int group)
{
    TRY(nn_add_conv(net, "body.0", design->features, 3));
    for (int i = 1; i <= design->convs; i++)
        TRY(add_body_conv(net, 2 * i, design->features));
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
    TRY(net_add_pair(net, &layer_add, details, base));
    mark_body_groups(net, group);
    return OK;
}

static int compact_radius(const struct sr_design *design)
{
    return design->convs + 2;
}

static int64_t body_size(const struct store_file *file, const char *prefix, int number,
                         const char *what, int dims, int index)
{
    char name[64];
    snprintf(name, sizeof name, "body.%d.%s", number, what);
    return sr_tensor_size(file, prefix, name, dims, index);
}

static bool compact_detect(struct sr_design *design, const struct store_file *file,
                           const char *prefix)
{
    int last = 2;
    int64_t features = body_size(file, prefix, 0, "weight", 4, 0);
    while (last < 2 * SR_CONVS_MOST + 2 && body_size(file, prefix, last + 2, "weight", 4, 0) > 0)
        last += 2;
    int scale = sr_scale_of_channels(body_size(file, prefix, last, "bias", 1, 0));
    if (body_size(file, prefix, 0, "weight", 4, 1) != 3 || features < 1 ||
        features > SR_FEATURES_MOST || body_size(file, prefix, 1, "weight", 1, 0) != features ||
        scale == 0)
        return false;
    *design = (struct sr_design){
        .network = SR_COMPACT, .scale = scale, .features = (int)features, .convs = last / 2 - 1};
    return true;
}

const struct sr_network_kind sr_kind_compact = {
    .name = "compact",
    .configure = compact_configure,
    .sizes = compact_sizes,
    .build = compact_build,
    .radius = compact_radius,
    .detect = compact_detect,
};
