/* A GPU as a device; in builds with CUDA alone. */
#ifndef IMGTRAIN_CUDA_DEVICE_CUDA_H
#define IMGTRAIN_CUDA_DEVICE_CUDA_H

struct device;

/* GPU number `ordinal`. ERR_DEVICE with the reason when there is no such device or no driver. */
int device_open_cuda(struct device **device, int ordinal, int threads);

#endif
