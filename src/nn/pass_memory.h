/* What one use of a network needs in the memory plan, and for how long: from who reads a value and
 * what kinds keep (graph.h). Phases are those of a step: a pass has one for each layer. */
#ifndef IMGTRAIN_NN_PASS_MEMORY_H
#define IMGTRAIN_NN_PASS_MEMORY_H

#include "nn/passes.h"

/* `parts`: as in the pass that uses it. */
struct pass_use {
    struct plan *plan;
    const struct net *net;
    const char *name;
    int forward, backward; /* first phase of its passes */
    int n, chunk;          /* images */
    bool parts;
    int output_until;  /* phase in which the output is looked at last; 0: right behind forward */
    int gradient_from; /* in which its gradient is made; 0: right before backward */
};

/* Outputs from layer `from` on, each until its last reader of the forward pass, or (keep) until
 * the backward pass has been through the first layer that needs it; but those inside segments that
 * work in parts have a second life there, in `again`. */
int pass_plan_values(const struct pass_use *use, struct network_pass *s, bool keep, int from,
                     struct network_pass *again);

/* second: the first phase of the pass that reads the masks last; -1: the backward pass. */
int pass_plan_masks(const struct pass_use *use, struct network_pass *s, int second);

/* second >= 0: gradients with weights stay until the second forward pass, which begins there
 * (those inside segments that work in parts do not: `again` gets its own). from: 0 with the
 * input's. */
int pass_plan_gradients(const struct pass_use *use, struct network_pass *s, int second,
                        struct network_pass *again, int from);

/* The input, from phase `first` until the last segment that reads it in the pass from phase
 * `second` on is through. */
int pass_plan_input(const struct pass_use *use, int first, int second, struct network_pass *s);

#endif
