#include "nn/passes.h"

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

static void forward_conv(struct network_pass *s, int i, enum pass_masks masks)
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
    s->ops->conv_forward(&shape, s->value[i], s->value[l->input], passes_weights(s, l->weight), &e,
                         s->workspace);
    s->macs += net_layer_macs(s->net, i) * s->n;
}

static void forward_layer(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net *net = s->net;
    const struct net_layer *l = &net->layers[i], *from = l->input >= 0 ? &net->layers[l->input] : l;
    const float *w = passes_weights(s, l->weight);
    void *out = s->value[i];
    const void *in = l->input >= 0 ? s->value[l->input] : NULL;
    switch (l->op) {
    case NET_INPUT:
        if (w)
            s->ops->embed_gather((float *)out + embedding_z(net), w, s->labels, s->n,
                                 net->embedding, net->classes, l->c);
        break;
    case NET_CONV: forward_conv(s, i, masks); break;
    case NET_EXPAND:
        s->ops->spatial_map_expand(out, l->type, in, w, s->n, l->h * l->w, l->c);
        break;
    case NET_CONTRACT:
        s->ops->spatial_map_contract(out, in, from->type, w, s->n, from->h * from->w, l->c);
        break;
    case NET_FIR_UP:
        s->ops->fir_up(out, l->type, in, from->type, s->n, from->h, from->w, l->c, 4);
        break;
    case NET_FIR_DOWN:
        s->ops->fir_down(out, l->type, in, from->type, s->n, l->h, l->w, l->c, 1);
        break;
    case NET_PROJECT:
        s->ops->project(out, in, w, s->labels, s->n, net->embedding, net->classes);
        break;
    }
}

/* Gradients of the layer's own parameters from its input's value and its output's gradient. */
static void layer_gradients(struct network_pass *s, int i)
{
    const struct net *net = s->net;
    const struct net_layer *l = &net->layers[i];
    if (l->weight < 0) return;
    const void *d = s->grad[i], *in = l->input >= 0 ? s->value[l->input] : NULL;
    float *dw = passes_gradient(s, l->weight);
    if (l->op == NET_CONV) {
        struct nn_conv shape = net_conv(net, i, s->n, s->slice);
        s->ops->conv_wgrad(&shape, dw, in, d, s->workspace);
        s->macs += net_layer_macs(net, i) * s->n;
        if (l->bias >= 0)
            s->ops->bias_grad(passes_gradient(s, l->bias), d, l->type, s->n, l->h * l->w, l->c);
    } else if (l->op == NET_EXPAND) {
        s->ops->spatial_map_grad(dw, in, d, l->type, s->n, l->h * l->w, l->c);
    } else if (l->op == NET_CONTRACT) {
        const struct net_layer *from = &net->layers[l->input];
        s->ops->spatial_map_grad(dw, d, in, from->type, s->n, from->h * from->w, l->c);
    } else if (l->op == NET_PROJECT) {
        s->ops->project_grad(dw, d, in, s->labels, s->n, net->embedding, net->classes);
    } else if (l->op == NET_INPUT) {
        s->ops->embed_grad(dw, (const float *)d + embedding_z(net), s->labels, s->n, net->embedding,
                           net->classes, l->c);
    }
}

/* grad[input] from grad[i] */
static void layer_backward(struct network_pass *s, int i)
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
        s->ops->conv_dgrad(&shape, to, d, w, &e, s->workspace);
        s->macs += net_layer_macs(net, i) * s->n;
    } else if (l->op == NET_EXPAND) {
        s->ops->spatial_map_contract(to, d, l->type, w, s->n, l->h * l->w, l->c);
    } else if (l->op == NET_CONTRACT) {
        s->ops->spatial_map_expand(to, from->type, d, w, s->n, from->h * from->w, l->c);
    } else if (l->op == NET_FIR_UP) {
        s->ops->fir_down(to, from->type, d, l->type, s->n, from->h, from->w, l->c, 4);
    } else if (l->op == NET_FIR_DOWN) {
        s->ops->fir_up(to, from->type, d, l->type, s->n, l->h, l->w, l->c, 1);
    } else if (l->op == NET_PROJECT) {
        s->ops->project_dgrad(to, d, w, s->labels, s->n, net->embedding, net->classes);
    }
}

static bool passes_is_stopped(const struct network_pass *s)
{
    struct pass_stop *stop = s->stop;
    if (!stop || !stop->requested) return false;
    stop->heard = stop->heard || stop->requested();
    return stop->heard;
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
typedef void group_work(struct network_pass *s, int begin, int end, enum pass_masks masks,
                        bool weight_gradients);

static void run_group(struct network_pass *s, int begin, group_work *work, enum pass_masks masks,
                      bool weight_gradients)
{
    int end = s->net->layers[begin].end, n = s->n, done = 0;
    int part = s->parts && end > begin ? pass_part(s->net, begin, s->slice) : n;
    if (part >= n) {
        work(s, begin, end, masks, weight_gradients);
        return;
    }
    for (; done < n; done += s->n) {
        s->n = n - done < part ? n - done : part;
        work(s, begin, end, masks, weight_gradients);
        move_group(s, begin, s->n);
    }
    move_group(s, begin, -n);
    s->n = n;
}

static void group_forward(struct network_pass *s, int begin, int end, enum pass_masks masks,
                          bool weight_gradients)
{
    if (weight_gradients && s->parts) /* the gradients inside once more, from that of the end */
        for (int i = end; i > begin && !passes_is_stopped(s); i--)
            layer_backward(s, i);
    for (int i = begin; i <= end && !passes_is_stopped(s); i++) {
        if (weight_gradients && i > 0) layer_gradients(s, i);
        forward_layer(s, i, masks);
    }
}

void pass_forward(struct network_pass *s, enum pass_masks masks, bool weight_gradients)
{
    for (int i = 0; i < s->net->layer_count; i = s->net->layers[i].end + 1)
        run_group(s, i, group_forward, masks, weight_gradients);
}

static void group_backward(struct network_pass *s, int begin, int end, enum pass_masks masks,
                           bool weight_gradients)
{
    if (weight_gradients && s->parts) /* the values inside once more, from the group's input */
        for (int i = begin; i < end && !passes_is_stopped(s); i++)
            forward_layer(s, i, masks);
    for (int i = end; i >= begin && !passes_is_stopped(s); i--) {
        if (weight_gradients) layer_gradients(s, i);
        if (i > 0 && s->grad[s->net->layers[i].input]) layer_backward(s, i);
    }
}

void pass_backward(struct network_pass *s, bool weight_gradients)
{
    for (int i = s->net->layer_count - 1; i >= 0; i = s->net->layers[i].begin - 1)
        run_group(s, s->net->layers[i].begin, group_backward, PASS_FROZEN_MASKS, weight_gradients);
}

size_t pass_workspace(const struct net *net, const struct nn_ops *ops, int n, int slice)
{
    size_t most = 0;
    for (int i = 0; i < net->layer_count; i++) {
        if (net->layers[i].op != NET_CONV) continue;
        struct nn_conv shape = net_conv(net, i, n, slice);
        size_t bytes = ops->conv_workspace(&shape);
        if (bytes > most) most = bytes;
    }
    return most;
}
