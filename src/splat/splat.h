/* task: splat: fits 2D Gaussians to an image. */
#ifndef IMGTRAIN_SPLAT_SPLAT_H
#define IMGTRAIN_SPLAT_SPLAT_H

#include "base/option_row.h"
#include "task/task.h"

extern const struct task task_splat;

/* task->bench: the part of `imgtrain bench` that times this task's steps (splat_bench.c). */
struct bench; /* base/bench.h */
int splat_bench(struct bench *bench);
extern const struct option_row splat_bench_options[];

#endif
