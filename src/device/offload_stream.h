/* Host-resident state passes chunk by chunk through a small staging slot of the device's memory,
 * while the device works on other things: one queue brings chunks in, another takes them back
 * (device.h), so that an operation waits for its own chunk alone.
 *
 * A step takes all chunks of all ranges in their order, each once. Where the device has no such
 * queues, a range is one chunk and stays where it lies. */
#ifndef IMGTRAIN_DEVICE_OFFLOAD_STREAM_H
#define IMGTRAIN_DEVICE_OFFLOAD_STREAM_H

#include <stdbool.h>
#include <stddef.h>

struct device;

enum { OFFLOAD_STREAM_SLOTS = 4, OFFLOAD_STREAM_ARRAYS = 13, OFFLOAD_STREAM_RANGES = 3 };

/* One array of host memory with `row` bytes for each of its range's rows. */
struct offload_array {
    void *host;
    size_t row;
    bool kept; /* operations only read it: it need not go back */
};

struct offload_range {
    struct offload_array arrays[OFFLOAD_STREAM_ARRAYS];
    int array_count;
    size_t rows;
};

struct offload_stream {
    struct device *device;
    void *staging; /* in the device's memory; NULL: operations reach the arrays where they lie */
    size_t slot_bytes; /* of a chunk in it */
    struct offload_range ranges[OFFLOAD_STREAM_RANGES];
    int range_count;
    /* the chunks of a step, by number: */
    bool moving;                            /* between begin and end */
    int first, fetched, acquired, released; /* begun with, and so far: behind the last */
    int end;                                /* of the range that was started */
};

/* Rows [first, first + rows) of a range, where operations find them. */
struct offload_chunk {
    size_t first, rows;
    void *at[OFFLOAD_STREAM_ARRAYS];
};

/* Bytes of the window for these ranges, with as many rows as there will ever be: those of the
 * largest, so that it may be there as a whole before it is needed, but 64 MiB at most. 0 where the
 * device needs none. */
size_t offload_stream_staging_bytes(const struct device *device, const struct offload_range *ranges,
                                    int count);

/* Describes the ranges of the steps to come. Call it between steps. */
void offload_stream_describe(struct offload_stream *offload_stream, struct device *device,
                             void *staging, size_t bytes, const struct offload_range *ranges,
                             int count);

/* Begins a step: from here on the first chunks are on their way. */
int offload_stream_begin(struct offload_stream *offload_stream);
/* Streams the chunks of a range, in their order, for the operations that are asked for from here
 * on: start, then acquire until chunk->rows is 0. Each chunk goes back when the next is acquired.
 * Ranges that do not come in their order, or of a step that was not begun, are fetched from here on
 * only. */
int offload_stream_start(struct offload_stream *offload_stream, int range);
int offload_stream_acquire(struct offload_stream *offload_stream, struct offload_chunk *chunk);
/* Ends a step: operations that are asked for from here on, and the host after synchronize, find
 * everything where it lies. */
int offload_stream_end(struct offload_stream *offload_stream);

#endif
