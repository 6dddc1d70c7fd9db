/* The part of `imgtrain bench` that times this task's steps. */
#ifndef IMGTRAIN_DIFFUSION_DIFFUSION_BENCH_H
#define IMGTRAIN_DIFFUSION_DIFFUSION_BENCH_H

#include "base/option_row.h"

struct bench; /* base/bench.h */

int diffusion_bench(struct bench *bench);
extern const struct option_row diffusion_bench_options[];

#endif
