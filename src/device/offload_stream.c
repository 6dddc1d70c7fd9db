#include "device/offload_stream.h"

#include "base/error.h"
#include "device/device.h"

#include <string.h>

/* Rows of a piece are a multiple of ROWS: with rows of whole floats, arrays stay aligned. */
enum { ROWS = 16, ALIGNMENT = 64 };
static const size_t most_slot_bytes = (size_t)16 << 20;

/* Each slot has a mark in every queue; two more are for the ends of a step. */
enum { MARK_BEHIND = DEVICE_QUEUES * CONVEYOR_SLOTS, MARK_BESIDE, MARKS };
_Static_assert((int)MARKS <= (int)DEVICE_OWN_MARKS, "too many marks");

static int mark_of(int slot, enum device_queue queue)
{
    return slot * DEVICE_QUEUES + (int)queue;
}

static size_t row_bytes(const struct conveyor_range *range)
{
    size_t sum = 0;
    for (int a = 0; a < range->array_count; a++)
        sum += range->arrays[a].row;
    return sum;
}

size_t conveyor_window_bytes(const struct device *device, const struct conveyor_range *ranges,
                             int count)
{
    size_t slot = 0;
    if (!device->copy) return 0;
    for (int r = 0; r < count; r++) {
        size_t row = row_bytes(&ranges[r]), most = most_slot_bytes / row;
        size_t rows = (ranges[r].rows + CONVEYOR_SLOTS - 1) / CONVEYOR_SLOTS;
        if (rows > most) rows = most;
        rows = (rows + ROWS - 1) / ROWS * ROWS;
        if (rows * row > slot) slot = rows * row;
    }
    return CONVEYOR_SLOTS * ((slot + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

void conveyor_describe(struct conveyor *c, struct device *device, void *window, size_t bytes,
                       const struct conveyor_range *ranges, int count)
{
    *c = (struct conveyor){.device = device,
                           .window = window,
                           .slot_bytes = bytes / CONVEYOR_SLOTS,
                           .range_count = count};
    memcpy(c->ranges, ranges, (size_t)count * sizeof *ranges);
}

/* ---- pieces by number ---- */

static size_t rows_at_once(const struct conveyor *c, const struct conveyor_range *range)
{
    return c->window ? c->slot_bytes / row_bytes(range) / ROWS * ROWS : range->rows;
}

/* The first piece of a range; of the one behind the last: how many there are. */
static int first_of(const struct conveyor *c, int range)
{
    size_t count = 0;
    for (int r = 0; r < range; r++) {
        size_t rows = c->ranges[r].rows, most = rows_at_once(c, &c->ranges[r]);
        if (rows > 0) count += (rows + most - 1) / most;
    }
    return (int)count;
}

static const struct conveyor_range *find(const struct conveyor *c, int number,
                                         struct conveyor_piece *piece)
{
    int r = 0;
    while (number >= first_of(c, r + 1))
        r++;
    const struct conveyor_range *range = &c->ranges[r];
    size_t most = rows_at_once(c, range);
    piece->first = (size_t)(number - first_of(c, r)) * most;
    piece->rows = range->rows - piece->first < most ? range->rows - piece->first : most;
    size_t at = (size_t)(number % CONVEYOR_SLOTS) * c->slot_bytes; /* within the window */
    for (int a = 0; a < range->array_count; a++) {
        piece->at[a] = c->window ? (char *)c->window + at : range->arrays[a].host;
        at += (piece->rows + ROWS - 1) / ROWS * ROWS * range->arrays[a].row;
    }
    return range;
}

/* Copies a piece between its slot and where it lies. */
static int copy(struct conveyor *c, int number, enum device_queue queue)
{
    struct conveyor_piece piece;
    const struct conveyor_range *range = find(c, number, &piece);
    for (int a = 0; a < range->array_count; a++) {
        const struct conveyor_array *array = &range->arrays[a];
        char *host = (char *)array->host + piece.first * array->row;
        size_t bytes = piece.rows * array->row;
        if (queue == QUEUE_IN)
            TRY(c->device->copy(c->device, queue, piece.at[a], host, bytes));
        else if (!array->kept)
            TRY(c->device->copy(c->device, queue, host, piece.at[a], bytes));
    }
    return c->device->mark(c->device, queue, mark_of(number % CONVEYOR_SLOTS, queue));
}

/* Brings as many pieces as there are slots for. */
static int bring(struct conveyor *c)
{
    int end = first_of(c, c->range_count);
    for (; c->window && c->brought < end && c->brought < c->given + CONVEYOR_SLOTS; c->brought++) {
        int slot = c->brought % CONVEYOR_SLOTS;
        if (c->brought >= c->first + CONVEYOR_SLOTS)
            TRY(c->device->await(c->device, QUEUE_IN, mark_of(slot, QUEUE_OUT)));
        TRY(copy(c, c->brought, QUEUE_IN));
    }
    return OK;
}

/* The piece that was taken last goes back. */
static int give(struct conveyor *c)
{
    struct device *device = c->device;
    if (c->given == c->taken) return OK;
    int slot = c->given++ % CONVEYOR_SLOTS;
    if (!c->window) return OK;
    TRY(device->mark(device, QUEUE_WORK, mark_of(slot, QUEUE_WORK)));
    TRY(device->await(device, QUEUE_OUT, mark_of(slot, QUEUE_WORK)));
    TRY(copy(c, c->given - 1, QUEUE_OUT));
    return bring(c);
}

/* ---- steps ---- */

/* Operations come behind all copies. */
static int join(struct conveyor *c)
{
    struct device *device = c->device;
    c->moving = false;
    if (!c->window) return OK;
    TRY(device->mark(device, QUEUE_IN, MARK_BEHIND));
    TRY(device->await(device, QUEUE_WORK, MARK_BEHIND));
    TRY(device->mark(device, QUEUE_OUT, MARK_BESIDE));
    return device->await(device, QUEUE_WORK, MARK_BESIDE);
}

/* From piece `first` on, behind all that was asked for until here. */
static int begin_at(struct conveyor *c, int first)
{
    struct device *device = c->device;
    if (c->moving) TRY(join(c)); /* that step was left */
    c->first = c->brought = c->taken = c->given = first;
    c->moving = true;
    if (!c->window) return OK;
    TRY(device->mark(device, QUEUE_WORK, MARK_BEHIND));
    TRY(device->await(device, QUEUE_IN, MARK_BEHIND));
    TRY(device->await(device, QUEUE_OUT, MARK_BEHIND));
    return bring(c);
}

int conveyor_begin(struct conveyor *c)
{
    return begin_at(c, 0);
}

int conveyor_start(struct conveyor *c, int range)
{
    int first = first_of(c, range);
    c->end = first_of(c, range + 1);
    if (c->moving) TRY(give(c));
    return c->moving && c->taken == first ? OK : begin_at(c, first);
}

int conveyor_take(struct conveyor *c, struct conveyor_piece *piece)
{
    TRY(give(c));
    piece->rows = 0;
    if (c->taken == c->end) return OK;
    find(c, c->taken, piece);
    if (c->window)
        TRY(c->device->await(c->device, QUEUE_WORK, mark_of(c->taken % CONVEYOR_SLOTS, QUEUE_IN)));
    c->taken++;
    return OK;
}

int conveyor_end(struct conveyor *c)
{
    if (!c->moving) return OK;
    TRY(give(c));
    return join(c);
}
