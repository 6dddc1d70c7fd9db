/* Emulated memory: malloc'd, filled with NaN, and closed to the host under AddressSanitizer. */
#include "emu_grid.h"
#include "emu_stream.h"

#include <stdlib.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

struct block {
    struct block *next;
    char *memory;
    size_t bytes;
    bool host;  /* pinned host memory */
    bool spilt; /* the system's, given out as the device's */
};
static struct block *blocks;
static size_t device_used;
static bool memory_open;

static struct block *block_of(const void *address, size_t bytes)
{
    const char *at = static_cast<const char *>(address);
    for (struct block *b = blocks; b; b = b->next)
        if (at >= b->memory && at + bytes <= b->memory + b->bytes) return b;
    return NULL;
}

void emu_open_memory(bool open)
{
    memory_open = open;
    for (struct block *b = blocks; b; b = b->next) {
        if (b->host) continue;
        if (open)
            ASAN_UNPOISON_MEMORY_REGION(b->memory, b->bytes);
        else
            ASAN_POISON_MEMORY_REGION(b->memory, b->bytes);
    }
}

static cudaError_t allocate(void **memory, size_t bytes, bool host)
{
    *memory = NULL;
    EMU_CALL();
    if (emu_lost() != cudaSuccess) return emu_lost();
    cudaError_t forbidden = emu_forbid_in_capture();
    if (forbidden != cudaSuccess) return forbidden;
    size_t total = static_cast<size_t>(emu_settings()->memory);
    if (!host && (bytes > total || device_used > total - bytes))
        return emu_error(cudaErrorMemoryAllocation);
    struct block *b = static_cast<struct block *>(calloc(1, sizeof *b));
    if (!b || posix_memalign(memory, 256, bytes ? bytes : 1) != 0) {
        free(b);
        *memory = NULL;
        return emu_error(cudaErrorMemoryAllocation);
    }
    emu_forget(*memory, bytes);
    *b = {blocks, static_cast<char *>(*memory), bytes, host, false};
    blocks = b;
    struct emu_counts *counts = emu_counting(NULL);
    ++(host ? counts->pinned_allocs : counts->device_allocs);
    if (host) counts->pinned_alloc_bytes += static_cast<long long>(bytes);
    if (!host) device_used += bytes;
    b->spilt = !host && emu_spills() && device_used > static_cast<size_t>(emu_settings()->spill);
    if (!host && !memory_open) ASAN_POISON_MEMORY_REGION(b->memory, b->bytes);
    return cudaSuccess;
}

static cudaError_t release(void *memory, bool host)
{
    if (!memory) return cudaSuccess;
    cudaError_t forbidden = emu_forbid_in_capture();
    if (forbidden != cudaSuccess) return forbidden;
    emu_run_all();
    for (struct block **at = &blocks; *at; at = &(*at)->next) {
        struct block *b = *at;
        if (b->memory != memory || b->host != host) continue;
        *at = b->next;
        struct emu_counts *counts = emu_counting(NULL);
        ++(host ? counts->pinned_frees : counts->device_frees);
        if (host) counts->pinned_free_bytes += static_cast<long long>(b->bytes);
        if (!host) device_used -= b->bytes;
        ASAN_UNPOISON_MEMORY_REGION(b->memory, b->bytes);
        free(b->memory);
        free(b);
        return emu_lost();
    }
    return emu_error(cudaErrorInvalidValue);
}

static long long allocations, fails_at;

void emu_fail_alloc(int from_now)
{
    fails_at = allocations + from_now;
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    *memory = NULL;
    allocations++;
    if (allocations == emu_settings()->fail_alloc || allocations == fails_at)
        return emu_error(cudaErrorMemoryAllocation);
    return allocate(memory, bytes, false);
}

cudaError_t cudaFree(void *memory)
{
    return release(memory, false);
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned flags)
{
    (void)flags;
    return allocate(memory, bytes, true);
}

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    return allocate(memory, bytes, true);
}

cudaError_t cudaFreeHost(void *memory)
{
    return release(memory, true);
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    *total = static_cast<size_t>(emu_settings()->memory);
    *free_bytes = *total - device_used;
    return emu_lost();
}

/* ---- copies ---- */
struct copy_op {
    struct emu_op op;
    void *to;
    const void *from;
    size_t bytes;
    int value;
};

static void run_copy(struct emu_op *op)
{
    struct copy_op *c = reinterpret_cast<struct copy_op *>(op);
    const struct block *b = emu_spills() ? block_of(c->to, c->bytes) : NULL;
    if (b && b->spilt) usleep(100000);
    if (c->from)
        memmove(c->to, c->from, c->bytes);
    else
        memset(c->to, c->value, c->bytes);
}

static cudaError_t enqueue_copy(void *to, const void *from, size_t bytes, int value,
                                cudaStream_t stream)
{
    struct copy_op *c = static_cast<struct copy_op *>(calloc(1, sizeof *c));
    if (!c) abort();
    *c = {{NULL, run_copy, NULL}, to, from, bytes, value};
    return emu_enqueue(&c->op, stream);
}

static bool is_device(const void *address, size_t bytes)
{
    const struct block *b = block_of(address, bytes);
    return b && !b->host;
}

/* By where the memory is, as cudaMemcpyDefault goes by it too. */
static void count_copy(const void *to, const void *from, size_t bytes, cudaStream_t stream)
{
    struct emu_counts *counts = emu_counting(stream);
    bool in = is_device(to, bytes), out = is_device(from, bytes);
    bool pageable = !block_of(to, bytes) || !block_of(from, bytes);
    ++(pageable ? counts->pageable_copies : counts->copies);
    (in && out ? counts->bytes_within
     : in      ? counts->bytes_in
     : out     ? counts->bytes_out
               : counts->bytes_within) += static_cast<long long>(bytes);
    if (pageable) counts->pageable_bytes += static_cast<long long>(bytes);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    EMU_CALL();
    if (emu_lost() != cudaSuccess) return emu_lost();
    if (bytes == 0) return cudaSuccess;
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (kind != cudaMemcpyDefault &&
        (is_device(to, bytes) != to_device || is_device(from, bytes) != from_device))
        return emu_error(cudaErrorInvalidValue);
    bool pageable = !block_of(to, bytes) || !block_of(from, bytes);
    cudaError_t error = emu_capture_refuses(stream, pageable);
    if (error == cudaSuccess) error = enqueue_copy(to, from, bytes, 0, stream);
    if (error == cudaSuccess) count_copy(to, from, bytes, stream);
    /* Pageable host memory is copied before the call returns, after what is in the stream. */
    const void *host = to_device ? from : to;
    if (error == cudaSuccess && kind != cudaMemcpyDeviceToDevice && !block_of(host, bytes)) {
        EMU_CALL();
        return emu_wait_for(stream);
    }
    return error;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    cudaError_t error = emu_forbid_in_capture();
    if (error == cudaSuccess) error = cudaMemcpyAsync(to, from, bytes, kind, NULL);
    return error == cudaSuccess ? cudaStreamSynchronize(NULL) : error;
}

cudaError_t emu_copy_to_symbol(void *to, const void *from, size_t bytes)
{
    cudaError_t error = emu_forbid_in_capture();
    if (error != cudaSuccess) return error;
    emu_counting(NULL)->pageable_copies++;
    emu_counting(NULL)->pageable_bytes += static_cast<long long>(bytes);
    memcpy(to, from, bytes);
    return emu_lost();
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    EMU_CALL();
    if (emu_lost() != cudaSuccess) return emu_lost();
    if (bytes == 0) return cudaSuccess;
    if (!is_device(memory, bytes)) return emu_error(cudaErrorInvalidValue);
    emu_counting(stream)->sets++;
    return enqueue_copy(memory, NULL, bytes, value, stream);
}

cudaError_t cudaMemset(void *memory, int value, size_t bytes)
{
    cudaError_t error = emu_forbid_in_capture();
    if (error == cudaSuccess) error = cudaMemsetAsync(memory, value, bytes, NULL);
    return error == cudaSuccess ? cudaStreamSynchronize(NULL) : error;
}
