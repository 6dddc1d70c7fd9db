/* The devices there are: the one place that knows them all. */
#include "registry/devices.h"

#include "base/error.h"
#include "base/log.h"
#include "cpu/device_cpu.h"
#include "device/device.h"
#include "device/faults.h"
#include "device/nn_ops.h"
#include "registry/device_check.h"
#include "task/task.h"

#include <string.h>

#if HAVE_CUDA
#include "cuda/device_cuda.h"

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
        log_info_later("device: the CPU (%s)", error_message());
        return device_open_cpu(device, threads);
    }
    int ordinal = cuda_ordinal(spec);
    if (ordinal < 0) return fail(ERR_CONFIG, "device: %s is none of auto, cpu, cuda, cuda:N", spec);
    int code = open_cuda(device, ordinal, threads);
    return code < 0 ? fail_within(code, "device %s", spec) : OK;
}

/* Leaves no device behind an error. */
static int keep_open(struct device **device, int code)
{
    if (code == OK) return OK;
    device_close(*device);
    *device = NULL;
    return code;
}

int device_open(struct device **device, const char *spec, int threads)
{
    *device = NULL;
    TRY(open_named(device, spec, threads));
    return keep_open(device, faults_install(*device));
}

int device_open_for(struct device **device, const struct device_use *use)
{
    *device = NULL;
    TRY(open_named(device, use->spec, use->threads));
    (*device)->limit_bytes = (size_t)use->limit;
    int code = keep_open(device, device_check(*device, use->task, use->half));
    if (code == ERR_DEVICE && strcmp(use->spec, "auto") == 0) {
        log_warning("device: the CPU (%s)", error_message());
        TRY(device_open_cpu(device, use->threads));
        (*device)->limit_bytes = (size_t)use->limit;
    } else if (code < 0) {
        return fail_within(code, "device %s", use->spec);
    }
    return keep_open(device, faults_install(*device));
}
