/* A CUDA device: memory, copies, errors. */
#include "cuda/cuda_device.h"
#include "cuda/nn/nn_cuda.h"
#include "cuda/splat/splat_cuda.h"

extern "C" {
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

/* Why there is no CUDA device at all. */
static int no_device(cudaError_t error)
{
    int driver = 0, needed = 0;
    cudaGetLastError();
    if (error == cudaErrorNoDevice) return fail(ERR_DEVICE, "there is no CUDA device");
    if (error != cudaErrorInsufficientDriver) return cuda_result(error, "CUDA");
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&needed);
    if (driver == 0) return fail(ERR_DEVICE, "there is no CUDA driver");
    return fail(ERR_DEVICE, "the driver is too old: it is for CUDA %d.%d, needed is %d.%d",
                driver / 1000, driver % 1000 / 10, needed / 1000, needed % 1000 / 10);
}

static int cuda_device_cuda_start(struct cuda_device *d, int ordinal)
{
    struct cudaDeviceProp p;
    cuda_check(cudaSetDevice(ordinal));
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
        return fail(ERR_DEVICE, "there is no CUDA device %d: %d found", ordinal, count);
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
    *out = &d->base;
    return OK;
}
