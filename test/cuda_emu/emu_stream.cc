/* Emulated streams, events and graphs. A stream is a queue that runs when somebody waits for it;
 * while it records a graph, its operations go into the graph instead. */
#include "emu_launch.h"
#include "emu_runtime.h"

#include <stdlib.h>
#include <time.h>

struct emu_graph {
    struct emu_op *first, **last;
    int references;
};

struct emu_stream {
    struct emu_op *first, **last;
    uint64_t queued, done; /* operations so far */
    struct emu_graph *recording;
    struct emu_stream *next;
};

struct emu_event {
    struct emu_stream *stream; /* where it was recorded last, */
    uint64_t at;               /* after this many operations */
    struct emu_graph *recording;
    double time;
};

static struct emu_stream null_stream;             /* the default stream; it waits for no other */
static struct emu_stream *streams = &null_stream; /* never freed: events point to them */
static int running;

static struct emu_stream *stream_of(cudaStream_t stream)
{
    struct emu_stream *s = stream ? stream : &null_stream;
    if (!s->last) s->last = &s->first;
    return s;
}

bool emu_capturing(void)
{
    for (struct emu_stream *s = streams; s; s = s->next)
        if (s->recording) return true;
    return false;
}

static void drop(struct emu_op *op)
{
    if (op->drop)
        op->drop(op);
    else
        free(op);
}

static void run_until(struct emu_stream *s, uint64_t done)
{
    if (s->done >= done) return;
    if (running++ == 0) emu_open_memory(true);
    while (s->done < done) {
        struct emu_op *op = s->first;
        s->first = op->next;
        if (!s->first) s->last = &s->first;
        s->done++;
        if (emu_lost() == cudaSuccess) op->run(op);
        drop(op);
    }
    if (--running == 0) emu_open_memory(false);
}

void emu_run_all(void)
{
    for (struct emu_stream *s = streams; s; s = s->next)
        run_until(s, s->queued);
}

cudaError_t emu_enqueue(struct emu_op *op, cudaStream_t stream)
{
    struct emu_stream *s = stream_of(stream);
    op->next = NULL;
    if (s->recording) {
        *s->recording->last = op;
        s->recording->last = &op->next;
    } else {
        *s->last = op;
        s->last = &op->next;
        s->queued++;
    }
    return emu_lost();
}

/* ---- streams ---- */
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    (void)flags;
    struct emu_stream *s = static_cast<struct emu_stream *>(calloc(1, sizeof *s));
    if (!s) abort();
    s->last = &s->first;
    s->next = null_stream.next;
    null_stream.next = s;
    *stream = s;
    return emu_lost();
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    return cudaStreamSynchronize(stream);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    struct emu_stream *s = stream_of(stream);
    if (s->recording) return emu_error(cudaErrorStreamCaptureUnsupported);
    run_until(s, s->queued);
    return emu_lost();
}

cudaError_t cudaDeviceSynchronize(void)
{
    if (emu_capturing()) return emu_error(cudaErrorStreamCaptureUnsupported);
    emu_run_all();
    return emu_lost();
}

struct host_op {
    struct emu_op op;
    cudaHostFn_t function;
    void *data;
};

static void run_host(struct emu_op *op)
{
    struct host_op *h = reinterpret_cast<struct host_op *>(op);
    h->function(h->data);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data)
{
    struct host_op *h = static_cast<struct host_op *>(calloc(1, sizeof *h));
    if (!h) abort();
    *h = {{NULL, run_host, NULL}, function, data};
    return emu_enqueue(&h->op, stream);
}

/* ---- events ---- */
struct event_op {
    struct emu_op op;
    struct emu_event *event;
    struct emu_stream *stream;
    uint64_t at;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) * 1e-6;
}

static void run_record(struct emu_op *op)
{
    reinterpret_cast<struct event_op *>(op)->event->time = now();
}

static void run_wait(struct emu_op *op)
{
    struct event_op *e = reinterpret_cast<struct event_op *>(op);
    run_until(e->stream, e->at);
}

static cudaError_t enqueue_event(void (*run)(struct emu_op *), struct emu_event *event,
                                 cudaStream_t stream)
{
    struct event_op *e = static_cast<struct event_op *>(calloc(1, sizeof *e));
    if (!e) abort();
    *e = {{NULL, run, NULL}, event, event->stream, event->at};
    return emu_enqueue(&e->op, stream);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    *event = static_cast<struct emu_event *>(calloc(1, sizeof **event));
    if (!*event) abort();
    return emu_lost();
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    if (event && event->stream) run_until(event->stream, event->at);
    free(event);
    return emu_lost();
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    struct emu_stream *s = stream_of(stream);
    cudaError_t error = enqueue_event(run_record, event, stream);
    event->recording = s->recording;
    event->stream = s;
    event->at = s->queued;
    return error;
}

/* A stream that waits for an event recorded into a graph takes part in the recording from then on;
 * a graph is one list in the order of the calls, which keeps all dependencies. */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)flags;
    struct emu_stream *s = stream_of(stream);
    if (event->recording) {
        if (s->recording && s->recording != event->recording)
            return emu_error(cudaErrorStreamCaptureInvalidated);
        s->recording = event->recording;
        return emu_lost();
    }
    if (!event->stream) return emu_lost();
    return enqueue_event(run_wait, event, stream);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (event->recording) return emu_error(cudaErrorStreamCaptureUnsupported);
    if (event->stream) run_until(event->stream, event->at);
    return emu_lost();
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to)
{
    *milliseconds = 0;
    if (!from->stream || !to->stream) return emu_error(cudaErrorInvalidValue);
    if (from->stream->done < from->at || to->stream->done < to->at)
        return emu_error(cudaErrorNotReady);
    *milliseconds = static_cast<float>(to->time - from->time);
    return emu_lost();
}

/* ---- graphs ---- */
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    (void)mode;
    struct emu_stream *s = stream_of(stream);
    if (!stream || s->recording) return emu_error(cudaErrorStreamCaptureUnsupported);
    s->recording = static_cast<struct emu_graph *>(calloc(1, sizeof *s->recording));
    if (!s->recording) abort();
    s->recording->last = &s->recording->first;
    s->recording->references = 1;
    return emu_lost();
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    *graph = stream_of(stream)->recording;
    if (!*graph) return emu_error(cudaErrorInvalidValue);
    for (struct emu_stream *s = streams; s; s = s->next)
        if (s->recording == *graph) s->recording = NULL;
    return emu_lost();
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    (void)flags;
    graph->references++;
    *exec = graph;
    return emu_lost();
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    if (!graph || --graph->references > 0) return cudaSuccess;
    while (graph->first) {
        struct emu_op *op = graph->first;
        graph->first = op->next;
        drop(op);
    }
    free(graph);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    return cudaGraphDestroy(exec);
}

struct graph_op {
    struct emu_op op;
    struct emu_graph *graph;
};

static void run_graph(struct emu_op *op)
{
    struct emu_graph *graph = reinterpret_cast<struct graph_op *>(op)->graph;
    for (struct emu_op *one = graph->first; one; one = one->next)
        one->run(one);
}

static void drop_graph(struct emu_op *op)
{
    cudaGraphDestroy(reinterpret_cast<struct graph_op *>(op)->graph);
    free(op);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    if (emu_lost() != cudaSuccess) return emu_lost();
    struct graph_op *g = static_cast<struct graph_op *>(calloc(1, sizeof *g));
    if (!g) abort();
    exec->references++;
    *g = {{NULL, run_graph, drop_graph}, exec};
    return emu_enqueue(&g->op, stream);
}
