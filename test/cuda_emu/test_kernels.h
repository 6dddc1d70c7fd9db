/* Kernels for the emulator's own tests: right ones, and ones with each fault that it must find. */
#ifndef CUDA_EMU_TEST_KERNELS_H
#define CUDA_EMU_TEST_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum emu_fault_kind {
    FAULT_NONE,
    FAULT_BARRIER_ENDED,     /* half of the block has ended */
    FAULT_BARRIER_ELSEWHERE, /* half of the block is at another one */
    FAULT_SHUFFLE_MASK,      /* a lane of the mask does not come */
    FAULT_SHUFFLE_SOURCE,    /* reads a lane that is not in the mask */
    FAULT_WARP_PART,         /* the full mask in a warp of 16 threads */
    FAULT_GLOBAL_BOUNDS,
    FAULT_SHARED_BOUNDS,
    FAULT_DYNAMIC_BOUNDS,
    FAULT_FRAGMENT_ROW,    /* a row for a tensor core that is not 16-byte aligned */
    FAULT_ALIGNMENT_LOAD,  /* a float4 at a multiple of 8 bytes */
    FAULT_ALIGNMENT_STORE, /* a ushort2 at one of 2 */
    FAULT_HOST_READ,       /* the host reads device memory */
    FAULT_KINDS
};

/* Ends the process, but for FAULT_NONE. */
void emu_test_fault(enum emu_fault_kind kind);

/* Reads what nobody wrote: the bits found in device, static and dynamic shared memory, and in a
 * shared array that no code writes. */
void emu_test_uninitialised(uint32_t found[4]);

/* The error of launching a kernel of 200 registers (kernel_limits.h) with so many threads. */
int emu_test_launch(unsigned threads);

/* Sum of 0..n-1 by shared memory, barriers, shuffles, votes and atomics; in turns over `blocks`. */
unsigned emu_test_sum(unsigned n, unsigned block);

/* f(x) by a kernel for each of n arguments: 0 exp2f, 1 sinf, 2 powf(x, 0.45), 3 sqrtf, 4 1 / x,
 * 5 (float)exp. */
void emu_test_function(int function, float *y, const float *x, int n);

/* What a stream gave before and after waiting; then a graph of y = 2 y + 1 on two streams, launched
 * `times` times from y = 1. */
void emu_test_stream(int *before, int *after);
int emu_test_graph(int times);
/* The same once, but the second stream starts without waiting for the first's kernel, in a graph or
 * without one: 3 when it comes second all the same, 0 when it comes first; -1: it never joins. */
enum emu_join { JOIN_IN_GRAPH, JOIN_WITHOUT_GRAPH, JOIN_NEVER };
int emu_test_order(enum emu_join join);

/* Each thing that must not be done while a stream is captured. */
enum emu_capture_fault {
    CAPTURE_NOTHING,
    CAPTURE_MALLOC,
    CAPTURE_FREE,
    CAPTURE_HOST_MALLOC,
    CAPTURE_HOST_FREE,
    CAPTURE_COPY, /* a synchronous one */
    CAPTURE_SET,
    CAPTURE_PAGEABLE, /* an asynchronous copy of host memory that is not pinned */
    CAPTURE_SYMBOL,
    CAPTURE_SYNCHRONIZE, /* the stream, another stream, the device */
    CAPTURE_SYNCHRONIZE_OTHER,
    CAPTURE_SYNCHRONIZE_DEVICE,
    CAPTURE_QUERY, /* the stream, an event from before, one that was captured */
    CAPTURE_QUERY_EVENT,
    CAPTURE_QUERY_CAPTURED,
    CAPTURE_WAIT_EVENT,
    CAPTURE_WAIT_CAPTURED,
    CAPTURE_DEFAULT_LAUNCH, /* in the default stream */
    CAPTURE_DEFAULT_COPY,
    CAPTURE_OUTSIDE,  /* waits for an event of before the capture */
    CAPTURE_AGAIN,    /* begins a second time */
    CAPTURE_MERGE,    /* waits for an event of another capture */
    CAPTURE_UNJOINED, /* a second stream's work is not waited for */
    CAPTURE_ELSEWHERE /* ends in another stream */
};
/* The error of what was done, of a launch right behind it and of the capture's end; whether there
 * is a graph, and whether the streams work when all is over. */
struct emu_capture_result {
    int error, behind, end, graph, works;
};
struct emu_capture_result emu_test_capture(enum emu_capture_fault fault);

/* A 16x8 product of bfloat16 by mma_bf16 and by shuffles, against floats: the largest error. */
float emu_test_mma(void);

/* Half and bfloat16 there and back. */
float emu_test_half(float x);
float emu_test_bf16(float x);

#ifdef __cplusplus
}
#endif
#endif
