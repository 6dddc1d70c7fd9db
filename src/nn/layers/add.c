/* The sum of two values of one shape. The gradient of either is its own. */
#include "base/error.h"
#include "device/device.h"
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

/* value[i] = the value of input[slot], or (add) +=: their types may differ. */
static int add_input(struct network_pass *s, int i, int slot, bool add)
{
    const struct net_layer *l = &s->net->layers[i];
    int line = l->w * l->c, from = l->input[slot];
    struct nn_strided copy = {
        .out = s->value[i],
        .in = s->value[from],
        .out_type = l->type,
        .in_type = s->net->layers[from].type,
        .count = {1, 1, s->n, l->h, line},
        .out_stride = {0, 0, (ptrdiff_t)l->h * line, line, 1},
        .in_stride = {0, 0, (ptrdiff_t)l->h * line, line, 1},
        .add = add,
    };
    return s->device->nn->strided_copy(s->device, &copy);
}

static int add_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    (void)masks;
    TRY(add_input(s, i, 0, false));
    return add_input(s, i, 1, true);
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
