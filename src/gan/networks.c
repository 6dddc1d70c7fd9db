#include "gan/networks.h"

#include "base/error.h"
#include "data/tags.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/layers.h"

#include <math.h>
#include <stdio.h>

enum { GROUP = 16 }; /* channels of a group of the 3x3 convolutions */

/* A network under construction. */
struct builder {
    struct net *net;
    const struct net_design *design;
    char prefix; /* of its parameters' names: 'g' or 'd' */
    float block_gain;
};

static int builder_begin(struct builder *b, struct net *net, const struct net_design *design,
                         char prefix)
{
    int blocks = 0;
    if (design->stages < 1 || design->stages > NET_MAX_STAGES)
        return fail(ERR_CONFIG, "gan: %d stages; 1 to %d are possible", design->stages,
                    NET_MAX_STAGES);
    for (int s = 0; s < design->stages; s++) {
        blocks += design->blocks[s];
        if (design->width[s] < GROUP / 2 || design->width[s] % (GROUP / 2))
            return fail(ERR_CONFIG, "gan.widths: %d is no multiple of %d", design->width[s],
                        GROUP / 2);
    }
    *net = (struct net){.layer_count = 0};
    *b = (struct builder){.net = net, .design = design, .prefix = prefix};
    b->block_gain =
        sqrtf(2 / (1 + NET_SLOPE * NET_SLOPE)) * powf((float)(blocks > 0 ? blocks : 1), -0.25f);
    return OK;
}

/* A weight of the last layer, named PREFIX.NAME. */
static int gan_add_weight(struct builder *b, const char *name, float gain)
{
    char full[64];
    snprintf(full, sizeof full, "%c.%s", b->prefix, name);
    return net_add_weight(b->net, b->net->layer_count - 1, full, gain);
}

/* The same, of standard deviation `std` whatever the fan-in. */
static int add_weight_of_std(struct builder *b, const char *name, float std)
{
    int number = gan_add_weight(b, name, 1);
    TRY(number);
    b->net->parameters[number].std = std;
    return OK;
}

static int add_bias(struct builder *b, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "%c.%s", b->prefix, name);
    return net_add_bias(b->net, b->net->layer_count - 1, full);
}

/* A layer of the last value. */
static int gan_add_plain(struct builder *b, const struct nn_layer_kind *kind)
{
    return net_add_layer(b->net, net_next_layer(b->net, kind));
}

/* A 1x1 convolution or a fully connected layer of the last value, to c channels, without bias. */
static int gan_add_dense(struct builder *b, const struct nn_layer_kind *kind, const char *name,
                         int c)
{
    struct net_layer layer = net_next_layer(b->net, kind);
    layer.c = c;
    TRY(net_add_layer(b->net, layer));
    return gan_add_weight(b, name, 1);
}

/* One convolution of a block with its bias and leaky ReLU. */
static int add_active_conv(struct builder *b, int kernel, int c, int stage, int number, int which)
{
    char name[32];
    struct net_layer layer = net_next_layer(b->net, &layer_conv);
    layer.c = c;
    layer.kernel = kernel;
    layer.groups = kernel == 3 ? c / GROUP : 1;
    layer.leaky_relu = true;
    TRY(net_add_layer(b->net, layer));
    snprintf(name, sizeof name, "s%d.b%d.w%d", stage, number, which);
    TRY(gan_add_weight(b, name, b->block_gain));
    snprintf(name, sizeof name, "s%d.b%d.bias%d", stage, number, which);
    return add_bias(b, name);
}

/* The layer itself, or the first of those right before it that change width or size: they need
 * little time to be made again. */
static int segment_start(const struct net *net, int layer)
{
    const struct net_layer *l = net->layers;
    while (l[layer - 1].kind == &layer_fir_up ||
           (l[layer - 1].kind == &layer_conv && l[layer - 1].input_count == 1))
        layer--;
    return layer;
}

/* x + w3(act(w2(act(w1 x)))), a checkpoint segment with what changes width and size before it. */
static int gan_add_block(struct builder *b, int stage, int number, int c)
{
    char name[32];
    int first = b->net->layer_count;
    TRY(add_active_conv(b, 1, 2 * c, stage, number, 1));
    TRY(add_active_conv(b, 3, 2 * c, stage, number, 2));
    struct net_layer last = net_next_layer(b->net, &layer_conv);
    last.c = c;
    last.input_count = 2;
    last.input[1] = first - 1;
    TRY(net_add_layer(b->net, last));
    snprintf(name, sizeof name, "s%d.b%d.w3", stage, number);
    TRY(gan_add_weight(b, name, 0));
    net_mark_segment(b->net, segment_start(b->net, first), first + 2);
    return OK;
}

static int add_blocks(struct builder *b, int stage)
{
    for (int i = 0; i < b->design->blocks[stage]; i++)
        TRY(gan_add_block(b, stage, i, b->design->width[stage]));
    return OK;
}

static int builder_end(struct builder *b, bool amp)
{
    if (amp) net_mix_precision(b->net);
    return net_finish(b->net);
}

int net_labels(const struct net_design *design)
{
    return design->tags ? design->tags->count : design->classes;
}

int net_declare_label_sets(const struct net_design *design, struct plan *plan, int **sets)
{
    if (!design->tags) return OK;
    return plan_declare(plan, "label_sets", PLAN_DATA,
                        (size_t)design->tags->numbers * sizeof **sets, PLAN_ALWAYS, (void **)sets);
}

int net_send_label_sets(const struct net_design *design, struct device *device, int *sets)
{
    if (!design->tags) return OK;
    return device_send(device, sets, design->tags->table,
                       (size_t)design->tags->numbers * sizeof *sets);
}

int net_generator(struct net *net, const struct net_design *design, bool amp)
{
    struct builder b;
    TRY(builder_begin(&b, net, design, 'g'));
    const int *width = design->width;
    struct net_layer input =
        net_next_layer(net, design->classes ? &layer_embedded_input : &layer_input);
    input.h = input.w = 1;
    input.c = design->z + design->embedding;
    input.classes = design->classes;
    input.embedding = design->embedding;
    TRY(net_add_layer(net, input));
    if (design->classes) TRY(add_weight_of_std(&b, "embed", 1));
    TRY(gan_add_dense(&b, &layer_linear, "linear", width[0]));
    struct net_layer basis = net_next_layer(net, &layer_expand);
    basis.h = design->base_h;
    basis.w = design->base_w;
    TRY(net_add_layer(net, basis));
    TRY(add_weight_of_std(&b, "basis", 1));
    for (int s = 0; s < design->stages; s++) {
        char name[32];
        snprintf(name, sizeof name, "s%d.transition", s);
        if (s > 0 && width[s] != width[s - 1]) TRY(gan_add_dense(&b, &layer_conv, name, width[s]));
        if (s > 0) TRY(gan_add_plain(&b, &layer_fir_up));
        TRY(add_blocks(&b, s));
    }
    TRY(gan_add_dense(&b, &layer_conv, "rgb", design->channels));
    return builder_end(&b, amp);
}

int net_discriminator(struct net *net, const struct net_design *design, bool amp)
{
    struct builder b;
    int top = design->stages - 1;
    TRY(builder_begin(&b, net, design, 'd'));
    const int *width = design->width;
    TRY(nn_add_input(net, design->base_h << top, design->base_w << top, design->channels));
    TRY(gan_add_dense(&b, &layer_conv, "rgb", width[top]));
    for (int s = top; s >= 0; s--) {
        TRY(add_blocks(&b, s));
        if (s == 0) break;
        char name[32];
        snprintf(name, sizeof name, "s%d.transition", s);
        int down = gan_add_plain(&b, &layer_fir_down);
        TRY(down);
        net_mark_segment(net, net->layers[down - 1].begin, down);
        if (width[s] != width[s - 1]) TRY(gan_add_dense(&b, &layer_conv, name, width[s - 1]));
    }
    TRY(gan_add_plain(&b, &layer_contract));
    TRY(gan_add_weight(&b, "depthwise", 1));
    TRY(gan_add_dense(&b, &layer_linear, "linear", design->classes ? design->embedding : 1));
    if (design->classes) {
        struct net_layer project = net_next_layer(net, &layer_label_projection);
        project.classes = design->classes;
        TRY(net_add_layer(net, project));
        TRY(add_weight_of_std(&b, "embed", 1 / sqrtf((float)design->embedding)));
    }
    return builder_end(&b, amp);
}
