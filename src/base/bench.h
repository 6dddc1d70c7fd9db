/* Shared by the workloads of `imgtrain bench`: the options that each has, timing, and the JSON
 * array. A task's own options stand in its table. */
#ifndef IMGTRAIN_BASE_BENCH_H
#define IMGTRAIN_BASE_BENCH_H

#include <stdbool.h>
#include <stdint.h>

struct device;

struct bench {
    const char *task, *device;
    int64_t size; /* pixels; 0 = the workload's own */
    int64_t steps, threads;
    uint64_t memory_limit; /* bytes of the device; 0: none */
    bool json, amp, kernels;

    /* Opens `device` with `threads`: a workload closes it. */
    int (*open)(const struct bench *bench, struct device **device);
    /* With `kernels`: prints what each took since the last call; to be called before a workload
     * (forget) and after it. */
    void (*kernel_times)(const struct bench *bench, struct device *device, bool forget);
    int reported; /* objects printed so far */
};

enum { BENCH_MAX_STEPS = 1000 };

/* Milliseconds a step. */
struct bench_times {
    double median, mean, best;
    double cpu; /* of all threads, the mean */
};

/* How many steps are timed as one: a device that works ahead (is_host is false) is waited for as
 * seldom as in a training. */
int bench_at_once(bool is_host);

/* Runs `step`, which does `at_once` steps and waits for the last one, twice to warm up (step -2,
 * -1), then `bench->steps` times. */
typedef int bench_step(void *context, int step);
int bench_measure(const struct bench *bench, bench_step *step, void *context, int at_once,
                  struct bench_times *times);

/* Begins the next object of the JSON array: its name and times; the caller adds members and '}'. */
void bench_json_begin(struct bench *bench, const char *name, const struct bench_times *times);

#endif
