/* The least important Gaussians begin again where the error is. */
#ifndef IMGTRAIN_SPLAT_RELOCATE_H
#define IMGTRAIN_SPLAT_RELOCATE_H

#include "splat/fit.h"

/* Moves the least important Gaussians, when `step` is one of relocation: every relocate_every steps
 * from the last growth to relocate_until of the run. The others keep their optimiser state. */
int splat_relocate(struct splat_fit *fit, int64_t step);

#endif
