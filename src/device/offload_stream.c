#include "device/offload_stream.h"

#include "base/error.h"
#include "device/device.h"

#include <string.h>

/* Rows of a chunk are a multiple of ROWS: with rows of whole floats, arrays stay aligned. */
enum { ROWS = 16, ALIGNMENT = 64 };
static const size_t most_slot_bytes = (size_t)16 << 20;

/* Each slot has a mark in every queue; two more are for the ends of a step. */
enum { MARK_BEHIND = DEVICE_QUEUES * OFFLOAD_STREAM_SLOTS, MARK_BESIDE, MARKS };
_Static_assert((int)MARKS <= (int)DEVICE_OWN_MARKS, "too many marks");

static int mark_of(int slot, enum device_queue queue)
{
    return slot * DEVICE_QUEUES + (int)queue;
}

static size_t offload_stream_row_bytes(const struct offload_range *range)
{
    size_t sum = 0;
    for (int a = 0; a < range->array_count; a++)
        sum += range->arrays[a].row;
    return sum;
}

size_t offload_stream_staging_bytes(const struct device *device, const struct offload_range *ranges,
                                    int count)
{
    size_t slot = 0;
    if (!device->copy) return 0;
    for (int r = 0; r < count; r++) {
        size_t row = offload_stream_row_bytes(&ranges[r]), most = most_slot_bytes / row;
        size_t rows = (ranges[r].rows + OFFLOAD_STREAM_SLOTS - 1) / OFFLOAD_STREAM_SLOTS;
        if (rows > most) rows = most;
        rows = (rows + ROWS - 1) / ROWS * ROWS;
        if (rows * row > slot) slot = rows * row;
    }
    return OFFLOAD_STREAM_SLOTS * ((slot + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

void offload_stream_describe(struct offload_stream *c, struct device *device, void *staging,
                             size_t bytes, const struct offload_range *ranges, int count)
{
    *c = (struct offload_stream){.device = device,
                                 .staging = staging,
                                 .slot_bytes = bytes / OFFLOAD_STREAM_SLOTS,
                                 .range_count = count};
    memcpy(c->ranges, ranges, (size_t)count * sizeof *ranges);
}

/* ---- chunks by number ---- */

static size_t offload_stream_rows_at_once(const struct offload_stream *c,
                                          const struct offload_range *range)
{
    return c->staging ? c->slot_bytes / offload_stream_row_bytes(range) / ROWS * ROWS : range->rows;
}

/* The first chunk of a range; of the one behind the last: how many there are. */
static int first_of(const struct offload_stream *c, int range)
{
    size_t count = 0;
    for (int r = 0; r < range; r++) {
        size_t rows = c->ranges[r].rows, most = offload_stream_rows_at_once(c, &c->ranges[r]);
        if (rows > 0) count += (rows + most - 1) / most;
    }
    return (int)count;
}

static const struct offload_range *
offload_stream_find_chunk(const struct offload_stream *c, int number, struct offload_chunk *chunk)
{
    int r = 0;
    while (number >= first_of(c, r + 1))
        r++;
    const struct offload_range *range = &c->ranges[r];
    size_t most = offload_stream_rows_at_once(c, range);
    chunk->first = (size_t)(number - first_of(c, r)) * most;
    chunk->rows = range->rows - chunk->first < most ? range->rows - chunk->first : most;
    size_t at = (size_t)(number % OFFLOAD_STREAM_SLOTS) * c->slot_bytes; /* within the window */
    for (int a = 0; a < range->array_count; a++) {
        chunk->at[a] = c->staging ? (char *)c->staging + at : range->arrays[a].host;
        at += (chunk->rows + ROWS - 1) / ROWS * ROWS * range->arrays[a].row;
    }
    return range;
}

/* Copies a chunk between its slot and where it lies. */
static int offload_stream_copy(struct offload_stream *c, int number, enum device_queue queue)
{
    struct offload_chunk chunk;
    const struct offload_range *range = offload_stream_find_chunk(c, number, &chunk);
    for (int a = 0; a < range->array_count; a++) {
        const struct offload_array *array = &range->arrays[a];
        char *host = (char *)array->host + chunk.first * array->row;
        size_t bytes = chunk.rows * array->row;
        if (queue == QUEUE_IN)
            TRY(c->device->copy(c->device, queue, chunk.at[a], host, bytes));
        else if (!array->kept)
            TRY(c->device->copy(c->device, queue, host, chunk.at[a], bytes));
    }
    return c->device->mark(c->device, queue, mark_of(number % OFFLOAD_STREAM_SLOTS, queue));
}

/* Brings as many chunks as there are slots for. */
static int bring_chunk(struct offload_stream *c)
{
    int end = first_of(c, c->range_count);
    for (; c->staging && c->fetched < end && c->fetched < c->released + OFFLOAD_STREAM_SLOTS;
         c->fetched++) {
        int slot = c->fetched % OFFLOAD_STREAM_SLOTS;
        if (c->fetched >= c->first + OFFLOAD_STREAM_SLOTS)
            TRY(c->device->await(c->device, QUEUE_IN, mark_of(slot, QUEUE_OUT)));
        TRY(offload_stream_copy(c, c->fetched, QUEUE_IN));
    }
    return OK;
}

/* The chunk that was acquired last goes back. */
static int release_chunk(struct offload_stream *c)
{
    struct device *device = c->device;
    if (c->released == c->acquired) return OK;
    int slot = c->released++ % OFFLOAD_STREAM_SLOTS;
    if (!c->staging) return OK;
    TRY(device->mark(device, QUEUE_WORK, mark_of(slot, QUEUE_WORK)));
    TRY(device->await(device, QUEUE_OUT, mark_of(slot, QUEUE_WORK)));
    TRY(offload_stream_copy(c, c->released - 1, QUEUE_OUT));
    return bring_chunk(c);
}

/* ---- steps ---- */

/* Lets operations wait for all copies. */
static int offload_stream_join(struct offload_stream *c)
{
    struct device *device = c->device;
    c->moving = false;
    if (!c->staging) return OK;
    TRY(device->mark(device, QUEUE_IN, MARK_BEHIND));
    TRY(device->await(device, QUEUE_WORK, MARK_BEHIND));
    TRY(device->mark(device, QUEUE_OUT, MARK_BESIDE));
    return device->await(device, QUEUE_WORK, MARK_BESIDE);
}

/* From chunk `first` on, behind all that was asked for until here. */
static int begin_at(struct offload_stream *c, int first)
{
    struct device *device = c->device;
    if (c->moving) TRY(offload_stream_join(c)); /* that step was left */
    c->first = c->fetched = c->acquired = c->released = first;
    c->moving = true;
    if (!c->staging) return OK;
    TRY(device->mark(device, QUEUE_WORK, MARK_BEHIND));
    TRY(device->await(device, QUEUE_IN, MARK_BEHIND));
    TRY(device->await(device, QUEUE_OUT, MARK_BEHIND));
    return bring_chunk(c);
}

int offload_stream_begin(struct offload_stream *c)
{
    return begin_at(c, 0);
}

int offload_stream_start(struct offload_stream *c, int range)
{
    int first = first_of(c, range);
    c->end = first_of(c, range + 1);
    if (c->moving) TRY(release_chunk(c));
    return c->moving && c->acquired == first ? OK : begin_at(c, first);
}

int offload_stream_acquire(struct offload_stream *c, struct offload_chunk *chunk)
{
    TRY(release_chunk(c));
    chunk->rows = 0;
    if (c->acquired == c->end) return OK;
    offload_stream_find_chunk(c, c->acquired, chunk);
    if (c->staging)
        TRY(c->device->await(c->device, QUEUE_WORK,
                             mark_of(c->acquired % OFFLOAD_STREAM_SLOTS, QUEUE_IN)));
    c->acquired++;
    return OK;
}

int offload_stream_end(struct offload_stream *c)
{
    if (!c->moving) return OK;
    TRY(release_chunk(c));
    return offload_stream_join(c);
}
