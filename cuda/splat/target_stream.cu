/* Bands of a host-resident target. The host copies them: it has the threads for it, and reads pages
 * that are not in memory from the file meanwhile. Such a step is no CUDA graph: it waits for the
 * host at each band. */
#include "cuda/splat/target_stream.h"

extern "C" {
#include "base/arena.h"
#include "base/threads.h"
}

enum { BUFFERS = 2, MARK_IN = DEVICE_OWN_MARKS, MARK_DONE = MARK_IN + BUFFERS };
enum { MARK_BEFORE = MARK_DONE + BUFFERS };

static size_t target_stream_row_bytes(const struct splat_target *t)
{
    return (size_t)t->width * (size_t)t->channels * (size_t)(t->sample_bits / 8);
}

size_t target_stream_bytes(const struct splat_scene *s, int pixel)
{
    int rows = s->band_rows + 2 * TILE;
    size_t pixels = (size_t)(rows < s->height ? rows : s->height) * (size_t)s->width;
    struct arena arena = {NULL, 0}; /* the second buffer is aligned as the first */
    arena_take(&arena, pixels * (size_t)pixel);
    return arena.used;
}

/* Rows that come for the band that begins with row `band`. */
static int target_stream_rows_of(const struct target_stream *stream, int band, int *first)
{
    const struct splat_scene *s = stream->scene;
    int last = band + s->band_rows + TILE;
    *first = band < TILE ? 0 : band - TILE;
    return (last < s->height ? last : s->height) - *first;
}

/* Starts the next band's way to the device. */
static int target_stream_fetch(struct target_stream *stream)
{
    const struct splat_scene *s = stream->scene;
    struct device *device = &s->device->base;
    if (!stream->target->host_resident || stream->next_row >= s->height) return OK;
    int buffer = stream->fetched++ % BUFFERS, first;
    size_t rows = (size_t)target_stream_rows_of(stream, stream->next_row, &first);
    size_t bytes = rows * target_stream_row_bytes(stream->target), weights = 0;
    char *host = (char *)s->staging + (size_t)buffer * s->stream_bytes;
    TRY(device->await_host(device, MARK_IN + buffer)); /* it has been copied on */
    threads_copy(host, splat_target_row(stream->target, first, 0), bytes);
    if (stream->target->weights) {
        weights = rows * (size_t)s->width;
        threads_copy(host + bytes, stream->target->weights + (size_t)first * (size_t)s->width,
                     weights);
    }
    TRY(device->await(device, QUEUE_IN, MARK_DONE + buffer));
    TRY(device->copy(device, QUEUE_IN, s->stream + (size_t)buffer * s->stream_bytes, host,
                     bytes + weights));
    TRY(device->mark(device, QUEUE_IN, MARK_IN + buffer));
    stream->next_row += s->band_rows;
    return OK;
}

int target_stream_open(struct target_stream *stream, const struct splat_scene *scene,
                       const struct splat_target *target)
{
    struct device *device = &scene->device->base;
    memset(stream, 0, sizeof *stream);
    stream->scene = scene;
    stream->target = target;
    if (!target->host_resident) return OK;
    int pixel = target->channels * target->sample_bits / 8 + (target->weights != NULL);
    if (!scene->staging || scene->stream_bytes < target_stream_bytes(scene, pixel))
        return fail(ERR_INTERNAL, "the workspace is not for a target that comes in bands");
    TRY(device->mark(device, QUEUE_WORK, MARK_BEFORE));
    TRY(device->await(device, QUEUE_IN, MARK_BEFORE));
    return target_stream_fetch(stream);
}

int target_stream_acquire(struct target_stream *stream, struct splat_target *rows)
{
    struct device *device = &stream->scene->device->base;
    *rows = *stream->target;
    if (!stream->target->host_resident) return OK;
    int buffer = stream->taken % BUFFERS, band = stream->taken * stream->scene->band_rows;
    TRY(device->await(device, QUEUE_WORK, MARK_IN + buffer));
    size_t count = (size_t)target_stream_rows_of(stream, band, &rows->first_row);
    char *data = stream->scene->stream + (size_t)buffer * stream->scene->stream_bytes;
    rows->data = data;
    if (rows->weights) rows->weights = (uint8_t *)data + count * target_stream_row_bytes(rows);
    rows->host_resident = false;
    return OK;
}

int target_stream_release(struct target_stream *stream)
{
    struct device *device = &stream->scene->device->base;
    int buffer = stream->taken++ % BUFFERS;
    if (!stream->target->host_resident) return OK;
    TRY(device->mark(device, QUEUE_WORK, MARK_DONE + buffer));
    return target_stream_fetch(stream);
}
