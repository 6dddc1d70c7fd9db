#include "base/threads.h"

#include <omp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* cgroup v2 "cpu.max": "QUOTA PERIOD" or "max PERIOD"; v1 has two files. 0 when there is no quota.
 */
static int quota_cores(void)
{
    double quota = 0, period = 0;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (file) {
        if (fscanf(file, "%lf %lf", &quota, &period) != 2) quota = 0;
        fclose(file);
    } else if ((file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "re"))) {
        if (fscanf(file, "%lf", &quota) != 1) quota = 0;
        fclose(file);
        if (quota > 0 && (file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "re"))) {
            if (fscanf(file, "%lf", &period) != 1) period = 0;
            fclose(file);
        }
    }
    if (!(quota > 0) || !(period > 0)) return 0;
    int cores = (int)(quota / period + 0.999);
    return cores < 1 ? 1 : cores;
}

int threads_available(void)
{
    cpu_set_t set;
    int cores = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
    int quota = quota_cores();
    if (quota > 0 && quota < cores) cores = quota;
    return cores < 1 ? 1 : cores;
}

int threads_set(int count)
{
    if (count <= 0) count = threads_available();
    omp_set_num_threads(count);
    return count;
}

void threads_copy(void *to, const void *from, size_t bytes)
{
    enum { PIECE = 1 << 20 };
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < (int64_t)bytes; at += PIECE) {
        size_t left = bytes - (size_t)at;
        memcpy((char *)to + at, (const char *)from + at, left < PIECE ? left : PIECE);
    }
}
