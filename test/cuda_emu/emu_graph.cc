/* Emulated graphs. A graph keeps for each stream what was recorded in it, with what it waits for:
 * when it runs, streams go their own ways within these limits (emu_stream_order), so that a missing
 * wait shows as it does without a graph.
 *
 * What CUDA forbids while a stream is captured ends in the same error here and spoils the capture
 * (CUDA C++ Programming Guide, "Prohibited and Unhandled Operations"). Stricter than CUDA, as the
 * program needs none of it: the default stream, copies of pageable memory and waits for other
 * streams are refused during every capture. */
#include "emu_stream.h"

#include <stdlib.h>

enum { MAX_LANES = 8 };

/* One thing that a stream does, or waits for. */
struct node {
    struct node *next;
    struct emu_op *op;
    int awaited; /* lane, where op is NULL, */
    uint64_t at; /* and how many of its nodes come before */
};

struct lane {
    const struct emu_stream *stream;
    struct node *first, **last, *current;
    uint64_t length, done;
    bool early;
};

struct emu_graph {
    struct lane lanes[MAX_LANES]; /* [0]: the stream whose capture began */
    int lane_count, references;
    uint64_t capture;
    bool relaxed, spoilt; /* while it is captured */
    struct emu_counts counts;
};

static int lane_of(struct emu_graph *graph, const struct emu_stream *stream)
{
    for (int i = 0; i < graph->lane_count; i++)
        if (graph->lanes[i].stream == stream) return i;
    if (graph->lane_count == MAX_LANES) abort();
    struct lane *lane = &graph->lanes[graph->lane_count];
    lane->stream = stream;
    lane->last = &lane->first;
    lane->early = stream->early;
    return graph->lane_count++;
}

void emu_graph_add(struct emu_graph *graph, struct emu_stream *stream, struct emu_op *op,
                   struct emu_stream *awaited, uint64_t at)
{
    struct lane *lane = &graph->lanes[lane_of(graph, stream)];
    struct node *node = static_cast<struct node *>(calloc(1, sizeof *node));
    if (!node) abort();
    *node = {NULL, op, op ? -1 : lane_of(graph, awaited), at};
    *lane->last = node;
    lane->last = &node->next;
    lane->length++;
}

uint64_t emu_graph_length(const struct emu_graph *graph, const struct emu_stream *stream)
{
    for (int i = 0; i < graph->lane_count; i++)
        if (graph->lanes[i].stream == stream) return graph->lanes[i].length;
    return 0;
}

uint64_t emu_graph_capture(const struct emu_graph *graph)
{
    return graph->capture;
}

struct emu_counts *emu_graph_counts(struct emu_graph *graph)
{
    return &graph->counts;
}

/* ---- what a capture forbids ---- */
struct emu_graph *emu_graph_of(uint64_t capture)
{
    for (struct emu_stream *s = emu_streams(); s; s = s->next)
        if (s->recording && s->recording->capture == capture) return s->recording;
    return NULL;
}

bool emu_graph_spoilt(const struct emu_graph *graph)
{
    return graph->spoilt;
}

cudaError_t emu_graph_spoil(struct emu_graph *graph, cudaError_t error)
{
    graph->spoilt = true;
    return emu_error(error);
}

/* Of a capture that is going on. */
static struct emu_graph *any_graph(bool relaxed_too)
{
    for (struct emu_stream *s = emu_streams(); s; s = s->next)
        if (s->recording && (relaxed_too || !s->recording->relaxed)) return s->recording;
    return NULL;
}

cudaError_t emu_forbid_in_capture(void)
{
    struct emu_graph *graph = any_graph(false);
    return graph ? emu_graph_spoil(graph, cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

cudaError_t emu_capture_refuses(cudaStream_t stream, bool pageable)
{
    struct emu_graph *graph = emu_stream_of(stream)->recording, *any = any_graph(true);
    if (!stream && any) return emu_graph_spoil(any, cudaErrorStreamCaptureImplicit);
    if (!graph) return cudaSuccess;
    if (graph->spoilt) return emu_error(cudaErrorStreamCaptureInvalidated);
    return pageable ? emu_graph_spoil(graph, cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

/* ---- running ---- */
static void run_lane(struct emu_graph *graph, int index, uint64_t until, bool autotune)
{
    struct lane *lane = &graph->lanes[index];
    while (lane->done < until) {
        struct node *node = lane->current;
        lane->current = node->next;
        lane->done++;
        if (!node->op)
            run_lane(graph, node->awaited, node->at, autotune);
        else if (!autotune && emu_lost() == cudaSuccess)
            node->op->run(node->op);
    }
}

static void rewind_lanes(struct emu_graph *graph)
{
    for (int i = 0; i < graph->lane_count; i++) {
        graph->lanes[i].current = graph->lanes[i].first;
        graph->lanes[i].done = 0;
    }
}

/* Does the stream that began wait for all that the others do? */
static bool joined(struct emu_graph *graph)
{
    rewind_lanes(graph);
    if (graph->lane_count > 0) run_lane(graph, 0, graph->lanes[0].length, true);
    for (int i = 0; i < graph->lane_count; i++)
        if (graph->lanes[i].done < graph->lanes[i].length) return false;
    return true;
}

static void run_lanes(struct emu_graph *graph)
{
    rewind_lanes(graph);
    for (int i = 0; i < graph->lane_count; i++)
        if (graph->lanes[i].early) run_lane(graph, i, graph->lanes[i].length, false);
    if (graph->lane_count > 0) run_lane(graph, 0, graph->lanes[0].length, false);
}

/* ---- the runtime's functions ---- */
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    EMU_CALL();
    static uint64_t captures;
    struct emu_stream *s = emu_stream_of(stream);
    if (!stream) return emu_error(cudaErrorStreamCaptureUnsupported);
    if (s->recording) return emu_graph_spoil(s->recording, cudaErrorIllegalState);
    s->recording = static_cast<struct emu_graph *>(calloc(1, sizeof *s->recording));
    if (!s->recording) abort();
    s->recording->references = 1;
    s->recording->capture = ++captures;
    s->recording->relaxed = mode == cudaStreamCaptureModeRelaxed;
    lane_of(s->recording, s);
    return emu_lost();
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    struct emu_stream *ended = emu_stream_of(stream);
    struct emu_graph *g = ended->recording;
    *graph = NULL;
    if (!g) return emu_error(cudaErrorIllegalState);
    if (g->lanes[0].stream != ended) return emu_graph_spoil(g, cudaErrorStreamCaptureUnmatched);
    for (struct emu_stream *s = emu_streams(); s; s = s->next)
        if (s->recording == g) s->recording = NULL;
    cudaError_t error = cudaSuccess;
    if (!joined(g)) error = cudaErrorStreamCaptureUnjoined;
    if (g->spoilt) error = cudaErrorStreamCaptureInvalidated;
    if (error == cudaSuccess)
        *graph = g;
    else
        cudaGraphDestroy(g);
    return error == cudaSuccess ? emu_lost() : emu_error(error);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    EMU_CALL();
    static long long count;
    (void)flags;
    *exec = NULL;
    if (++count == emu_settings()->fail_graph) return emu_error(cudaErrorMemoryAllocation);
    if (!graph) return emu_error(cudaErrorInvalidValue);
    emu_counting(NULL)->graphs_made++;
    graph->references++;
    *exec = graph;
    return emu_lost();
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    if (!graph || --graph->references > 0) return cudaSuccess;
    for (int i = 0; i < graph->lane_count; i++) {
        while (graph->lanes[i].first) {
            struct node *node = graph->lanes[i].first;
            graph->lanes[i].first = node->next;
            if (node->op) emu_drop(node->op);
            free(node);
        }
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
    run_lanes(reinterpret_cast<struct graph_op *>(op)->graph);
}

static void drop_graph(struct emu_op *op)
{
    cudaGraphDestroy(reinterpret_cast<struct graph_op *>(op)->graph);
    free(op);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    EMU_CALL();
    if (emu_lost() != cudaSuccess) return emu_lost();
    if (!exec) return emu_error(cudaErrorInvalidValue);
    struct graph_op *g = static_cast<struct graph_op *>(calloc(1, sizeof *g));
    if (!g) abort();
    emu_count_graph(&exec->counts);
    exec->references++;
    *g = {{NULL, run_graph, drop_graph}, exec};
    return emu_enqueue(&g->op, stream);
}
