/* The largest of 2 x 2 pixels, an odd border left out. fp32. Its backward pass finds them again in
 * its input, which it keeps. */
#include "base/error.h"
#include "device/device.h"
#include "nn/layers.h"

static int max_pool_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    if (from->h < 2 || from->w < 2) return fail(ERR_CONFIG, "%d x %d pixels", from->h, from->w);
    l->h = from->h / 2;
    l->w = from->w / 2;
    l->c = from->c;
    return OK;
}

static int max_pool_layer_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[0]];
    (void)masks;
    if (l->type != NN_F32 || from->type != NN_F32) return fail(ERR_USAGE, "max_pool is of fp32");
    return s->device->nn->max_pool_forward(s->device, s->value[i], s->value[l->input[0]], s->n,
                                           from->h, from->w, from->c);
}

static int max_pool_layer_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[0]];
    (void)slot;
    if (!add)
        TRY(s->device->nn->zero(s->device, to, (size_t)s->n * net_bytes(s->net, l->input[0])));
    return s->device->nn->max_pool_dgrad(s->device, to, s->grad[i], s->value[l->input[0]], s->n,
                                         from->h, from->w, from->c);
}

const struct nn_layer_kind layer_max_pool = {
    .name = "max_pool",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = max_pool_shape,
    .forward = max_pool_layer_forward,
    .backward = max_pool_layer_backward,
    .keeps = NN_KEEPS_INPUTS,
    .can_add = true,
};
