#include "nn/passes.h"

#include "base/error.h"
#include "device/device.h"

#include <stdlib.h>

int pass_open(struct network_pass *s, const struct net *net)
{
    size_t count = (size_t)net->layer_count;
    s->net = net;
    s->value = calloc(3 * count, sizeof *s->value);
    if (!s->value) return fail(ERR_SYSTEM, "out of memory");
    s->grad = s->value + count;
    s->mask = (uint8_t **)(s->value + 2 * count);
    return OK;
}

void pass_close(struct network_pass *s)
{
    free(s->value);
    s->value = s->grad = NULL;
    s->mask = NULL;
}

const float *pass_weights(const struct network_pass *s, int parameter)
{
    if (parameter < 0) return NULL;
    return s->weights ? s->weights[parameter]
                      : s->parameters + s->net->parameters[parameter].offset;
}

float *pass_gradient(const struct network_pass *s, int parameter)
{
    return parameter < 0 ? NULL : s->gradients + s->net->parameters[parameter].offset;
}

float *pass_derived(const struct network_pass *s, int layer)
{
    return s->derived + s->net->layers[layer].derived;
}

float *pass_derived_gradient(const struct network_pass *s, int layer)
{
    return s->derived_gradients + s->net->layers[layer].derived;
}

void *pass_image(const struct network_pass *s, int layer, void *all, int n)
{
    return (char *)all + n * (ptrdiff_t)net_bytes(s->net, layer);
}

/* Whether slot `slot` of layer i completes the gradient of a value with a fused leaky ReLU. */
static bool completes_leaky(const struct network_pass *s, int i, int slot)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[slot]];
    if (!from->leaky_relu || from->last_writer != i) return false;
    for (int k = slot + 1; k < l->input_count; k++)
        if (l->input[k] == l->input[slot]) return false;
    return true;
}

bool pass_applies_mask(const struct network_pass *s, int i)
{
    return completes_leaky(s, i, 0);
}

/* Before every layer. */
static int passes_check_stop(const struct network_pass *s)
{
    return s->stop_requested && s->stop_requested() ? fail(ERR_STOPPED, "stopped within a pass")
                                                    : OK;
}

/* ---- one layer ---- */

static int layer_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    TRY(passes_check_stop(s));
    return s->net->layers[i].kind->forward(s, i, masks);
}

/* Gradients of the layer's own parameters from its inputs' values and its output's gradient. */
static int layer_weight_gradient(struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    return l->weight >= 0 || l->bias >= 0 ? l->kind->weight_gradient(s, i) : OK;
}

int pass_copy(const struct network_pass *s, int layer, void *out, enum nn_type out_type,
              const void *in, enum nn_type in_type, bool add)
{
    const struct net_layer *l = &s->net->layers[layer];
    int line = l->w * l->c;
    struct nn_strided copy = {
        .out = out,
        .in = in,
        .out_type = out_type,
        .in_type = in_type,
        .count = {1, 1, s->n, l->h, line},
        .out_stride = {0, 0, (ptrdiff_t)l->h * line, line, 1},
        .in_stride = {0, 0, (ptrdiff_t)l->h * line, line, 1},
        .add = add,
    };
    return s->device->nn->strided_copy(s->device, &copy);
}

/* The gradient of input[slot] from grad[i], before its fused leaky ReLU. */
static int input_gradient(struct network_pass *s, int i, int slot)
{
    const struct net_layer *l = &s->net->layers[i];
    int from = l->input[slot];
    enum net_gradient how = l->gradient[slot];
    enum nn_type type = s->net->layers[from].type;
    bool adds = how == NET_GRADIENT_ADDS;
    void *to = s->grad[from];
    if (!to || how == NET_GRADIENT_FUSED) return OK;
    if (l->kind->identity >> slot & 1)
        return pass_copy(s, from, to, type, s->grad[i], l->type, adds);
    if (!adds || l->kind->can_add) return l->kind->backward(s, i, slot, to, adds);
    TRY(l->kind->backward(s, i, slot, s->addend, false));
    return pass_copy(s, from, to, type, s->addend, type, true);
}

/* Behind input_gradient: through the fused leaky ReLU of a value whose gradient is complete. */
static int input_mask(struct network_pass *s, int i, int slot)
{
    const struct net_layer *l = &s->net->layers[i];
    int from = l->input[slot];
    bool identity = l->kind->identity >> slot & 1, fused = l->gradient[slot] == NET_GRADIENT_FUSED;
    if (!s->grad[from] || fused || !completes_leaky(s, i, slot)) return OK;
    if (l->kind->masks_input && slot == 0 && !identity) return OK;
    return s->device->nn->mask_slope(s->device, s->grad[from], s->net->layers[from].type,
                                     s->mask[from], NET_SLOPE,
                                     (size_t)s->n * net_elements(s->net, from));
}

/* The gradients of those inputs whose bit in `slots` is set. */
static int inputs_backward(struct network_pass *s, int i, unsigned slots)
{
    const struct net_layer *l = &s->net->layers[i];
    unsigned made = 0;
    for (int k = 0; k < l->input_count && l->kind->backward_inputs; k++)
        if (s->grad[l->input[k]]) made |= slots & 1u << k;
    if (made) TRY(l->kind->backward_inputs(s, i, made));
    for (int k = 0; k < l->input_count; k++) {
        if (!(slots >> k & 1)) continue;
        if (!l->kind->backward_inputs) TRY(input_gradient(s, i, k));
        TRY(input_mask(s, i, k));
    }
    return OK;
}

static int layer_backward(struct network_pass *s, int i)
{
    TRY(passes_check_stop(s));
    return inputs_backward(s, i, (1u << s->net->layers[i].input_count) - 1);
}

/* ---- one checkpoint segment ---- */

static size_t segment_bytes(const struct net *net, int begin)
{
    size_t most = 0;
    for (int i = begin; i < net->layers[begin].end; i++)
        if (net->layers[i].inside && net_bytes(net, i) > most) most = net_bytes(net, i);
    return most;
}

int pass_part(const struct net *net, int layer, int chunk)
{
    size_t most = 0, own = segment_bytes(net, net->layers[layer].begin);
    for (int i = 0; i < net->layer_count; i = net->layers[i].end + 1)
        if (segment_bytes(net, i) > most) most = segment_bytes(net, i);
    return chunk * (own ? (int)(most / own) : 1);
}

static void move_layer(struct network_pass *s, int i, int images)
{
    ptrdiff_t bytes = images * (ptrdiff_t)net_bytes(s->net, i);
    if (s->mask[i]) s->mask[i] += images * (ptrdiff_t)net_elements(s->net, i) / 8;
    if (s->net->layers[i].inside) return;
    if (s->value[i]) s->value[i] = (char *)s->value[i] + bytes;
    if (s->grad[i]) s->grad[i] = (char *)s->grad[i] + bytes;
}

/* Whether a layer of the segment before `layer`, or an earlier input of `layer`, names `outside`.
 */
static bool is_named_before(const struct net *net, int begin, int layer, int slot, int outside)
{
    for (int i = begin; i <= layer; i++) {
        const struct net_layer *l = &net->layers[i];
        for (int k = 0; k < (i == layer && slot < l->input_count ? slot : l->input_count); k++)
            if (l->input[k] == outside) return true;
        if (i < layer && l->skip == outside) return true;
    }
    return false;
}

/* Moves the buffers that a segment works on by `images`: its own and those outside that its layers
 * read. What is inside serves every part, but for the masks. */
static void move_segment(struct network_pass *s, int begin, int images)
{
    const struct net *net = s->net;
    int end = net->layers[begin].end;
    if (s->labels.label) s->labels.label += images;
    for (int i = begin; i <= end; i++) {
        const struct net_layer *l = &net->layers[i];
        move_layer(s, i, images);
        for (int k = 0; k < l->input_count; k++)
            if (l->input[k] < begin && !is_named_before(net, begin, i, k, l->input[k]))
                move_layer(s, l->input[k], images);
        if (l->skip > end && !is_named_before(net, begin, i, NET_MAX_INPUTS, l->skip))
            move_layer(s, l->skip, images);
    }
}

/* One segment in one direction. */
typedef int segment_work(struct network_pass *s, int begin, int end, enum pass_masks masks,
                         bool weight_gradients);

static int run_segment(struct network_pass *s, int begin, segment_work *work, enum pass_masks masks,
                       bool weight_gradients)
{
    int end = s->net->layers[begin].end, n = s->n, done = 0, code = OK;
    int part = s->parts && end > begin ? pass_part(s->net, begin, s->chunk) : n;
    if (part >= n) return work(s, begin, end, masks, weight_gradients);
    for (; done < n && code == OK; done += s->n) {
        s->n = n - done < part ? n - done : part;
        code = work(s, begin, end, masks, weight_gradients);
        move_segment(s, begin, s->n);
    }
    move_segment(s, begin, -done);
    s->n = n;
    return code;
}

/* The gradients inside a segment once more, from that of its end. */
static int gradients_again(struct network_pass *s, int begin, int end)
{
    for (int i = end; i > begin; i--) {
        const struct net_layer *l = &s->net->layers[i];
        unsigned slots = 0;
        for (int k = 0; k < l->input_count; k++)
            if (s->net->layers[l->input[k]].inside && l->input[k] >= begin) slots |= 1u << k;
        TRY(inputs_backward(s, i, slots));
    }
    return OK;
}

static int segment_forward(struct network_pass *s, int begin, int end, enum pass_masks masks,
                           bool weight_gradients)
{
    if (weight_gradients && s->parts) TRY(gradients_again(s, begin, end));
    for (int i = begin; i <= end; i++) {
        if (weight_gradients && i > 0) TRY(layer_weight_gradient(s, i));
        TRY(layer_forward(s, i, masks));
    }
    return OK;
}

int pass_forward_through(struct network_pass *s, int from, int to, enum pass_masks masks,
                         bool weight_gradients)
{
    for (int i = from; i <= to; i = s->net->layers[i].end + 1)
        TRY(run_segment(s, i, segment_forward, masks, weight_gradients));
    return OK;
}

int pass_forward(struct network_pass *s, enum pass_masks masks, bool weight_gradients)
{
    return pass_forward_through(s, 0, s->net->layer_count - 1, masks, weight_gradients);
}

static int segment_backward(struct network_pass *s, int begin, int end, enum pass_masks masks,
                            bool weight_gradients)
{
    if (weight_gradients && s->parts) /* the values inside once more, from the segment's input */
        for (int i = begin; i < end; i++)
            if (s->net->layers[i].inside) TRY(layer_forward(s, i, masks));
    for (int i = end; i >= begin; i--) {
        if (weight_gradients) TRY(layer_weight_gradient(s, i));
        TRY(layer_backward(s, i));
    }
    return OK;
}

int pass_backward_through(struct network_pass *s, int from, int to, bool weight_gradients)
{
    for (int i = from; i >= to; i = s->net->layers[i].begin - 1)
        TRY(run_segment(s, s->net->layers[i].begin, segment_backward, PASS_FROZEN_MASKS,
                        weight_gradients));
    return OK;
}

int pass_backward(struct network_pass *s, bool weight_gradients)
{
    return pass_backward_through(s, s->net->layer_count - 1, 0, weight_gradients);
}

int pass_derive(struct network_pass *s)
{
    for (int i = 0; i < s->net->layer_count; i++)
        if (s->net->layers[i].kind->derive) TRY(s->net->layers[i].kind->derive(s, i));
    return OK;
}

int pass_derive_gradients(struct network_pass *s)
{
    for (int i = 0; i < s->net->layer_count; i++)
        if (s->net->layers[i].kind->derive) TRY(s->net->layers[i].kind->derive_gradient(s, i));
    return OK;
}

size_t pass_workspace(const struct net *net, const struct device *device, int n, int chunk)
{
    size_t most = 0;
    for (int i = 0; i < net->layer_count; i++) {
        const struct nn_layer_kind *kind = net->layers[i].kind;
        size_t bytes = kind->workspace ? kind->workspace(net, device, i, n, chunk) : 0;
        if (bytes > most) most = bytes;
    }
    return most;
}
