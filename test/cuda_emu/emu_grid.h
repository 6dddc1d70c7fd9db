/* What the emulator's files and the tests share. */
#ifndef CUDA_EMU_GRID_H
#define CUDA_EMU_GRID_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { EMU_POISON = 0xff }; /* NaN in every floating type, -1 in every integer */

/* Blocks and threads from the last to the first: results must be the same. */
void emu_grid_order(bool reverse);

/* What kernels count by COUNT_WORK. */
extern unsigned long long emu_work;

/* Which streams run as soon as they may: bit k for the k-th that is created from here on. All
 * others run only when somebody waits for them: between these ends lie a GPU's own ways. */
void emu_stream_order(unsigned early);

/* The cudaMalloc after `from_now` - 1 others fails; also to be asked for as fail_alloc=K. */
void emu_fail_alloc(int from_now);

/* From here on the first block of this kernel is not run (NULL: all blocks of all are): a fault in
 * it; also to be asked for as spoil=KERNEL. */
void emu_spoil(const char *kernel);

/* Called with the name of each kernel, "point_f32", when it is launched; NULL: nobody is. */
void emu_on_launch(void (*hear)(const char *kernel));

/* Has every GPU from sm_75 on room for a block: registers of a thread, shared memory in all? */
bool emu_block_fits(int registers, int threads, size_t shared_bytes);

/* Calls so far of the kind that oom_call, fail_call and lose_call count (emu_runtime.h). */
long long emu_calls(void);

/* "kernel K block (x,y,z) thread (x,y,z)" of what runs now. */
void emu_where(char *text, size_t room);

/* Bytes that nobody has written: all bits set, and known as such to MemorySanitizer. */
void emu_forget(void *memory, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
