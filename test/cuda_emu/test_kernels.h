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
    FAULT_HOST_READ, /* the host reads device memory */
    FAULT_KINDS
};

/* Ends the process, but for FAULT_NONE. */
void emu_test_fault(enum emu_fault_kind kind);

/* Reads what nobody wrote: the bits found in device, static and dynamic shared memory, and in a
 * shared array that no code writes. */
void emu_test_uninitialised(uint32_t found[4]);

/* Sum of 0..n-1 by shared memory, barriers, shuffles, votes and atomics; in turns over `blocks`. */
unsigned emu_test_sum(unsigned n, unsigned block);

/* What a stream gave before and after waiting; then a graph of y = 2 y + 1 on two streams, launched
 * `times` times from y = 1. */
void emu_test_stream(int *before, int *after);
int emu_test_graph(int times);
/* The same once, but the second stream starts without waiting for the first's kernel, in a graph or
 * without one: 3 when it comes second all the same, 0 when it comes first; -1: it never joins. */
enum emu_join { JOIN_IN_GRAPH, JOIN_WITHOUT_GRAPH, JOIN_NEVER };
int emu_test_order(enum emu_join join);

/* A 16x8 product of bfloat16 by mma_bf16 and by shuffles, against floats: the largest error. */
float emu_test_mma(void);

/* Half and bfloat16 there and back. */
float emu_test_half(float x);
float emu_test_bf16(float x);

#ifdef __cplusplus
}
#endif
#endif
