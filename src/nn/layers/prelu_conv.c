/* A convolution behind a PReLU (prelu.c), whose output is kept nowhere: `slopes` of its input's
 * channels, then weights and bias of the convolution. For its backward pass it keeps its input, so
 * a network of these keeps one tensor a layer. */
#include "base/error.h"
#include "device/device.h"
#include "nn/layers/conv_layer.h"

static struct nn_prelu_conv prelu_conv_of(const struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    return (struct nn_prelu_conv){.conv = net_conv(s->net, i, s->n, s->chunk),
                                  .z = s->value[l->input[0]],
                                  .slopes = pass_weights(s, l->slopes)};
}

static int prelu_conv_layer_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i];
    struct nn_prelu_conv p = prelu_conv_of(s, i);
    struct nn_epilogue e = {.bias = pass_weights(s, l->bias), .slope = 1};
    (void)masks; /* is_piecewise_linear is not set */
    s->macs += net_layer_macs(s->net, i) * s->n;
    return s->device->nn->prelu_conv_forward(s->device, &p, s->value[i], pass_weights(s, l->weight),
                                             &e, s->workspace);
}

/* The slopes' gradient is made here too, from what is only there in passing: no pass with gradients
 * of parameters makes this layer's `backward` twice. */
static int prelu_conv_layer_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    const struct net_layer *l = &s->net->layers[i];
    struct nn_prelu_conv p = prelu_conv_of(s, i);
    (void)slot, (void)add; /* can_add is not set */
    s->macs += net_layer_macs(s->net, i) * s->n;
    return s->device->nn->prelu_conv_dgrad(
        s->device, &p, to, s->grad[i], pass_weights(s, l->weight),
        s->gradients ? pass_gradient(s, l->slopes) : NULL, s->workspace);
}

static int prelu_conv_weight_gradient(struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    struct nn_prelu_conv p = prelu_conv_of(s, i);
    s->macs += net_layer_macs(s->net, i) * s->n;
    TRY(s->device->nn->prelu_conv_wgrad(s->device, &p, pass_gradient(s, l->weight), s->grad[i],
                                        s->workspace));
    return conv_layer_bias_gradient(s, i, pass_gradient(s, l->bias));
}

static size_t prelu_conv_layer_workspace(const struct net *net, const struct device *device, int i,
                                         int n, int chunk)
{
    struct nn_conv shape = net_conv(net, i, n, chunk);
    return device->nn->prelu_conv_workspace(device, &shape);
}

const struct nn_layer_kind layer_prelu_conv = {
    .name = "prelu_conv",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = conv_layer_shape,
    .weight_shape = conv_layer_weight_shape,
    .forward = prelu_conv_layer_forward,
    .backward = prelu_conv_layer_backward,
    .weight_gradient = prelu_conv_weight_gradient,
    .keeps = NN_KEEPS_INPUTS,
    .macs = conv_layer_macs,
    .workspace = prelu_conv_layer_workspace,
};
