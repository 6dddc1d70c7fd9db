/* A CUDA device: memory, copies, errors. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "cuda/splat/splat_cuda.h"
#include "cuda/token/token_cuda.h"

#include <unistd.h>

extern "C" {
#include "base/clock.h"
#include "base/threads.h"
#include "cuda/device_cuda.h"
}

enum { LEAST_CAPABILITY = 75 };

static bool is_open; /* one at a time: what the library and training prepare belongs to it */

/* ---- errors ---- */
int cuda_result(cudaError_t error, const char *what)
{
    if (error == cudaSuccess) return OK;
    cudaGetLastError(); /* clears it: a launch later on must not be blamed for this */
    return fail(error == cudaErrorMemoryAllocation ? ERR_DEVICE_MEMORY : ERR_DEVICE, "%s: %s", what,
                cudaGetErrorString(error));
}

static cudaError_t kept_error;
static char kept_what[128];

void cuda_keep_error(cudaError_t error, const char *what)
{
    if (error == cudaSuccess || kept_error != cudaSuccess) return;
    kept_error = error;
    snprintf(kept_what, sizeof kept_what, "%s", what);
}

int cuda_take_error(void)
{
    cudaError_t error = kept_error;
    kept_error = cudaSuccess;
    return cuda_result(error, kept_what);
}

/* ---- memory ---- */
static int cuda_alloc(struct device *device, size_t bytes, void **memory)
{
    *memory = NULL;
    if (bytes == 0) return OK;
    TRY(device_check_limit(device, bytes));
    cudaError_t error = cudaMalloc(memory, bytes);
    if (error != cudaSuccess) {
        cudaGetLastError(); /* clears it: the device is as good as before */
        *memory = NULL;
        if (error != cudaErrorMemoryAllocation) return cuda_result(error, "cudaMalloc");
        return fail(ERR_DEVICE_MEMORY, "no %s of device memory: %s are free",
                    format_bytes((int64_t)bytes).text,
                    format_bytes(device->free_bytes(device)).text);
    }
    device_book(device, bytes);
    int code = cuda_result(cudaMemsetAsync(*memory, 0, bytes, cuda_stream(device)), "cudaMemset");
    if (code < 0) {
        device->free(device, *memory, bytes);
        *memory = NULL;
    }
    return code;
}

static void cuda_free(struct device *device, void *memory, size_t bytes)
{
    if (!memory) return;
    cuda_keep_error(cudaFree(memory), "cudaFree");
    device_unbook(device, bytes);
}

static int64_t cuda_free_bytes(const struct device *device)
{
    size_t free_bytes, total;
    int64_t limit = device_limit_left(device);
    if (cudaMemGetInfo(&free_bytes, &total) != cudaSuccess) {
        cudaGetLastError();
        return limit == INT64_MAX ? -1 : limit;
    }
    return (int64_t)free_bytes < limit ? (int64_t)free_bytes : limit;
}

static int cuda_alloc_host(struct device *device, size_t bytes, void **memory)
{
    (void)device;
    *memory = NULL;
    if (bytes == 0) return OK;
    cudaError_t error = cudaHostAlloc(memory, bytes, cudaHostAllocDefault);
    if (error != cudaSuccess) {
        cudaGetLastError();
        *memory = NULL;
        if (error != cudaErrorMemoryAllocation) return cuda_result(error, "cudaHostAlloc");
        return fail(ERR_SYSTEM, "no %s of pinned host memory", format_bytes((int64_t)bytes).text);
    }
    memset(*memory, 0, bytes);
    return OK;
}

static void cuda_free_host(struct device *device, void *memory)
{
    (void)device;
    if (memory) cuda_keep_error(cudaFreeHost(memory), "cudaFreeHost");
}

/* ---- memory that is not the device's own, though it says so ---- */
enum {
    SPILL_PARTS = 16,
    SPILL_BLOCK = 32 << 20 /* bytes */,
    SPILL_TRIES = 3,
    SPILL_TRIES_MOST = 12
};

/* Milliseconds to fill `bytes` of `memory`, at best. What takes more than `enough` is tried more
 * often: other work on the machine may be what is slow. */
static int cuda_fill_time(struct device *device, void *memory, size_t bytes, double enough,
                          double *ms)
{
    *ms = (double)INFINITY;
    for (int i = 0; i < SPILL_TRIES || (*ms > enough && i < SPILL_TRIES_MOST); i++) {
        TRY(device->synchronize(device));
        double start = clock_seconds();
        cuda_check(cudaMemsetAsync(memory, i, bytes, cuda_stream(device)));
        TRY(device->synchronize(device));
        *ms = fmin(*ms, 1e3 * (clock_seconds() - start));
    }
    return OK;
}

/* Allocates what is free part by part, and looks how fast the end of each is filled. */
static int cuda_find_spill(struct device *device, void **parts, size_t part, int64_t *fast)
{
    size_t bytes = part < (size_t)SPILL_BLOCK ? part : (size_t)SPILL_BLOCK;
    double enough = (double)INFINITY;
    for (int i = 0; i < SPILL_PARTS; i++) {
        double ms;
        if (cudaMalloc(&parts[i], part) != cudaSuccess) {
            cudaGetLastError();
            parts[i] = NULL;
            return OK; /* the driver refuses what it has not: nothing spills */
        }
        TRY(cuda_fill_time(device, (char *)parts[i] + part - bytes, bytes, enough, &ms));
        if (i == 0) enough = 4 * ms;
        if (ms > enough) {
            *fast = (int64_t)part * i;
            return OK;
        }
    }
    return OK;
}

static int cuda_fast_bytes(struct device *device, int64_t *fast)
{
    void *parts[SPILL_PARTS] = {NULL};
    *fast = device->free_bytes(device);
    int code = OK;
    if (*fast / SPILL_PARTS >= (1 << 10))
        code = cuda_find_spill(device, parts, (size_t)*fast / SPILL_PARTS, fast);
    for (int i = 0; i < SPILL_PARTS; i++)
        if (parts[i]) cuda_keep_error(cudaFree(parts[i]), "cudaFree");
    return code;
}

/* ---- copies: offloaded state is host memory on both sides ---- */
static int cuda_upload(struct device *device, void *to, const void *from, size_t bytes)
{
    cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, cuda_stream(device)));
    return OK;
}

static int cuda_download(struct device *device, void *to, const void *from, size_t bytes)
{
    cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, cuda_stream(device)));
    return OK;
}

static int cuda_synchronize(struct device *device)
{
    cudaError_t error = cudaSuccess;
    for (int i = 0; i < DEVICE_QUEUES; i++) {
        cudaError_t one = cudaStreamSynchronize(cuda_of(device)->queues[i]);
        if (error == cudaSuccess) error = one;
    }
    TRY(cuda_take_error());
    return cuda_result(error, "CUDA");
}

/* ---- copies beside the operations ---- */
static int cuda_copy(struct device *device, enum device_queue queue, void *to, const void *from,
                     size_t bytes)
{
    cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, cuda_of(device)->queues[queue]));
    return OK;
}

static int cuda_mark(struct device *device, enum device_queue queue, int mark)
{
    cuda_check(cudaEventRecord(cuda_of(device)->marks[mark], cuda_of(device)->queues[queue]));
    return OK;
}

static int cuda_await(struct device *device, enum device_queue queue, int mark)
{
    cuda_check(
        cudaStreamWaitEvent(cuda_of(device)->queues[queue], cuda_of(device)->marks[mark], 0));
    return OK;
}

static int cuda_await_host(struct device *device, int mark)
{
    cudaError_t error = cudaEventSynchronize(cuda_of(device)->marks[mark]);
    TRY(cuda_take_error());
    return cuda_result(error, "CUDA");
}

int cuda_fetch_scratch(struct cuda_device *d, size_t bytes)
{
    cudaError_t error =
        cudaMemcpyAsync(d->workspace_host, d->workspace, bytes, cudaMemcpyDeviceToHost, d->stream);
    if (error == cudaSuccess) error = cudaStreamSynchronize(d->stream);
    TRY(cuda_take_error()); /* of a launch: nearer to the cause */
    return cuda_result(error, "a sum");
}

/* ---- open and close ---- */
static void cuda_close(struct device *device)
{
    struct cuda_device *d = (struct cuda_device *)device;
    splat_cuda_close();
    cuda_clock_close(device);
    conv_library_close();
    cudaFree(d->workspace);
    cudaFree(d->partials);
    cudaFreeHost(d->workspace_host);
    for (int i = 0; i < DEVICE_MARKS; i++)
        if (d->marks[i]) cudaEventDestroy(d->marks[i]);
    for (int i = 0; i < DEVICE_QUEUES; i++)
        if (d->queues[i]) cudaStreamDestroy(d->queues[i]);
    cudaGetLastError();
    kept_error = cudaSuccess;
    is_open = false;
    free(d);
}

/* Where a driver shows its GPUs: of Linux, of WSL. */
static bool cuda_device_has_node(void)
{
#ifdef __CUDACC__
    return access("/dev/nvidiactl", F_OK) == 0 || access("/dev/dxg", F_OK) == 0;
#else
    return emu_has_node();
#endif
}

/* Does its driver let device memory spill into the system's? Windows' does, and so WSL's. */
static bool cuda_device_spills(void)
{
#ifdef __CUDACC__
    return access("/dev/dxg", F_OK) == 0;
#else
    return emu_spills();
#endif
}

/* There is a driver, but no device. */
static int cuda_device_none(void)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (visible && !*visible)
        return fail(ERR_DEVICE, "there is no CUDA device: CUDA_VISIBLE_DEVICES is empty");
    if (visible)
        return fail(ERR_DEVICE, "there is no CUDA device: CUDA_VISIBLE_DEVICES=%.64s names none",
                    visible);
    if (!cuda_device_has_node())
        return fail(ERR_DEVICE, "there is no CUDA device: no /dev/nvidia* is here (a container "
                                "needs --gpus all)");
    return fail(ERR_DEVICE, "there is no CUDA device (nvidia-smi -L: a GPU in MIG mode needs an "
                            "instance)");
}

/* Why there is no CUDA device at all. */
static int no_device(cudaError_t error)
{
    int driver = 0, needed = 0;
    cudaGetLastError();
    if (error == cudaErrorNoDevice) return cuda_device_none();
    if (error == cudaErrorSystemDriverMismatch)
        return fail(ERR_DEVICE, "the driver's library and its kernel module are of two versions: "
                                "load the module anew, or restart");
    if (error != cudaErrorInsufficientDriver) return cuda_result(error, "CUDA");
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&needed);
    if (driver == 0) return fail(ERR_DEVICE, "there is no CUDA driver");
    return fail(ERR_DEVICE, "the driver is too old: it is for CUDA %d.%d, needed is %d.%d",
                driver / 1000, driver % 1000 / 10, needed / 1000, needed % 1000 / 10);
}

/* The kernel module's line, which has the full version of the driver; "" where it is hidden. */
static void cuda_driver_line(char *text, int room)
{
    FILE *file = fopen("/proc/driver/nvidia/version", "re");
    if (!file || !fgets(text, room, file)) text[0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (file) fclose(file);
}

static void cuda_identify(struct cuda_device *d, const struct cudaDeviceProp *p)
{
    char uuid[33] = "", line[128];
    int driver = 0, runtime = 0;
    for (int i = 0; i < 16; i++)
        snprintf(uuid + 2 * i, 3, "%02x", (unsigned char)p->uuid.bytes[i]);
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    cuda_driver_line(line, sizeof line);
    snprintf(d->base.identity, sizeof d->base.identity, "%.60s %s sm_%d, driver %d %s, runtime %d",
             p->name, uuid, d->capability, driver, line, runtime);
}

static int cuda_device_cuda_start(struct cuda_device *d, int ordinal)
{
    struct cudaDeviceProp p;
    cudaError_t set = cudaSetDevice(ordinal); /* opens it, or else the first allocation does */
    if (set == cudaSuccess) set = cudaFree(NULL);
    if (set == cudaErrorDevicesUnavailable) {
        cudaGetLastError();
        return fail(ERR_DEVICE,
                    "CUDA device %d is taken: another process has it alone, or its compute mode "
                    "(nvidia-smi -q -d COMPUTE) lets none in",
                    ordinal);
    }
    TRY(cuda_result(set, "cudaSetDevice"));
    cuda_check(cudaGetDeviceProperties(&p, ordinal));
    d->ordinal = ordinal;
    d->multiprocessors = p.multiProcessorCount;
    d->capability = p.major * 10 + p.minor;
    d->shared_bytes_most = p.sharedMemPerBlockOptin;
    snprintf(d->base.name, sizeof d->base.name, "cuda:%d: %.60s, %d multiprocessors, sm_%d, %s",
             ordinal, p.name, d->multiprocessors, d->capability,
             format_bytes((int64_t)p.totalGlobalMem).text);
    if (d->capability < LEAST_CAPABILITY)
        return fail(ERR_DEVICE, "%.60s has compute capability %d.%d, needed is %d.%d", p.name,
                    p.major, p.minor, LEAST_CAPABILITY / 10, LEAST_CAPABILITY % 10);
    cudaError_t code = cuda_find_code();
    if (code != cudaSuccess)
        return fail(ERR_DEVICE, "this build has no code for sm_%d, as one of make CUDA=1 has: %s",
                    d->capability, cudaGetErrorString(code));
    for (int i = 0; i < DEVICE_QUEUES; i++)
        cuda_check(cudaStreamCreateWithFlags(&d->queues[i], cudaStreamNonBlocking));
    for (int i = 0; i < DEVICE_MARKS; i++)
        cuda_check(cudaEventCreateWithFlags(&d->marks[i], cudaEventDisableTiming));
    d->stream = d->queues[QUEUE_WORK];
    cuda_check(cudaMalloc(&d->workspace, CUDA_WORKSPACE_BYTES));
    cuda_check(cudaMalloc(&d->partials, CUDA_PARTIALS));
    cuda_check(cudaHostAlloc(&d->workspace_host, CUDA_WORKSPACE_BYTES, cudaHostAllocDefault));
    cuda_identify(d, &p);
    return OK;
}

int device_open_cuda(struct device **out, int ordinal, int threads)
{
    int count = 0;
    *out = NULL;
    if (is_open) return fail(ERR_INTERNAL, "a CUDA device is open already");
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) return no_device(error);
    if (ordinal >= count)
        return fail(ERR_DEVICE, "there is no CUDA device %d: %d found%s", ordinal, count,
                    getenv("CUDA_VISIBLE_DEVICES") ? " in CUDA_VISIBLE_DEVICES" : "");
    struct cuda_device *d = (struct cuda_device *)calloc(1, sizeof *d);
    if (!d) return fail(ERR_SYSTEM, "out of memory");
    is_open = true;
    int code = cuda_device_cuda_start(d, ordinal);
    if (code < 0) {
        cuda_close(&d->base);
        return code;
    }
    threads_set(threads); /* for what the host still does */
    d->base.is_host = false;
    d->base.alloc = cuda_alloc;
    d->base.free = cuda_free;
    d->base.free_bytes = cuda_free_bytes;
    if (cuda_device_spills()) d->base.fast_bytes = cuda_fast_bytes;
    d->base.alloc_host = cuda_alloc_host;
    d->base.free_host = cuda_free_host;
    d->base.upload = cuda_upload;
    d->base.download = cuda_download;
    d->base.synchronize = cuda_synchronize;
    cuda_install_graphs(&d->base);
    d->base.copy = cuda_copy;
    d->base.mark = cuda_mark;
    d->base.await = cuda_await;
    d->base.await_host = cuda_await_host;
    d->base.close = cuda_close;
    cuda_clock_open(&d->base);
    d->base.splat = &splat_cuda_ops;
    d->base.nn = nn_ops_cuda(d);
    d->base.gan = &gan_ops_cuda;
    d->base.token = token_ops_cuda();
    *out = &d->base;
    return OK;
}
