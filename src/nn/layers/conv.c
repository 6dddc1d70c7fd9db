/* Convolutions without stride that keep the size, and the fully connected layer (a convolution of
 * one pixel): input[0] data, input[1] a residual that is added before the leaky ReLU.
 * Forward and gradients: device/nn_ops.h. */
#include "base/error.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/layers/conv_layer.h"

int conv_layer_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    l->h = from->h;
    l->w = from->w;
    if (l->kernel != 1 && l->kernel != 3) return fail(ERR_CONFIG, "its kernel must be 1 or 3");
    if (l->groups < 1 || from->c % l->groups || l->c % l->groups)
        return fail(ERR_CONFIG, "%d groups do not divide %d and %d channels", l->groups, from->c,
                    l->c);
    if (l->silu && (l->input_count > 1 || l->leaky_relu || from->leaky_relu))
        return fail(ERR_CONFIG, "its input goes through SiLU: nothing else can be fused");
    if (l->input_count == 1) return OK;
    const struct net_layer *residual = &net->layers[l->input[1]];
    if (residual->h != l->h || residual->w != l->w || residual->c != l->c)
        return fail(ERR_CONFIG, "its residual is %d x %d x %d, its output %d x %d x %d",
                    residual->w, residual->h, residual->c, l->w, l->h, l->c);
    return OK;
}

int conv_layer_weight_shape(const struct net *net, const struct net_layer *l, int64_t *shape)
{
    shape[0] = l->c;
    shape[1] = net->layers[l->input[0]].c / l->groups;
    shape[2] = shape[3] = l->kernel;
    return 4;
}

static int linear_shape(const struct net *net, struct net_layer *l)
{
    TRY(conv_layer_shape(net, l));
    return l->h == 1 && l->w == 1 && l->kernel == 1 && l->groups == 1
               ? OK
               : fail(ERR_CONFIG, "its input must be a vector");
}

static int pixel_linear_shape(const struct net *net, struct net_layer *l)
{
    TRY(conv_layer_shape(net, l));
    return l->kernel == 1 && l->groups == 1 ? OK : fail(ERR_CONFIG, "its kernel must be 1");
}

static int linear_weight_shape(const struct net *net, const struct net_layer *l, int64_t *shape)
{
    return conv_layer_weight_shape(net, l, shape) - 2;
}

static const float *conv_weights(const struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    return l->kind->derive ? pass_derived(s, i) : pass_weights(s, l->weight);
}

static const float *conv_bias(const struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    return l->kind->derive ? pass_derived(s, i) + conv_layer_weight_floats(s->net, l)
                           : pass_weights(s, l->bias);
}

size_t conv_layer_weight_floats(const struct net *net, const struct net_layer *l)
{
    size_t in = (size_t)(net->layers[l->input[0]].c / l->groups);
    return (size_t)l->c * in * (size_t)(l->kernel * l->kernel);
}

int conv_layer_part(int64_t room, int64_t one, int n, int chunk)
{
    if (chunk < 1) chunk = 1;
    int64_t part = room / (one * chunk) * chunk;
    if (part < chunk) part = chunk;
    return part < n ? (int)part : n;
}

struct nn_epilogue conv_layer_epilogue(const struct network_pass *s, int i, enum pass_masks masks,
                                       int first)
{
    const struct net_layer *l = &s->net->layers[i];
    struct nn_epilogue e = {.bias = conv_bias(s, i), .slope = 1};
    uint8_t *mask = s->mask[i] ? s->mask[i] + (size_t)first * net_elements(s->net, i) / 8 : NULL;
    if (l->leaky_relu && masks == PASS_FROZEN_MASKS) {
        e.mask_in = mask;
        e.mask_slope = NET_SLOPE;
    } else if (l->leaky_relu) {
        e.slope = NET_SLOPE;
        if (masks == PASS_WRITE_MASKS) e.mask_out = mask;
    }
    return e;
}

int conv_layer_bias_gradient(const struct network_pass *s, int i, float *db)
{
    const struct net_layer *l = &s->net->layers[i];
    return db ? s->device->nn->bias_grad(s->device, db, s->grad[i], l->type, s->n, l->h * l->w,
                                         l->c)
              : OK;
}

/* ---- an input that goes through SiLU first: some images at a time, in the workspace ---- */

/* As many as these bytes hold, whole reduction chunks. */
enum { SILU_BYTES = 2 << 20 };

static int silu_images(const struct net *net, int i, int n, int chunk)
{
    return conv_layer_part(SILU_BYTES, (int64_t)net_bytes(net, net->layers[i].input[0]), n, chunk);
}

static size_t silu_bytes(const struct net *net, int i, int n)
{
    return plan_aligned((size_t)n * net_bytes(net, net->layers[i].input[0]));
}

static struct nn_pointwise silu_of(const struct network_pass *s, int i, int first, int n)
{
    int from = s->net->layers[i].input[0];
    enum nn_type type = s->net->layers[from].type;
    return (struct nn_pointwise){.function = NN_SILU,
                                 .a = pass_image(s, from, s->value[from], first),
                                 .a_type = type,
                                 .y_type = type,
                                 .count = (size_t)n * net_elements(s->net, from)};
}

static int silu_conv_forward(struct network_pass *s, int i)
{
    const struct nn_epilogue e = {.bias = conv_bias(s, i), .slope = 1};
    int some = silu_images(s->net, i, s->n, s->chunk);
    for (int first = 0; first < s->n; first += some) {
        int n = s->n - first < some ? s->n - first : some;
        struct nn_conv shape = net_conv(s->net, i, n, s->chunk);
        struct nn_pointwise silu = silu_of(s, i, first, n);
        TRY(s->device->nn->pointwise_forward(s->device, &silu, s->workspace));
        TRY(s->device->nn->conv_forward(s->device, &shape, pass_image(s, i, s->value[i], first),
                                        s->workspace, conv_weights(s, i), &e,
                                        (char *)s->workspace + silu_bytes(s->net, i, some)));
    }
    return OK;
}

static int silu_conv_backward(struct network_pass *s, int i, void *to, bool add)
{
    const struct nn_epilogue none = {.slope = 1};
    int some = silu_images(s->net, i, s->n, s->chunk), from = s->net->layers[i].input[0];
    for (int first = 0; first < s->n; first += some) {
        int n = s->n - first < some ? s->n - first : some;
        struct nn_conv shape = net_conv(s->net, i, n, s->chunk);
        struct nn_pointwise silu = silu_of(s, i, first, n);
        TRY(s->device->nn->conv_dgrad(s->device, &shape, s->workspace,
                                      pass_image(s, i, s->grad[i], first), conv_weights(s, i),
                                      &none, (char *)s->workspace + silu_bytes(s->net, i, some)));
        TRY(s->device->nn->pointwise_dgrad(s->device, &silu, 0, pass_image(s, from, to, first),
                                           s->workspace, add));
    }
    return OK;
}

static int silu_conv_gradient(struct network_pass *s, int i, float *dw)
{
    int some = silu_images(s->net, i, s->n, s->chunk);
    for (int first = 0; first < s->n; first += some) {
        int n = s->n - first < some ? s->n - first : some;
        struct nn_conv shape = net_conv(s->net, i, n, s->chunk);
        struct nn_pointwise silu = silu_of(s, i, first, n);
        TRY(s->device->nn->pointwise_forward(s->device, &silu, s->workspace));
        TRY(s->device->nn->conv_wgrad(s->device, &shape, dw, s->workspace,
                                      pass_image(s, i, s->grad[i], first),
                                      (char *)s->workspace + silu_bytes(s->net, i, some)));
    }
    return OK;
}

/* ---- all ---- */

int conv_layer_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i];
    struct nn_conv shape = net_conv(s->net, i, s->n, s->chunk);
    struct nn_epilogue e = conv_layer_epilogue(s, i, masks, 0);
    s->macs += net_layer_macs(s->net, i) * s->n;
    if (l->silu) return silu_conv_forward(s, i);
    if (l->input_count > 1) e.residual = s->value[l->input[1]];
    return s->device->nn->conv_forward(s->device, &shape, s->value[i], s->value[l->input[0]],
                                       conv_weights(s, i), &e, s->workspace);
}

/* `add`: what `to` holds is the residual of the sum. */
int conv_layer_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    const struct net_layer *l = &s->net->layers[i];
    int from = l->input[slot];
    struct nn_conv shape = net_conv(s->net, i, s->n, s->chunk);
    struct nn_epilogue e = {.slope = 1};
    s->macs += net_layer_macs(s->net, i) * s->n;
    if (l->silu) return silu_conv_backward(s, i, to, add);
    if (l->skip >= 0) e.residual = s->grad[l->skip];
    if (add) e.residual = to;
    if (pass_applies_mask(s, i)) {
        e.mask_in = s->mask[from];
        e.mask_slope = NET_SLOPE;
    }
    return s->device->nn->conv_dgrad(s->device, &shape, to, s->grad[i], conv_weights(s, i), &e,
                                     s->workspace);
}

int conv_layer_gradients(struct network_pass *s, int i, float *dw, float *db)
{
    const struct net_layer *l = &s->net->layers[i];
    struct nn_conv shape = net_conv(s->net, i, s->n, s->chunk);
    s->macs += net_layer_macs(s->net, i) * s->n;
    TRY(l->silu ? silu_conv_gradient(s, i, dw)
                : s->device->nn->conv_wgrad(s->device, &shape, dw, s->value[l->input[0]],
                                            s->grad[i], s->workspace));
    return conv_layer_bias_gradient(s, i, db);
}

static int conv_weight_gradient(struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    return conv_layer_gradients(s, i, pass_gradient(s, l->weight), pass_gradient(s, l->bias));
}

double conv_layer_macs(const struct net *net, int i)
{
    struct nn_conv c = net_conv(net, i, 1, 1);
    return (double)c.h * c.w * c.cout * (c.cin / c.groups) * c.kernel * c.kernel;
}

size_t conv_layer_workspace(const struct net *net, const struct device *device, int i, int n,
                            int chunk)
{
    bool silu = net->layers[i].silu;
    int some = silu ? silu_images(net, i, n, chunk) : n;
    struct nn_conv shape = net_conv(net, i, some, chunk);
    return device->nn->conv_workspace(device, &shape) + (silu ? silu_bytes(net, i, some) : 0);
}

#define CONV_KIND(its_name, its_shape, its_weight_shape)                                           \
    {                                                                                              \
        .name = its_name, .inputs_least = 1, .inputs_most = 2, .shape = its_shape,                 \
        .weight_shape = its_weight_shape, .forward = conv_layer_forward,                           \
        .backward = conv_layer_backward, .weight_gradient = conv_weight_gradient,                  \
        .keeps = NN_KEEPS_INPUTS, .identity = 1 << 1, .can_fuse = true, .masks_input = true,       \
        .can_add = true, .is_piecewise_linear = true, .macs = conv_layer_macs,                     \
        .workspace = conv_layer_workspace,                                                         \
    }

const struct nn_layer_kind layer_conv =
    CONV_KIND("conv", conv_layer_shape, conv_layer_weight_shape);
const struct nn_layer_kind layer_linear = CONV_KIND("linear", linear_shape, linear_weight_shape);
const struct nn_layer_kind layer_pixel_linear =
    CONV_KIND("pixel_linear", pixel_linear_shape, linear_weight_shape);

int nn_add_conv(struct net *net, const char *name, int channels, int kernel)
{
    struct net_layer conv = net_next_layer(net, &layer_conv);
    conv.c = channels;
    conv.kernel = kernel;
    return net_add_named_layer(net, name, conv);
}
