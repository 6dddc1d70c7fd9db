/* A leaky ReLU with a learnt slope for each channel (He et al., "Delving Deep into Rectifiers",
 * arXiv:1502.01852). For its backward pass it keeps its input: the slope's gradient needs the
 * value where it is not > 0, which a mask does not tell, nor the output where the slope is 0. The
 * output is kept as well where the next layer does so. A checkpoint segment of this layer and the
 * convolution behind it leaves the input alone: the output is made again, in one cheap pass. */
#include "base/error.h"
#include "device/device.h"
#include "nn/layers.h"

static int prelu_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    l->h = from->h;
    l->w = from->w;
    l->c = from->c;
    return OK;
}

static int prelu_weight_shape(const struct net *net, const struct net_layer *l, int64_t *shape)
{
    (void)net;
    shape[0] = l->c;
    return 1;
}

static struct nn_prelu prelu_of(const struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    return (struct nn_prelu){
        .z = s->value[l->input[0]],
        .slopes = pass_weights(s, l->weight),
        .z_type = s->net->layers[l->input[0]].type,
        .y_type = l->type,
        .n = s->n,
        .pixels = l->h * l->w,
        .c = l->c,
    };
}

static int prelu_layer_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    struct nn_prelu p = prelu_of(s, i);
    (void)masks; /* is_piecewise_linear is not set */
    return s->device->nn->prelu_forward(s->device, &p, s->value[i]);
}

static int prelu_layer_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    struct nn_prelu p = prelu_of(s, i);
    (void)slot;
    return s->device->nn->prelu_dgrad(s->device, &p, to, s->grad[i], add);
}

static int prelu_weight_gradient(struct network_pass *s, int i)
{
    struct nn_prelu p = prelu_of(s, i);
    return s->device->nn->prelu_grad(s->device, &p, pass_gradient(s, s->net->layers[i].weight),
                                     s->grad[i]);
}

const struct nn_layer_kind layer_prelu = {
    .name = "prelu",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = prelu_shape,
    .weight_shape = prelu_weight_shape,
    .weight_start = 0.25f,
    .forward = prelu_layer_forward,
    .backward = prelu_layer_backward,
    .weight_gradient = prelu_weight_gradient,
    .keeps = NN_KEEPS_INPUTS,
    .can_add = true,
};
