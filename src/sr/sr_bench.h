/* The workload of `imgtrain bench --task sr`: whole steps. */
#ifndef IMGTRAIN_SR_SR_BENCH_H
#define IMGTRAIN_SR_SR_BENCH_H

#include "base/option_row.h"

struct bench;

/* As in struct task. */
int sr_bench(struct bench *bench);
extern const struct option_row sr_bench_options[];

#endif
