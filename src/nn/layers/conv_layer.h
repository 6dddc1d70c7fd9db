/* What kinds of convolutions have in common: conv.c. */
#ifndef IMGTRAIN_NN_LAYERS_CONV_LAYER_H
#define IMGTRAIN_NN_LAYERS_CONV_LAYER_H

#include "nn/layers.h"

/* As in struct nn_layer_kind. A kind with `derive` computes with its derived weights,
 * [c][in][k][k], and the bias [c] behind them. */
int conv_layer_shape(const struct net *net, struct net_layer *layer);
int conv_layer_weight_shape(const struct net *net, const struct net_layer *layer, int64_t *shape);
int conv_layer_forward(struct network_pass *pass, int i, enum pass_masks masks);
int conv_layer_backward(struct network_pass *pass, int i, int slot, void *to, bool add);
double conv_layer_macs(const struct net *net, int i);
size_t conv_layer_workspace(const struct net *net, const struct device *device, int i, int n,
                            int chunk);

/* Images at a time, of n, that take `one` each of what `room` holds: whole reduction chunks. */
int conv_layer_part(int64_t room, int64_t one, int n, int chunk);
/* Of the forward pass of some images from `first` on: bias and leaky ReLU. */
struct nn_epilogue conv_layer_epilogue(const struct network_pass *pass, int i,
                                       enum pass_masks masks, int first);
/* Adds to db (NULL: nothing). */
int conv_layer_bias_gradient(const struct network_pass *pass, int i, float *db);
/* Adds the gradients of weights and bias (NULL: none) to dw and db. */
int conv_layer_gradients(struct network_pass *pass, int i, float *dw, float *db);
size_t conv_layer_weight_floats(const struct net *net, const struct net_layer *layer);

#endif
