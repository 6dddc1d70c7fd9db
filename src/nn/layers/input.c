/* The network's input: its values are there before a pass begins. */
#include "base/error.h"
#include "nn/layers.h"

static int input_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    (void)s, (void)i, (void)masks;
    return OK;
}

const struct nn_layer_kind layer_input = {
    .name = "input",
    .forward = input_forward,
    .is_piecewise_linear = true,
};

int nn_add_input(struct net *net, int h, int w, int c)
{
    struct net_layer input = net_next_layer(net, &layer_input);
    input.h = h;
    input.w = w;
    input.c = c;
    return net_add_layer(net, input);
}
