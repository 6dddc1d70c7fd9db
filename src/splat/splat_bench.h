/* The part of `imgtrain bench` that times this task's steps. */
#ifndef IMGTRAIN_SPLAT_SPLAT_BENCH_H
#define IMGTRAIN_SPLAT_SPLAT_BENCH_H

struct bench; /* base/bench.h */

int splat_bench(struct bench *bench);

#endif
