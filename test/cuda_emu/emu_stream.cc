/* Emulated streams and events. A stream is a queue that runs when somebody waits for it, or, where
 * emu_stream_order says so, as soon as it may; while it records a graph, its operations go into the
 * graph instead (emu_graph.cc). */
#include "emu_stream.h"

#include "emu_grid.h"

#include <stdlib.h>
#include <time.h>

struct emu_event {
    struct emu_stream *stream; /* where it was recorded last, */
    uint64_t at;               /* after this many operations */
    uint64_t capture;          /* of the graph that it was recorded into; 0: none */
    double time;
};

static struct emu_stream null_stream;             /* the default stream; it waits for no other */
static struct emu_stream *streams = &null_stream; /* never freed: events point to them */
static int running;
static unsigned early_streams, created;

void emu_stream_order(unsigned early)
{
    early_streams = early;
    created = 0;
}

struct emu_stream *emu_streams(void)
{
    return streams;
}

struct emu_stream *emu_stream_of(cudaStream_t stream)
{
    struct emu_stream *s = stream ? stream : &null_stream;
    if (!s->last) s->last = &s->first;
    return s;
}

void emu_drop(struct emu_op *op)
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
        emu_drop(op);
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
    struct emu_stream *s = emu_stream_of(stream);
    cudaError_t refused = emu_capture_refuses(stream, false);
    op->next = NULL;
    if (refused != cudaSuccess) {
        emu_drop(op);
        return refused;
    }
    if (s->recording) {
        emu_graph_add(s->recording, s, op, NULL, 0);
        return emu_lost();
    }
    *s->last = op;
    s->last = &op->next;
    s->queued++;
    if (s->early && running == 0) run_until(s, s->queued);
    return emu_lost();
}

/* ---- streams ---- */
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    EMU_CALL();
    (void)flags;
    struct emu_stream *s = static_cast<struct emu_stream *>(calloc(1, sizeof *s));
    if (!s) abort();
    s->last = &s->first;
    s->early = created < 32 && (early_streams >> created & 1);
    created++;
    emu_counting(NULL)->created++;
    s->next = null_stream.next;
    null_stream.next = s;
    *stream = s;
    return emu_lost();
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    EMU_CALL();
    return emu_wait_for(stream);
}

/* What a stream records does not run: it says nothing. */
static cudaError_t check_stream(const struct emu_stream *s)
{
    if (s->recording) return emu_graph_spoil(s->recording, cudaErrorStreamCaptureUnsupported);
    return emu_forbid_in_capture();
}

cudaError_t emu_wait_for(cudaStream_t stream)
{
    struct emu_stream *s = emu_stream_of(stream);
    cudaError_t forbidden = check_stream(s);
    if (forbidden != cudaSuccess) return forbidden;
    run_until(s, s->queued);
    return emu_lost();
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    EMU_CALL();
    emu_counting(NULL)->stream_waits++;
    return emu_wait_for(stream);
}

/* Nothing runs because it is asked for. */
cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    struct emu_stream *s = emu_stream_of(stream);
    cudaError_t forbidden = check_stream(s);
    if (forbidden != cudaSuccess) return forbidden;
    emu_counting(NULL)->queries++;
    return s->done < s->queued ? cudaErrorNotReady : emu_lost();
}

cudaError_t cudaDeviceSynchronize(void)
{
    cudaError_t forbidden = emu_forbid_in_capture();
    if (forbidden != cudaSuccess) return forbidden;
    emu_counting(NULL)->device_waits++;
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

/* For libraries opened at run time: queues work with device memory at hand; `data` is free()d when
 * it will not run any more. */
static void drop_host(struct emu_op *op)
{
    free(reinterpret_cast<struct host_op *>(op)->data);
    free(op);
}

extern "C" int emu_launch_host(void *stream, cudaHostFn_t function, void *data);
extern "C" int emu_launch_host(void *stream, cudaHostFn_t function, void *data)
{
    struct host_op *h = static_cast<struct host_op *>(calloc(1, sizeof *h));
    if (!h) abort();
    *h = {{NULL, run_host, drop_host}, function, data};
    emu_counting(static_cast<cudaStream_t>(stream))->launches++;
    return emu_enqueue(&h->op, static_cast<cudaStream_t>(stream));
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
    EMU_CALL();
    (void)flags;
    *event = static_cast<struct emu_event *>(calloc(1, sizeof **event));
    if (!*event) abort();
    emu_counting(NULL)->created++;
    return emu_lost();
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    if (event && event->stream && !event->capture) run_until(event->stream, event->at);
    free(event);
    return emu_lost();
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    EMU_CALL();
    struct emu_stream *s = emu_stream_of(stream);
    cudaError_t error = emu_capture_refuses(stream, false);
    if (error != cudaSuccess) return error;
    emu_counting(stream)->marks++;
    event->stream = s;
    event->capture = s->recording ? emu_graph_capture(s->recording) : 0;
    event->at = s->recording ? emu_graph_length(s->recording, s) : 0;
    if (s->recording) return emu_lost();
    error = enqueue_event(run_record, event, stream);
    event->at = s->queued;
    return error;
}

/* External: where a graph is recorded, an operation of the graph like any other. */
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags)
{
    struct emu_stream *s = emu_stream_of(stream);
    if (!s->recording || flags != cudaEventRecordExternal) return cudaEventRecord(event, stream);
    EMU_CALL();
    event->stream = s;
    event->capture = event->at = 0;
    return enqueue_event(run_record, event, stream);
}

/* A stream that waits for an event recorded into a graph takes part in the recording from then on.
 */
static cudaError_t join_capture(struct emu_stream *s, const struct emu_event *event)
{
    struct emu_graph *graph = emu_graph_of(event->capture), *own = s->recording;
    if (own && emu_graph_spoilt(own)) return emu_error(cudaErrorStreamCaptureInvalidated);
    if (!event->capture) return emu_graph_spoil(own, cudaErrorStreamCaptureIsolation);
    if (!graph) return emu_error(cudaErrorCapturedEvent); /* it is over */
    if (s == &null_stream) return emu_graph_spoil(graph, cudaErrorStreamCaptureImplicit);
    if (emu_graph_spoilt(graph)) return emu_error(cudaErrorStreamCaptureInvalidated);
    if (own && own != graph) {
        emu_graph_spoil(own, cudaErrorStreamCaptureMerge);
        return emu_graph_spoil(graph, cudaErrorStreamCaptureMerge);
    }
    s->recording = graph;
    emu_graph_add(graph, s, NULL, event->stream, event->at);
    return emu_lost();
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    EMU_CALL();
    (void)flags;
    struct emu_stream *s = emu_stream_of(stream);
    emu_counting(stream)->marks++;
    if (!event->stream) return emu_lost();
    if (event->capture || s->recording) return join_capture(s, event);
    return enqueue_event(run_wait, event, stream);
}

/* An event that was recorded into a graph says nothing about the graph's runs. */
static cudaError_t check_event(const struct emu_event *event)
{
    struct emu_graph *graph = event->capture ? emu_graph_of(event->capture) : NULL;
    if (graph) return emu_graph_spoil(graph, cudaErrorCapturedEvent);
    if (event->capture) return emu_error(cudaErrorCapturedEvent);
    return emu_forbid_in_capture();
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    EMU_CALL();
    cudaError_t error = check_event(event);
    if (error != cudaSuccess) return error;
    emu_counting(NULL)->event_waits++;
    if (event->stream) run_until(event->stream, event->at);
    return emu_lost();
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    cudaError_t error = check_event(event);
    if (error != cudaSuccess) return error;
    emu_counting(NULL)->queries++;
    bool ready = !event->stream || event->stream->done >= event->at;
    return ready ? emu_lost() : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to)
{
    *milliseconds = 0;
    if (!from->stream || !to->stream || from->capture || to->capture)
        return emu_error(cudaErrorInvalidValue);
    if (from->stream->done < from->at || to->stream->done < to->at)
        return emu_error(cudaErrorNotReady);
    *milliseconds = static_cast<float>(to->time - from->time);
    return emu_lost();
}
