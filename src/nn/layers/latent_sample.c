/* A sample of what an autoencoder says of an image: input[0] has means and logarithms of variances
 * side by side, input[1] standard normal numbers. fp32. */
#include "base/error.h"
#include "device/device.h"
#include "nn/layers.h"

static int latent_sample_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *moments = &net->layers[l->input[0]];
    const struct net_layer *noise = &net->layers[l->input[1]];
    if (moments->c != 2 * noise->c || moments->h != noise->h || moments->w != noise->w)
        return fail(ERR_CONFIG, "its noise is not of its latents' shape");
    l->h = noise->h;
    l->w = noise->w;
    l->c = noise->c;
    return OK;
}

static int latent_of(const struct network_pass *s, int i, struct nn_latent *latent)
{
    const struct net_layer *l = &s->net->layers[i];
    if (l->type != NN_F32 || s->net->layers[l->input[0]].type != NN_F32)
        return fail(ERR_USAGE, "latent_sample is of fp32");
    *latent = (struct nn_latent){.moments = s->value[l->input[0]],
                                 .noise = s->value[l->input[1]],
                                 .n = s->n,
                                 .pixels = l->h * l->w,
                                 .c = l->c};
    return OK;
}

static int latent_sample_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    struct nn_latent latent;
    (void)masks; /* is_piecewise_linear is not set */
    TRY(latent_of(s, i, &latent));
    return s->device->nn->latent_sample(s->device, &latent, s->value[i]);
}

static int latent_sample_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    struct nn_latent latent;
    (void)add; /* can_add is not set */
    TRY(latent_of(s, i, &latent));
    if (slot == 1) return fail(ERR_USAGE, "latent_sample: noise has no gradient");
    return s->device->nn->latent_dgrad(s->device, &latent, to, s->grad[i]);
}

const struct nn_layer_kind layer_latent_sample = {
    .name = "latent_sample",
    .inputs_least = 2,
    .inputs_most = 2,
    .shape = latent_sample_shape,
    .forward = latent_sample_forward,
    .backward = latent_sample_backward,
    .keeps = NN_KEEPS_INPUTS,
};
