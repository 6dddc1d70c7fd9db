/* Channels become pixels: out[y f + i][x f + j][c] = in[y][x][(c f + i) f + j] for a factor f
 * (Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
 * Convolutional Neural Network", CVPR 2016; channels as in PyTorch), or pixels channels, the same
 * the other way. The backward pass of either is the other. */
#include "base/error.h"
#include "device/device.h"
#include "nn/layers.h"

static int pixel_shuffle_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    int f = l->factor;
    if (f < 1 || from->c % (f * f))
        return fail(ERR_CONFIG, "%d channels are no multiple of %d x %d", from->c, f, f);
    l->h = from->h * f;
    l->w = from->w * f;
    l->c = from->c / (f * f);
    return OK;
}

/* From the tensor of fewer pixels to that of more, which a layer and its input are; rows of all
 * images are one axis. */
static struct nn_strided shuffle_between(const struct network_pass *s, const struct net_layer *from,
                                         const struct net_layer *l, int f)
{
    int c = l->c;
    ptrdiff_t row = (ptrdiff_t)l->w * c;
    return (struct nn_strided){
        .out_type = l->type,
        .in_type = from->type,
        .count = {s->n * from->h, f, from->w, f, c}, /* y, i, x, j, c */
        .out_stride = {f * row, row, (ptrdiff_t)f * c, c, 1},
        .in_stride = {(ptrdiff_t)from->w * from->c, f, from->c, 1, (ptrdiff_t)f * f},
    };
}

static struct nn_strided shuffle(const struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[0]];
    if (l->kind == &layer_pixel_shuffle) return shuffle_between(s, from, l, l->factor);
    return nn_strided_adjoint(shuffle_between(s, l, from, l->factor));
}

static int pixel_shuffle_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    struct nn_strided copy = shuffle(s, i);
    (void)masks;
    copy.out = s->value[i];
    copy.in = s->value[s->net->layers[i].input[0]];
    return s->device->nn->strided_copy(s->device, &copy);
}

static int pixel_shuffle_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    struct nn_strided copy = nn_strided_adjoint(shuffle(s, i));
    (void)slot;
    copy.out = to;
    copy.in = s->grad[i];
    copy.add = add;
    return s->device->nn->strided_copy(s->device, &copy);
}

const struct nn_layer_kind layer_pixel_shuffle = {
    .name = "pixel_shuffle",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = pixel_shuffle_shape,
    .forward = pixel_shuffle_forward,
    .backward = pixel_shuffle_backward,
    .can_add = true,
    .is_piecewise_linear = true,
};

static int pixel_unshuffle_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    int f = l->factor;
    if (f < 1 || from->h % f || from->w % f)
        return fail(ERR_CONFIG, "%d x %d pixels are no multiple of %d x %d", from->w, from->h, f,
                    f);
    l->h = from->h / f;
    l->w = from->w / f;
    l->c = from->c * f * f;
    return OK;
}

const struct nn_layer_kind layer_pixel_unshuffle = {
    .name = "pixel_unshuffle",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = pixel_unshuffle_shape,
    .forward = pixel_shuffle_forward,
    .backward = pixel_shuffle_backward,
    .can_add = true,
    .is_piecewise_linear = true,
};
