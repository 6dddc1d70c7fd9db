/* What this GPU reaches at best, to hold kernels against: measured, not read from a table. */
#ifndef IMGTRAIN_CUDA_CEILINGS_H
#define IMGTRAIN_CUDA_CEILINGS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct device;

struct cuda_ceilings {
    double copy_bytes; /* read and written a second, by a plain copy */
    double fma_flops;  /* fp32, two a fused multiply-add */
    double mma_flops;  /* bf16 by mma.sync; instructions of one architecture alone reach more */
};

/* `bytes` to copy, `rounds` of arithmetic a thread: 256 MiB and 4096 on a GPU. Best of `times`.
 * Fewer bytes than 8 KiB a multiprocessor are worked on by fewer blocks. Allocates 2 * bytes. */
int cuda_measure_ceilings(struct device *device, size_t bytes, int rounds, int times,
                          struct cuda_ceilings *ceilings);

#ifdef __cplusplus
}
#endif
#endif
