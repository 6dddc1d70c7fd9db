/* A 3x3 convolution in parts (Wan et al., "Swift Parameter-free Attention Network for Efficient
 * Super-Resolution", arXiv:2311.12770): a 1x1 convolution w0 to twice the channels, a 3x3 one w1, a
 * 1x1 one w2 back, and a 1x1 one `sk` beside them. All of it is one 3x3 convolution, also at the
 * borders, as w1 works on zeros that went through w0 and its bias:
 *
 *     W[o][i][t] = sum over p, q of w2[o][p] w1[p][q][t] w0[q][i], + sk[o][i] where t is the centre
 *     b = w2 (sum over t of w1 b0, + b1) + b2 + b_sk
 *
 * So the pass computes with W and b, which are made of the parts once a step, and the gradients of
 * W and b go back to the parts by the chain rule: 9 c^2 products a pixel in place of 41 c^2, for
 * the same mathematics. Both are products of small matrices, made by the operations that there
 * are: 1x1 convolutions whose "pixels" are o or (o, t), with w0, w1 and w2 as they lie, and copies
 * in another order of what is smaller than w1. */
#include "base/error.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/layers/conv_layer.h"

#include <math.h>
#include <stdio.h>

enum { PARTS_GAIN = 2, TAPS = 9, CENTRE = 4 };

/* Parameters in the order of the layer's. */
enum { SK, SK_BIAS, W0, B0, W1, B1, W2, B2, PARTS };

static int conv3xc_shape(const struct net *net, struct net_layer *l)
{
    l->kernel = 3;
    return conv_layer_shape(net, l);
}

static size_t conv3xc_derived(const struct net *net, const struct net_layer *l)
{
    return conv_layer_weight_floats(net, l) + (size_t)l->c;
}

int nn_add_conv3xc(struct net *net, const char *name, int channels, bool silu)
{
    struct net_layer conv = net_next_layer(net, &layer_conv3xc);
    conv.c = channels;
    conv.silu = silu;
    int layer = net_add_layer(net, conv);
    TRY(layer);
    const struct net_layer *l = &net->layers[layer];
    int64_t in = net->layers[l->input[0]].c, out = channels;
    const struct {
        const char *name;
        int64_t out, in, kernel;
    } parts[] = {{"sk", out, in, 1},
                 {"conv.0", PARTS_GAIN * in, in, 1},
                 {"conv.1", PARTS_GAIN * out, PARTS_GAIN * in, 3},
                 {"conv.2", out, PARTS_GAIN * out, 1}};
    for (int i = 0; i < 4; i++) {
        char full[64];
        snprintf(full, sizeof full, "%s.%s.weight", name, parts[i].name);
        int number = net_add_parameter(
            net, full, 4, (int64_t[]){parts[i].out, parts[i].in, parts[i].kernel, parts[i].kernel});
        TRY(number);
        if (i == 0) net->layers[layer].weight = number;
        int64_t fan_in = parts[i].in * parts[i].kernel * parts[i].kernel;
        net->parameters[number].std = 1 / sqrtf((float)fan_in);
        snprintf(full, sizeof full, "%s.%s.bias", name, parts[i].name);
        TRY(net_add_parameter(net, full, 1, &parts[i].out));
    }
    return layer;
}

/* ---- the small matrices: all in the workspace, by rows ---- */

struct matrices {
    int in, out, wide_in, wide_out; /* channels i, o, q, p */
    float *product;                 /* V[o][q][t]: w2 w1 */
    float *turned;                  /* [o][t][q]: the same */
    float *whole;                   /* [o][t][i]: V w0, which is W but for sk */
    float *biases;                  /* [q][t]: b0[q] */
    float *sums, *dproduct, *dturned, *dwhole, *dbiases;
    struct nn_conv outer; /* o by (q, t): of w2 and w1 */
    struct nn_conv inner; /* (o, t) by i: of V and w0 */
    struct nn_conv first; /* o: of V and b0 */
    struct nn_conv last;  /* of w2 and b1 */
    void *workspace;
};

static struct nn_conv matrix_product(int rows, int in, int out, bool gradients)
{
    return (struct nn_conv){.n = 1,
                            .h = 1,
                            .w = rows,
                            .cin = in,
                            .cout = out,
                            .kernel = 1,
                            .groups = 1,
                            .chunk = gradients};
}

/* Lays them out from `memory` on (NULL: how much they take); returns bytes. */
static size_t matrices_layout(struct matrices *m, const struct net *net,
                              const struct device *device, int layer, bool gradients, char *memory)
{
    const struct net_layer *l = &net->layers[layer];
    m->in = net->layers[l->input[0]].c;
    m->out = l->c;
    m->wide_in = PARTS_GAIN * m->in;
    m->wide_out = PARTS_GAIN * m->out;
    size_t row = TAPS * (size_t)m->wide_in;
    const size_t counts[] = {(size_t)m->out * row, (size_t)m->out * row,
                             TAPS * (size_t)m->out * (size_t)m->in, row, row};
    float **const slots[] = {&m->product,  &m->turned,  &m->whole,  &m->biases, &m->sums,
                             &m->dproduct, &m->dturned, &m->dwhole, &m->dbiases};
    size_t used = 0, most = 0;
    for (int i = 0; i < (gradients ? 9 : 4); i++) {
        *slots[i] = memory ? (float *)(void *)(memory + used) : NULL;
        used += plan_aligned(counts[i % 5] * sizeof(float));
    }
    m->workspace = memory ? memory + used : NULL;
    m->outer = matrix_product(m->out, TAPS * m->wide_in, m->wide_out, gradients);
    m->inner = matrix_product(m->out * TAPS, m->in, m->wide_in, gradients);
    m->first = matrix_product(m->out, TAPS * m->wide_in, 1, gradients);
    m->last = matrix_product(1, m->wide_out, m->out, gradients);
    const struct nn_conv *const shapes[] = {&m->outer, &m->inner, &m->first, &m->last};
    for (int i = 0; i < 4; i++) {
        size_t bytes = device->nn->conv_workspace(device, shapes[i]);
        if (bytes > most) most = bytes;
    }
    return used + most;
}

struct matrix_order {
    int count[3];
    ptrdiff_t out[3], in[3];
};

static int matrix_copy(struct device *device, float *to, const float *from,
                       struct matrix_order order, bool add)
{
    struct nn_strided copy = {.out = to, .in = from, .count = {1, 1}, .add = add};
    for (int i = 0; i < 3; i++) {
        copy.count[2 + i] = order.count[i];
        copy.out_stride[2 + i] = order.out[i];
        copy.in_stride[2 + i] = order.in[i];
    }
    return device->nn->strided_copy(device, &copy);
}

/* [o][c][t] -> [o][t][c], */
static struct matrix_order order_turned(const struct matrices *m, int c)
{
    ptrdiff_t block = (ptrdiff_t)TAPS * c;
    return (struct matrix_order){{m->out, TAPS, c}, {block, c, 1}, {block, 1, TAPS}};
}

/* and back. */
static struct matrix_order order_back(const struct matrices *m, int c)
{
    ptrdiff_t block = (ptrdiff_t)TAPS * c;
    return (struct matrix_order){{m->out, c, TAPS}, {block, TAPS, 1}, {block, 1, c}};
}

/* One number in every `out` from every `in`. */
static struct matrix_order order_line(int count, int out, int in)
{
    return (struct matrix_order){{1, 1, count}, {0, 0, out}, {0, 0, in}};
}

/* product, turned, biases. */
static int multiply_parts(struct network_pass *s, const struct net_layer *l,
                          const struct matrices *m)
{
    struct device *d = s->device;
    const struct nn_epilogue none = {.slope = 1};
    const struct matrix_order each = {{1, m->wide_in, TAPS}, {0, TAPS, 1}, {0, 1, 0}};
    TRY(d->nn->conv_dgrad(d, &m->outer, m->product, pass_weights(s, l->weight + W2),
                          pass_weights(s, l->weight + W1), &none, m->workspace));
    TRY(matrix_copy(d, m->turned, m->product, order_turned(m, m->wide_in), false));
    return matrix_copy(d, m->biases, pass_weights(s, l->weight + B0), each, false);
}

static int conv3xc_derive(struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    struct device *d = s->device;
    const struct nn_epilogue none = {.slope = 1};
    float *w = pass_derived(s, i), *b = w + conv_layer_weight_floats(s->net, l);
    struct matrices m;
    matrices_layout(&m, s->net, d, i, false, s->workspace);
    TRY(multiply_parts(s, l, &m));
    TRY(d->nn->conv_dgrad(d, &m.inner, m.whole, m.turned, pass_weights(s, l->weight + W0), &none,
                          m.workspace));
    TRY(matrix_copy(d, w, m.whole, order_back(&m, m.in), false));
    TRY(matrix_copy(d, w + CENTRE, pass_weights(s, l->weight + SK),
                    order_line(m.out * m.in, TAPS, 1), true));
    const struct nn_epilogue two = {.bias = pass_weights(s, l->weight + B2),
                                    .residual = pass_weights(s, l->weight + SK_BIAS),
                                    .slope = 1};
    TRY(d->nn->conv_forward(d, &m.last, b, pass_weights(s, l->weight + B1),
                            pass_weights(s, l->weight + W2), &two, m.workspace));
    const struct nn_epilogue added = {.residual = b, .slope = 1};
    return d->nn->conv_forward(d, &m.first, b, m.product, m.biases, &added, m.workspace);
}

/* dproduct, from what W and b have of it; the gradients of w0, b0 and sk. */
static int gradients_of_product(struct network_pass *s, int i, const struct matrices *m)
{
    const struct net_layer *l = &s->net->layers[i];
    struct device *d = s->device;
    const struct nn_epilogue none = {.slope = 1}, added = {.residual = m->dproduct, .slope = 1};
    const struct matrix_order by_tap = {{1, TAPS, m->wide_in}, {0, m->wide_in, 1}, {0, 1, TAPS}};
    const float *dw = pass_derived_gradient(s, i);
    const float *db = dw + conv_layer_weight_floats(s->net, l);
    TRY(matrix_copy(d, pass_gradient(s, l->weight + SK), dw + CENTRE,
                    order_line(m->out * m->in, 1, TAPS), true));
    TRY(matrix_copy(d, m->dwhole, dw, order_turned(m, m->in), false));
    TRY(d->nn->conv_wgrad(d, &m->inner, pass_gradient(s, l->weight + W0), m->dwhole, m->turned,
                          m->workspace));
    TRY(d->nn->conv_forward(d, &m->inner, m->dturned, m->dwhole, pass_weights(s, l->weight + W0),
                            &none, m->workspace));
    TRY(matrix_copy(d, m->dproduct, m->dturned, order_back(m, m->wide_in), false));
    TRY(d->nn->conv_dgrad(d, &m->first, m->dproduct, db, m->biases, &added, m->workspace));
    TRY(d->nn->zero(d, m->sums, TAPS * (size_t)m->wide_in * sizeof(float)));
    TRY(d->nn->conv_wgrad(d, &m->first, m->sums, m->product, db, m->workspace));
    TRY(matrix_copy(d, m->dbiases, m->sums, by_tap, false));
    return d->nn->bias_grad(d, pass_gradient(s, l->weight + B0), m->dbiases, NN_F32, 1, TAPS,
                            m->wide_in);
}

static int conv3xc_derive_gradient(struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    struct device *d = s->device;
    const float *db = pass_derived_gradient(s, i) + conv_layer_weight_floats(s->net, l);
    const float *w1 = pass_weights(s, l->weight + W1), *w2 = pass_weights(s, l->weight + W2);
    float *dw2 = pass_gradient(s, l->weight + W2), *db1 = pass_gradient(s, l->weight + B1);
    const struct nn_epilogue to_w2 = {.residual = dw2, .slope = 1};
    const struct nn_epilogue to_b1 = {.residual = db1, .slope = 1};
    struct matrices m;
    matrices_layout(&m, s->net, d, i, true, s->workspace);
    TRY(multiply_parts(s, l, &m));
    TRY(gradients_of_product(s, i, &m));
    TRY(d->nn->conv_wgrad(d, &m.outer, pass_gradient(s, l->weight + W1), m.dproduct, w2,
                          m.workspace));
    TRY(d->nn->conv_forward(d, &m.outer, dw2, m.dproduct, w1, &to_w2, m.workspace));
    TRY(d->nn->conv_wgrad(d, &m.last, dw2, pass_weights(s, l->weight + B1), db, m.workspace));
    TRY(d->nn->conv_dgrad(d, &m.last, db1, db, w2, &to_b1, m.workspace));
    TRY(matrix_copy(d, pass_gradient(s, l->weight + B2), db, order_line(m.out, 1, 1), true));
    return matrix_copy(d, pass_gradient(s, l->weight + SK_BIAS), db, order_line(m.out, 1, 1), true);
}

/* ---- the layer: a convolution by its derived weights ---- */

static int conv3xc_weight_gradient(struct network_pass *s, int i)
{
    float *dw = pass_derived_gradient(s, i);
    return conv_layer_gradients(s, i, dw,
                                dw + conv_layer_weight_floats(s->net, &s->net->layers[i]));
}

static size_t conv3xc_workspace(const struct net *net, const struct device *device, int i, int n,
                                int chunk)
{
    struct matrices m;
    size_t pass = conv_layer_workspace(net, device, i, n, chunk);
    size_t parts = matrices_layout(&m, net, device, i, chunk > 0, NULL);
    return parts > pass ? parts : pass;
}

const struct nn_layer_kind layer_conv3xc = {
    .name = "conv3xc",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = conv3xc_shape,
    .forward = conv_layer_forward,
    .backward = conv_layer_backward,
    .weight_gradient = conv3xc_weight_gradient,
    .keeps = NN_KEEPS_INPUTS,
    .can_fuse = true,
    .masks_input = true,
    .can_add = true,
    .is_piecewise_linear = true,
    .derived_floats = conv3xc_derived,
    .derive = conv3xc_derive,
    .derive_gradient = conv3xc_derive_gradient,
    .macs = conv_layer_macs,
    .workspace = conv3xc_workspace,
};
