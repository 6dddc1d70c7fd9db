/* What one use of a network needs in the memory plan, and for how long. Phases are those of a step:
 * a sweep has one for each layer. */
#ifndef IMGTRAIN_NN_PASS_MEMORY_H
#define IMGTRAIN_NN_PASS_MEMORY_H

#include "nn/passes.h"

/* `parts`: as in the sweep that uses it. */
struct sweep_use {
    struct plan *plan;
    const struct net *net;
    const char *name;
    int forward, adjoint; /* first phase of its sweeps */
    int n, slice;         /* pictures */
    bool parts;
};

/* Outputs from layer `from` on, each until its last reader of the forward sweep, or (keep) until
 * the adjoint sweep has used it for the weights behind it; but those inside groups that work in
 * parts have a second life there, in `again`. */
int sweep_plan_values(const struct sweep_use *use, struct sweep *s, bool keep, int from,
                      struct sweep *again);

/* second: the first phase of the sweep that reads the masks last; -1: the adjoint sweep. */
int sweep_plan_masks(const struct sweep_use *use, struct sweep *s, int second);

/* second >= 0: gradients with weights stay until the second forward sweep, which begins there
 * (those inside groups that work in parts do not: `again` gets its own). from: 0 with the input's.
 */
int sweep_plan_gradients(const struct sweep_use *use, struct sweep *s, int second,
                         struct sweep *again, int from);

/* The input, from phase `first` until the group that reads it in the sweep from phase `second` on
 * is through. */
int sweep_plan_input(const struct sweep_use *use, int first, int second, struct sweep *s);

#endif
