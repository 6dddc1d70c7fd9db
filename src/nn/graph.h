/* A network is data: layer records in topological order over one flat range of parameters. Layer i
 * produces value i and reads up to five values of earlier layers; a value may have several
 * readers. A layer's kind knows its shape, its parameters and its operations;
 * passes.h runs over the records, pass_memory.h derives from them how long each buffer lives.
 *
 * Whoever builds a network adds layers and parameters in order, marks the checkpoint segments, and
 * calls net_finish. All counts are as large as memory allows. */
#ifndef IMGTRAIN_NN_GRAPH_H
#define IMGTRAIN_NN_GRAPH_H

#include "device/nn_ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net;
struct net_layer;
struct network_pass; /* nn/passes.h */

enum { NET_MAX_INPUTS = 5, NET_MAX_DIMS = 4, NET_FULL_PRECISION = 16 };
#define NET_SLOPE 0.2f /* of the fused leaky ReLU */
#define NET_GROUP_NORM_EPS 1e-6f

/* How the gradient at a layer's output reaches the gradient of one of its inputs. */
enum net_gradient {
    NET_GRADIENT_WRITES, /* first of the value's readers in the backward pass */
    NET_GRADIENT_ADDS,   /* a later one */
    NET_GRADIENT_FUSED,  /* identity whose addend another reader of the value takes: see skip */
};

struct net_layer {
    const struct nn_layer_kind *kind;
    int input_count, input[NET_MAX_INPUTS]; /* values that it reads */
    int h, w, c;                            /* of its output */
    enum nn_type type;                      /* its value and its gradient are stored so */
    int kernel, groups;                     /* of a convolution */
    int factor;                             /* of a kind that changes the size by it */
    int classes, embedding;                 /* of a kind that reads labels: its table */
    bool leaky_relu;  /* fused behind the kind's sum; keeps a mask, slope NET_SLOPE */
    bool silu;        /* of a convolution: its input goes through SiLU first, kept nowhere; of a
                         group_norm: its output */
    int weight, bias; /* parameter numbers; -1 = none */
    size_t derived;   /* where its derived weights begin in the range of all of them */
    int slopes;       /* of a PReLU that its input goes through; -1 = none */
    int begin, end;   /* first and last layer of its checkpoint segment */

    /* by net_finish */
    bool inside; /* read only within its segment, so activation checkpointing makes it again */
    int first_reader, last_reader; /* layers; the layer itself where none reads it */
    int first_keeper;              /* first layer whose kind needs this value in the backward pass:
                                      a reader, or the layer itself; -1 = none */
    int first_writer; /* the reader that writes this value's gradient first: the last of those
                         that write; -1 = none */
    int last_writer;  /* the reader that completes it, which applies the mask of leaky_relu */
    int skip;         /* layer whose gradient this one adds to that of input[0]; -1 = none */
    enum net_gradient gradient[NET_MAX_INPUTS];
};

enum pass_masks { PASS_NO_MASKS, PASS_WRITE_MASKS, PASS_FROZEN_MASKS };

/* The values that a kind's backward and weight_gradient functions read. */
enum {
    NN_KEEPS_NOTHING = 0,
    NN_KEEPS_INPUTS = 1,
};

/* A kind of layer: a const table beside its functions, one file a kind in nn/layers, all listed in
 * nn/layers.h. Shape, parameters, lifetimes, checkpointing and the backward pass of a network
 * follow from it. */
struct nn_layer_kind {
    const char *name;
    int inputs_least, inputs_most;

    /* Checks the layer, and sets h, w, c where the inputs tell them. ERR_CONFIG with what is wrong;
     * the caller names the layer. */
    int (*shape)(const struct net *net, struct net_layer *layer);
    /* Dimensions of the weights, outermost first, into shape[NET_MAX_DIMS]; returns how many. Its
     * bias is [c]. NULL: it has none. */
    int (*weight_shape)(const struct net *net, const struct net_layer *layer, int64_t *shape);
    float weight_start; /* where all its weights begin; 0: as normal numbers */

    /* value[i] from the inputs' values. Overwrites. */
    int (*forward)(struct network_pass *pass, int i, enum pass_masks masks);
    /* The gradient of input[slot] from grad[i], into `to`: overwrites, or (add) adds to it, which
     * is asked only of kinds that can_add. NULL: no input has a gradient. */
    int (*backward)(struct network_pass *pass, int i, int slot, void *to, bool add);
    /* Instead of `backward`, for kinds that make the gradients of all inputs in one: of those whose
     * bit in `slots` is set, into grad[input], added where layer->gradient says NET_GRADIENT_ADDS.
     * No input is an identity, and no value is read twice. */
    int (*backward_inputs)(struct network_pass *pass, int i, unsigned slots);
    /* Adds to the gradients of its own parameters, from the inputs' values and grad[i]. NULL where
     * it has none. */
    int (*weight_gradient)(struct network_pass *pass, int i);

    unsigned keeps;
    /* Bit `slot`: the gradient of input[slot] is grad[i] itself. The engine copies or adds it. */
    unsigned identity;
    /* Fuses a leaky ReLU behind its sum. */
    bool can_fuse;
    /* In `backward`, for input[0], it goes through the fused leaky ReLU of the input
     * (pass_applies_mask) and adds grad[skip]. For other kinds the engine does so afterwards. */
    bool masks_input;
    bool can_add;
    /* For masks held fixed the output is affine in the inputs, taken together. */
    bool is_piecewise_linear;

    /* Weights that a kind computes with in place of its parameters, made of these before a step:
     * how many floats; derive makes them (pass_derived), derive_gradient adds to the gradients of
     * the parameters what theirs (pass_derived_gradient) mean. NULL: it has none. */
    size_t (*derived_floats)(const struct net *net, const struct net_layer *layer);
    int (*derive)(struct network_pass *pass, int i);
    int (*derive_gradient)(struct network_pass *pass, int i);

    /* Multiplications for one image; NULL: not counted. */
    double (*macs)(const struct net *net, int i);
    /* Bytes of workspace on n images; NULL: none. */
    size_t (*workspace)(const struct net *net, const struct device *device, int i, int n,
                        int chunk);
};

struct net_parameter {
    char name[64];
    int dims;
    int64_t shape[NET_MAX_DIMS];
    size_t offset, count; /* floats in the flat range; offsets are multiples of 16 */
    float std;            /* of the normal distribution it starts from; 0: from `start` */
    float start;
};

struct net {
    struct net_layer *layers;
    int layer_count, layer_room;
    struct net_parameter *parameters;
    int parameter_count, parameter_room;
    size_t floats;          /* of the flat range, padding included */
    size_t parameter_total; /* numbers, without padding */
    size_t derived_floats;  /* of the range of derived weights, padding included */
    bool needs_addend;      /* a backward pass needs a buffer for what it adds: pass_memory.h */
};

/* Adds `layer`, whose kind, inputs and what the kind asks for are set; h, w, c by the kind where
 * they are 0. Returns its number, ERR_CONFIG where the kind refuses, or ERR_SYSTEM. */
int net_add_layer(struct net *net, struct net_layer layer);
/* A layer of `kind` that reads the last value, or none where there is none yet. */
struct net_layer net_next_layer(const struct net *net, const struct nn_layer_kind *kind);

/* Adds a layer of `kind` that reads the values a and b. */
int net_add_pair(struct net *net, const struct nn_layer_kind *kind, int a, int b);

/* Parameters of `layer`, shaped by its kind. Weights start as normal numbers of standard deviation
 * gain / sqrt(fan-in), or where their kind says; biases at 0. Returns the parameter's number or
 * ERR_SYSTEM. */
int net_add_weight(struct net *net, int layer, const char *name, float gain);
int net_add_bias(struct net *net, int layer, const char *name);
/* Adds `layer` with the weights NAME.weight, of gain 1, and the bias NAME.bias: its number. */
int net_add_named_layer(struct net *net, const char *name, struct net_layer layer);
/* One more parameter, which starts at 0: of the last layer, where its kind has others than weights
 * and a bias (its `weight` is the first of them), or of no layer, in a net that names numbers in a
 * file and computes nothing. */
int net_add_parameter(struct net *net, const char *name, int dims, const int64_t *shape);
/* [channels of its input], .25 at first. */
int net_add_slopes(struct net *net, int layer, const char *name);

/* Makes one checkpoint segment of the layers begin .. end. Each layer is one of its own else. */
void net_mark_segment(struct net *net, int begin, int end);

/* Mixed precision: from now on bf16 stores the layers that are larger than NET_FULL_PRECISION px,
 * except input and output. Before net_finish. */
void net_mix_precision(struct net *net);

/* Computes readers and gradients. ERR_CONFIG, naming the layer, for what no pass can do. */
int net_finish(struct net *net);
/* ERR_USAGE, naming the layer, unless the network is piecewise linear: passes.h, R1 and R2. */
int net_require_piecewise_linear(const struct net *net);
void net_free(struct net *net);

/* Values in output `layer` for one image, and their bytes. */
size_t net_elements(const struct net *net, int layer);
size_t net_bytes(const struct net *net, int layer);
/* The convolution of a layer of kind conv or linear on n images. */
struct nn_conv net_conv(const struct net *net, int layer, int n, int chunk);
/* Multiplications of one forward pass of one image. */
double net_macs(const struct net *net);
double net_layer_macs(const struct net *net, int layer);

#endif
