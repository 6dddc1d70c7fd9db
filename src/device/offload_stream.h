/* State that lies beside the device and passes through a small window of the device's memory, piece
 * by piece, while the device works on other things: pieces are brought in on one queue and taken
 * back on another (device.h), so that operations wait only for what has not come yet.
 *
 * A step takes all pieces of all ranges in their order, each once. Where the device has no such
 * queues a range is one piece, where it lies. */
#ifndef IMGTRAIN_DEVICE_OFFLOAD_STREAM_H
#define IMGTRAIN_DEVICE_OFFLOAD_STREAM_H

#include <stdbool.h>
#include <stddef.h>

struct device;

enum { CONVEYOR_SLOTS = 4, CONVEYOR_ARRAYS = 9, CONVEYOR_RANGES = 3 };

/* One array of host memory with `row` bytes for each of its range's rows. */
struct conveyor_array {
    void *host;
    size_t row;
    bool kept; /* operations only read it: it need not go back */
};

struct conveyor_range {
    struct conveyor_array arrays[CONVEYOR_ARRAYS];
    int array_count;
    size_t rows;
};

struct conveyor {
    struct device *device;
    void *window; /* in the device's memory; NULL: operations reach the arrays where they lie */
    size_t slot_bytes; /* of a piece in it */
    struct conveyor_range ranges[CONVEYOR_RANGES];
    int range_count;
    /* the pieces of a step, by number: */
    bool moving;                      /* between begin and end */
    int first, brought, taken, given; /* begun with, and so far: behind the last */
    int end;                          /* of the range that was started */
};

/* Rows [first, first + rows) of a range, where operations find them. */
struct conveyor_piece {
    size_t first, rows;
    void *at[CONVEYOR_ARRAYS];
};

/* Bytes of the window for these ranges, with as many rows as there will ever be: those of the
 * largest, so that it may be there as a whole before it is needed, but 64 MiB at most. 0 where the
 * device needs none. */
size_t conveyor_window_bytes(const struct device *device, const struct conveyor_range *ranges,
                             int count);

/* Between steps: what there is now. */
void conveyor_describe(struct conveyor *conveyor, struct device *device, void *window, size_t bytes,
                       const struct conveyor_range *ranges, int count);

/* The beginning of a step: the first pieces are on their way from here on. */
int conveyor_begin(struct conveyor *conveyor);
/* The pieces of a range, in their order, for the operations that are asked for from here on: start,
 * then take until piece->rows is 0. Each piece goes back when the next is taken. Ranges that do not
 * come in their order, or of a step that was not begun, are fetched from here on only. */
int conveyor_start(struct conveyor *conveyor, int range);
int conveyor_take(struct conveyor *conveyor, struct conveyor_piece *piece);
/* The end: operations that are asked for from here on, and the host after synchronize, find
 * everything where it lies. */
int conveyor_end(struct conveyor *conveyor);

#endif
