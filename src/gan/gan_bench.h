/* The part of `imgtrain bench` that times this task's steps. */
#ifndef IMGTRAIN_GAN_GAN_BENCH_H
#define IMGTRAIN_GAN_GAN_BENCH_H

#include "base/option_row.h"

struct bench; /* base/bench.h */

int gan_bench(struct bench *bench);
extern const struct option_row gan_bench_options[];
int gan_bench_check(void);

#endif
