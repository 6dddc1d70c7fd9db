/* One step of a fit: growth, relocation, gradients, Adam. */
#ifndef IMGTRAIN_SPLAT_SPLAT_STEP_H
#define IMGTRAIN_SPLAT_SPLAT_STEP_H

#include "splat/fit.h"

/* Training step `step`: grows and relocates when due, then one update. The loss before it; without
 * `wait` it may be that of an earlier step (splat_ops.train). */
int splat_fit_step(struct splat_fit *fit, int64_t step, bool wait, double *loss);

#endif
