/* What the host asked of the emulated device: how often, how many bytes, and what that would cost.
 * A test takes the counts at two points and looks at their difference:
 *
 *     struct emu_counts before = emu_counts_now(), used;
 *     ... a step ...
 *     used = emu_counts_since(&before);
 *
 * What is recorded into a graph is counted when the graph is launched: its copies' bytes among the
 * others, its kernels on their own. */
#ifndef CUDA_EMU_COUNTS_H
#define CUDA_EMU_COUNTS_H

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* NAME, PRICE: nanoseconds of the host each. They are rough
 * estimates, neither measured here nor taken from a source: to show what dominates, not how long it
 * takes. IMGTRAIN_EMU="ns_NAME=N" sets another (whole nanoseconds; of bytes: for 1000 of them).
 *   pinned memory   pages are locked at about 3 GB/s (0.3 ms/MB) and unlocked at twice that; both
 *                   enter the kernel, and freeing waits for the device
 *   device memory   a call of the driver; freeing waits for the device
 *   waits           10 us: the device's word has to cross the bus, and nothing is queued meanwhile
 *   copies          a call, and the bus at 25 GB/s; of memory that is not pinned, 6 GB/s and a wait
 */
#define EMU_COUNTS(COUNT)                                                                          \
    COUNT(device_allocs, 100000)                                                                   \
    COUNT(device_frees, 100000)                                                                    \
    COUNT(pinned_allocs, 100000)                                                                   \
    COUNT(pinned_alloc_bytes, 0.3)                                                                 \
    COUNT(pinned_frees, 100000)                                                                    \
    COUNT(pinned_free_bytes, 0.15)                                                                 \
    COUNT(stream_waits, 10000)                                                                     \
    COUNT(event_waits, 10000)                                                                      \
    COUNT(device_waits, 10000)                                                                     \
    COUNT(queries, 1000)                                                                           \
    COUNT(copies, 4000)                                                                            \
    COUNT(pageable_copies, 10000)                                                                  \
    COUNT(pageable_bytes, 0.13)                                                                    \
    COUNT(bytes_in, 0.04)                                                                          \
    COUNT(bytes_out, 0.04)                                                                         \
    COUNT(bytes_within, 0)                                                                         \
    COUNT(sets, 3000)                                                                              \
    COUNT(launches, 3000)                                                                          \
    COUNT(graph_launches, 8000)                                                                    \
    COUNT(graph_kernels, 0)                                                                        \
    COUNT(graphs_made, 1000000)                                                                    \
    COUNT(marks, 1000)                                                                             \
    COUNT(created, 20000)

#define EMU_COUNT_FIELD(name, price) long long name;
struct emu_counts {
    EMU_COUNTS(EMU_COUNT_FIELD)
};
#undef EMU_COUNT_FIELD

/* Since the process began; a copy call counts among bytes_in, _out (both ways across the bus) or
 * _within; events recorded and awaited by streams are marks. */
struct emu_counts emu_counts_now(void);
struct emu_counts emu_counts_since(const struct emu_counts *before);

/* Calls that wait for the device; pageable copies and frees do so too. */
long long emu_waits(const struct emu_counts *counts);

/* What the host's calls and the bus would take by the prices above: no kernel's time. */
double emu_milliseconds(const struct emu_counts *counts);

/* Products of tensor cores (mma.h) that kernels have made since the process began. */
long long emu_tensor_products(void);

/* One line: what is not 0, by name, and its milliseconds. */
void emu_counts_print(FILE *file, const char *title, const struct emu_counts *counts);

#ifdef __cplusplus
}
#endif
#endif
