/* Every pixel becomes factor x factor equal ones. In the backward pass these are added up, one
 * place after the other, so the order of the sum is fixed. */
#include "base/error.h"
#include "device/device.h"
#include "nn/layers.h"

static int nearest_up_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    if (l->factor < 1) return fail(ERR_CONFIG, "a factor of %d", l->factor);
    l->h = from->h * l->factor;
    l->w = from->w * l->factor;
    l->c = from->c;
    return OK;
}

static int nearest_up_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[0]];
    int f = l->factor, c = l->c;
    ptrdiff_t row = (ptrdiff_t)l->w * c;
    struct nn_strided copy = {
        .out = s->value[i],
        .in = s->value[l->input[0]],
        .out_type = l->type,
        .in_type = from->type,
        .count = {s->n * from->h, f, from->w, f, c}, /* y, i, x, j, c */
        .out_stride = {f * row, row, (ptrdiff_t)f * c, c, 1},
        .in_stride = {(ptrdiff_t)from->w * c, 0, c, 0, 1},
    };
    (void)masks;
    return s->device->nn->strided_copy(s->device, &copy);
}

static int nearest_up_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[0]];
    int f = l->factor, c = l->c;
    (void)slot;
    for (int place = 0; place < f * f; place++) {
        size_t skip = ((size_t)(place / f) * (size_t)l->w + (size_t)(place % f)) * (size_t)c;
        struct nn_strided copy = {
            .out = to,
            .in = (const char *)s->grad[i] + skip * nn_type_bytes(l->type),
            .out_type = from->type,
            .in_type = l->type,
            .count = {1, 1, s->n * from->h, from->w, c}, /* y, x, c */
            .out_stride = {0, 0, (ptrdiff_t)from->w * c, c, 1},
            .in_stride = {0, 0, (ptrdiff_t)f * l->w * c, (ptrdiff_t)f * c, 1},
            .add = add || place > 0,
        };
        TRY(s->device->nn->strided_copy(s->device, &copy));
    }
    return OK;
}

const struct nn_layer_kind layer_nearest_up = {
    .name = "nearest_up",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = nearest_up_shape,
    .forward = nearest_up_forward,
    .backward = nearest_up_backward,
    .can_add = true,
    .is_piecewise_linear = true,
};
