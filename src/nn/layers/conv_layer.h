/* What kinds of convolutions have in common: conv.c. */
#ifndef IMGTRAIN_NN_LAYERS_CONV_LAYER_H
#define IMGTRAIN_NN_LAYERS_CONV_LAYER_H

#include "nn/layers.h"

/* As in struct nn_layer_kind. A kind with `derive` computes with its derived weights,
 * [c][in][k][k], and the bias [c] behind them. */
int conv_layer_shape(const struct net *net, struct net_layer *layer);
int conv_layer_forward(struct network_pass *pass, int i, enum pass_masks masks);
int conv_layer_backward(struct network_pass *pass, int i, int slot, void *to, bool add);
double conv_layer_macs(const struct net *net, int i);
size_t conv_layer_workspace(const struct net *net, const struct device *device, int i, int n,
                            int chunk);

/* Adds the gradients of weights and bias (NULL: none) to dw and db. */
int conv_layer_gradients(struct network_pass *pass, int i, float *dw, float *db);
size_t conv_layer_weight_floats(const struct net *net, const struct net_layer *layer);

#endif
