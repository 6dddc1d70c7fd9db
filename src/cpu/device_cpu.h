/* The CPU as a device. */
#ifndef IMGTRAIN_CPU_DEVICE_CPU_H
#define IMGTRAIN_CPU_DEVICE_CPU_H

struct device;

/* threads: 0 = all that are available. */
int device_open_cpu(struct device **device, int threads);

#endif
