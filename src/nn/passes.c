#include "nn/passes.h"

#include "base/error.h"
#include "device/device.h"
#include "device/nn_ops.h"

static const float *passes_weights(const struct network_pass *s, int parameter)
{
    return parameter < 0 ? NULL : s->parameters + s->net->parameters[parameter].offset;
}

static float *passes_gradient(const struct network_pass *s, int parameter)
{
    return s->gradients + s->net->parameters[parameter].offset;
}

static int embedding_z(const struct net *net)
{
    return net->layers[0].c - net->embedding;
}

static int forward_conv(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i];
    struct nn_conv shape = net_conv(s->net, i, s->n, s->slice);
    struct nn_epilogue e = {.bias = passes_weights(s, l->bias), .slope = 1};
    if (l->residual >= 0) e.residual = s->value[l->residual];
    if (l->flags & NET_LRELU) {
        if (masks == PASS_FROZEN_MASKS) {
            e.mask_in = s->mask[i];
            e.mask_slope = NET_SLOPE;
        } else {
            e.slope = NET_SLOPE;
            if (masks == PASS_WRITE_MASKS) e.mask_out = s->mask[i];
        }
    }
    TRY(s->ops->conv_forward(s->device, &shape, s->value[i], s->value[l->input],
                             passes_weights(s, l->weight), &e, s->workspace));
    s->macs += net_layer_macs(s->net, i) * s->n;
    return OK;
}

/* From the tensor of layer `from` to that of layer `to`. */
static int passes_fir(struct network_pass *s, bool up, int to, int from, void *out, const void *in,
                      float scale)
{
    const struct net_layer *t = &s->net->layers[to], *f = &s->net->layers[from];
    const struct net_layer *small = up ? f : t;
    struct nn_fir fir = {.out = out,
                         .in = in,
                         .out_type = t->type,
                         .in_type = f->type,
                         .n = s->n,
                         .h = small->h,
                         .w = small->w,
                         .c = t->c,
                         .scale = scale};
    return up ? s->ops->fir_up(s->device, &fir) : s->ops->fir_down(s->device, &fir);
}

static int forward_layer(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net *net = s->net;
    const struct net_layer *l = &net->layers[i], *from = l->input >= 0 ? &net->layers[l->input] : l;
    const float *w = passes_weights(s, l->weight);
    void *out = s->value[i];
    const void *in = l->input >= 0 ? s->value[l->input] : NULL;
    switch (l->op) {
    case NET_INPUT:
        if (!w) return OK;
        return s->ops->embed_gather(s->device, (float *)out + embedding_z(net), w, s->labels, s->n,
                                    net->embedding, net->classes, l->c);
    case NET_CONV: return forward_conv(s, i, masks);
    case NET_EXPAND:
        return s->ops->spatial_map_expand(s->device, out, l->type, in, w, s->n, l->h * l->w, l->c);
    case NET_CONTRACT:
        return s->ops->spatial_map_contract(s->device, out, in, from->type, w, s->n,
                                            from->h * from->w, l->c);
    case NET_FIR_UP: return passes_fir(s, true, i, l->input, out, in, 4);
    case NET_FIR_DOWN: return passes_fir(s, false, i, l->input, out, in, 1);
    case NET_PROJECT:
        return s->ops->project(s->device, out, in, w, s->labels, s->n, net->embedding,
                               net->classes);
    }
    return OK;
}

/* Gradients of the layer's own parameters from its input's value and its output's gradient. */
static int layer_gradients(struct network_pass *s, int i)
{
    const struct net *net = s->net;
    const struct net_layer *l = &net->layers[i];
    if (l->weight < 0) return OK;
    const void *d = s->grad[i], *in = l->input >= 0 ? s->value[l->input] : NULL;
    float *dw = passes_gradient(s, l->weight);
    if (l->op == NET_CONV) {
        struct nn_conv shape = net_conv(net, i, s->n, s->slice);
        TRY(s->ops->conv_wgrad(s->device, &shape, dw, in, d, s->workspace));
        s->macs += net_layer_macs(net, i) * s->n;
        if (l->bias < 0) return OK;
        return s->ops->bias_grad(s->device, passes_gradient(s, l->bias), d, l->type, s->n,
                                 l->h * l->w, l->c);
    }
    if (l->op == NET_EXPAND)
        return s->ops->spatial_map_grad(s->device, dw, in, d, l->type, s->n, l->h * l->w, l->c);
    if (l->op == NET_CONTRACT) {
        const struct net_layer *from = &net->layers[l->input];
        return s->ops->spatial_map_grad(s->device, dw, d, in, from->type, s->n, from->h * from->w,
                                        l->c);
    }
    if (l->op == NET_PROJECT)
        return s->ops->project_grad(s->device, dw, d, in, s->labels, s->n, net->embedding,
                                    net->classes);
    if (l->op == NET_INPUT)
        return s->ops->embed_grad(s->device, dw, (const float *)d + embedding_z(net), s->labels,
                                  s->n, net->embedding, net->classes, l->c);
    return OK;
}

/* grad[input] from grad[i] */
static int layer_backward(struct network_pass *s, int i)
{
    const struct net *net = s->net;
    const struct net_layer *l = &net->layers[i], *from = &net->layers[l->input];
    const float *w = passes_weights(s, l->weight);
    const void *d = s->grad[i];
    void *to = s->grad[l->input];
    if (l->op == NET_CONV) {
        struct nn_conv shape = net_conv(net, i, s->n, s->slice);
        struct nn_epilogue e = {.slope = 1};
        if (l->skip >= 0) e.residual = s->grad[l->skip];
        if (from->flags & NET_LRELU) {
            e.mask_in = s->mask[l->input];
            e.mask_slope = NET_SLOPE;
        }
        TRY(s->ops->conv_dgrad(s->device, &shape, to, d, w, &e, s->workspace));
        s->macs += net_layer_macs(net, i) * s->n;
        return OK;
    }
    if (l->op == NET_EXPAND)
        return s->ops->spatial_map_contract(s->device, to, d, l->type, w, s->n, l->h * l->w, l->c);
    if (l->op == NET_CONTRACT)
        return s->ops->spatial_map_expand(s->device, to, from->type, d, w, s->n, from->h * from->w,
                                          l->c);
    if (l->op == NET_FIR_UP) return passes_fir(s, false, l->input, i, to, d, 4);
    if (l->op == NET_FIR_DOWN) return passes_fir(s, true, l->input, i, to, d, 1);
    if (l->op == NET_PROJECT)
        return s->ops->project_dgrad(s->device, to, d, w, s->labels, s->n, net->embedding,
                                     net->classes);
    return OK;
}

static int passes_check_stop(const struct network_pass *s)
{
    if (!s->stop_requested || !s->stop_requested()) return OK;
    return fail(ERR_STOPPED, "stopped within a pass over a network");
}

static size_t group_bytes(const struct net *net, int begin)
{
    size_t most = 0;
    for (int i = begin; i < net->layers[begin].end; i++)
        if (net_bytes(net, i) > most) most = net_bytes(net, i);
    return most;
}

int pass_part(const struct net *net, int layer, int slice)
{
    size_t most = 0, own = group_bytes(net, net->layers[layer].begin);
    for (int i = 0; i < net->layer_count; i = net->layers[i].end + 1)
        if (group_bytes(net, i) > most) most = group_bytes(net, i);
    return slice * (own ? (int)(most / own) : 1);
}

/* Moves the buffers that a group works on by `pictures`; those inside it serve every part. */
static void move_group(struct network_pass *s, int begin, int pictures)
{
    for (int i = begin - 1; i <= s->net->layers[begin].end; i++) {
        ptrdiff_t bytes = pictures * (ptrdiff_t)net_bytes(s->net, i);
        bool inside = i >= begin && (s->net->layers[i].flags & NET_INSIDE);
        if (s->mask[i]) s->mask[i] += pictures * (ptrdiff_t)net_elements(s->net, i) / 8;
        if (inside) continue;
        if (s->value[i]) s->value[i] = (char *)s->value[i] + bytes;
        if (s->grad[i]) s->grad[i] = (char *)s->grad[i] + bytes;
    }
}

/* One group in one direction. */
typedef int group_work(struct network_pass *s, int begin, int end, enum pass_masks masks,
                       bool weight_gradients);

static int run_group(struct network_pass *s, int begin, group_work *work, enum pass_masks masks,
                     bool weight_gradients)
{
    int end = s->net->layers[begin].end, n = s->n, done = 0, code = OK;
    int part = s->parts && end > begin ? pass_part(s->net, begin, s->slice) : n;
    if (part >= n) return work(s, begin, end, masks, weight_gradients);
    while (code == OK && done < n) {
        s->n = n - done < part ? n - done : part;
        code = work(s, begin, end, masks, weight_gradients);
        move_group(s, begin, s->n);
        done += s->n;
    }
    move_group(s, begin, -done);
    s->n = n;
    return code;
}

static int group_forward(struct network_pass *s, int begin, int end, enum pass_masks masks,
                         bool weight_gradients)
{
    if (weight_gradients && s->parts) /* the gradients inside once more, from that of the end */
        for (int i = end; i > begin; i--) {
            TRY(passes_check_stop(s));
            TRY(layer_backward(s, i));
        }
    for (int i = begin; i <= end; i++) {
        TRY(passes_check_stop(s));
        if (weight_gradients && i > 0) TRY(layer_gradients(s, i));
        TRY(forward_layer(s, i, masks));
    }
    return OK;
}

int pass_forward(struct network_pass *s, enum pass_masks masks, bool weight_gradients)
{
    for (int i = 0; i < s->net->layer_count; i = s->net->layers[i].end + 1)
        TRY(run_group(s, i, group_forward, masks, weight_gradients));
    return OK;
}

static int group_backward(struct network_pass *s, int begin, int end, enum pass_masks masks,
                          bool weight_gradients)
{
    if (weight_gradients && s->parts) /* the values inside once more, from the group's input */
        for (int i = begin; i < end; i++) {
            TRY(passes_check_stop(s));
            TRY(forward_layer(s, i, masks));
        }
    for (int i = end; i >= begin; i--) {
        TRY(passes_check_stop(s));
        if (weight_gradients) TRY(layer_gradients(s, i));
        if (i > 0 && s->grad[s->net->layers[i].input]) TRY(layer_backward(s, i));
    }
    return OK;
}

int pass_backward(struct network_pass *s, bool weight_gradients)
{
    for (int i = s->net->layer_count - 1; i >= 0; i = s->net->layers[i].begin - 1)
        TRY(run_group(s, s->net->layers[i].begin, group_backward, PASS_FROZEN_MASKS,
                      weight_gradients));
    return OK;
}

size_t pass_workspace(const struct net *net, const struct device *device, int n, int slice)
{
    size_t most = 0;
    for (int i = 0; i < net->layer_count; i++) {
        if (net->layers[i].op != NET_CONV) continue;
        struct nn_conv shape = net_conv(net, i, n, slice);
        size_t bytes = device->nn->conv_workspace(device, &shape);
        if (bytes > most) most = bytes;
    }
    return most;
}
