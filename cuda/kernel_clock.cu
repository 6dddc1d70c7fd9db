/* The time of each kernel, by an event before and one behind its launch. Off, a launch costs a test
 * of one flag. On, graphs hold the events too, and each launch of a graph is waited for: steps take
 * longer, kernels do not. */
#include "cuda/cuda_device.h"

extern "C" {
#include "base/log.h"
}

bool cuda_clock_on;

enum { PENDING_MOST = 2048, GRAPHS_MOST = 16, KERNELS_MOST = 256 };

struct kernel_span {
    const char *kernel;
    cudaEvent_t from, to;
};

struct kernel_spans {
    struct kernel_span *list;
    int count, room;
};

struct kernel_time {
    const char *kernel;
    int64_t count;
    double us;
};

static struct {
    bool capturing;
    struct kernel_spans pending, captured; /* launched; recorded into the graph to be */
    struct {
        struct device_graph *graph;
        struct kernel_spans spans;
    } graphs[GRAPHS_MOST];
    struct kernel_time times[KERNELS_MOST];
    int kernels;
} kernel_clock;

static void kernel_clock_fail(cudaError_t error)
{
    cudaGetLastError();
    cuda_clock_on = false;
    log_warning("the time of kernels is not taken any more: %s", cudaGetErrorString(error));
}

/* ---- spans ---- */
static void kernel_spans_free(struct kernel_spans *spans)
{
    for (int i = 0; i < spans->room; i++) {
        if (spans->list[i].from) cudaEventDestroy(spans->list[i].from);
        if (spans->list[i].to) cudaEventDestroy(spans->list[i].to);
    }
    free(spans->list);
    memset(spans, 0, sizeof *spans);
}

/* One more, with its events; those of a list that was emptied are used again. */
static struct kernel_span *kernel_spans_add(struct kernel_spans *spans)
{
    if (spans->count == spans->room) {
        int room = spans->room ? 2 * spans->room : 64;
        size_t bytes = (size_t)room * sizeof *spans->list;
        struct kernel_span *list = (struct kernel_span *)realloc(spans->list, bytes);
        if (!list) return NULL;
        memset(list + spans->room, 0, (size_t)(room - spans->room) * sizeof *list);
        spans->list = list;
        spans->room = room;
    }
    struct kernel_span *span = &spans->list[spans->count];
    if (!span->from && cudaEventCreate(&span->from) != cudaSuccess) return NULL;
    if (!span->to && cudaEventCreate(&span->to) != cudaSuccess) return NULL;
    spans->count++;
    return span;
}

static void kernel_clock_add(const char *kernel, double us)
{
    int k = 0;
    while (k < kernel_clock.kernels && strcmp(kernel_clock.times[k].kernel, kernel) != 0)
        k++;
    if (k == KERNELS_MOST) return;
    if (k == kernel_clock.kernels) {
        kernel_clock.times[k].kernel = kernel;
        kernel_clock.times[k].count = 0;
        kernel_clock.times[k].us = 0;
        kernel_clock.kernels++;
    }
    kernel_clock.times[k].count++;
    kernel_clock.times[k].us += us;
}

/* What has run: its stream was waited for. */
static void kernel_spans_read(const struct kernel_spans *spans)
{
    for (int i = 0; i < spans->count && cuda_clock_on; i++) {
        float ms = 0;
        cudaError_t error = cudaEventElapsedTime(&ms, spans->list[i].from, spans->list[i].to);
        if (error != cudaSuccess)
            kernel_clock_fail(error);
        else
            kernel_clock_add(spans->list[i].kernel, 1e3 * (double)ms);
    }
}

/* ---- launches ---- */
static cudaError_t kernel_clock_record(cudaEvent_t event, cudaStream_t stream)
{
    if (!kernel_clock.capturing) return cudaEventRecord(event, stream);
    return cudaEventRecordWithFlags(event, stream, cudaEventRecordExternal);
}

void *cuda_clock_begin(const char *kernel, cudaStream_t stream)
{
    struct kernel_spans *spans =
        kernel_clock.capturing ? &kernel_clock.captured : &kernel_clock.pending;
    if (!kernel_clock.capturing && spans->count == PENDING_MOST) {
        cudaStreamSynchronize(stream);
        kernel_spans_read(spans);
        spans->count = 0;
    }
    struct kernel_span *span = kernel_spans_add(spans);
    cudaError_t error = span ? kernel_clock_record(span->from, stream) : cudaErrorMemoryAllocation;
    if (span) span->kernel = kernel;
    if (error != cudaSuccess) {
        if (span) spans->count--;
        kernel_clock_fail(error);
        return NULL;
    }
    return span->to;
}

void cuda_clock_end(void *to, cudaStream_t stream)
{
    if (!to) return;
    cudaError_t error = kernel_clock_record((cudaEvent_t)to, stream);
    if (error != cudaSuccess) kernel_clock_fail(error);
}

/* ---- graphs ---- */
void cuda_clock_capture(bool begins)
{
    kernel_clock.capturing = begins;
    if (begins) kernel_clock.captured.count = 0;
}

void cuda_clock_keep(struct device_graph *graph)
{
    for (int i = 0; i < GRAPHS_MOST; i++) {
        if (kernel_clock.graphs[i].graph) continue;
        kernel_clock.graphs[i].graph = graph;
        kernel_clock.graphs[i].spans = kernel_clock.captured;
        memset(&kernel_clock.captured, 0, sizeof kernel_clock.captured);
        return;
    }
}

void cuda_clock_launched(struct device_graph *graph, cudaStream_t stream)
{
    if (cudaStreamSynchronize(stream) != cudaSuccess) return; /* the next wait says why */
    for (int i = 0; i < GRAPHS_MOST; i++)
        if (kernel_clock.graphs[i].graph == graph) kernel_spans_read(&kernel_clock.graphs[i].spans);
}

void cuda_clock_drop(struct device_graph *graph)
{
    for (int i = 0; i < GRAPHS_MOST; i++) {
        if (kernel_clock.graphs[i].graph != graph) continue;
        kernel_clock.graphs[i].graph = NULL;
        kernel_spans_free(&kernel_clock.graphs[i].spans);
    }
}

/* ---- the table ---- */
static int kernel_clock_compare(const void *a, const void *b)
{
    const struct kernel_time *p = (const struct kernel_time *)a, *q = (const struct kernel_time *)b;
    if (p->us < q->us || p->us > q->us) return p->us > q->us ? -1 : 1;
    return strcmp(p->kernel, q->kernel);
}

static void kernel_clock_print(struct device *device, FILE *to)
{
    double all = 0;
    cudaStreamSynchronize(cuda_stream(device));
    kernel_spans_read(&kernel_clock.pending);
    kernel_clock.pending.count = 0;
    qsort(kernel_clock.times, (size_t)kernel_clock.kernels, sizeof *kernel_clock.times,
          kernel_clock_compare);
    for (int k = 0; k < kernel_clock.kernels; k++)
        all += kernel_clock.times[k].us;
    if (to && kernel_clock.kernels > 0) {
        fprintf(to, "%-40s %9s %11s %11s %6s\n", "kernel", "launches", "us each", "us in all",
                "share");
        for (int k = 0; k < kernel_clock.kernels; k++) {
            const struct kernel_time *t = &kernel_clock.times[k];
            bool instance = t->kernel[0] == '('; /* of a template, in brackets */
            fprintf(to, "%-40.*s %9lld %11.2f %11.0f %5.1f%%\n",
                    (int)strlen(t->kernel) - 2 * instance, t->kernel + instance,
                    (long long)t->count, t->us / (double)t->count, t->us,
                    all > 0 ? 100 * t->us / all : 0);
        }
        fflush(to);
    }
    kernel_clock.kernels = 0;
}

void cuda_clock_open(struct device *device)
{
    const char *asked = getenv("IMGTRAIN_KERNELS");
    memset(&kernel_clock, 0, sizeof kernel_clock);
    cuda_clock_on = asked && strcmp(asked, "1") == 0;
    if (cuda_clock_on) device->kernel_times = kernel_clock_print;
}

void cuda_clock_close(struct device *device)
{
    if (device->kernel_times) kernel_clock_print(device, stderr);
    cuda_clock_on = false;
    kernel_spans_free(&kernel_clock.pending);
    kernel_spans_free(&kernel_clock.captured);
    for (int i = 0; i < GRAPHS_MOST; i++)
        kernel_spans_free(&kernel_clock.graphs[i].spans);
    memset(&kernel_clock, 0, sizeof kernel_clock);
}
