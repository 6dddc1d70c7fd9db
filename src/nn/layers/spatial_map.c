/* One weight for each channel and pixel, [c][h][w]: from a vector to an image by the products
 * (expand: R3GAN's learned basis), and from an image to a vector by their sums (contract: a
 * depthwise convolution as large as the image). Each is the other's adjoint. */
#include "base/error.h"
#include "device/device.h"
#include "nn/layers.h"

static int expand_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    l->c = from->c;
    return from->h == 1 && from->w == 1 ? OK : fail(ERR_CONFIG, "its input must be a vector");
}

static int expand_weight_shape(const struct net *net, const struct net_layer *l, int64_t *shape)
{
    (void)net;
    shape[0] = l->c;
    shape[1] = l->h;
    shape[2] = l->w;
    return 3;
}

static int expand_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i];
    (void)masks;
    return s->device->nn->spatial_map_expand(s->device, s->value[i], l->type, s->value[l->input[0]],
                                             pass_weights(s, l->weight), s->n, l->h * l->w, l->c);
}

static int expand_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    const struct net_layer *l = &s->net->layers[i];
    (void)slot, (void)add;
    return s->device->nn->spatial_map_contract(s->device, to, s->grad[i], l->type,
                                               pass_weights(s, l->weight), s->n, l->h * l->w, l->c);
}

static int expand_weight_gradient(struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    return s->device->nn->spatial_map_grad(s->device, pass_gradient(s, l->weight),
                                           s->value[l->input[0]], s->grad[i], l->type, s->n,
                                           l->h * l->w, l->c);
}

const struct nn_layer_kind layer_expand = {
    .name = "expand",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = expand_shape,
    .weight_shape = expand_weight_shape,
    .forward = expand_forward,
    .backward = expand_backward,
    .weight_gradient = expand_weight_gradient,
    .keeps = NN_KEEPS_INPUTS,
    .is_piecewise_linear = true,
};

static int contract_shape(const struct net *net, struct net_layer *l)
{
    l->h = l->w = 1;
    l->c = net->layers[l->input[0]].c;
    return OK;
}

static int contract_weight_shape(const struct net *net, const struct net_layer *l, int64_t *shape)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    shape[0] = l->c;
    shape[1] = 1;
    shape[2] = from->h;
    shape[3] = from->w;
    return 4;
}

static int contract_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[0]];
    (void)masks;
    return s->device->nn->spatial_map_contract(s->device, s->value[i], s->value[l->input[0]],
                                               from->type, pass_weights(s, l->weight), s->n,
                                               from->h * from->w, l->c);
}

static int contract_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[0]];
    (void)slot, (void)add;
    return s->device->nn->spatial_map_expand(s->device, to, from->type, s->grad[i],
                                             pass_weights(s, l->weight), s->n, from->h * from->w,
                                             l->c);
}

static int contract_weight_gradient(struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[0]];
    return s->device->nn->spatial_map_grad(s->device, pass_gradient(s, l->weight), s->grad[i],
                                           s->value[l->input[0]], from->type, s->n,
                                           from->h * from->w, l->c);
}

const struct nn_layer_kind layer_contract = {
    .name = "contract",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = contract_shape,
    .weight_shape = contract_weight_shape,
    .forward = contract_forward,
    .backward = contract_backward,
    .weight_gradient = contract_weight_gradient,
    .keeps = NN_KEEPS_INPUTS,
    .is_piecewise_linear = true,
};
