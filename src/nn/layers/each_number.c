/* Functions of each number alone: math/pointwise.h. For the backward pass they keep their inputs,
 * from which the functions are computed again. */
#include "base/error.h"
#include "device/device.h"
#include "nn/layers.h"

static int pointwise_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    l->h = from->h;
    l->w = from->w;
    l->c = from->c;
    for (int k = 1; k < l->input_count; k++) {
        const struct net_layer *other = &net->layers[l->input[k]];
        if (other->h != l->h || other->w != l->w || other->c != l->c)
            return fail(ERR_CONFIG, "its inputs are %d x %d x %d and %d x %d x %d", l->w, l->h,
                        l->c, other->w, other->h, other->c);
    }
    return OK;
}

static int rgb_range_shape(const struct net *net, struct net_layer *l)
{
    TRY(pointwise_shape(net, l));
    return l->c == 3 ? OK : fail(ERR_CONFIG, "its input has %d channels and not three", l->c);
}

static struct nn_pointwise pointwise_of(const struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    bool two = l->input_count > 1;
    return (struct nn_pointwise){
        .function = l->kind == &layer_silu       ? NN_SILU
                    : l->kind == &layer_gate     ? NN_GATE
                    : l->kind == &layer_residual ? NN_RESIDUAL
                                                 : NN_RGB_RANGE,
        .a = s->value[l->input[0]],
        .b = two ? s->value[l->input[1]] : NULL,
        .a_type = s->net->layers[l->input[0]].type,
        .b_type = two ? s->net->layers[l->input[1]].type : NN_F32,
        .y_type = l->type,
        .count = (size_t)s->n * net_elements(s->net, i),
    };
}

static int pointwise_layer_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    struct nn_pointwise p = pointwise_of(s, i);
    (void)masks; /* is_piecewise_linear is not set */
    return s->device->nn->pointwise_forward(s->device, &p, s->value[i]);
}

static int pointwise_layer_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    struct nn_pointwise p = pointwise_of(s, i);
    return s->device->nn->pointwise_dgrad(s->device, &p, slot, to, s->grad[i], add);
}

#define POINTWISE_KIND(its_name, inputs, its_shape)                                                \
    {                                                                                              \
        .name = its_name, .inputs_least = inputs, .inputs_most = inputs, .shape = its_shape,       \
        .forward = pointwise_layer_forward, .backward = pointwise_layer_backward,                  \
        .keeps = NN_KEEPS_INPUTS, .can_add = true,                                                 \
    }

const struct nn_layer_kind layer_silu = POINTWISE_KIND("silu", 1, pointwise_shape);
const struct nn_layer_kind layer_gate = POINTWISE_KIND("gate", 2, pointwise_shape);
/* The gradient of what is added is its own, and neither is looked at again. */
const struct nn_layer_kind layer_residual = {
    .name = "residual",
    .inputs_least = 2,
    .inputs_most = 2,
    .shape = pointwise_shape,
    .forward = pointwise_layer_forward,
    .backward = pointwise_layer_backward,
    .identity = 1 << 1,
    .can_add = true,
    .is_piecewise_linear = true,
};

const struct nn_layer_kind layer_rgb_range = POINTWISE_KIND("rgb_range", 1, rgb_range_shape);
