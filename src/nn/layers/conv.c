/* Convolutions without stride that keep the size, and the fully connected layer (a convolution of
 * one pixel): input[0] data, input[1] a residual that is added before the leaky ReLU.
 * Forward and gradients: device/nn_ops.h. */
#include "base/error.h"
#include "device/device.h"
#include "nn/layers.h"

static int conv_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    l->h = from->h;
    l->w = from->w;
    if (l->kernel != 1 && l->kernel != 3) return fail(ERR_CONFIG, "its kernel must be 1 or 3");
    if (l->groups < 1 || from->c % l->groups || l->c % l->groups)
        return fail(ERR_CONFIG, "%d groups do not divide %d and %d channels", l->groups, from->c,
                    l->c);
    if (l->input_count == 1) return OK;
    const struct net_layer *residual = &net->layers[l->input[1]];
    if (residual->h != l->h || residual->w != l->w || residual->c != l->c)
        return fail(ERR_CONFIG, "its residual is %d x %d x %d, its output %d x %d x %d",
                    residual->w, residual->h, residual->c, l->w, l->h, l->c);
    return OK;
}

static int conv_weight_shape(const struct net *net, const struct net_layer *l, int64_t *shape)
{
    shape[0] = l->c;
    shape[1] = net->layers[l->input[0]].c / l->groups;
    shape[2] = shape[3] = l->kernel;
    return 4;
}

static int linear_shape(const struct net *net, struct net_layer *l)
{
    TRY(conv_shape(net, l));
    return l->h == 1 && l->w == 1 && l->kernel == 1 && l->groups == 1
               ? OK
               : fail(ERR_CONFIG, "its input must be a vector");
}

static int linear_weight_shape(const struct net *net, const struct net_layer *l, int64_t *shape)
{
    return conv_weight_shape(net, l, shape) - 2;
}

static int conv_layer_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i];
    struct nn_conv shape = net_conv(s->net, i, s->n, s->chunk);
    struct nn_epilogue e = {.bias = pass_weights(s, l->bias), .slope = 1};
    if (l->input_count > 1) e.residual = s->value[l->input[1]];
    if (l->leaky_relu && masks == PASS_FROZEN_MASKS) {
        e.mask_in = s->mask[i];
        e.mask_slope = NET_SLOPE;
    } else if (l->leaky_relu) {
        e.slope = NET_SLOPE;
        if (masks == PASS_WRITE_MASKS) e.mask_out = s->mask[i];
    }
    s->macs += net_layer_macs(s->net, i) * s->n;
    return s->device->nn->conv_forward(s->device, &shape, s->value[i], s->value[l->input[0]],
                                       pass_weights(s, l->weight), &e, s->workspace);
}

/* `add`: what `to` holds is the residual of the sum. */
static int conv_layer_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    const struct net_layer *l = &s->net->layers[i];
    int from = l->input[slot];
    struct nn_conv shape = net_conv(s->net, i, s->n, s->chunk);
    struct nn_epilogue e = {.slope = 1};
    if (l->skip >= 0) e.residual = s->grad[l->skip];
    if (add) e.residual = to;
    if (pass_applies_mask(s, i)) {
        e.mask_in = s->mask[from];
        e.mask_slope = NET_SLOPE;
    }
    s->macs += net_layer_macs(s->net, i) * s->n;
    return s->device->nn->conv_dgrad(s->device, &shape, to, s->grad[i], pass_weights(s, l->weight),
                                     &e, s->workspace);
}

static int conv_weight_gradient(struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    struct nn_conv shape = net_conv(s->net, i, s->n, s->chunk);
    s->macs += net_layer_macs(s->net, i) * s->n;
    TRY(s->device->nn->conv_wgrad(s->device, &shape, pass_gradient(s, l->weight),
                                  s->value[l->input[0]], s->grad[i], s->workspace));
    if (l->bias < 0) return OK;
    return s->device->nn->bias_grad(s->device, pass_gradient(s, l->bias), s->grad[i], l->type, s->n,
                                    l->h * l->w, l->c);
}

static double conv_macs(const struct net *net, int i)
{
    struct nn_conv c = net_conv(net, i, 1, 1);
    return (double)c.h * c.w * c.cout * (c.cin / c.groups) * c.kernel * c.kernel;
}

static size_t conv_layer_workspace(const struct net *net, const struct device *device, int i, int n,
                                   int chunk)
{
    struct nn_conv shape = net_conv(net, i, n, chunk);
    return device->nn->conv_workspace(device, &shape);
}

#define CONV_KIND(its_name, its_shape, its_weight_shape)                                           \
    {                                                                                              \
        .name = its_name, .inputs_least = 1, .inputs_most = 2, .shape = its_shape,                 \
        .weight_shape = its_weight_shape, .forward = conv_layer_forward,                           \
        .backward = conv_layer_backward, .weight_gradient = conv_weight_gradient,                  \
        .keeps = NN_KEEPS_INPUTS, .identity = 1 << 1, .can_fuse = true, .masks_input = true,       \
        .can_add = true, .is_piecewise_linear = true, .macs = conv_macs,                           \
        .workspace = conv_layer_workspace,                                                         \
    }

const struct nn_layer_kind layer_conv = CONV_KIND("conv", conv_shape, conv_weight_shape);
const struct nn_layer_kind layer_linear = CONV_KIND("linear", linear_shape, linear_weight_shape);
