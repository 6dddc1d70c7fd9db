/* Resampling by 2 with the FIR [1,3,3,1]/8 on both axes (StyleGAN's): up with gain 4, which keeps
 * the mean, and down with gain 1. Each is the other's adjoint, gain for gain. With the edge
 * repeated outside, up is bilinear interpolation between the centres of pixels (PyTorch's, without
 * align_corners). */
#include "base/error.h"
#include "device/device.h"
#include "nn/layers.h"

enum { FIR_UP_GAIN = 4, FIR_DOWN_GAIN = 1 };

/* n tensors of the smaller layer's size, and those twice as large. */
static struct nn_fir fir_between(const struct network_pass *s, const struct net_layer *out,
                                 const struct net_layer *in, float gain)
{
    const struct net_layer *small = out->h < in->h ? out : in;
    return (struct nn_fir){.out_type = out->type,
                           .in_type = in->type,
                           .n = s->n,
                           .h = small->h,
                           .w = small->w,
                           .c = small->c,
                           .scale = gain};
}

static int fir_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[0]];
    bool up = l->kind != &layer_fir_down;
    struct nn_fir fir = fir_between(s, l, from, up ? FIR_UP_GAIN : FIR_DOWN_GAIN);
    (void)masks;
    fir.repeat = l->kind == &layer_bilinear_up;
    fir.out = s->value[i];
    fir.in = s->value[l->input[0]];
    return up ? s->device->nn->fir_up(s->device, &fir) : s->device->nn->fir_down(s->device, &fir);
}

/* The other one, with the same gain. */
static int fir_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[0]];
    bool up = l->kind != &layer_fir_down;
    struct nn_fir fir = fir_between(s, from, l, up ? FIR_UP_GAIN : FIR_DOWN_GAIN);
    (void)slot, (void)add;
    fir.repeat = l->kind == &layer_bilinear_up;
    fir.out = to;
    fir.in = s->grad[i];
    return up ? s->device->nn->fir_down(s->device, &fir) : s->device->nn->fir_up(s->device, &fir);
}

static int fir_up_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    l->h = 2 * from->h;
    l->w = 2 * from->w;
    l->c = from->c;
    return OK;
}

static int fir_down_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    l->h = from->h / 2;
    l->w = from->w / 2;
    l->c = from->c;
    return from->h % 2 || from->w % 2
               ? fail(ERR_CONFIG, "%d x %d cannot be halved", from->w, from->h)
               : OK;
}

const struct nn_layer_kind layer_fir_up = {
    .name = "fir_up",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = fir_up_shape,
    .forward = fir_forward,
    .backward = fir_backward,
    .is_piecewise_linear = true,
};

const struct nn_layer_kind layer_fir_down = {
    .name = "fir_down",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = fir_down_shape,
    .forward = fir_forward,
    .backward = fir_backward,
    .is_piecewise_linear = true,
};

const struct nn_layer_kind layer_bilinear_up = {
    .name = "bilinear_up",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = fir_up_shape,
    .forward = fir_forward,
    .backward = fir_backward,
    .is_piecewise_linear = true,
};
