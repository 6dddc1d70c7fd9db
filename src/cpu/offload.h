/* Offloaded memory of the CPU: a mapped file, so that the system can write it out. */
#ifndef IMGTRAIN_CPU_OFFLOAD_H
#define IMGTRAIN_CPU_OFFLOAD_H

#include <stddef.h>

struct device;

/* struct device's alloc_offload and free_offload. ERR_DEVICE_MEMORY when the disk is full, ERR_IO
 * when no file can be made. */
int cpu_alloc_offload(struct device *device, size_t bytes, void **memory);
void cpu_free_offload(struct device *device, void *memory, size_t bytes);

#endif
