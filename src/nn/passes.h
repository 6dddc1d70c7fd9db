/* The passes over a network: short loops over its layer records.
 *
 * Exact R1 and R2 without a second derivative. For a network that is piecewise linear, with masks M
 * frozen: let delta be the backward pass's result for seed s at the score, v' its gradient at the
 * input. The penalty's weight gradient is that of a forward pass of a tangent t (no biases) from
 * t_0 = T T' v', paired with delta; and t may be added to the activations beforehand, because
 * a_l = M_l (W a_{l-1} + b) and t_l = M_l W t_{l-1} give u_l = a_l + f t_l = M_l (W u_{l-1} + b).
 * So one ordinary forward pass with frozen masks from u_0 = x + f t_0, pairing each u_{l-1} with
 * delta_l, makes the weight gradients of loss and penalty together, and no activation of the first
 * forward pass is kept: only masks (1 bit) and deltas. With s = dL/dscore the bias gradients are
 * plain sums of delta. Cost in forward units: forward 1, backward 1, tangent pass 1, weights 1.
 * net_require_piecewise_linear tells whether a network allows it. */
#ifndef IMGTRAIN_NN_PASSES_H
#define IMGTRAIN_NN_PASSES_H

#include "nn/graph.h"

struct plan;

/* Buffers of one use of a network: NULL where that use has none. Addresses come from the plan. */
struct network_pass {
    const struct net *net;
    struct device *device;
    const float *parameters;
    const float *const *weights;  /* [parameter_count]: where each parameter lies, of a pass without
                                     gradients; NULL: all in `parameters` */
    float *gradients;             /* accumulated into; NULL = no weight gradients */
    float *derived;               /* [net->derived_floats]: by pass_derive */
    float *derived_gradients;     /* accumulated into; zeros before a step */
    int n;                        /* images */
    int chunk;                    /* see device/nn_ops.h */
    struct nn_labels labels;      /* [n] with classes */
    void *workspace;              /* pass_workspace bytes */
    void *addend;                 /* where the network needs_addend: pass_plan_gradients */
    bool (*stop_requested)(void); /* looked at before every layer; NULL: never */
    /* Activation checkpointing: a segment takes pass_part images at a time, the buffers inside it
     * hold no more, and what is inside is made again for the weight gradients. */
    bool parts;
    double macs;    /* multiplications, counted up */
    void **value;   /* [layer_count]: [n][h][w][c] of the layer's type */
    void **grad;    /* [layer_count]: gradient at the layer's sum, before the leaky ReLU */
    uint8_t **mask; /* [layer_count] */
};

/* Takes the arrays of addresses, all NULL. ERR_SYSTEM. */
int pass_open(struct network_pass *pass, const struct net *net);
void pass_close(struct network_pass *pass);

/* value[0] (of a generator with classes: the latent's part of its rows) -> value[last].
 * weight_gradients: pairs the values with the gradients of an earlier backward pass. ERR_STOPPED,
 * or what an operation failed of: then what the pass made counts for nothing. */
int pass_forward(struct network_pass *pass, enum pass_masks masks, bool weight_gradients);

/* grad[last] -> gradients of all layers down to the input's, where they have a buffer.
 * weight_gradients: pairs them with the values of the forward pass. */
int pass_backward(struct network_pass *pass, bool weight_gradients);

/* Parts of them, for who looks at values or adds to gradients in between: layers from .. to,
 * forward upwards and backward downwards, which are whole segments. */
int pass_forward_through(struct network_pass *pass, int from, int to, enum pass_masks masks,
                         bool weight_gradients);
int pass_backward_through(struct network_pass *pass, int from, int to, bool weight_gradients);

/* Before the first forward pass with these parameters: weights that are made of them. */
int pass_derive(struct network_pass *pass);
/* After the last backward pass of a step: from the gradients of these weights to those of the
 * parameters. */
int pass_derive_gradients(struct network_pass *pass);

/* Images that the segment of `layer` takes at a time under checkpointing: whole reduction chunks,
 * as few as they are at the largest segment, more where images are smaller. */
int pass_part(const struct net *net, int layer, int chunk);

/* Workspace of any pass of n images; chunk 0: of any without weight gradients. */
size_t pass_workspace(const struct net *net, const struct device *device, int n, int chunk);

/* For the functions of layer kinds. */
const float *pass_weights(const struct network_pass *pass, int parameter); /* -1: NULL */
float *pass_gradient(const struct network_pass *pass, int parameter);      /* likewise */
float *pass_derived(const struct network_pass *pass, int layer);
float *pass_derived_gradient(const struct network_pass *pass, int layer);
/* Image n of a value or gradient of `layer`. */
void *pass_image(const struct network_pass *pass, int layer, void *all, int n);
/* out = in, or (add) out += in: n images of the layer's shape, whose types may differ. */
int pass_copy(const struct network_pass *pass, int layer, void *out, enum nn_type out_type,
              const void *in, enum nn_type in_type, bool add);
/* Whether the gradient of input[0] that layer i makes completes it, and that value has a fused
 * leaky ReLU: then `backward` multiplies by mask[input[0]], NET_SLOPE where it is clear (of kinds
 * with masks_input). */
bool pass_applies_mask(const struct network_pass *pass, int i);

#endif
