/* Attention of one head between the pixels of an image: o = softmax(q k' / sqrt(c)) v, of three
 * values of one shape. The products are 1x1 convolutions whose weights are k and v; queries come
 * some at a time, as many as the shape says, so memory is linear in pixels. The backward pass makes
 * the shares again. fp32. */
#include "base/error.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/layers.h"

#include <math.h>

enum { ATTENTION_QUERIES = 128 }; /* at a time, at most */
enum { SLOT_Q, SLOT_K, SLOT_V };

static int attention_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *q = &net->layers[l->input[0]];
    for (int k = 1; k < l->input_count; k++) {
        const struct net_layer *other = &net->layers[l->input[k]];
        if (other->h != q->h || other->w != q->w || other->c != q->c)
            return fail(ERR_CONFIG, "its inputs are of different shapes");
    }
    l->h = q->h;
    l->w = q->w;
    l->c = q->c;
    return OK;
}

/* Queries `first` and those behind it, of one image: addresses and the product with k or v. */
struct attention_part {
    const struct network_pass *s;
    struct nn_conv product; /* rows of c numbers and those of as many numbers as there are pixels */
    float scale;
    float *shares, *slopes; /* [queries][pixels] */
    void *workspace;
};

static int attention_pixels(const struct net_layer *l)
{
    return l->h * l->w;
}

static size_t attention_room(const struct net_layer *l)
{
    int pixels = attention_pixels(l);
    int queries = pixels < ATTENTION_QUERIES ? pixels : ATTENTION_QUERIES;
    return plan_aligned((size_t)queries * (size_t)pixels * sizeof(float));
}

static struct nn_conv attention_product(const struct net_layer *l, int queries)
{
    return (struct nn_conv){.n = 1,
                            .h = queries,
                            .w = 1,
                            .cin = l->c,
                            .cout = attention_pixels(l),
                            .kernel = 1,
                            .groups = 1,
                            .chunk = 1};
}

static int pixel_attention_begin(const struct network_pass *s, int i, struct attention_part *part)
{
    const struct net_layer *l = &s->net->layers[i];
    for (int k = 0; k < l->input_count; k++)
        if (l->type != NN_F32 || s->net->layers[l->input[k]].type != NN_F32)
            return fail(ERR_USAGE, "pixel_attention is of fp32");
    char *at = s->workspace;
    *part = (struct attention_part){.s = s, .scale = (float)(1 / sqrt(l->c))};
    part->shares = (void *)at;
    part->slopes = (void *)(at + attention_room(l));
    part->workspace = at + 2 * attention_room(l);
    return OK;
}

static const struct nn_epilogue attention_plain = {.slope = 1};

static int attention_shares(struct attention_part *p, const float *q, const float *k)
{
    struct device *device = p->s->device;
    TRY(device->nn->conv_forward(device, &p->product, p->shares, q, k, &attention_plain,
                                 p->workspace));
    return device->nn->softmax_forward(device, p->shares, p->product.h, p->product.cout, p->scale);
}

static int pixel_attention_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i];
    const size_t pixels = (size_t)attention_pixels(l), c = (size_t)l->c;
    struct attention_part p;
    (void)masks; /* is_piecewise_linear is not set */
    TRY(pixel_attention_begin(s, i, &p));
    s->macs += net_layer_macs(s->net, i) * s->n;
    for (int n = 0; n < s->n; n++) {
        const float *value[3];
        for (int k = 0; k < 3; k++)
            value[k] = pass_image(s, l->input[k], s->value[l->input[k]], n);
        float *o = pass_image(s, i, s->value[i], n);
        for (size_t first = 0, some; first < pixels; first += some) {
            some = pixels - first < ATTENTION_QUERIES ? pixels - first : ATTENTION_QUERIES;
            p.product = attention_product(l, (int)some);
            TRY(attention_shares(&p, value[SLOT_Q] + first * c, value[SLOT_K]));
            TRY(s->device->nn->conv_dgrad(s->device, &p.product, o + first * c, p.shares,
                                          value[SLOT_V], &attention_plain, p.workspace));
        }
    }
    return OK;
}

/* From d_o, the gradient at these queries' rows of the output. Gradients that are NULL are not
 * asked for; k's and v's are added to. */
static int attention_back(struct attention_part *p, const float *const value[3], const float *d_o,
                          float *const grad[3], bool add_q)
{
    struct device *device = p->s->device;
    const struct nn_ops *nn = device->nn;
    struct nn_epilogue to_q = {.slope = 1, .residual = add_q ? grad[SLOT_Q] : NULL};
    TRY(attention_shares(p, value[SLOT_Q], value[SLOT_K]));
    if (grad[SLOT_V])
        TRY(nn->conv_wgrad(device, &p->product, grad[SLOT_V], d_o, p->shares, p->workspace));
    TRY(nn->conv_forward(device, &p->product, p->slopes, d_o, value[SLOT_V], &attention_plain,
                         p->workspace));
    TRY(nn->softmax_dgrad(device, p->slopes, p->shares, p->product.h, p->product.cout, p->scale));
    if (grad[SLOT_Q])
        TRY(nn->conv_dgrad(device, &p->product, grad[SLOT_Q], p->slopes, value[SLOT_K], &to_q,
                           p->workspace));
    if (!grad[SLOT_K]) return OK;
    return nn->conv_wgrad(device, &p->product, grad[SLOT_K], value[SLOT_Q], p->slopes,
                          p->workspace);
}

static int pixel_attention_backward(struct network_pass *s, int i, unsigned slots)
{
    const struct net_layer *l = &s->net->layers[i];
    const size_t pixels = (size_t)attention_pixels(l), c = (size_t)l->c;
    struct attention_part p;
    bool add_q = l->gradient[SLOT_Q] == NET_GRADIENT_ADDS;
    TRY(pixel_attention_begin(s, i, &p));
    s->macs += 2 * net_layer_macs(s->net, i) * s->n;
    for (int k = SLOT_K; k <= SLOT_V; k++)
        if (slots >> k & 1 && l->gradient[k] != NET_GRADIENT_ADDS)
            TRY(s->device->nn->zero(s->device, s->grad[l->input[k]],
                                    (size_t)s->n * net_bytes(s->net, i)));
    for (int n = 0; n < s->n; n++) {
        const float *value[3], *d_o = pass_image(s, i, s->grad[i], n);
        float *grad[3] = {NULL};
        for (int k = 0; k < 3; k++) {
            value[k] = pass_image(s, l->input[k], s->value[l->input[k]], n);
            if (slots >> k & 1) grad[k] = pass_image(s, l->input[k], s->grad[l->input[k]], n);
        }
        for (size_t first = 0, some; first < pixels; first += some) {
            some = pixels - first < ATTENTION_QUERIES ? pixels - first : ATTENTION_QUERIES;
            p.product = attention_product(l, (int)some);
            TRY(attention_back(&p, value, d_o, grad, add_q));
            value[SLOT_Q] += some * c;
            d_o += some * c;
            if (grad[SLOT_Q]) grad[SLOT_Q] += some * c;
        }
    }
    return OK;
}

static double pixel_attention_macs(const struct net *net, int i)
{
    const struct net_layer *l = &net->layers[i];
    double pixels = attention_pixels(l);
    return 2 * pixels * pixels * l->c;
}

static size_t pixel_attention_workspace(const struct net *net, const struct device *device, int i,
                                        int n, int chunk)
{
    const struct net_layer *l = &net->layers[i];
    int pixels = attention_pixels(l);
    struct nn_conv product =
        attention_product(l, pixels < ATTENTION_QUERIES ? pixels : ATTENTION_QUERIES);
    (void)n;
    if (chunk == 0) product.chunk = 0; /* the forward pass alone */
    return 2 * attention_room(l) + device->nn->conv_workspace(device, &product);
}

const struct nn_layer_kind layer_pixel_attention = {
    .name = "pixel_attention",
    .inputs_least = 3,
    .inputs_most = 3,
    .shape = attention_shape,
    .forward = pixel_attention_forward,
    .backward_inputs = pixel_attention_backward,
    .keeps = NN_KEEPS_INPUTS,
    .macs = pixel_attention_macs,
    .workspace = pixel_attention_workspace,
};
