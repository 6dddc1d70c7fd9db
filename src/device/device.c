#include "device/device.h"

#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "device/faults.h"
#include "device/nn_ops.h"

#include <string.h>

#if HAVE_CUDA
/* Until both tasks have all their kernels, no run starts on CUDA; tests open it directly. */
static int open_cuda(struct device **device, int ordinal, int threads)
{
    TRY(device_open_cuda(device, ordinal, threads));
    if ((*device)->splat && (*device)->nn->conv_forward) return OK;
    device_close(*device);
    *device = NULL;
    return fail(ERR_DEVICE, "this version has no CUDA kernels for the tasks yet");
}
#else
static int open_cuda(struct device **device, int ordinal, int threads)
{
    (void)device, (void)ordinal, (void)threads;
    return fail(ERR_DEVICE, "this build has no CUDA");
}
#endif

/* N of "cuda:N", 0 of "cuda"; -1 for anything else. */
static int cuda_ordinal(const char *spec)
{
    int ordinal = 0;
    if (strcmp(spec, "cuda") == 0) return 0;
    if (strncmp(spec, "cuda:", 5) != 0 || spec[5] == '\0' || strlen(spec) > 8) return -1;
    for (const char *c = spec + 5; *c; c++) {
        if (*c < '0' || *c > '9') return -1;
        ordinal = ordinal * 10 + (*c - '0');
    }
    return ordinal;
}

static int open_named(struct device **device, const char *spec, int threads)
{
    if (strcmp(spec, "cpu") == 0) return device_open_cpu(device, threads);
    if (strcmp(spec, "auto") == 0) {
        int code = open_cuda(device, 0, threads);
        if (code != ERR_DEVICE && code != ERR_DEVICE_MEMORY) return code;
        log_info("device: the CPU (%s)", error_message());
        return device_open_cpu(device, threads);
    }
    int ordinal = cuda_ordinal(spec);
    if (ordinal < 0) return fail(ERR_CONFIG, "device: %s is none of auto, cpu, cuda, cuda:N", spec);
    int code = open_cuda(device, ordinal, threads);
    return code < 0 ? fail_within(code, "device %s", spec) : OK;
}

int device_open(struct device **device, const char *spec, int threads)
{
    *device = NULL;
    TRY(open_named(device, spec, threads));
    int code = faults_install(*device);
    if (code == OK) return OK;
    device_close(*device);
    *device = NULL;
    return code;
}

void device_close(struct device *device)
{
    if (!device) return;
    if (device->used_bytes > 0)
        log_warning("%s of device memory was not given back",
                    format_bytes((int64_t)device->used_bytes).text);
    faults_remove(device);
    device->close(device);
}

int64_t device_limit_left(const struct device *device)
{
    if (device->limit_bytes == 0 || device->limit_bytes > INT64_MAX) return INT64_MAX;
    if (device->used_bytes >= device->limit_bytes) return 0;
    return (int64_t)(device->limit_bytes - device->used_bytes);
}

int device_check_limit(const struct device *device, size_t bytes)
{
    if (bytes > (size_t)INT64_MAX || (int64_t)bytes > device_limit_left(device))
        return fail(ERR_DEVICE_MEMORY, "%s do not fit: %s of memory.limit %s are used",
                    format_bytes((int64_t)bytes).text,
                    format_bytes((int64_t)device->used_bytes).text,
                    format_bytes((int64_t)device->limit_bytes).text);
    return OK;
}

void device_book(struct device *device, size_t bytes)
{
    device->used_bytes += bytes;
    if (device->used_bytes > device->peak_bytes) device->peak_bytes = device->used_bytes;
}

void device_unbook(struct device *device, size_t bytes)
{
    device->used_bytes -= bytes;
}

void device_book_host(struct device *device, size_t bytes)
{
    device->host_bytes += bytes;
    if (device->host_bytes > device->host_peak_bytes) device->host_peak_bytes = device->host_bytes;
}

void device_unbook_host(struct device *device, size_t bytes)
{
    device->host_bytes -= bytes;
}
