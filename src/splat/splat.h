/* task: splat: fits 2D Gaussians to a picture. */
#ifndef IMGTRAIN_SPLAT_SPLAT_H
#define IMGTRAIN_SPLAT_SPLAT_H

#include "task/task.h"

extern const struct task task_splat;

#endif
