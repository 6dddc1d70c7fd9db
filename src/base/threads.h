/* How many threads to use: OpenMP runtimes ignore container quotas, so this reads them. */
#ifndef IMGTRAIN_BASE_THREADS_H
#define IMGTRAIN_BASE_THREADS_H

#include <stddef.h>

/* Cores this process may use: the smaller of the affinity mask and the cgroup CPU quota, >= 1. */
int threads_available(void);

/* Sets the number of OpenMP threads; 0 = threads_available(). Returns the number set. */
int threads_set(int count);

/* memcpy by all threads. */
void threads_copy(void *to, const void *from, size_t bytes);

#endif
