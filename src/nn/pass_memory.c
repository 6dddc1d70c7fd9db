#include "nn/pass_memory.h"

#include "base/error.h"
#include "memory/plan.h"

#include <stdio.h>

/* `images`: that it holds. */
static int pass_memory_declare(const struct pass_use *use, const char *what, int layer, int images,
                               int first, int last, void *slot)
{
    char name[64];
    size_t bytes = (size_t)images * net_bytes(use->net, layer);
    snprintf(name, sizeof name, "%s.%s%d", use->name, what, layer);
    return plan_declare(use->plan, name, PLAN_ACTIVATIONS, bytes, first, last, (void **)slot);
}

/* A segment that works in parts uses what lies outside it from its first phase to its last. */
static int begin_of(const struct pass_use *use, int layer)
{
    return use->parts ? use->net->layers[layer].begin : layer;
}

static int end_of(const struct pass_use *use, int layer)
{
    return use->parts ? use->net->layers[layer].end : layer;
}

/* When the backward pass works on `layer`. */
static int backward_phase(const struct pass_use *use, int layer)
{
    return use->backward + use->net->layer_count - 1 - layer;
}

/* Images of what is inside the segment of `layer`. */
static int images_inside(const struct pass_use *use, int layer)
{
    int part = pass_part(use->net, layer, use->chunk);
    return part < use->n ? part : use->n;
}

static bool is_in_parts(const struct pass_use *use, int layer)
{
    return use->parts && use->net->layers[layer].inside;
}

static bool reads(const struct net_layer *l, int value)
{
    for (int k = 0; k < l->input_count; k++)
        if (l->input[k] == value) return true;
    return false;
}

/* The first layer for which value i must still be there in the backward pass: one whose kind keeps
 * it, or one of a segment that makes its inside again. -1: none. */
static int first_user_again(const struct pass_use *use, int i)
{
    const struct net_layer *v = &use->net->layers[i];
    int first = v->first_keeper;
    for (int r = v->first_reader; use->parts && r > i && r <= v->last_reader; r++) {
        const struct net_layer *l = &use->net->layers[r];
        if (reads(l, i) && l->begin < l->end && (first < 0 || r < first)) first = r;
    }
    return first;
}

int pass_plan_values(const struct pass_use *use, struct network_pass *s, bool keep, int from,
                     struct network_pass *again)
{
    const struct net *net = use->net;
    int end = net->layer_count - 1;
    for (int i = from; i <= end; i++) {
        const struct net_layer *l = &net->layers[i];
        if (is_in_parts(use, i)) {
            TRY(pass_memory_declare(use, "value", i, images_inside(use, i), use->forward + i,
                                    use->forward + l->last_reader, &s->value[i]));
            if (keep)
                TRY(pass_memory_declare(use, "again", i, images_inside(use, i),
                                        backward_phase(use, l->end),
                                        backward_phase(use, l->first_reader), &again->value[i]));
            continue;
        }
        int last = use->forward + (i == end ? i + 1 : end_of(use, l->last_reader));
        if (i == end && use->output_until > last) last = use->output_until;
        int user = keep ? first_user_again(use, i) : -1;
        if (user >= 0) last = backward_phase(use, begin_of(use, user));
        TRY(pass_memory_declare(use, "value", i, use->n, use->forward + begin_of(use, i), last,
                                &s->value[i]));
    }
    return OK;
}

int pass_plan_masks(const struct pass_use *use, struct network_pass *s, int second)
{
    for (int i = 0; i < use->net->layer_count; i++) {
        const struct net_layer *l = &use->net->layers[i];
        if (!l->leaky_relu) continue;
        int reader = l->last_writer < 0 || use->parts ? begin_of(use, i) : l->last_writer;
        int last = second >= 0 ? second + end_of(use, i) : backward_phase(use, reader);
        char name[64];
        snprintf(name, sizeof name, "%s.mask%d", use->name, i);
        TRY(plan_declare(use->plan, name, PLAN_ACTIVATIONS,
                         (size_t)use->n * net_elements(use->net, i) / 8,
                         use->forward + begin_of(use, i), last, (void **)&s->mask[i]));
    }
    return OK;
}

/* When gradient i of the backward pass is last read within it: by its own layer, or by the layer
 * that adds it to its own (skip). */
static int gradient_end(const struct pass_use *use, int i)
{
    int last = backward_phase(use, is_in_parts(use, i) ? i : begin_of(use, i));
    for (int a = 0; a < i; a++) {
        if (use->net->layers[a].skip != i) continue;
        int adds = backward_phase(use, is_in_parts(use, i) ? a : begin_of(use, a));
        if (adds > last) last = adds;
    }
    return last;
}

/* One for every gradient that is made by parts of a sum: see needs_addend in graph.h. */
static int declare_addend(const struct pass_use *use, const char *what, int first,
                          struct network_pass *s)
{
    char name[64];
    size_t most = 0;
    if (!use->net->needs_addend) return OK;
    for (int i = 0; i < use->net->layer_count; i++)
        if (net_bytes(use->net, i) > most) most = net_bytes(use->net, i);
    snprintf(name, sizeof name, "%s.%s", use->name, what);
    return plan_declare(use->plan, name, PLAN_ACTIVATIONS, (size_t)use->n * most, first,
                        first + use->net->layer_count - 1, &s->addend);
}

int pass_plan_gradients(const struct pass_use *use, struct network_pass *s, int second,
                        struct network_pass *again, int from)
{
    const struct net *net = use->net;
    TRY(declare_addend(use, "addend", use->backward, s));
    if (second >= 0 && use->parts) TRY(declare_addend(use, "addend.again", second, again));
    for (int i = from; i < net->layer_count; i++) {
        const struct net_layer *l = &net->layers[i];
        bool is_output = i == net->layer_count - 1;
        if (!is_output && l->first_writer < 0) continue; /* nothing depends on it */
        if (is_in_parts(use, i)) {
            TRY(pass_memory_declare(use, "grad", i, images_inside(use, i),
                                    backward_phase(use, l->first_writer), gradient_end(use, i),
                                    &s->grad[i]));
            if (second >= 0)
                TRY(pass_memory_declare(use, "again", i, images_inside(use, i), second + l->begin,
                                        second + i, &again->grad[i]));
            continue;
        }
        int first =
            is_output ? use->backward - 1 : backward_phase(use, end_of(use, l->first_writer));
        int last = gradient_end(use, i);
        if (is_output && use->gradient_from) first = use->gradient_from;
        if (i == 0) last++;
        bool begins_again = use->parts && l->begin < i;
        if (second >= 0 && (l->weight >= 0 || begins_again)) last = second + end_of(use, i);
        TRY(pass_memory_declare(use, "grad", i, use->n, first, last, &s->grad[i]));
    }
    return OK;
}

int pass_plan_input(const struct pass_use *use, int first, int second, struct network_pass *s)
{
    return pass_memory_declare(use, "value", 0, use->n, first,
                               second + end_of(use, use->net->layers[0].last_reader), &s->value[0]);
}
