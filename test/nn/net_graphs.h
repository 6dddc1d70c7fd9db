/* Networks that no task has, with a kind of layer of their own: for net_engine.c, which asks the
 * same of all. */
#ifndef IMGTRAIN_TEST_NN_NET_GRAPHS_H
#define IMGTRAIN_TEST_NN_NET_GRAPHS_H

#include "nn/layers.h"
#include "test/support.h"

#include <stdio.h>
#include <string.h>

enum net_graph {
    GRAPH_LINEAR, /* piecewise linear throughout */
    GRAPH_SQUARES,
    GRAPH_ENLARGING,
    GRAPH_HALVING,
    GRAPH_GATES,
    GRAPH_BLOCKS,
    GRAPH_NORMS,
    NET_GRAPHS,
    GRAPH_LARGE = NET_GRAPHS, /* too large for differences */
    ALL_NET_GRAPHS
};

/* ---- a kind of the tests only: y = x^2 ---- */

static inline int square_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    l->h = from->h;
    l->w = from->w;
    l->c = from->c;
    return OK;
}

static inline size_t square_count(const struct network_pass *s, int i)
{
    return (size_t)s->n * net_elements(s->net, i);
}

static inline int square_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const float *x = s->value[s->net->layers[i].input[0]];
    float *y = s->value[i];
    (void)masks;
    for (size_t k = 0; k < square_count(s, i); k++)
        y[k] = x[k] * x[k];
    return OK;
}

static inline int square_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    const float *x = s->value[s->net->layers[i].input[0]], *dy = s->grad[i];
    float *dx = to;
    (void)slot;
    ck_assert(!add);
    for (size_t k = 0; k < square_count(s, i); k++)
        dx[k] = 2 * x[k] * dy[k];
    return OK;
}

static const struct nn_layer_kind layer_square = {
    .name = "square",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = square_shape,
    .forward = square_forward,
    .backward = square_backward,
    .keeps = NN_KEEPS_INPUTS,
};

/* ---- pieces ---- */

static inline int add_layer(struct net *net, struct net_layer l)
{
    int i = net_add_layer(net, l);
    MUST(i);
    return i;
}

/* With weights and a bias of its own. */
static inline int add_weighted(struct net *net, struct net_layer l, float gain)
{
    char name[32];
    int i = add_layer(net, l);
    snprintf(name, sizeof name, "weight%d", i);
    MUST(net_add_weight(net, i, name, gain));
    snprintf(name, sizeof name, "bias%d", i);
    MUST(net_add_bias(net, i, name));
    return i;
}

static inline struct net_layer reader(const struct net *net, const struct nn_layer_kind *kind,
                                      int input)
{
    struct net_layer l = net_next_layer(net, kind);
    l.input[0] = input;
    return l;
}

static inline int add_plain(struct net *net, const struct nn_layer_kind *kind, int input)
{
    return add_layer(net, reader(net, kind, input));
}

static inline int add_factor(struct net *net, const struct nn_layer_kind *kind, int input,
                             int factor)
{
    struct net_layer l = reader(net, kind, input);
    l.factor = factor;
    return add_layer(net, l);
}

static inline int add_pair(struct net *net, const struct nn_layer_kind *kind, int a, int b)
{
    int i = net_add_pair(net, kind, a, b);
    MUST(i);
    return i;
}

static inline int add_sum(struct net *net, int a, int b)
{
    return add_pair(net, &layer_add, a, b);
}

/* The end of a graph: a number for each image. */
static inline void add_score(struct net *net, int input, float gain)
{
    MUST(net_add_weight(net, add_plain(net, &layer_contract, input), "depthwise", gain));
    struct net_layer score = net_next_layer(net, &layer_linear);
    score.c = 1;
    MUST(net_add_weight(net, add_layer(net, score), "linear", 1));
    MUST(net_finish(net));
}

static inline int add_conv(struct net *net, int input, int residual, int c, int kernel,
                           bool leaky_relu)
{
    struct net_layer l = reader(net, &layer_conv, input);
    l.c = c;
    l.kernel = kernel;
    l.groups = kernel == 3 ? c / 16 : 1;
    l.leaky_relu = leaky_relu;
    if (residual >= 0) {
        l.input[1] = residual;
        l.input_count = 2;
    }
    return add_weighted(net, l, 1);
}

/* ---- graphs ---- */

/* A network with every way that a value can be read. */
static inline void build_readers(struct net *net, bool squares)
{
    MUST(nn_add_input(net, 4, 6, 16));
    int a = add_conv(net, 0, -1, 32, 1, true);
    int b = add_conv(net, a, -1, 32, 3, true);
    int c = add_conv(net, b, 0, 16, 1, false); /* a block: its residual is fused */
    net_mark_segment(net, a, c);
    int d = add_conv(net, c, -1, 16, 1, true); /* c: read by a convolution, */
    int e = squares ? add_plain(net, &layer_square, c) : add_conv(net, c, -1, 16, 3, false);
    int f = add_conv(net, e, c, 16, 1, false); /* ... a kind that cannot add, an identity */
    net_mark_segment(net, d, f);
    int g = add_conv(net, d, f, 16, 1, true); /* d: a fused leaky ReLU with three readers, */
    int h = add_conv(net, g, d, 16, 3, false);
    int k = add_conv(net, h, d, 16, 1, true);  /* ... from two segments */
    int m = add_conv(net, k, c, 16, 1, false); /* and c again */
    net_mark_segment(net, g, m);
    int both[] = {m, h, m}; /* a value that one layer reads twice */
    struct net_layer join = net_next_layer(net, &layer_concat);
    join.input_count = 3;
    memcpy(join.input, both, sizeof both);
    int shuffled = add_factor(net, &layer_pixel_shuffle, add_layer(net, join), 2);
    add_score(net, add_plain(net, &layer_fir_down, shuffled), 1);
}

static inline void build_linear(struct net *net)
{
    build_readers(net, false);
}

static inline void build_squares(struct net *net)
{
    build_readers(net, true);
}

static inline int add_dense(struct net *net, int input, int c)
{
    struct net_layer l = reader(net, &layer_conv, input);
    l.c = c;
    l.kernel = 3;
    return add_weighted(net, l, 0.2f);
}

static inline int add_prelu(struct net *net, int input)
{
    char name[32];
    int i = add_plain(net, &layer_prelu, input);
    snprintf(name, sizeof name, "slope%d", i);
    MUST(net_add_weight(net, i, name, 1));
    return i;
}

/* A convolution behind a PReLU. */
static inline int add_prelu_dense(struct net *net, int input, int c)
{
    char name[32];
    struct net_layer l = reader(net, &layer_prelu_conv, input);
    l.c = c;
    l.kernel = 3;
    int i = add_weighted(net, l, 0.2f);
    snprintf(name, sizeof name, "slope%d", i);
    MUST(net_add_slopes(net, i, name));
    return i;
}

/* The kinds of super-resolution: dense 3x3 convolutions of odd widths, slopes that are learnt,
 * pixel shuffle, the input enlarged and added; the largest of what was shuffled. */
static inline void build_enlarging(struct net *net)
{
    MUST(nn_add_input(net, 5, 4, 3));
    int a = add_dense(net, 0, 24);
    int b = add_prelu(net, a);
    int c = add_dense(net, b, 24);
    net_mark_segment(net, b, c); /* b is made again from a */
    int d = add_prelu(net, c);
    int twice = add_sum(net, d, d); /* one value in both places */
    int e = add_dense(net, twice, 10);
    int f = add_prelu(net, e);  /* e: read by a kind that adds to its gradient, */
    int g = add_sum(net, e, f); /* ... and by an identity */
    net_mark_segment(net, d, g);
    int h = add_dense(net, g, 24);
    int i = add_prelu_dense(net, h, 20); /* h and i: kept nowhere but as sums */
    int j = add_prelu_dense(net, i, 12);
    net_mark_segment(net, i, j);
    int large = add_factor(net, &layer_pixel_shuffle, j, 2);
    int largest = add_plain(net, &layer_max_pool, large);
    int again = add_factor(net, &layer_nearest_up, largest, 2);
    net_mark_segment(net, largest, again);
    int base = add_factor(net, &layer_nearest_up, 0, 2);
    add_score(net, add_sum(net, add_sum(net, large, base), again), 0.1f);
}

static inline int add_gather(struct net *net, const int *inputs, int count, int factor, int c,
                             bool leaky_relu)
{
    struct net_layer l = net_next_layer(net, &layer_conv_gather);
    l.kernel = 3;
    l.c = c;
    l.factor = factor;
    l.leaky_relu = leaky_relu;
    l.input_count = count;
    for (int k = 0; k < count; k++)
        l.input[k] = inputs[k];
    return add_weighted(net, l, 0.7f);
}

/* Dense blocks as ESRGAN's: convolutions that read up to five values, residuals, an enlargement
 * that only its convolution sees. */
static inline void build_blocks(struct net *net)
{
    MUST(nn_add_input(net, 6, 4, 3));
    int channels = add_factor(net, &layer_pixel_unshuffle, 0, 2);
    int x = add_gather(net, &channels, 1, 1, 16, false), first = x;
    for (int block = 0; block < 2; block++) {
        int values[NET_MAX_INPUTS] = {x}, begin = net->layer_count;
        for (int k = 1; k < NET_MAX_INPUTS; k++)
            values[k] = add_gather(net, values, k, 1, 8, true);
        int change = add_gather(net, values, NET_MAX_INPUTS, 1, 16, false);
        x = add_pair(net, &layer_residual, change, x);
        net_mark_segment(net, begin, x);
    }
    x = add_sum(net, x, first);
    int up = add_gather(net, &x, 1, 2, 16, true);
    int out = add_gather(net, &up, 1, 2, 3, false);
    net_mark_segment(net, up, out);
    add_score(net, out, 0.1f);
}

static inline int add_down(struct net *net, int input, int c)
{
    struct net_layer l = reader(net, &layer_conv_down, input);
    l.c = c;
    l.leaky_relu = true;
    return add_weighted(net, l, 1);
}

/* A U-Net: fused leaky ReLUs whose gradients kinds complete that know nothing of masks. */
static inline void build_halving(struct net *net)
{
    MUST(nn_add_input(net, 8, 12, 3));
    int a = add_conv(net, 0, -1, 8, 1, true);
    int b = add_down(net, a, 16);
    int c = add_down(net, b, 24);
    int d = add_plain(net, &layer_bilinear_up, c);
    int e = add_conv(net, d, -1, 16, 1, true);
    int f = add_sum(net, e, b); /* e: by an identity, b: by a convolution and one */
    net_mark_segment(net, d, f);
    int g = add_plain(net, &layer_bilinear_up, f);
    int h = add_conv(net, g, -1, 8, 1, true);
    int k = add_sum(net, h, a);
    net_mark_segment(net, g, k);
    int twice = add_sum(net, k, k);
    int m = add_conv(net, twice, -1, 8, 1, true);
    int n = add_conv(net, m, m, 8, 1, false); /* completed by its second input, an identity */
    net_mark_segment(net, twice, n);
    add_score(net, n, 1);
}

/* A convolution of the last value in parts. */
static inline int add_in_parts(struct net *net, int c, bool silu)
{
    char name[32];
    snprintf(name, sizeof name, "parts%d", net->layer_count);
    int i = nn_add_conv3xc(net, name, c, silu);
    MUST(i);
    return i;
}

/* Convolutions in parts, functions of each number, a value of a segment's inside that is read
 * outside it, four values behind one another. */
static inline void build_gates(struct net *net)
{
    MUST(nn_add_input(net, 5, 4, 3));
    add_plain(net, &layer_silu, 0);
    int first = add_in_parts(net, 6, false);
    int z = add_in_parts(net, 6, false);
    int a = add_plain(net, &layer_silu, z);
    int third = add_in_parts(net, 6, true);
    int block = add_pair(net, &layer_gate, third, first);
    net_mark_segment(net, z, block);
    int after = add_in_parts(net, 6, true);
    struct net_layer join = net_next_layer(net, &layer_conv_gather);
    const int joined[] = {first, after, block, a};
    join.input_count = 4;
    join.c = 5;
    memcpy(join.input, joined, sizeof joined);
    int all = add_weighted(net, join, 1);
    int fifth = add_in_parts(net, 5, true);
    /* all: a residual that what is behind SiLU does not add */
    add_score(net, add_sum(net, all, fifth), 0.1f);
}

static inline int add_norm(struct net *net, int input, int groups, bool silu)
{
    struct net_layer l = reader(net, &layer_group_norm, input);
    l.groups = groups;
    l.silu = silu;
    return add_weighted(net, l, 1);
}

static inline int add_halve(struct net *net, int input, int c)
{
    struct net_layer l = reader(net, &layer_conv_halve, input);
    l.c = c;
    return add_weighted(net, l, 1);
}

static inline int add_point(struct net *net, int input, int c)
{
    struct net_layer l = reader(net, &layer_pixel_linear, input);
    l.c = c;
    return add_weighted(net, l, 1);
}

/* Pixels that look at one another, each reader of `input` behind a matrix of its own. */
static inline int add_attention(struct net *net, int input)
{
    int c = net->layers[input].c;
    struct net_layer l = net_next_layer(net, &layer_pixel_attention);
    l.input_count = 3;
    for (int k = 0; k < 3; k++)
        l.input[k] = add_point(net, input, c);
    int all = add_layer(net, l);
    return add_point(net, all, c);
}

/* An autoencoder's kinds: a block with normalised convolutions, halved and enlarged again. */
static inline void build_norms(struct net *net)
{
    MUST(nn_add_input(net, 4, 6, 3));
    int x = add_dense(net, 0, 8);
    int a = add_norm(net, x, 4, true); /* x: read by a kind that adds, and by an identity */
    int b = add_dense(net, a, 12);
    int c = add_norm(net, b, 3, true);
    int d = add_dense(net, c, 12);
    int e = add_sum(net, d, add_point(net, x, 12));
    net_mark_segment(net, a, e);
    int f = add_halve(net, e, 8);
    int g = add_norm(net, f, 1, false);
    int m = add_sum(net, add_attention(net, g), f);
    int h = add_factor(net, &layer_nearest_up, m, 2);
    int i = add_dense(net, h, 12);
    net_mark_segment(net, g, i);
    add_score(net, add_sum(net, i, e), 0.1f);
}

/* Kinds that take some images at a time: two of five, four, three, and one; or some rows. */
static inline void build_large(struct net *net)
{
    MUST(nn_add_input(net, 128, 128, 3));
    int both[2] = {add_conv(net, 0, -1, 16, 1, true)};
    add_conv(net, both[0], -1, 16, 1, false);
    both[1] = add_in_parts(net, 16, true);
    int joined = add_gather(net, both, 2, 1, 8, true);
    int down = add_down(net, joined, 16), halved = add_halve(net, both[0], 16);
    add_score(net, add_halve(net, add_sum(net, down, halved), 8), 0.1f);
}

static inline void net_graph_build(struct net *net, enum net_graph graph)
{
    static void (*const builders[ALL_NET_GRAPHS])(struct net *) = {
        [GRAPH_LINEAR] = build_linear,       [GRAPH_SQUARES] = build_squares,
        [GRAPH_ENLARGING] = build_enlarging, [GRAPH_HALVING] = build_halving,
        [GRAPH_GATES] = build_gates,         [GRAPH_BLOCKS] = build_blocks,
        [GRAPH_NORMS] = build_norms,         [GRAPH_LARGE] = build_large,
    };
    *net = (struct net){.layer_count = 0};
    builders[graph](net);
}

#endif
