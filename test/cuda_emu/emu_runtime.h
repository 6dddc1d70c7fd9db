/* Between the files of the emulated runtime. */
#ifndef CUDA_EMU_RUNTIME_INTERNAL_H
#define CUDA_EMU_RUNTIME_INTERNAL_H

#include "emu_api.h"

/* What the emulated machine is like: IMGTRAIN_EMU="KEY=NUMBER ...".
 *   driver       version of the driver as the runtime counts it (12080 = 12.8); 0: none
 *   devices      how many there are
 *   memory       bytes of a device
 *   multiprocessors  how many there are: 4
 *   capability   75, 90, ...: before 80 there is no bf16 on tensor cores
 *   shared       bytes of shared memory that a block may have
 *   code         0: the program holds no kernel that this GPU could run
 *   nodes        0: no /dev/nvidia* is there
 *   busy         1: another process has the device alone
 *   mismatch     1: the driver's library and module are of two versions
 *   mig          1: the device is an instance of a GPU in MIG mode
 *   spill        bytes of the device's own memory: what lies beyond is slow; 0: none does
 *   fail_alloc   the k-th cudaMalloc of the process fails
 *   fail_launch  the k-th launch is refused
 *   fail_graph   the k-th graph finds no memory when it is instantiated
 *   lose         the k-th launch makes the device fail for good
 *   ulp          kernels' functions err by up to N times what CUDA's may (emu_language.h); 0: not
 *   order        of blocks and threads: 0 forwards, 1 backwards, others: drawn, with this seed; a
 *                test that asks for the opposite order (emu_grid_order) gets another one
 *   counts       1: what the host asked for, as a line at the end of the process (emu_counts.h)
 *   spoil=KERNEL the first block of this kernel is not run; crash=KERNEL: it loses the device
 *   oom_call, fail_call, lose_call: the k-th call that may fail (copies, events, streams, graphs,
 *                memory, launches) finds no memory, is refused, or loses the device */
struct emu_machine {
    long long driver = 13000, devices = 1, nodes = 1, capability = 90, code = 1;
    long long memory = 1LL << 30, shared = 64 << 10, multiprocessors = 4;
    long long fail_alloc = 0, fail_launch = 0, fail_graph = 0, lose = 0;
    long long oom_call = 0, fail_call = 0, lose_call = 0;
    long long high = 65535; /* blocks in a grid's second and third dimension, at most */
    long long counts = 0, ulp = 0, order = 0, busy = 0, mismatch = 0, mig = 0, spill = 0;
};
const struct emu_machine *emu_settings(void);

/* Sets the last error and returns it. */
cudaError_t emu_error(cudaError_t error);
/* Any call's result once the device is lost; else cudaSuccess. */
cudaError_t emu_lost(void);
void emu_lose(void);

/* The first thing that a call does which may fail: the failure that a test has asked for. */
cudaError_t emu_call(void);
#define EMU_CALL()                                                                                 \
    do {                                                                                           \
        cudaError_t emu_injected = emu_call();                                                     \
        if (emu_injected != cudaSuccess) return emu_injected;                                      \
    } while (0)

/* Device memory is closed to the host but while streams run. */
void emu_open_memory(bool open);
void emu_run_all(void);

/* For calls that are no operations of a stream: an error while a stream is captured, which spoils
 * the capture; else cudaSuccess. */
cudaError_t emu_forbid_in_capture(void);
/* For operations of a stream: an error where a capture does not take them. pageable: it reads or
 * writes host memory that is not pinned. */
cudaError_t emu_capture_refuses(cudaStream_t stream, bool pageable);

#endif
