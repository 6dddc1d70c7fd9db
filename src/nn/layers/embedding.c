/* What a network knows of an image's class, table [embedding][classes]: the label's column behind
 * the latent (embedded_input), and its inner product with the features (label_projection: Miyato
 * and Koyama, "cGANs with Projection Discriminator", ICLR 2018). */
#include "base/error.h"
#include "device/device.h"
#include "nn/layers.h"

static int table_shape(const struct net *net, const struct net_layer *l, int64_t *shape)
{
    (void)net;
    shape[0] = l->embedding;
    shape[1] = l->classes;
    return 2;
}

/* The first numbers of a row are there: whoever runs the pass has put the latent. */
static int embedded_input_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i];
    (void)masks;
    return s->device->nn->embed_gather(s->device, (float *)s->value[i] + l->c - l->embedding,
                                       pass_weights(s, l->weight), s->labels, s->n, l->embedding,
                                       l->classes, l->c);
}

static int embedded_input_weight_gradient(struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    return s->device->nn->embed_grad(s->device, pass_gradient(s, l->weight),
                                     (const float *)s->grad[i] + l->c - l->embedding, s->labels,
                                     s->n, l->embedding, l->classes, l->c);
}

const struct nn_layer_kind layer_embedded_input = {
    .name = "embedded_input",
    .weight_shape = table_shape,
    .forward = embedded_input_forward,
    .weight_gradient = embedded_input_weight_gradient,
    .is_piecewise_linear = true,
};

static int label_projection_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    l->h = l->w = l->c = 1;
    l->embedding = from->c;
    return from->h == 1 && from->w == 1 ? OK : fail(ERR_CONFIG, "its input must be a vector");
}

static int label_projection_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i];
    (void)masks;
    return s->device->nn->project(s->device, s->value[i], s->value[l->input[0]],
                                  pass_weights(s, l->weight), s->labels, s->n, l->embedding,
                                  l->classes);
}

static int label_projection_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    const struct net_layer *l = &s->net->layers[i];
    (void)slot, (void)add;
    return s->device->nn->project_dgrad(s->device, to, s->grad[i], pass_weights(s, l->weight),
                                        s->labels, s->n, l->embedding, l->classes);
}

static int label_projection_weight_gradient(struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    return s->device->nn->project_grad(s->device, pass_gradient(s, l->weight), s->grad[i],
                                       s->value[l->input[0]], s->labels, s->n, l->embedding,
                                       l->classes);
}

const struct nn_layer_kind layer_label_projection = {
    .name = "label_projection",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = label_projection_shape,
    .weight_shape = table_shape,
    .forward = label_projection_forward,
    .backward = label_projection_backward,
    .weight_gradient = label_projection_weight_gradient,
    .keeps = NN_KEEPS_INPUTS,
    .is_piecewise_linear = true,
};
