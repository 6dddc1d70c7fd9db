/* The part of `imgtrain bench` that times this task's steps. */
#ifndef IMGTRAIN_GAN_GAN_BENCH_H
#define IMGTRAIN_GAN_GAN_BENCH_H

struct bench; /* base/bench.h */

int gan_bench(struct bench *bench);

#endif
