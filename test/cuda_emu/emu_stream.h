/* Between emulated streams and graphs. */
#ifndef CUDA_EMU_STREAM_H
#define CUDA_EMU_STREAM_H

#include "emu_counts.h"
#include "emu_launch.h"
#include "emu_runtime.h"

struct emu_stream {
    struct emu_op *first, **last;
    uint64_t queued, done; /* operations so far */
    bool early;            /* runs as soon as it may */
    struct emu_graph *recording;
    struct emu_stream *next;
};

struct emu_stream *emu_streams(void); /* all there are */
struct emu_stream *emu_stream_of(cudaStream_t stream);
void emu_drop(struct emu_op *op);
/* Runs what is queued; an error while it is recorded. */
cudaError_t emu_wait_for(cudaStream_t stream);

/* Records an operation of a stream, or (op NULL) that it waits for the first `at` operations of
 * another one. */
void emu_graph_add(struct emu_graph *graph, struct emu_stream *stream, struct emu_op *op,
                   struct emu_stream *awaited, uint64_t at);
/* Operations of a stream recorded so far. */
uint64_t emu_graph_length(const struct emu_graph *graph, const struct emu_stream *stream);
/* Number of the capture that a graph comes from; none is 0. */
uint64_t emu_graph_capture(const struct emu_graph *graph);
/* The graph of a capture that is going on; NULL: it is over. */
struct emu_graph *emu_graph_of(uint64_t capture);
/* Has an error spoilt it? */
bool emu_graph_spoilt(const struct emu_graph *graph);
/* What one run of it asks for. */
struct emu_counts *emu_graph_counts(struct emu_graph *graph);
/* Sets and returns the error of what a capture does not allow; there will be no graph. */
cudaError_t emu_graph_spoil(struct emu_graph *graph, cudaError_t error);

/* Where a call for a stream is counted: in its graph while one is recorded; no stream: as it is. */
struct emu_counts *emu_counting(cudaStream_t stream);
/* A graph is launched. */
void emu_count_graph(const struct emu_counts *graph);

#endif
