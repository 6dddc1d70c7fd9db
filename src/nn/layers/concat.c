/* The channels of some values of one size behind one another. */
#include "base/error.h"
#include "device/device.h"
#include "nn/layers.h"

static int concat_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *first = &net->layers[l->input[0]];
    l->h = first->h;
    l->w = first->w;
    l->c = 0;
    for (int k = 0; k < l->input_count; k++) {
        const struct net_layer *from = &net->layers[l->input[k]];
        if (from->h != l->h || from->w != l->w)
            return fail(ERR_CONFIG, "its inputs are %d x %d and %d x %d", l->w, l->h, from->w,
                        from->h);
        l->c += from->c;
    }
    return OK;
}

/* From input[slot] to its channels of the output. */
static struct nn_strided concat_part(const struct network_pass *s, int i, int slot)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[slot]];
    return (struct nn_strided){
        .out_type = l->type,
        .in_type = from->type,
        .count = {1, 1, s->n * l->h, l->w, from->c},
        .out_stride = {0, 0, (ptrdiff_t)l->w * l->c, l->c, 1},
        .in_stride = {0, 0, (ptrdiff_t)l->w * from->c, from->c, 1},
    };
}

static size_t first_channel(const struct network_pass *s, int i, int slot)
{
    size_t channels = 0;
    for (int k = 0; k < slot; k++)
        channels += (size_t)s->net->layers[s->net->layers[i].input[k]].c;
    return channels;
}

static int concat_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i];
    (void)masks;
    for (int k = 0; k < l->input_count; k++) {
        struct nn_strided copy = concat_part(s, i, k);
        copy.out = (char *)s->value[i] + first_channel(s, i, k) * nn_type_bytes(l->type);
        copy.in = s->value[l->input[k]];
        TRY(s->device->nn->strided_copy(s->device, &copy));
    }
    return OK;
}

static int concat_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    const struct net_layer *l = &s->net->layers[i];
    struct nn_strided copy = nn_strided_adjoint(concat_part(s, i, slot));
    copy.out = to;
    copy.in = (const char *)s->grad[i] + first_channel(s, i, slot) * nn_type_bytes(l->type);
    copy.add = add;
    return s->device->nn->strided_copy(s->device, &copy);
}

const struct nn_layer_kind layer_concat = {
    .name = "concat",
    .inputs_least = 2,
    .inputs_most = NET_MAX_INPUTS,
    .shape = concat_shape,
    .forward = concat_forward,
    .backward = concat_backward,
    .can_add = true,
    .is_piecewise_linear = true,
};
