#include "cuda/fragment.h"
#include "cuda/launch.h"
#include "cuda_emu/test_kernels.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

/* ---- faults ---- */
static __global__ void faulty_kernel(int kind, int *memory, int n)
{
    __shared__ int shared[32];
    DYNAMIC_SHARED(int, dynamic);
    int i = (int)threadIdx.x, lane = i % 32, *plain = shared;
    shared[lane] = dynamic[lane] = i;
    if (kind == FAULT_BARRIER_ENDED && i >= 32) return;
    if (kind == FAULT_BARRIER_ELSEWHERE && i >= 32)
        __syncthreads();
    else
        __syncthreads();
    int value = i;
    if (kind == FAULT_SHUFFLE_MASK) {
        if (lane < 16) value = __shfl_xor_sync(0xffffffffu, value, 1);
    } else if (kind == FAULT_SHUFFLE_SOURCE) {
        if (lane < 16) value = __shfl_down_sync(0x0000ffffu, value, 8);
    } else {
        value = __shfl_sync(0xffffffffu, value, lane);
    }
    if (kind == FAULT_GLOBAL_BOUNDS) value += memory[n + i];
    if (kind == FAULT_SHARED_BOUNDS) value += plain[lane + 1 + n / 64];
    if (kind == FAULT_DYNAMIC_BOUNDS) value += dynamic[lane + 1 + n / 64];
    if (kind == FAULT_FRAGMENT_ROW)
        value += (int)load_b([&](int k) { return (const uint16_t *)memory + 8 * k + 1; }).x[0];
    if (kind == FAULT_ALIGNMENT_LOAD) value += (int)reinterpret_cast<const float4 *>(memory + 2)->y;
    if (kind == FAULT_ALIGNMENT_STORE)
        *reinterpret_cast<ushort2 *>(reinterpret_cast<uint16_t *>(memory) + 1) = make_ushort2(1, 2);
    memory[i] = value;
}

void emu_test_fault(enum emu_fault_kind kind)
{
    int *memory = NULL, n = 64;
    cudaMalloc((void **)&memory, (size_t)n * sizeof *memory);
    if (kind == FAULT_HOST_READ && memory[3] != -1) abort();
    LAUNCH(faulty_kernel, 1, kind == FAULT_WARP_PART ? 48 : 64, 32 * sizeof(int), (cudaStream_t)0,
           (int)kind, memory, n);
    cudaFree(memory);
}

static __global__ void uninitialised_kernel(uint32_t *out, const uint32_t *never)
{
    __shared__ uint32_t shared[4], unwritten[2];
    DYNAMIC_SHARED(uint32_t, dynamic);
    out[0] = never[2];
    out[1] = shared[1];
    out[2] = dynamic[3];
    out[3] = unwritten[1];
    shared[1] = dynamic[3] = 7; /* must be gone in the next block */
}

void emu_test_uninitialised(uint32_t found[4])
{
    uint32_t *out = NULL, *never = NULL;
    cudaMalloc((void **)&out, 4 * sizeof *out);
    cudaMalloc((void **)&never, 3 * sizeof *never);
    LAUNCH(uninitialised_kernel, 3, 1, 16, (cudaStream_t)0, out, (const uint32_t *)never);
    cudaMemcpy(found, out, 4 * sizeof *out, cudaMemcpyDeviceToHost);
    cudaFree(out);
    cudaFree(never);
}

static __global__ void emu_large_kernel(int *nothing)
{
    (void)nothing;
}

int emu_test_launch(unsigned threads)
{
    emu_launch("emu_large_kernel", emu_large_kernel, 1, threads, 0, (cudaStream_t)0, (int *)NULL);
    return (int)cudaGetLastError();
}

/* ---- sums ---- */
static __global__ void sum_kernel(unsigned *total, unsigned *votes, unsigned n)
{
    __shared__ unsigned partial[32];
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x % 32;
    unsigned value = i < n ? i : 0;
    unsigned odd = __ballot_sync(0xffffffffu, i < n && i % 2 == 1);
    if (lane == 0) atomicAdd(votes, (unsigned)__popc(odd));
    for (int step = 16; step > 0; step /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    if (threadIdx.x < 32) partial[threadIdx.x] = 0;
    __syncthreads();
    if (lane == 0) partial[threadIdx.x / 32] = value;
    __syncthreads();
    if (threadIdx.x >= 32) return;
    value = partial[threadIdx.x];
    for (int step = 16; step > 0; step /= 2)
        value += __shfl_down_sync(0xffffffffu, value, step);
    if (threadIdx.x == 0) atomicAdd(total, value);
}

unsigned emu_test_sum(unsigned n, unsigned block)
{
    unsigned *total = NULL, found[2];
    cudaMalloc((void **)&total, 2 * sizeof *total);
    cudaMemset(total, 0, 2 * sizeof *total);
    LAUNCH(sum_kernel, cuda_blocks(n, block), block, 0, (cudaStream_t)0, total, total + 1, n);
    cudaMemcpy(found, total, sizeof found, cudaMemcpyDeviceToHost);
    cudaFree(total);
    return found[1] == n / 2 ? found[0] : 0;
}

/* ---- streams and graphs ---- */
static __global__ void step_kernel(int *to, const int *from, int factor, int add)
{
    *to = *from * factor + add;
}

static __global__ void function_kernel(int function, float *y, const float *x)
{
    int i = (int)threadIdx.x;
    float v = x[i];
    y[i] = function == 0   ? exp2f(v)
           : function == 1 ? sinf(v)
           : function == 2 ? powf(v, 0.45f)
           : function == 3 ? sqrtf(v)
           : function == 4 ? 1 / v
                           : (float)exp((double)v);
}

void emu_test_function(int function, float *y, const float *x, int n)
{
    float *memory = NULL;
    size_t bytes = (size_t)n * sizeof *x;
    cudaMalloc((void **)&memory, 2 * bytes);
    cudaMemcpy(memory, x, bytes, cudaMemcpyHostToDevice);
    LAUNCH(function_kernel, 1, (unsigned)n, 0, NULL, function, memory + n, (const float *)memory);
    cudaMemcpy(y, memory + n, bytes, cudaMemcpyDeviceToHost);
    cudaFree(memory);
}

void emu_test_stream(int *before, int *after)
{
    int *memory = NULL, *host = NULL;
    cudaStream_t stream = NULL;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaMalloc((void **)&memory, 2 * sizeof *memory);
    cudaMallocHost((void **)&host, sizeof *host);
    *host = 20;
    cudaMemcpyAsync(memory, host, sizeof *host, cudaMemcpyHostToDevice, stream);
    LAUNCH(step_kernel, 1, 1, 0, stream, memory + 1, (const int *)memory, 2, 2);
    *host = 4; /* too early: the copy has not been made */
    cudaMemcpyAsync(host, memory + 1, sizeof *host, cudaMemcpyDeviceToHost, stream);
    *before = *host;
    cudaStreamSynchronize(stream);
    *after = *host;
    cudaFree(memory);
    cudaFreeHost(host);
    cudaStreamDestroy(stream);
}

/* The doubling in one stream, the addition in another: joined by events, as in a real step. */
int emu_test_graph(int times)
{
    int *y = NULL, result = 1;
    cudaStream_t one = NULL, two = NULL;
    cudaEvent_t there = NULL, back = NULL;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    cudaStreamCreateWithFlags(&one, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&two, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&there, cudaEventDisableTiming);
    cudaEventCreateWithFlags(&back, cudaEventDisableTiming);
    cudaMalloc((void **)&y, 2 * sizeof *y);
    cudaMemcpy(y, &result, sizeof *y, cudaMemcpyHostToDevice);
    cudaStreamBeginCapture(one, cudaStreamCaptureModeThreadLocal);
    LAUNCH(step_kernel, 1, 1, 0, one, y + 1, (const int *)y, 2, 0);
    cudaEventRecord(there, one);
    cudaStreamWaitEvent(two, there, 0);
    LAUNCH(step_kernel, 1, 1, 0, two, y, (const int *)(y + 1), 1, 1);
    cudaEventRecord(back, two);
    cudaStreamWaitEvent(one, back, 0);
    cudaStreamEndCapture(one, &graph);
    cudaGraphInstantiate(&exec, graph, 0);
    cudaGraphDestroy(graph);
    for (int i = 0; i < times; i++)
        cudaGraphLaunch(exec, one);
    cudaStreamSynchronize(one);
    cudaMemcpy(&result, y, sizeof *y, cudaMemcpyDeviceToHost);
    cudaGraphExecDestroy(exec);
    cudaEventDestroy(there);
    cudaEventDestroy(back);
    cudaFree(y);
    cudaStreamDestroy(one);
    cudaStreamDestroy(two);
    return result;
}

int emu_test_order(enum emu_join join)
{
    int *y = NULL, result = 1;
    cudaStream_t one = NULL, two = NULL;
    cudaEvent_t there = NULL, back = NULL;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    cudaStreamCreateWithFlags(&one, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&two, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&there, cudaEventDisableTiming);
    cudaEventCreateWithFlags(&back, cudaEventDisableTiming);
    cudaMalloc((void **)&y, 2 * sizeof *y);
    cudaMemcpy(y, &result, sizeof *y, cudaMemcpyHostToDevice);
    if (join != JOIN_WITHOUT_GRAPH) cudaStreamBeginCapture(one, cudaStreamCaptureModeThreadLocal);
    cudaEventRecord(there, one);
    cudaStreamWaitEvent(two, there, 0);
    LAUNCH(step_kernel, 1, 1, 0, one, y + 1, (const int *)y, 2, 0);
    LAUNCH(step_kernel, 1, 1, 0, two, y, (const int *)(y + 1), 1, 1);
    cudaEventRecord(back, two);
    if (join != JOIN_NEVER) cudaStreamWaitEvent(one, back, 0);
    if (join != JOIN_WITHOUT_GRAPH) {
        result = cudaStreamEndCapture(one, &graph) == cudaSuccess ? 0 : -1;
        if (graph) cudaGraphInstantiate(&exec, graph, 0);
        cudaGraphDestroy(graph);
        if (exec) cudaGraphLaunch(exec, one);
    }
    cudaStreamSynchronize(one);
    if (result >= 0) cudaMemcpy(&result, y, sizeof *y, cudaMemcpyDeviceToHost);
    cudaGraphExecDestroy(exec);
    cudaEventDestroy(there);
    cudaEventDestroy(back);
    cudaFree(y);
    cudaStreamDestroy(one);
    cudaStreamDestroy(two);
    return result;
}

/* ---- what a capture forbids ---- */
struct capture_bench {
    cudaStream_t one, two;
    cudaEvent_t before, within; /* recorded before and within the capture */
    int *device, *pinned;
};

__constant__ int symbol;

static cudaError_t launch_in(const struct capture_bench *b, cudaStream_t stream)
{
    LAUNCH(step_kernel, 1, 1, 0, stream, b->device, (const int *)b->device, 1, 1);
    return cudaGetLastError();
}

static cudaError_t merge(struct capture_bench *b)
{
    cudaGraph_t graph;
    cudaStreamBeginCapture(b->two, cudaStreamCaptureModeThreadLocal);
    cudaError_t error = cudaStreamWaitEvent(b->two, b->within, 0);
    cudaStreamEndCapture(b->two, &graph);
    return error;
}

static cudaError_t commit(struct capture_bench *b, enum emu_capture_fault fault)
{
    int host = 0;
    void *memory;
    cudaGraph_t graph;
    switch (fault) {
    case CAPTURE_NOTHING: return cudaSuccess;
    case CAPTURE_MALLOC: return cudaMalloc(&memory, 4);
    case CAPTURE_FREE: return cudaFree(b->device);
    case CAPTURE_HOST_MALLOC: return cudaHostAlloc(&memory, 4, cudaHostAllocDefault);
    case CAPTURE_HOST_FREE: return cudaFreeHost(b->pinned);
    case CAPTURE_COPY: return cudaMemcpy(b->device, b->pinned, 4, cudaMemcpyHostToDevice);
    case CAPTURE_SET: return cudaMemset(b->device, 0, 4);
    case CAPTURE_PAGEABLE:
        return cudaMemcpyAsync(b->device, &host, 4, cudaMemcpyHostToDevice, b->one);
    case CAPTURE_SYMBOL: return cudaMemcpyToSymbol(symbol, &host, 4);
    case CAPTURE_SYNCHRONIZE: return cudaStreamSynchronize(b->one);
    case CAPTURE_SYNCHRONIZE_OTHER: return cudaStreamSynchronize(b->two);
    case CAPTURE_SYNCHRONIZE_DEVICE: return cudaDeviceSynchronize();
    case CAPTURE_QUERY: return cudaStreamQuery(b->one);
    case CAPTURE_QUERY_EVENT: return cudaEventQuery(b->before);
    case CAPTURE_QUERY_CAPTURED: return cudaEventQuery(b->within);
    case CAPTURE_WAIT_EVENT: return cudaEventSynchronize(b->before);
    case CAPTURE_WAIT_CAPTURED: return cudaEventSynchronize(b->within);
    case CAPTURE_DEFAULT_LAUNCH: return launch_in(b, (cudaStream_t)0);
    case CAPTURE_DEFAULT_COPY: return cudaMemsetAsync(b->device, 0, 4, (cudaStream_t)0);
    case CAPTURE_OUTSIDE: return cudaStreamWaitEvent(b->one, b->before, 0);
    case CAPTURE_AGAIN: return cudaStreamBeginCapture(b->one, cudaStreamCaptureModeThreadLocal);
    case CAPTURE_MERGE: return merge(b);
    case CAPTURE_UNJOINED: cudaStreamWaitEvent(b->two, b->within, 0); return launch_in(b, b->two);
    case CAPTURE_ELSEWHERE:
        cudaStreamWaitEvent(b->two, b->within, 0);
        return cudaStreamEndCapture(b->two, &graph);
    }
    return cudaSuccess;
}

struct emu_capture_result emu_test_capture(enum emu_capture_fault fault)
{
    struct capture_bench b = {};
    struct emu_capture_result r = {};
    cudaGraph_t graph;
    cudaStreamCreateWithFlags(&b.one, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&b.two, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&b.before, cudaEventDisableTiming);
    cudaEventCreateWithFlags(&b.within, cudaEventDisableTiming);
    cudaMalloc((void **)&b.device, sizeof *b.device);
    cudaHostAlloc((void **)&b.pinned, sizeof *b.pinned, cudaHostAllocDefault);
    *b.pinned = 0;
    cudaMemcpyAsync(b.device, b.pinned, sizeof *b.device, cudaMemcpyHostToDevice, b.one);
    cudaEventRecord(b.before, b.two);
    cudaStreamBeginCapture(b.one, cudaStreamCaptureModeThreadLocal);
    launch_in(&b, b.one);
    cudaEventRecord(b.within, b.one);
    r.error = commit(&b, fault);
    cudaGetLastError();
    r.behind = launch_in(&b, b.one);
    r.end = cudaStreamEndCapture(b.one, &graph);
    r.graph = graph != NULL;
    cudaGraphDestroy(graph);
    cudaGetLastError();
    r.works = launch_in(&b, b.one) == cudaSuccess && launch_in(&b, b.two) == cudaSuccess &&
              cudaDeviceSynchronize() == cudaSuccess &&
              cudaEventQuery(b.within) == cudaErrorCapturedEvent &&
              cudaStreamWaitEvent(b.one, b.within, 0) == cudaErrorCapturedEvent;
    cudaEventDestroy(b.before);
    cudaEventDestroy(b.within);
    cudaFree(b.device);
    cudaFreeHost(b.pinned);
    cudaStreamDestroy(b.one);
    cudaStreamDestroy(b.two);
    return r;
}

/* ---- tensor cores ---- */
static __global__ void mma_kernel(float *d, const uint16_t *a, const uint16_t *b, int shuffled)
{
    int lane = (int)threadIdx.x, g = lane / 4, t = lane % 4;
    uint32_t ra[4], rb[2];
    float rd[4];
    for (int i = 0; i < 4; i++) {
        const uint16_t *pair = a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
        ra[i] = pair[0] | (uint32_t)pair[1] << 16;
        rd[i] = d[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
    }
    for (int i = 0; i < 2; i++) {
        int k = 2 * t + 8 * i;
        rb[i] = b[k * 8 + g] | (uint32_t)b[(k + 1) * 8 + g] << 16;
    }
    if (shuffled)
        mma_bf16_shuffled(rd, ra, rb);
    else
        mma_bf16(rd, ra, rb);
    for (int i = 0; i < 4; i++)
        d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = rd[i];
}

float emu_test_mma(void)
{
    uint16_t a[16 * 16], b[16 * 8], *da = NULL, *db = NULL;
    float d[16 * 8], *dd = NULL, most = 0;
    for (int i = 0; i < 16 * 16; i++)
        a[i] = __bfloat16_as_ushort(__float2bfloat16((float)(i * 7 % 23) - 11));
    for (int i = 0; i < 16 * 8; i++)
        b[i] = __bfloat16_as_ushort(__float2bfloat16((float)(i * 5 % 19) - 9));
    cudaMalloc((void **)&da, sizeof a);
    cudaMalloc((void **)&db, sizeof b);
    cudaMalloc((void **)&dd, sizeof d);
    cudaMemcpy(da, a, sizeof a, cudaMemcpyHostToDevice);
    cudaMemcpy(db, b, sizeof b, cudaMemcpyHostToDevice);
    for (int shuffled = 0; shuffled < 2; shuffled++) {
        for (int i = 0; i < 16 * 8; i++)
            d[i] = (float)i;
        cudaMemcpy(dd, d, sizeof d, cudaMemcpyHostToDevice);
        LAUNCH(mma_kernel, 1, 32, 0, (cudaStream_t)0, dd, (const uint16_t *)da,
               (const uint16_t *)db, shuffled);
        cudaMemcpy(d, dd, sizeof d, cudaMemcpyDeviceToHost);
        for (int i = 0; i < 16 * 8; i++) {
            float sum = (float)i;
            for (int k = 0; k < 16; k++)
                sum += __bfloat162float(__ushort_as_bfloat16(a[i / 8 * 16 + k])) *
                       __bfloat162float(__ushort_as_bfloat16(b[k * 8 + i % 8]));
            most = fmaxf(most, fabsf(sum - d[i]));
        }
    }
    cudaFree(da);
    cudaFree(db);
    cudaFree(dd);
    return most;
}

float emu_test_half(float x)
{
    return __half2float(__float2half(x));
}

float emu_test_bf16(float x)
{
    return __bfloat162float(__float2bfloat16(x));
}
