/* The emulated device: what it is, errors, and the failures that tests ask for. */
#include "emu_grid.h"
#include "emu_stream.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static cudaError_t last_error, lost_error;

const struct emu_machine *emu_settings(void)
{
    static struct emu_machine machine;
    static char read[256]; /* a test may set another text than the process was given */
    const char *text = getenv("IMGTRAIN_EMU");
    if (!text || strncmp(text, read, sizeof read - 1) == 0) return &machine;
    snprintf(read, sizeof read, "%s", text);
    machine = {};
    const struct {
        const char *key;
        long long *value;
    } keys[] = {
        {"driver=", &machine.driver},
        {"devices=", &machine.devices},
        {"memory=", &machine.memory},
        {"shared=", &machine.shared},
        {"capability=", &machine.capability},
        {"fail_alloc=", &machine.fail_alloc},
        {"fail_launch=", &machine.fail_launch},
        {"lose=", &machine.lose},
        {"fail_graph=", &machine.fail_graph},
        {"code=", &machine.code},
        {"oom_call=", &machine.oom_call},
        {"fail_call=", &machine.fail_call},
        {"lose_call=", &machine.lose_call},
        {"multiprocessors=", &machine.multiprocessors},
        {"counts=", &machine.counts},
        {"nodes=", &machine.nodes},
        {"busy=", &machine.busy},
        {"mismatch=", &machine.mismatch},
        {"mig=", &machine.mig},
        {"spill=", &machine.spill},
        {"ulp=", &machine.ulp},
        {"order=", &machine.order},
        {"high=", &machine.high},
    };
    for (const auto &key : keys) {
        const char *at = strstr(text, key.key);
        while (at && at > text && at[-1] != ' ') /* the end of another key */
            at = strstr(at + 1, key.key);
        if (at) *key.value = atoll(at + strlen(key.key));
    }
    return &machine;
}

/* ---- errors ---- */
cudaError_t emu_error(cudaError_t error)
{
    if (error != cudaSuccess) last_error = error;
    return error;
}

cudaError_t emu_lost(void)
{
    return emu_error(lost_error);
}

void emu_lose(void)
{
    lost_error = cudaErrorIllegalAddress;
}

static long long calls;

long long emu_calls(void)
{
    return calls;
}

cudaError_t emu_call(void)
{
    calls++;
    if (calls == emu_settings()->lose_call) emu_lose();
    if (calls == emu_settings()->oom_call) return emu_error(cudaErrorMemoryAllocation);
    if (calls == emu_settings()->fail_call) return emu_error(cudaErrorLaunchOutOfResources);
    return emu_lost();
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = lost_error;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

static const struct {
    cudaError_t error;
    const char *name, *text;
} errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorDevicesUnavailable, "cudaErrorDevicesUnavailable",
     "CUDA-capable device(s) is/are busy or unavailable"},
    {cudaErrorSystemDriverMismatch, "cudaErrorSystemDriverMismatch",
     "system has unsupported display driver / cuda driver combination"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources",
     "too many resources requested for launch"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorIllegalState, "cudaErrorIllegalState",
     "the operation cannot be performed in the present state"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
     "operation would result in a merge of separate capture sequences"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
     "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
};

const char *cudaGetErrorString(cudaError_t error)
{
    for (const auto &e : errors)
        if (e.error == error) return e.text;
    return "unrecognized error code";
}

const char *cudaGetErrorName(cudaError_t error)
{
    for (const auto &e : errors)
        if (e.error == error) return e.name;
    return "cudaErrorUnknown";
}

/* ---- the device ---- */
cudaError_t cudaDriverGetVersion(int *version)
{
    *version = static_cast<int>(emu_settings()->driver);
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

/* As CUDA reads CUDA_VISIBLE_DEVICES: numbers up to the first that is none of a device. */
static long long visible_devices(void)
{
    const char *at = getenv("CUDA_VISIBLE_DEVICES");
    long long seen = 0, all = emu_settings()->nodes ? emu_settings()->devices : 0;
    if (!at) return all;
    for (;;) {
        char *end;
        long long number = strtoll(at, &end, 10);
        if (end == at || number < 0 || number >= all) return seen;
        seen++;
        if (*end != ',') return seen;
        at = end + 1;
    }
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 0;
    if (emu_settings()->driver < 13000) return emu_error(cudaErrorInsufficientDriver);
    if (emu_settings()->mismatch) return emu_error(cudaErrorSystemDriverMismatch);
    if (visible_devices() == 0) return emu_error(cudaErrorNoDevice);
    *count = static_cast<int>(visible_devices());
    return cudaSuccess;
}

bool emu_has_node(void)
{
    return emu_settings()->nodes != 0;
}

bool emu_spills(void)
{
    return emu_settings()->spill > 0;
}

cudaError_t cudaSetDevice(int ordinal)
{
    if (ordinal < 0 || ordinal >= emu_settings()->devices) return emu_error(cudaErrorInvalidDevice);
    if (emu_settings()->busy) return emu_error(cudaErrorDevicesUnavailable);
    return emu_lost();
}

cudaError_t cudaGetDevice(int *ordinal)
{
    *ordinal = 0;
    return emu_lost();
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int ordinal)
{
    if (ordinal < 0 || ordinal >= emu_settings()->devices) return emu_error(cudaErrorInvalidDevice);
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name,
             emu_settings()->mig ? "emulated GPU MIG 1g.1gb" : "emulated GPU");
    p->totalGlobalMem = static_cast<size_t>(emu_settings()->memory);
    p->major = static_cast<int>(emu_settings()->capability / 10);
    p->minor = static_cast<int>(emu_settings()->capability % 10);
    p->multiProcessorCount = static_cast<int>(emu_settings()->multiprocessors);
    p->warpSize = 32;
    p->maxThreadsPerBlock = p->maxThreadsPerMultiProcessor = 1024;
    p->regsPerMultiprocessor = 65536;
    p->sharedMemPerBlock = 48 << 10;
    p->sharedMemPerBlockOptin = static_cast<size_t>(emu_settings()->shared);
    p->sharedMemPerMultiprocessor = p->sharedMemPerBlockOptin;
    p->l2CacheSize = 4 << 20;
    p->memoryBusWidth = 256;
    return cudaSuccess;
}

/* ---- launches ---- */
enum { MAX_KERNELS = 512 };
static struct {
    const void *kernel;
    size_t shared_bytes;
} attributes[MAX_KERNELS];
static const char *seen[MAX_KERNELS];

cudaError_t emu_set_attribute(const void *kernel, enum cudaFuncAttribute attribute, int value)
{
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return emu_lost();
    if (value < 0 || value > emu_settings()->shared) return emu_error(cudaErrorInvalidValue);
    for (auto &a : attributes) {
        if (a.kernel && a.kernel != kernel) continue;
        a.kernel = kernel;
        a.shared_bytes = static_cast<size_t>(value);
        return emu_lost();
    }
    abort();
}

cudaError_t emu_get_attributes(struct cudaFuncAttributes *found)
{
    memset(found, 0, sizeof *found);
    if (!emu_settings()->code) return emu_error(cudaErrorNoKernelImageForDevice);
    found->maxThreadsPerBlock = 1024;
    return emu_lost();
}

static size_t shared_allowed(const void *kernel)
{
    for (const auto &a : attributes)
        if (a.kernel == kernel && a.shared_bytes > 48 << 10) return a.shared_bytes;
    return 48 << 10;
}

/* "(sum<256>)" is the kernel sum. */
static void kernel_name(char *name, size_t room, const char *text)
{
    text += strspn(text, "( ");
    snprintf(name, room, "%.*s", static_cast<int>(strcspn(text, "<) ")), text);
}

/* Each kernel's name, once a process, as a line of the file IMGTRAIN_EMU_LOG: the tests' list of
 * what was run. */
static void log_name(const char *name)
{
    const char *path = getenv("IMGTRAIN_EMU_LOG");
    for (auto &one : seen) {
        if (one == name) return;
        if (one) continue;
        one = name;
        break;
    }
    if (!path) return;
    char line[128];
    kernel_name(line, sizeof line - 1, name);
    strcat(line, "\n");
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    ssize_t length = static_cast<ssize_t>(strlen(line));
    if (file < 0 || write(file, line, strlen(line)) != length) abort();
    close(file);
}

static void (*heard_by)(const char *kernel);

void emu_on_launch(void (*hear)(const char *kernel))
{
    heard_by = hear;
}

/* ---- registers and shared memory of a block ---- */

bool emu_block_fits(int registers, int threads, size_t shared_bytes)
{
    enum {
        QUARTER = 16384,
        UNIT = 256
    }; /* registers: of a quarter of a multiprocessor, at a time */
    int warps = (threads + 31) / 32, of_warp = (registers * 32 + UNIT - 1) / UNIT * UNIT;
    return (warps + 3) / 4 * of_warp <= QUARTER && shared_bytes <= 48 << 10;
}

static const struct {
    const char *kernel;
    int registers;
    size_t shared_bytes;
} limits[] = {
#define KERNEL_LIMIT(kernel, registers, shared_bytes) {#kernel, registers, shared_bytes},
#include "kernel_limits.h"
#undef KERNEL_LIMIT
};

/* By what nvcc says of its kernel; of one that is not in the list, nothing is known. */
static bool grid_fits(const struct emu_grid *g)
{
    char name[128];
    kernel_name(name, sizeof name, g->name);
    for (const auto &one : limits)
        if (strcmp(one.kernel, name) == 0)
            return emu_block_fits(one.registers,
                                  static_cast<int>(g->block.x * g->block.y * g->block.z),
                                  one.shared_bytes + g->shared_bytes);
    return true;
}

static bool is_kernel(const char *text, const char *wanted)
{
    char name[128];
    if (!wanted) return false;
    kernel_name(name, sizeof name, text);
    size_t length = strlen(name);
    return strncmp(name, wanted, length) == 0 && strchr(" ", wanted[length]) != NULL;
}

static const char *spoilt; /* by emu_spoil */

void emu_spoil(const char *kernel)
{
    spoilt = kernel;
}

bool emu_is_spoilt(const struct emu_grid *g)
{
    const char *text = getenv("IMGTRAIN_EMU"), *at = text ? strstr(text, "spoil=") : NULL;
    return is_kernel(g->name, spoilt ? spoilt : at ? at + strlen("spoil=") : NULL);
}

static bool is_crash(const struct emu_grid *g)
{
    const char *text = getenv("IMGTRAIN_EMU"), *at = text ? strstr(text, "crash=") : NULL;
    return is_kernel(g->name, at ? at + strlen("crash=") : NULL);
}

bool emu_launch_accepted(const struct emu_grid *g, cudaStream_t stream)
{
    static long long launches;
    log_name(g->name);
    if (heard_by) {
        char name[128];
        kernel_name(name, sizeof name, g->name);
        heard_by(name);
    }
    if (emu_call() != cudaSuccess) return false;
    launches++;
    if (launches == emu_settings()->lose || is_crash(g)) emu_lose();
    cudaError_t error = cudaSuccess;
    const dim3 *b = &g->block, *n = &g->grid;
    unsigned long long threads = 1ull * b->x * b->y * b->z;
    if (threads == 0 || threads > 1024 || b->z > 64 || n->x == 0 || n->y == 0 || n->z == 0 ||
        n->x > 2147483647u || n->y > emu_settings()->high || n->z > emu_settings()->high)
        error = cudaErrorInvalidConfiguration;
    if (g->shared_bytes > shared_allowed(g->kernel)) error = cudaErrorInvalidValue;
    if (error == cudaSuccess && !grid_fits(g)) error = cudaErrorLaunchOutOfResources;
    if (launches == emu_settings()->fail_launch) error = cudaErrorLaunchOutOfResources;
    if (error == cudaSuccess) emu_counting(stream)->launches++;
    return emu_error(error) == cudaSuccess;
}
