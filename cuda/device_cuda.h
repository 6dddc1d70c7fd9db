/* A GPU as a device; in builds with CUDA alone. */
#ifndef IMGTRAIN_CUDA_DEVICE_CUDA_H
#define IMGTRAIN_CUDA_DEVICE_CUDA_H

#include <stddef.h>

struct device;

/* GPU number `ordinal`. ERR_DEVICE with the reason when there is no such device or no driver. */
int device_open_cuda(struct device **device, int ordinal, int threads);

/* How many elements a launch of an element-wise kernel has at most, so that it counts them in 32
 * bits, whose division is a fifth of that in 64; more take several launches. Tests set fewer. */
extern size_t cuda_launch_most;

/* How many blocks of SSIM there are at least where they are for more than 64 rows each: as many as
 * fill a large GPU. Tests set fewer. */
extern int cuda_ssim_blocks;

#endif
