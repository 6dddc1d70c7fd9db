/* How much memory this process could still have: the machine's, less what its control groups allow.
 */
#ifndef IMGTRAIN_CPU_HOST_MEMORY_H
#define IMGTRAIN_CPU_HOST_MEMORY_H

#include <stdint.h>

/* The smaller of MemAvailable and what each control group above the process (version 1 or 2) has
 * left, file caches counted as free. -1 if unknown. */
int64_t host_memory_free(void);

/* The smaller of the machine's memory and its control groups' limits. -1 if unknown. */
int64_t host_memory_total(void);

#endif
