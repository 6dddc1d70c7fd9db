#include "nn/pass_memory.h"

#include "base/error.h"
#include "memory/plan.h"

#include <stdio.h>

/* `pictures`: that it holds. */
static int pass_memory_declare(const struct pass_use *use, const char *what, int layer,
                               int pictures, int first, int last, void *slot)
{
    char name[64];
    size_t bytes = (size_t)pictures * net_bytes(use->net, layer);
    snprintf(name, sizeof name, "%s.%s%d", use->name, what, layer);
    return plan_declare(use->plan, name, PLAN_ACTIVATIONS, bytes, first, last, (void **)slot);
}

/* A group that works in parts uses what lies outside it from its first phase to its last. */
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

/* Pictures of what is inside the group of `layer`. */
static int pass_memory_part_of(const struct pass_use *use, int layer)
{
    int part = pass_part(use->net, layer, use->slice);
    return part < use->n ? part : use->n;
}

static bool pass_memory_inside(const struct pass_use *use, int layer)
{
    return use->parts && (use->net->layers[layer].flags & NET_INSIDE);
}

int pass_plan_values(const struct pass_use *use, struct network_pass *s, bool keep, int from,
                     struct network_pass *again)
{
    const struct net *net = use->net;
    int end = net->layer_count - 1;
    for (int i = from; i <= end; i++) {
        int last = i == end ? i + 1 : net_last_use(net, i);
        if (pass_memory_inside(use, i)) {
            TRY(pass_memory_declare(use, "value", i, pass_memory_part_of(use, i), use->forward + i,
                                    use->forward + last, &s->value[i]));
            if (keep)
                TRY(pass_memory_declare(use, "again", i, pass_memory_part_of(use, i),
                                        backward_phase(use, net->layers[i].end),
                                        backward_phase(use, i + 1), &again->value[i]));
            continue;
        }
        last = use->forward + (i == end ? last : end_of(use, last));
        if (keep && i < end) last = backward_phase(use, begin_of(use, i + 1));
        TRY(pass_memory_declare(use, "value", i, use->n, use->forward + begin_of(use, i), last,
                                &s->value[i]));
    }
    return OK;
}

int pass_plan_masks(const struct pass_use *use, struct network_pass *s, int second)
{
    for (int i = 0; i < use->net->layer_count; i++) {
        if (!(use->net->layers[i].flags & NET_LRELU)) continue;
        int last = second >= 0 ? second + end_of(use, i)
                               : backward_phase(use, use->parts ? begin_of(use, i) : i + 1);
        char name[64];
        snprintf(name, sizeof name, "%s.mask%d", use->name, i);
        TRY(plan_declare(use->plan, name, PLAN_ACTIVATIONS,
                         (size_t)use->n * net_elements(use->net, i) / 8,
                         use->forward + begin_of(use, i), last, (void **)&s->mask[i]));
    }
    return OK;
}

/* When gradient i of the backward pass is last read within it: by its own layer, or by the first
 * layer of the block that it ends. */
static int gradient_end(const struct pass_use *use, int i)
{
    bool ends_block = use->net->layers[i].residual >= 0;
    return backward_phase(use, pass_memory_inside(use, i) || !use->parts ? i - 2 * ends_block
                                                                         : begin_of(use, i));
}

int pass_plan_gradients(const struct pass_use *use, struct network_pass *s, int second,
                        struct network_pass *again, int from)
{
    const struct net *net = use->net;
    for (int i = from; i < net->layer_count; i++) {
        const struct net_layer *l = &net->layers[i];
        if (pass_memory_inside(use, i)) {
            TRY(pass_memory_declare(use, "grad", i, pass_memory_part_of(use, i),
                                    backward_phase(use, i + 1), gradient_end(use, i), &s->grad[i]));
            if (second >= 0)
                TRY(pass_memory_declare(use, "again", i, pass_memory_part_of(use, i),
                                        second + l->begin, second + i, &again->grad[i]));
            continue;
        }
        bool last_layer = i == net->layer_count - 1;
        int first = last_layer ? use->backward - 1 : backward_phase(use, end_of(use, i + 1));
        int last = gradient_end(use, i);
        if (i == 0) last++;
        bool again_from_it = use->parts && l->begin < i;
        if (second >= 0 && (l->weight >= 0 || again_from_it)) last = second + end_of(use, i);
        TRY(pass_memory_declare(use, "grad", i, use->n, first, last, &s->grad[i]));
    }
    return OK;
}

int pass_plan_input(const struct pass_use *use, int first, int second, struct network_pass *s)
{
    return pass_memory_declare(use, "value", 0, use->n, first, second + end_of(use, 1),
                               &s->value[0]);
}
