/* Normalisation of groups of neighbouring channels over an image, `silu`: with a SiLU behind it.
 * Sums over the image are made again in the backward pass, from its input, which it keeps: they
 * cost one reading of it. Weights and bias get their gradients where that of the input is made,
 * from the same sums. */
#include "base/error.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/layers.h"

static int group_norm_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    l->h = from->h;
    l->w = from->w;
    l->c = from->c;
    if (l->groups < 1 || l->c % l->groups)
        return fail(ERR_CONFIG, "%d groups do not divide %d channels", l->groups, l->c);
    if (l->c > NN_GROUP_NORM_CHANNELS) return fail(ERR_CONFIG, "%d channels", l->c);
    return OK;
}

static int group_norm_weight_shape(const struct net *net, const struct net_layer *l, int64_t *shape)
{
    (void)net;
    shape[0] = l->c;
    return 1;
}

static size_t norm_sums_bytes(const struct net_layer *l, int n)
{
    return plan_aligned((size_t)n * (size_t)l->groups * 2 * sizeof(double));
}

/* With the sums over its input, which it makes. */
static int group_norm_of(const struct network_pass *s, int i, struct nn_group_norm *norm)
{
    const struct net_layer *l = &s->net->layers[i];
    *norm = (struct nn_group_norm){.x = s->value[l->input[0]],
                                   .weight = pass_weights(s, l->weight),
                                   .bias = pass_weights(s, l->bias),
                                   .x_type = s->net->layers[l->input[0]].type,
                                   .y_type = l->type,
                                   .n = s->n,
                                   .rows = l->h,
                                   .width = l->w,
                                   .c = l->c,
                                   .groups = l->groups,
                                   .pixels = (double)l->h * l->w,
                                   .eps = NET_GROUP_NORM_EPS,
                                   .silu = l->silu,
                                   .sums = s->workspace};
    TRY(s->device->nn->zero(s->device, s->workspace, norm_sums_bytes(l, s->n)));
    return s->device->nn->group_norm_sums(s->device, norm, s->workspace);
}

static int norm_slopes(const struct network_pass *s, int i, const struct nn_group_norm *norm,
                       double **slopes)
{
    const struct net_layer *l = &s->net->layers[i];
    size_t bytes = (size_t)s->n * (size_t)l->c * 2 * sizeof(double);
    *slopes = (void *)((char *)s->workspace + norm_sums_bytes(l, s->n));
    TRY(s->device->nn->zero(s->device, *slopes, bytes));
    TRY(s->device->nn->group_norm_slopes(s->device, norm, *slopes, s->grad[i]));
    if (!s->gradients) return OK;
    return s->device->nn->group_norm_grad(s->device, pass_gradient(s, l->weight),
                                          pass_gradient(s, l->bias), *slopes, s->n, l->c);
}

static int group_norm_layer_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    struct nn_group_norm norm;
    (void)masks; /* is_piecewise_linear is not set */
    TRY(group_norm_of(s, i, &norm));
    return s->device->nn->group_norm_forward(s->device, &norm, s->value[i]);
}

static int group_norm_layer_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    struct nn_group_norm norm;
    double *slopes;
    (void)slot;
    TRY(group_norm_of(s, i, &norm));
    TRY(norm_slopes(s, i, &norm, &slopes));
    return s->device->nn->group_norm_dgrad(s->device, &norm, to, s->grad[i], slopes, add);
}

static int group_norm_weight_gradient(struct network_pass *s, int i)
{
    struct nn_group_norm norm;
    double *slopes;
    if (s->grad[s->net->layers[i].input[0]]) return OK; /* its backward is asked for, too */
    TRY(group_norm_of(s, i, &norm));
    return norm_slopes(s, i, &norm, &slopes);
}

static size_t group_norm_workspace(const struct net *net, const struct device *device, int i, int n,
                                   int chunk)
{
    const struct net_layer *l = &net->layers[i];
    (void)device, (void)chunk;
    return norm_sums_bytes(l, n) + (size_t)n * (size_t)l->c * 2 * sizeof(double);
}

const struct nn_layer_kind layer_group_norm = {
    .name = "group_norm",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = group_norm_shape,
    .weight_shape = group_norm_weight_shape,
    .weight_start = 1,
    .forward = group_norm_layer_forward,
    .backward = group_norm_layer_backward,
    .weight_gradient = group_norm_weight_gradient,
    .keeps = NN_KEEPS_INPUTS,
    .can_add = true,
    .workspace = group_norm_workspace,
};
