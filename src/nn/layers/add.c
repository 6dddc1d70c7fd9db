/* The sum of two values of one shape. The gradient of either is its own. */
#include "base/error.h"
#include "nn/layers.h"

static int add_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *a = &net->layers[l->input[0]], *b = &net->layers[l->input[1]];
    if (a->h != b->h || a->w != b->w || a->c != b->c)
        return fail(ERR_CONFIG, "its inputs are %d x %d x %d and %d x %d x %d", a->w, a->h, a->c,
                    b->w, b->h, b->c);
    l->h = a->h;
    l->w = a->w;
    l->c = a->c;
    return OK;
}

static int add_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i];
    (void)masks;
    for (int k = 0; k < 2; k++)
        TRY(pass_copy(s, i, s->value[i], l->type, s->value[l->input[k]],
                      s->net->layers[l->input[k]].type, k > 0));
    return OK;
}

const struct nn_layer_kind layer_add = {
    .name = "add",
    .inputs_least = 2,
    .inputs_most = 2,
    .shape = add_shape,
    .forward = add_forward,
    .identity = 1 << 0 | 1 << 1,
    .is_piecewise_linear = true,
};
