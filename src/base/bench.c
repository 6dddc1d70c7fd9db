#include "base/bench.h"

#include "base/clock.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int bench_by_value(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

static double bench_cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int bench_at_once(bool is_host)
{
    return is_host ? 1 : 16;
}

int bench_measure(const struct bench *bench, bench_step *step, void *context, int at_once,
                  struct bench_times *times)
{
    double each[BENCH_MAX_STEPS], cpu = 0, all = 0;
    int steps = (int)bench->steps;
    for (int k = -2; k < steps; k++) {
        if (k == 0) cpu = bench_cpu_seconds();
        double start = clock_seconds();
        TRY(step(context, k));
        if (k >= 0) each[k] = 1e3 * (clock_seconds() - start) / at_once;
    }
    times->cpu = 1e3 * (bench_cpu_seconds() - cpu) / steps / at_once;
    for (int k = 0; k < steps; k++)
        all += each[k];
    times->mean = all / steps;
    qsort(each, (size_t)steps, sizeof *each, bench_by_value);
    times->median = each[steps / 2];
    times->best = each[0];
    return OK;
}

void bench_json_begin(struct bench *bench, const char *name, const struct bench_times *times)
{
    printf("%s\n {\"name\": \"%s\", \"ms\": %.3f, \"mean_ms\": %.3f, \"best_ms\": %.3f, "
           "\"cpu_ms\": %.3f",
           bench->reported++ ? "," : "[", name, times->median, times->mean, times->best,
           times->cpu);
}
