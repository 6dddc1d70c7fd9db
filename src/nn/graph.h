/* A network is data: an array of layer records in topological order over one flat range of
 * parameters. Layer i produces value i; layer 0 is the input. passes.h runs over it.
 *
 * Generator and discriminator have the topology of R3GAN (Huang et al., "The GAN is dead; long live
 * the GAN!", NeurIPS 2024): piecewise linear, no normalisation. Names and layouts of the parameters
 * are those of scripts/reference/GAN_TENSORS.md. */
#ifndef IMGTRAIN_NN_GRAPH_H
#define IMGTRAIN_NN_GRAPH_H

#include "device/nn_ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum net_op {
    NET_INPUT,    /* G: [n][z + embedding], with a weight the embedding's table; D: [n][h][w][3] */
    NET_CONV,     /* kernel 1 or grouped 3x3; optional bias, leaky ReLU, residual */
    NET_EXPAND,   /* [n][c] x basis -> [n][h][w][c] */
    NET_CONTRACT, /* [n][h][w][c] x depthwise -> [n][c] */
    NET_FIR_UP,   /* gain 4 */
    NET_FIR_DOWN, /* gain 1 */
    NET_PROJECT,  /* [n][e] . label's column -> [n][1] */
};

enum {
    NET_LRELU = 1,  /* leaky ReLU behind; keeps a mask */
    NET_INSIDE = 2, /* output needed within its group only: scheme C makes it again */
};
#define NET_SLOPE 0.2f
enum { NET_FULL_PRECISION = 16 };

struct net_layer {
    enum net_op op;
    int input;      /* value it reads */
    int residual;   /* value it adds; -1 = none */
    int skip;       /* layer that adds this layer's input too (the end of its block); -1 = none */
    int begin, end; /* first and last layer of its group: a block, with what changes width and size
                     * next to it; any other layer is a group by itself */
    int h, w, c;    /* of its output */
    enum nn_type type; /* its value and its gradient are stored so */
    int kernel, groups;
    int weight, bias; /* parameter numbers; -1 = none */
    unsigned flags;
};

enum { NET_MAX_LAYERS = 256, NET_MAX_PARAMETERS = 512, NET_MAX_STAGES = 10 };

struct net_parameter {
    char name[32];
    int dims;
    int64_t shape[4];
    size_t offset, count; /* floats in the flat range; offsets are multiples of 16 */
    float std;            /* of the normal distribution it starts from */
};

struct net {
    struct net_layer layers[NET_MAX_LAYERS];
    int layer_count;
    struct net_parameter parameters[NET_MAX_PARAMETERS];
    int parameter_count;
    size_t floats;          /* of the flat range, padding included */
    size_t parameter_total; /* numbers, without padding */
    int classes, embedding;
};

/* What both networks are made from: stages by rising resolution; stage s has width[s] channels,
 * blocks[s] residual blocks and the grid (base_h << s) x (base_w << s). */
struct net_design {
    int stages, base_h, base_w;
    int width[NET_MAX_STAGES], blocks[NET_MAX_STAGES];
    int z, classes, embedding; /* classes 0: unconditional, and embedding 0 */
    int channels;              /* of pictures: 3 */
};

/* ERR_CONFIG for widths that are no multiple of 8 or more layers than there is room for. */
int net_generator(struct net *net, const struct net_design *design);
int net_discriminator(struct net *net, const struct net_design *design);

/* Mixed precision: from now on bf16 stores the layers that are larger than NET_FULL_PRECISION px,
 * except pictures. */
void net_mix_precision(struct net *net);

/* The starting weights: normal numbers by (seed, STREAM_GAN_WEIGHTS, which, index). */
void net_initialise(const struct net *net, float *parameters, uint64_t seed, int which);

/* Normal numbers; four of them are one draw: index first, first + 1, ... */
void net_normal(float *out, size_t count, uint64_t seed, uint32_t stream, uint64_t step,
                uint64_t first);

/* Values in output `layer` for one picture. */
size_t net_elements(const struct net *net, int layer);
/* And their bytes. */
size_t net_bytes(const struct net *net, int layer);
/* The convolution of a NET_CONV layer on n pictures. */
struct nn_conv net_conv(const struct net *net, int layer, int n, int slice);
/* Multiplications of all convolutions of one forward pass of one picture. */
double net_macs(const struct net *net);
double net_layer_macs(const struct net *net, int layer);
/* The last layer that reads output `layer`; the layer itself when none does. */
int net_last_use(const struct net *net, int layer);

#endif
