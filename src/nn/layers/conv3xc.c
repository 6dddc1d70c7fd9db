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
 * the same mathematics. Both are products of small matrices; b0 is one more column i of w0, which
 * is summed over t. They are made by the operations that there are: 1x1 convolutions whose "pixels"
 * are (p, t) or (i, t), and copies in another order. */
#include "base/error.h"
#include "device/device.h"
#include "nn/layers/conv_layer.h"

#include <math.h>
#include <stdio.h>

enum { PARTS_GAIN = 2, TAPS = 9, CENTRE = 4, ALIGNED = 16 };

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

int nn_add_conv3xc(struct net *net, const char *name, int channels)
{
    struct net_layer conv = net_next_layer(net, &layer_conv3xc);
    conv.c = channels;
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
    float *w1;                      /* [p][t][q] */
    float *w0;                      /* [i][q], its last row the bias */
    float *first;                   /* [p][t][i]: w1 w0 */
    float *second;                  /* [i][t][p]: the same */
    float *all;                     /* [i][t][o]: w2 of it */
    float *dw1, *dw0, *dfirst, *dsecond, *dall;
    void *workspace;
    size_t workspace_bytes;
};

static struct nn_conv matrix_product(int rows, int in, int out)
{
    return (struct nn_conv){
        .n = 1, .h = 1, .w = rows, .cin = in, .cout = out, .kernel = 1, .groups = 1, .chunk = 1};
}

/* The products in the order of `first`, `all` and the bias. */
static void matrix_products(const struct matrices *m, struct nn_conv *shapes)
{
    shapes[0] = matrix_product(m->wide_out * TAPS, m->wide_in, m->in + 1);
    shapes[1] = matrix_product((m->in + 1) * TAPS, m->wide_out, m->out);
    shapes[2] = matrix_product(1, m->wide_out, m->out);
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
    size_t row = TAPS * (size_t)(m->in + 1);
    const size_t counts[] = {TAPS * (size_t)m->wide_out * (size_t)m->wide_in,
                             (size_t)(m->in + 1) * (size_t)m->wide_in, row * (size_t)m->wide_out,
                             row * (size_t)m->wide_out, row * (size_t)m->out};
    float **const slots[] = {&m->w1,  &m->w0,  &m->first,  &m->second,  &m->all,
                             &m->dw1, &m->dw0, &m->dfirst, &m->dsecond, &m->dall};
    size_t used = 0;
    for (int i = 0; i < (gradients ? 10 : 5); i++) {
        *slots[i] = memory ? (float *)(void *)(memory + used) : NULL;
        used += (counts[i % 5] + ALIGNED - 1) / ALIGNED * ALIGNED * sizeof(float);
    }
    m->workspace = memory ? memory + used : NULL;
    struct nn_conv shapes[3];
    matrix_products(m, shapes);
    m->workspace_bytes = 0;
    for (int i = 0; i < 3; i++) {
        if (!gradients) shapes[i].chunk = 0;
        size_t bytes = device->nn->conv_workspace(device, &shapes[i]);
        if (bytes > m->workspace_bytes) m->workspace_bytes = bytes;
    }
    return used + m->workspace_bytes;
}

struct matrix_order {
    int count[3];
    ptrdiff_t out[3], in[3];
};

static int matrix_copy(struct device *device, float *to, const float *from,
                       const struct matrix_order *order, bool add)
{
    struct nn_strided copy = {.out = to, .in = from, .count = {1, 1}, .add = add};
    for (int i = 0; i < 3; i++) {
        copy.count[2 + i] = order->count[i];
        copy.out_stride[2 + i] = order->out[i];
        copy.in_stride[2 + i] = order->in[i];
    }
    return device->nn->strided_copy(device, &copy);
}

/* The other way. */
static int matrix_copy_back(struct device *device, float *to, const float *from,
                            const struct matrix_order *order, bool add)
{
    struct matrix_order back = *order;
    for (int i = 0; i < 3; i++) {
        back.out[i] = order->in[i];
        back.in[i] = order->out[i];
    }
    return matrix_copy(device, to, from, &back, add);
}

/* From the tensors' orders to those of the matrices. */
static struct matrix_order order_w1(const struct matrices *m)
{
    int p = m->wide_out, q = m->wide_in;
    return (struct matrix_order){{p, TAPS, q}, {TAPS * (ptrdiff_t)q, q, 1}, {TAPS * q, 1, TAPS}};
}

static struct matrix_order order_w0(const struct matrices *m)
{
    return (struct matrix_order){{1, m->in, m->wide_in}, {0, m->wide_in, 1}, {0, 1, m->in}};
}

/* From `first` to `second`. */
static struct matrix_order order_turned(const struct matrices *m)
{
    int i = m->in + 1, p = m->wide_out;
    return (struct matrix_order){
        {i, TAPS, p}, {TAPS * (ptrdiff_t)p, p, 1}, {1, i, TAPS * (ptrdiff_t)i}};
}

/* From W to its part of `all`. */
static struct matrix_order order_all(const struct matrices *m)
{
    int i = m->in, o = m->out;
    return (struct matrix_order){
        {i, TAPS, o}, {TAPS * (ptrdiff_t)o, o, 1}, {TAPS, 1, TAPS * (ptrdiff_t)i}};
}

/* From sk to the centres of W. */
static struct matrix_order order_centre(const struct matrices *m)
{
    return (struct matrix_order){
        {1, m->out, m->in}, {0, (ptrdiff_t)m->in * TAPS, TAPS}, {0, m->in, 1}};
}

static struct matrix_order order_row(int count)
{
    return (struct matrix_order){{1, 1, count}, {0, 0, 1}, {0, 0, 1}};
}

/* w1, w0, first and second. */
static int multiply_parts(struct network_pass *s, const struct net_layer *l,
                          const struct matrices *m)
{
    struct device *d = s->device;
    const struct nn_epilogue none = {.slope = 1};
    struct nn_conv shapes[3];
    matrix_products(m, shapes);
    struct matrix_order w1 = order_w1(m), w0 = order_w0(m), row = order_row(m->wide_in);
    struct matrix_order turned = order_turned(m);
    TRY(matrix_copy(d, m->w1, pass_weights(s, l->weight + W1), &w1, false));
    TRY(matrix_copy(d, m->w0, pass_weights(s, l->weight + W0), &w0, false));
    TRY(matrix_copy(d, m->w0 + (size_t)m->in * (size_t)m->wide_in, pass_weights(s, l->weight + B0),
                    &row, false));
    TRY(d->nn->conv_forward(d, &shapes[0], m->first, m->w1, m->w0, &none, m->workspace));
    return matrix_copy(d, m->second, m->first, &turned, false);
}

static int conv3xc_derive(struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    struct device *d = s->device;
    const struct nn_epilogue none = {.slope = 1};
    const float *w2 = pass_weights(s, l->weight + W2);
    float *w = pass_derived(s, i), *b = w + conv_layer_weight_floats(s->net, l);
    struct nn_conv shapes[3];
    struct matrices m;
    matrices_layout(&m, s->net, d, i, false, s->workspace);
    matrix_products(&m, shapes);
    struct matrix_order all = order_all(&m), centre = order_centre(&m);
    TRY(multiply_parts(s, l, &m));
    TRY(d->nn->conv_forward(d, &shapes[1], m.all, m.second, w2, &none, m.workspace));
    TRY(matrix_copy_back(d, w, m.all, &all, false));
    TRY(matrix_copy(d, w + CENTRE, pass_weights(s, l->weight + SK), &centre, true));
    struct nn_epilogue biases = {.bias = pass_weights(s, l->weight + B2),
                                 .residual = pass_weights(s, l->weight + SK_BIAS),
                                 .slope = 1};
    TRY(d->nn->conv_forward(d, &shapes[2], b, pass_weights(s, l->weight + B1), w2, &biases,
                            m.workspace));
    return d->nn->bias_grad(d, b, m.all + (size_t)m.in * TAPS * (size_t)m.out, NN_F32, 1, TAPS,
                            m.out);
}

/* dall, and from it all before; the gradients of sk, w2 and the biases beside it. */
static int gradients_of_second(struct network_pass *s, int i, const struct matrices *m)
{
    const struct net_layer *l = &s->net->layers[i];
    struct device *d = s->device;
    const struct nn_epilogue none = {.slope = 1};
    const float *w2 = pass_weights(s, l->weight + W2);
    const float *dw = pass_derived_gradient(s, i);
    const float *db = dw + conv_layer_weight_floats(s->net, l);
    float *dw2 = pass_gradient(s, l->weight + W2), *db1 = pass_gradient(s, l->weight + B1);
    struct nn_conv shapes[3];
    matrix_products(m, shapes);
    struct matrix_order all = order_all(m), centre = order_centre(m), row = order_row(m->out);
    struct matrix_order taps = {{1, TAPS, m->out}, {0, m->out, 1}, {0, 0, 1}};
    TRY(matrix_copy(d, m->dall, dw, &all, false));
    TRY(matrix_copy(d, m->dall + (size_t)m->in * TAPS * (size_t)m->out, db, &taps, false));
    TRY(d->nn->conv_wgrad(d, &shapes[1], dw2, m->second, m->dall, m->workspace));
    TRY(d->nn->conv_dgrad(d, &shapes[1], m->dsecond, m->dall, w2, &none, m->workspace));
    struct nn_epilogue added = {.residual = db1, .slope = 1};
    TRY(d->nn->conv_wgrad(d, &shapes[2], dw2, pass_weights(s, l->weight + B1), db, m->workspace));
    TRY(d->nn->conv_dgrad(d, &shapes[2], db1, db, w2, &added, m->workspace));
    TRY(matrix_copy(d, pass_gradient(s, l->weight + B2), db, &row, true));
    TRY(matrix_copy(d, pass_gradient(s, l->weight + SK_BIAS), db, &row, true));
    return matrix_copy_back(d, pass_gradient(s, l->weight + SK), dw + CENTRE, &centre, true);
}

static int conv3xc_derive_gradient(struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    struct device *d = s->device;
    const struct nn_epilogue none = {.slope = 1};
    struct nn_conv shapes[3];
    struct matrices m;
    matrices_layout(&m, s->net, d, i, true, s->workspace);
    matrix_products(&m, shapes);
    struct matrix_order w1 = order_w1(&m), w0 = order_w0(&m), row = order_row(m.wide_in);
    struct matrix_order turned = order_turned(&m);
    size_t last = (size_t)m.in * (size_t)m.wide_in;
    TRY(multiply_parts(s, l, &m));
    TRY(gradients_of_second(s, i, &m));
    TRY(matrix_copy_back(d, m.dfirst, m.dsecond, &turned, false));
    TRY(d->nn->zero(d, m.dw0, (last + (size_t)m.wide_in) * sizeof(float)));
    TRY(d->nn->conv_wgrad(d, &shapes[0], m.dw0, m.w1, m.dfirst, m.workspace));
    TRY(matrix_copy_back(d, pass_gradient(s, l->weight + W0), m.dw0, &w0, true));
    TRY(matrix_copy(d, pass_gradient(s, l->weight + B0), m.dw0 + last, &row, true));
    TRY(d->nn->conv_dgrad(d, &shapes[0], m.dw1, m.dfirst, m.w0, &none, m.workspace));
    return matrix_copy_back(d, pass_gradient(s, l->weight + W1), m.dw1, &w1, true);
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
