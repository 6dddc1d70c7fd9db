/* The CPU as a device. */
#include "cpu/device_cpu.h"

#include "base/error.h"
#include "base/format.h"
#include "base/threads.h"
#include "cpu/host_memory.h"
#include "cpu/isa.h"
#include "cpu/offload.h"
#include "cpu/splat/splat_cpu.h"
#include "device/device.h"
#include "device/gan_ops.h"
#include "device/nn_ops.h"
#include "device/token_ops.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64 };
#define HUGE_PAGE ((size_t)2 << 20)

/* Large blocks ask for huge pages: the arenas are walked again in every step. Filled at once, so
 * that memory that is not there shows now and not within a step. */
static int cpu_alloc(struct device *device, size_t bytes, void **memory)
{
    *memory = NULL;
    if (bytes == 0) return OK;
    TRY(device_check_limit(device, bytes));
    int64_t left = host_memory_free();
    bool huge = bytes >= 4 * HUGE_PAGE;
    if ((left >= 0 && bytes > (size_t)left) ||
        posix_memalign(memory, huge ? HUGE_PAGE : ALIGNMENT, bytes) != 0) {
        *memory = NULL;
        return fail(ERR_DEVICE_MEMORY, "no %s of memory: %s are free",
                    format_bytes((int64_t)bytes).text, format_bytes(left).text);
    }
    if (huge) madvise(*memory, bytes, MADV_HUGEPAGE); /* only advice */
    memset(*memory, 0, bytes);
    device_book(device, bytes);
    return OK;
}

static void cpu_free(struct device *device, void *memory, size_t bytes)
{
    if (!memory) return;
    free(memory);
    device_unbook(device, bytes);
}

static int64_t cpu_free_bytes(const struct device *device)
{
    int64_t host = host_memory_free(), limit = device_limit_left(device);
    if (host < 0) return limit == INT64_MAX ? -1 : limit;
    return host < limit ? host : limit;
}

static int cpu_copy(struct device *device, void *to, const void *from, size_t bytes)
{
    (void)device;
    if (bytes > 0) memcpy(to, from, bytes);
    return OK;
}

static int cpu_synchronize(struct device *device)
{
    (void)device;
    return OK;
}

static int cpu_alloc_host(struct device *device, size_t bytes, void **memory)
{
    (void)device;
    *memory = NULL;
    if (bytes == 0) return OK;
    if (posix_memalign(memory, ALIGNMENT, bytes) != 0) {
        *memory = NULL;
        return fail(ERR_SYSTEM, "no %s of host memory", format_bytes((int64_t)bytes).text);
    }
    memset(*memory, 0, bytes);
    return OK;
}

static void cpu_free_host(struct device *device, void *memory)
{
    (void)device;
    free(memory);
}

static void cpu_close(struct device *device)
{
    free(device);
}

/* "AMD EPYC 9575F 64-Core Processor" of /proc/cpuinfo; the architecture where it names none. */
static void model_name(char *name, size_t room)
{
    char line[256];
    snprintf(name, room, "%s",
#if defined __x86_64__
             "x86_64"
#elif defined __aarch64__
             "aarch64"
#else
             "unknown"
#endif
    );
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        line[strcspn(line, "\n")] = '\0';
        colon += 1 + strspn(colon + 1, " ");
        if (*colon) snprintf(name, room, "%s", colon);
        break;
    }
    fclose(file);
}

int device_open_cpu(struct device **out, int threads)
{
    struct device *device = calloc(1, sizeof *device);
    *out = device;
    if (!device) return fail(ERR_SYSTEM, "out of memory");
    char model[80];
    model_name(model, sizeof model);
    int count = threads_set(threads);
    snprintf(device->name, sizeof device->name, "cpu: %s, %d thread%s, %s", model, count,
             count == 1 ? "" : "s", cpu_isa_name(cpu_isa()));
    device->alloc = cpu_alloc;
    device->free = cpu_free;
    device->alloc_offload = cpu_alloc_offload;
    device->free_offload = cpu_free_offload;
    device->free_bytes = cpu_free_bytes;
    device->is_host = true;
    device->upload = device->download = cpu_copy;
    device->synchronize = cpu_synchronize;
    device->alloc_host = cpu_alloc_host;
    device->free_host = cpu_free_host;
    device->close = cpu_close;
    device->splat = &splat_cpu_ops;
    device->nn = nn_ops_cpu();
    device->gan = gan_ops_cpu();
    device->token = token_ops_cpu();
    return OK;
}
