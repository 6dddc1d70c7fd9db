/* The task `diffusion`: a transformer learns to make images out of noise, of a class that is asked
 * for. */
#ifndef IMGTRAIN_DIFFUSION_DIFFUSION_H
#define IMGTRAIN_DIFFUSION_DIFFUSION_H

#include "task/task.h"

extern const struct task task_diffusion;

#endif
