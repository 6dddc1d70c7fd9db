/* The sweeps over a network: short loops over its layer records.
 *
 * Exact R1 and R2 without a second derivative. For a network that is piecewise linear, with masks M
 * frozen: let delta be the adjoint sweep's result for seed s at the score, v' its gradient at the
 * input. The penalty's weight gradient is that of a forward sweep of a tangent t (no biases) from
 * t_0 = T T' v', paired with delta; and t may be added to the activations beforehand, because
 * a_l = M_l (W a_{l-1} + b) and t_l = M_l W t_{l-1} give u_l = a_l + f t_l = M_l (W u_{l-1} + b).
 * So one ordinary forward sweep with frozen masks from u_0 = x + f t_0, pairing each u_{l-1} with
 * delta_l, makes the weight gradients of loss and penalty together, and no activation of the first
 * forward sweep is kept: only masks (1 bit) and deltas. With s = dL/dscore the bias gradients are
 * plain sums of delta. Cost in forward units: forward 1, adjoint 1, second forward 1, weights 1. */
#ifndef IMGTRAIN_NN_PASSES_H
#define IMGTRAIN_NN_PASSES_H

#include "nn/graph.h"

struct plan;

enum sweep_masks { SWEEP_NO_MASKS, SWEEP_WRITE_MASKS, SWEEP_FROZEN_MASKS };

/* Where sweeps look before every layer; requested NULL: nowhere. Once it was heard, they leave all
 * layers out: what they made counts for nothing. */
struct sweep_stop {
    bool (*requested)(void);
    bool heard;
};

/* Buffers of one use of a network: NULL where that use has none. Addresses come from the plan. */
struct sweep {
    const struct net *net;
    const struct nn_ops *ops;
    const float *parameters;
    float *gradients;        /* accumulated into; NULL = no weight gradients */
    int n;                   /* pictures */
    int slice;               /* see device/nn_ops.h */
    const int *labels;       /* [n] with classes */
    void *workspace;         /* sweep_workspace bytes */
    struct sweep_stop *stop; /* NULL: nowhere */
    /* Scheme C: a group of layers (net.h) takes sweep_part pictures at a time, the buffers inside
     * it hold no more, and what is inside is made again for the weight gradients. */
    bool parts;
    double macs;                 /* multiplications of convolutions, counted up */
    void *value[NET_MAX_LAYERS]; /* [n][h][w][c] of the layer's type */
    void *grad[NET_MAX_LAYERS];  /* gradient at the layer's sum, before the leaky ReLU */
    uint8_t *mask[NET_MAX_LAYERS];
};

/* value[0] (of G with classes: the z part of its rows) -> value[last]. weight_gradients: pairs the
 * values with the gradients of an earlier adjoint sweep. */
void sweep_forward(struct sweep *sweep, enum sweep_masks masks, bool weight_gradients);

/* grad[last] -> gradients of all layers down to the input's (where grad[0] is not NULL).
 * weight_gradients: pairs them with the values of the forward sweep. */
void sweep_adjoint(struct sweep *sweep, bool weight_gradients);

/* Pictures that the group of `layer` takes at a time in scheme C: whole slices, as few as they are
 * at the largest group, more where pictures are smaller. */
int sweep_part(const struct net *net, int layer, int slice);

/* Scratch of any sweep of n pictures. */
size_t sweep_workspace(const struct net *net, const struct nn_ops *ops, int n, int slice);

#endif
