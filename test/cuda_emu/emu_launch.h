/* Launches: a kernel with its arguments becomes an operation in a stream. */
#ifndef CUDA_EMU_LAUNCH_H
#define CUDA_EMU_LAUNCH_H

#include "emu_api.h"
#include "emu_language.h"

#include <new>
#include <stdlib.h>
#include <tuple>

/* What a stream does; run more than once when it is part of a graph. */
struct emu_op {
    struct emu_op *next;
    void (*run)(struct emu_op *);
    void (*drop)(struct emu_op *); /* frees what the operation holds, and itself; NULL: free() */
};

/* Queues, records, or drops an operation (malloc'd). */
cudaError_t emu_enqueue(struct emu_op *op, cudaStream_t stream);

struct emu_grid {
    const char *name;
    dim3 grid, block;
    size_t shared_bytes;
    const void *kernel;
};
/* Sets the last error when a GPU would refuse; injected failures too. */
bool emu_launch_accepted(const struct emu_grid *grid, cudaStream_t stream);
bool emu_is_spoilt(const struct emu_grid *grid); /* its first block is not run */
void emu_run_grid(const struct emu_grid *grid, void (*thread)(void *), void *arguments);

template <typename... P> struct emu_kernel_op {
    struct emu_op op;
    struct emu_grid grid;
    void (*kernel)(P...);
    std::tuple<P...> arguments;

    static void thread(void *self)
    {
        emu_kernel_op *k = static_cast<emu_kernel_op *>(self);
        std::apply(k->kernel, k->arguments);
    }
    static void run(struct emu_op *op)
    {
        emu_kernel_op *k = reinterpret_cast<emu_kernel_op *>(op);
        emu_run_grid(&k->grid, thread, k);
    }
};

template <typename... P, typename... A>
static inline void emu_launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
                              size_t shared_bytes, cudaStream_t stream, A... arguments)
{
    using op = emu_kernel_op<P...>;
    static_assert(sizeof(std::tuple<P...>) <= 4096, "what all GPUs take as a kernel's arguments");
    struct emu_grid g = {name, grid, block, shared_bytes, reinterpret_cast<const void *>(kernel)};
    if (!emu_launch_accepted(&g, stream)) return;
    void *memory = aligned_alloc(alignof(op), sizeof(op));
    if (!memory) abort();
    op *k = new (memory) op{{nullptr, op::run, nullptr}, g, kernel, {static_cast<P>(arguments)...}};
    emu_enqueue(&k->op, stream);
}

#endif
