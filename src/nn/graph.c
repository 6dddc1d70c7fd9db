#include "nn/graph.h"

#include "base/error.h"
#include "base/random.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GROUP = 16, ALIGN = 16 };

/* A network under construction; `failed` makes the rest do nothing. */
struct builder {
    struct net *net;
    const struct net_design *design;
    char prefix; /* 'g' or 'd' */
    float block_gain;
    bool failed;
};

static int add_parameter(struct builder *b, const char *name, float gain, int dims, int64_t s0,
                         int64_t s1, int64_t s2, int64_t s3)
{
    struct net *net = b->net;
    if (net->parameter_count == NET_MAX_PARAMETERS) {
        b->failed = true;
        return 0;
    }
    struct net_parameter *p = &net->parameters[net->parameter_count];
    snprintf(p->name, sizeof p->name, "%c.%s", b->prefix, name);
    p->dims = dims;
    const int64_t shape[4] = {s0, s1, s2, s3};
    p->count = 1;
    for (int i = 0; i < dims; i++) {
        p->shape[i] = shape[i];
        p->count *= (size_t)shape[i];
    }
    p->std = gain / sqrtf((float)(p->count / (size_t)s0));
    p->offset = net->floats;
    net->floats += (p->count + ALIGN - 1) / ALIGN * ALIGN;
    net->parameter_total += p->count;
    return net->parameter_count++;
}

static struct net_layer *add_layer(struct builder *b, enum net_op op, int h, int w, int c)
{
    struct net *net = b->net;
    if (net->layer_count == NET_MAX_LAYERS) {
        b->failed = true;
        net->layer_count--;
    }
    struct net_layer *layer = &net->layers[net->layer_count];
    *layer = (struct net_layer){.op = op, .h = h, .w = w, .c = c, .kernel = 1, .groups = 1};
    layer->input = net->layer_count - 1;
    layer->begin = layer->end = net->layer_count;
    layer->residual = layer->skip = layer->weight = layer->bias = -1;
    net->layer_count++;
    return layer;
}

/* A convolution of the last value without bias. */
static struct net_layer *add_conv(struct builder *b, const char *name, int c, float gain)
{
    const struct net_layer *last = &b->net->layers[b->net->layer_count - 1];
    int cin = last->c;
    bool linear = strcmp(name, "linear") == 0;
    struct net_layer *layer = add_layer(b, NET_CONV, last->h, last->w, c);
    layer->weight = add_parameter(b, name, gain, linear ? 2 : 4, c, cin, 1, 1);
    return layer;
}

/* Makes a group of the layers begin .. end: only the last one's output is needed outside. */
static void graph_group(struct net *net, int begin, int end)
{
    for (int i = begin; i <= end; i++) {
        net->layers[i].begin = begin;
        net->layers[i].end = end;
        if (i < end) net->layers[i].flags |= NET_INSIDE;
    }
}

/* The layer itself, or the first of those right before it that change width or size. */
static int group_start(const struct net *net, int layer)
{
    const struct net_layer *l = net->layers;
    while (l[layer - 1].op == NET_FIR_UP ||
           (l[layer - 1].op == NET_CONV && l[layer - 1].residual < 0 && l[layer - 1].h > 1))
        layer--;
    return layer;
}

static void add_block(struct builder *b, int stage, int number, int c)
{
    char name[32];
    int first = b->net->layer_count;
    snprintf(name, sizeof name, "s%d.b%d.w1", stage, number);
    struct net_layer *one = add_conv(b, name, 2 * c, b->block_gain);
    snprintf(name, sizeof name, "s%d.b%d.bias1", stage, number);
    one->bias = add_parameter(b, name, 0, 1, 2 * c, 1, 1, 1);
    one->flags = NET_LRELU;
    one->skip = first + 2;
    snprintf(name, sizeof name, "s%d.b%d.w2", stage, number);
    struct net_layer *two = add_layer(b, NET_CONV, one->h, one->w, 2 * c);
    two->weight = add_parameter(b, name, b->block_gain, 4, 2 * c, GROUP, 3, 3);
    two->kernel = 3;
    two->groups = 2 * c / GROUP;
    snprintf(name, sizeof name, "s%d.b%d.bias2", stage, number);
    two->bias = add_parameter(b, name, 0, 1, 2 * c, 1, 1, 1);
    two->flags = NET_LRELU;
    snprintf(name, sizeof name, "s%d.b%d.w3", stage, number);
    struct net_layer *three = add_conv(b, name, c, 0);
    three->residual = first - 1;
    graph_group(b->net, group_start(b->net, first), first + 2);
}

static void add_blocks(struct builder *b, int stage)
{
    for (int i = 0; i < b->design->blocks[stage]; i++)
        add_block(b, stage, i, b->design->width[stage]);
}

static int graph_build_begin(struct builder *b, struct net *net, const struct net_design *design,
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
    *net = (struct net){.classes = design->classes, .embedding = design->embedding};
    *b = (struct builder){.net = net, .design = design, .prefix = prefix};
    b->block_gain =
        sqrtf(2 / (1 + NET_SLOPE * NET_SLOPE)) * powf((float)(blocks > 0 ? blocks : 1), -0.25f);
    return OK;
}

static int graph_build_end(const struct builder *b)
{
    return b->failed ? fail(ERR_CONFIG, "gan: too many layers (at most %d)", NET_MAX_LAYERS) : OK;
}

int net_generator(struct net *net, const struct net_design *design)
{
    struct builder b;
    TRY(graph_build_begin(&b, net, design, 'g'));
    const int *width = design->width;
    struct net_layer *input = add_layer(&b, NET_INPUT, 1, 1, design->z + design->embedding);
    if (design->classes) { /* standard normal columns: fan-in is not what matters here */
        input->weight = add_parameter(&b, "embed", 1, 2, design->embedding, design->classes, 1, 1);
        net->parameters[input->weight].std = 1;
    }
    add_conv(&b, "linear", width[0], 1);
    struct net_layer *basis = add_layer(&b, NET_EXPAND, design->base_h, design->base_w, width[0]);
    basis->weight = add_parameter(&b, "basis", 1, 3, width[0], basis->h, basis->w, 1);
    net->parameters[basis->weight].std = 1;
    for (int s = 0; s < design->stages; s++) {
        if (s > 0) {
            char name[32];
            snprintf(name, sizeof name, "s%d.transition", s);
            if (width[s] != width[s - 1]) add_conv(&b, name, width[s], 1);
            add_layer(&b, NET_FIR_UP, design->base_h << s, design->base_w << s, width[s]);
        }
        add_blocks(&b, s);
    }
    add_conv(&b, "rgb", design->channels, 1);
    return graph_build_end(&b);
}

int net_discriminator(struct net *net, const struct net_design *design)
{
    struct builder b;
    TRY(graph_build_begin(&b, net, design, 'd'));
    int top = design->stages - 1;
    const int *width = design->width;
    add_layer(&b, NET_INPUT, design->base_h << top, design->base_w << top, design->channels);
    add_conv(&b, "rgb", width[top], 1);
    for (int s = top; s >= 0; s--) {
        add_blocks(&b, s);
        if (s == 0) break;
        char name[32];
        snprintf(name, sizeof name, "s%d.transition", s);
        add_layer(&b, NET_FIR_DOWN, design->base_h << (s - 1), design->base_w << (s - 1), width[s]);
        int down = net->layer_count - 1;
        graph_group(net, net->layers[down - 1].begin, down);
        if (width[s] != width[s - 1]) add_conv(&b, name, width[s - 1], 1);
    }
    struct net_layer *head = add_layer(&b, NET_CONTRACT, 1, 1, width[0]);
    head->weight =
        add_parameter(&b, "depthwise", 1, 4, width[0], 1, design->base_h, design->base_w);
    add_conv(&b, "linear", design->classes ? design->embedding : 1, 1);
    if (design->classes) {
        struct net_layer *project = add_layer(&b, NET_PROJECT, 1, 1, 1);
        project->weight =
            add_parameter(&b, "embed", 1, 2, design->embedding, design->classes, 1, 1);
        net->parameters[project->weight].std = 1 / sqrtf((float)design->embedding);
    }
    return graph_build_end(&b);
}

void net_mix_precision(struct net *net)
{
    for (int i = 0; i < net->layer_count; i++) {
        struct net_layer *l = &net->layers[i];
        bool picture = l->op == NET_INPUT || i == net->layer_count - 1;
        bool large = l->h > NET_FULL_PRECISION || l->w > NET_FULL_PRECISION;
        if (large && !picture) l->type = NN_BF16;
    }
}

/* Two normal numbers of two words (Box and Muller). */
static void normal_pair(const uint32_t *words, float *out)
{
    double radius = sqrt(-2 * log(((double)words[0] + 1) * 0x1p-32));
    double angle = 6.283185307179586 * (double)words[1] * 0x1p-32;
    out[0] = (float)(radius * cos(angle));
    out[1] = (float)(radius * sin(angle));
}

void net_normal(float *out, size_t count, uint64_t seed, uint32_t stream, uint64_t step,
                uint64_t first)
{
    for (size_t i = 0; i < count; i += 4) {
        struct philox4 draw = philox_draw(seed, stream, step, first + i / 4);
        float four[4];
        normal_pair(draw.v, four);
        normal_pair(draw.v + 2, four + 2);
        memcpy(out + i, four, (count - i < 4 ? count - i : 4) * sizeof *out);
    }
}

void net_initialise(const struct net *net, float *parameters, uint64_t seed, int which)
{
    memset(parameters, 0, net->floats * sizeof *parameters);
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        float *to = parameters + p->offset;
        if (!(p->std > 0)) continue;
        net_normal(to, p->count, seed, STREAM_GAN_WEIGHTS, (uint64_t)which, p->offset);
        for (size_t j = 0; j < p->count; j++)
            to[j] *= p->std;
    }
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

struct nn_conv net_conv(const struct net *net, int layer, int n, int slice)
{
    const struct net_layer *l = &net->layers[layer];
    return (struct nn_conv){
        .n = n,
        .h = l->h,
        .w = l->w,
        .cin = net->layers[l->input].c,
        .cout = l->c,
        .kernel = l->kernel,
        .groups = l->groups,
        .slice = slice,
        .in_type = net->layers[l->input].type,
        .out_type = l->type,
    };
}

double net_layer_macs(const struct net *net, int layer)
{
    if (net->layers[layer].op != NET_CONV) return 0;
    struct nn_conv c = net_conv(net, layer, 1, 1);
    return (double)c.h * c.w * c.cout * (c.cin / c.groups) * c.kernel * c.kernel;
}

double net_macs(const struct net *net)
{
    double sum = 0;
    for (int i = 0; i < net->layer_count; i++)
        sum += net_layer_macs(net, i);
    return sum;
}

int net_last_use(const struct net *net, int layer)
{
    int last = layer;
    for (int i = layer + 1; i < net->layer_count; i++)
        if (net->layers[i].input == layer || net->layers[i].residual == layer) last = i;
    return last;
}
