/* CUDA without a GPU: enough of the language and of the runtime to compile cuda/ *.cu as host C++
 * and run it on the CPU, under sanitizers. It is stricter than a GPU:
 *  - blocks run one after the other, each thread of a block as a fiber; a barrier or a warp
 *    operation that a part of its threads does not reach ends the program with the kernel's name
 *    and a thread;
 *  - streams are queues that run when somebody waits for them, so a missing wait gives old numbers;
 *  - memory, device and shared, starts as NaN (all bits set) instead of zeros that come by chance;
 *  - under AddressSanitizer, device memory may only be touched by kernels and copies. */
#ifndef CUDA_EMU_RUNTIME_H
#define CUDA_EMU_RUNTIME_H

#include "emu_api.h"
#include "emu_language.h"
#include "emu_launch.h"

#endif
