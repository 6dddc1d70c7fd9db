/* A convolution, 3x3 or 1x1, of several values side by side, each enlarged `factor` times by
 * nearest neighbour first: the layers of dense blocks, and what follows an enlargement. What it
 * convolves is put together in the workspace, for some images at a time, so nothing but the values
 * themselves is kept for the backward pass. How many images depends on the shape alone, and no bit
 * on how many. */
#include "base/error.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/layers/conv_layer.h"

enum { GATHER_PART_NUMBERS = 1 << 21 };

static int gather_channels(const struct net *net, const struct net_layer *l)
{
    int channels = 0;
    for (int k = 0; k < l->input_count; k++)
        channels += net->layers[l->input[k]].c;
    return channels;
}

static enum nn_type gather_type(const struct net *net, const struct net_layer *l)
{
    return net->layers[l->input[0]].type;
}

static int gather_part(const struct net *net, const struct net_layer *l, int n, int chunk)
{
    int64_t numbers = (int64_t)l->h * l->w * gather_channels(net, l);
    return conv_layer_part(GATHER_PART_NUMBERS, numbers, n, chunk);
}

/* The convolution of `n` images. */
static struct nn_conv gather_conv(const struct net *net, int i, int n, int chunk)
{
    struct nn_conv conv = net_conv(net, i, n, chunk);
    conv.cin = gather_channels(net, &net->layers[i]);
    conv.groups = 1;
    return conv;
}

static size_t gather_bytes(const struct net *net, int i, int part)
{
    const struct net_layer *l = &net->layers[i];
    size_t bytes = (size_t)part * (size_t)l->h * (size_t)l->w * (size_t)gather_channels(net, l) *
                   nn_type_bytes(gather_type(net, l));
    return plan_aligned(bytes);
}

static void *gather_conv_room(const struct network_pass *s, int i, int part)
{
    return (char *)s->workspace + gather_bytes(s->net, i, part);
}

static int conv_gather_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *first = &net->layers[l->input[0]];
    if (l->factor < 1) return fail(ERR_CONFIG, "a factor of %d", l->factor);
    l->h = first->h * l->factor;
    l->w = first->w * l->factor;
    if (l->kernel != 1 && l->kernel != 3) return fail(ERR_CONFIG, "its kernel must be 1 or 3");
    for (int k = 1; k < l->input_count; k++) {
        const struct net_layer *from = &net->layers[l->input[k]];
        if (from->h != first->h || from->w != first->w || from->type != first->type)
            return fail(ERR_CONFIG, "its inputs are %d x %d and %d x %d", first->w, first->h,
                        from->w, from->h);
        for (int before = 0; before < k; before++)
            if (l->input[before] == l->input[k])
                return fail(ERR_CONFIG, "it reads layer %d twice", l->input[k]);
    }
    return OK;
}

static int conv_gather_weight_shape(const struct net *net, const struct net_layer *l,
                                    int64_t *shape)
{
    shape[0] = l->c;
    shape[1] = gather_channels(net, l);
    shape[2] = shape[3] = l->kernel;
    return 4;
}

/* From input[slot] to its place in what is put together, of `n` images, for the enlarged pixels at
 * (`place` / factor, `place` % factor) of each. */
static struct nn_strided gather_copy(const struct network_pass *s, int i, int slot, int place,
                                     int n)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[slot]];
    ptrdiff_t all = gather_channels(s->net, l), f = l->factor, skip = 0;
    for (int k = 0; k < slot; k++)
        skip += s->net->layers[l->input[k]].c;
    skip += (place / f * l->w + place % f) * all;
    return (struct nn_strided){
        .out = (char *)s->workspace + (size_t)skip * nn_type_bytes(from->type),
        .out_type = from->type,
        .in_type = from->type,
        .count = {1, 1, n * from->h, from->w, from->c}, /* y, x, c */
        .out_stride = {0, 0, f * l->w * all, f * all, 1},
        .in_stride = {0, 0, (ptrdiff_t)from->w * from->c, from->c, 1},
    };
}

static int gather_inputs(struct network_pass *s, int i, int first, int n)
{
    const struct net_layer *l = &s->net->layers[i];
    for (int k = 0; k < l->input_count; k++)
        for (int place = 0; place < l->factor * l->factor; place++) {
            struct nn_strided copy = gather_copy(s, i, k, place, n);
            copy.in = pass_image(s, l->input[k], s->value[l->input[k]], first);
            TRY(s->device->nn->strided_copy(s->device, &copy));
        }
    return OK;
}

/* The other way: the gradient of input[slot]. */
static int scatter_gradient(struct network_pass *s, int i, int slot, int first, int n, bool add)
{
    const struct net_layer *l = &s->net->layers[i];
    int from = l->input[slot];
    for (int place = 0; place < l->factor * l->factor; place++) {
        struct nn_strided there = gather_copy(s, i, slot, place, n);
        struct nn_strided copy = nn_strided_adjoint(there);
        copy.out = pass_image(s, from, s->grad[from], first);
        copy.in = there.out;
        copy.add = add || place > 0;
        TRY(s->device->nn->strided_copy(s->device, &copy));
    }
    return OK;
}

static int conv_gather_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i];
    int part = gather_part(s->net, l, s->n, s->chunk), n;
    void *room = gather_conv_room(s, i, part);
    s->macs += net_layer_macs(s->net, i) * s->n;
    for (int first = 0; first < s->n; first += n) {
        n = s->n - first < part ? s->n - first : part;
        struct nn_conv shape = gather_conv(s->net, i, n, s->chunk);
        struct nn_epilogue e = conv_layer_epilogue(s, i, masks, first);
        TRY(gather_inputs(s, i, first, n));
        TRY(s->device->nn->conv_forward(s->device, &shape, pass_image(s, i, s->value[i], first),
                                        s->workspace, pass_weights(s, l->weight), &e, room));
    }
    return OK;
}

static int conv_gather_backward_inputs(struct network_pass *s, int i, unsigned slots)
{
    const struct net_layer *l = &s->net->layers[i];
    int part = gather_part(s->net, l, s->n, s->chunk), n;
    void *room = gather_conv_room(s, i, part);
    const struct nn_epilogue e = {.slope = 1};
    s->macs += net_layer_macs(s->net, i) * s->n;
    for (int first = 0; first < s->n; first += n) {
        n = s->n - first < part ? s->n - first : part;
        struct nn_conv shape = gather_conv(s->net, i, n, s->chunk);
        TRY(s->device->nn->conv_dgrad(s->device, &shape, s->workspace,
                                      pass_image(s, i, s->grad[i], first),
                                      pass_weights(s, l->weight), &e, room));
        for (int k = 0; k < l->input_count; k++)
            if (slots >> k & 1)
                TRY(scatter_gradient(s, i, k, first, n, l->gradient[k] == NET_GRADIENT_ADDS));
    }
    return OK;
}

static int conv_gather_weight_gradient(struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    int part = gather_part(s->net, l, s->n, s->chunk), n;
    void *room = gather_conv_room(s, i, part);
    s->macs += net_layer_macs(s->net, i) * s->n;
    for (int first = 0; first < s->n; first += n) {
        n = s->n - first < part ? s->n - first : part;
        struct nn_conv shape = gather_conv(s->net, i, n, s->chunk);
        TRY(gather_inputs(s, i, first, n));
        TRY(s->device->nn->conv_wgrad(s->device, &shape, pass_gradient(s, l->weight), s->workspace,
                                      pass_image(s, i, s->grad[i], first), room));
    }
    return conv_layer_bias_gradient(s, i, pass_gradient(s, l->bias));
}

static double conv_gather_macs(const struct net *net, int i)
{
    struct nn_conv c = gather_conv(net, i, 1, 1);
    return (double)c.h * c.w * c.cout * c.cin * c.kernel * c.kernel;
}

static size_t conv_gather_workspace(const struct net *net, const struct device *device, int i,
                                    int n, int chunk)
{
    int part = gather_part(net, &net->layers[i], n, chunk);
    struct nn_conv shape = gather_conv(net, i, part, chunk);
    return gather_bytes(net, i, part) + device->nn->conv_workspace(device, &shape);
}

const struct nn_layer_kind layer_conv_gather = {
    .name = "conv_gather",
    .inputs_least = 1,
    .inputs_most = NET_MAX_INPUTS,
    .shape = conv_gather_shape,
    .weight_shape = conv_gather_weight_shape,
    .forward = conv_gather_forward,
    .backward_inputs = conv_gather_backward_inputs,
    .weight_gradient = conv_gather_weight_gradient,
    .keeps = NN_KEEPS_INPUTS,
    .can_fuse = true,
    .can_add = true,
    .is_piecewise_linear = true,
    .macs = conv_gather_macs,
    .workspace = conv_gather_workspace,
};
