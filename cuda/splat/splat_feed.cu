/* Bands of a target beside the device. The host copies them: it has the threads for it, and a page
 * that is not in memory is read from the file on its time. So such a step is no graph: it waits for
 * the host at each band. */
#include "cuda/splat/splat_feed.h"

extern "C" {
#include "base/threads.h"
}

enum { BUFFERS = 2, MARK_IN = DEVICE_OWN_MARKS, MARK_DONE = MARK_IN + BUFFERS };
enum { MARK_BEFORE = MARK_DONE + BUFFERS };

static size_t row_bytes(const struct splat_scene *s, int bits)
{
    return (size_t)s->width * (size_t)s->channels * (size_t)(bits / 8);
}

size_t splat_feed_bytes(const struct splat_scene *s, int bits)
{
    int rows = s->band_rows + 2 * TILE;
    return (size_t)(rows < s->height ? rows : s->height) * row_bytes(s, bits);
}

/* Rows of the next band to be fetched. */
static int rows_of(const struct splat_feed *feed, int *first)
{
    const struct splat_scene *s = feed->scene;
    int last = feed->next_row + s->band_rows + TILE;
    *first = feed->next_row < TILE ? 0 : feed->next_row - TILE;
    return (last < s->height ? last : s->height) - *first;
}

/* Starts the next band's way to the device. */
static int fetch(struct splat_feed *feed)
{
    const struct splat_scene *s = feed->scene;
    struct device *device = &cuda_current()->base;
    if (!feed->target->beside || feed->next_row >= s->height) return OK;
    int buffer = feed->fetched++ % BUFFERS, first, rows = rows_of(feed, &first);
    size_t bytes = (size_t)rows * row_bytes(s, feed->target->sample_bits);
    char *host = (char *)s->staging + (size_t)buffer * s->feed_bytes;
    TRY(device->await_host(device, MARK_IN + buffer)); /* it has been copied on */
    threads_copy(host, splat_target_row(feed->target, first, 0), bytes);
    TRY(device->await(device, QUEUE_IN, MARK_DONE + buffer));
    TRY(device->copy(device, QUEUE_IN, s->feed + (size_t)buffer * s->feed_bytes, host, bytes));
    TRY(device->mark(device, QUEUE_IN, MARK_IN + buffer));
    feed->next_row += s->band_rows;
    return OK;
}

int splat_feed_open(struct splat_feed *feed, const struct splat_scene *scene,
                    const struct splat_target *target)
{
    struct device *device = &cuda_current()->base;
    memset(feed, 0, sizeof *feed);
    feed->scene = scene;
    feed->target = target;
    if (!target->beside) return OK;
    if (!scene->staging || scene->feed_bytes < splat_feed_bytes(scene, target->sample_bits))
        return fail(ERR_INTERNAL, "the workspace is not for a target that comes in bands");
    TRY(device->mark(device, QUEUE_WORK, MARK_BEFORE));
    TRY(device->await(device, QUEUE_IN, MARK_BEFORE));
    return fetch(feed);
}

int splat_feed_take(struct splat_feed *feed, struct splat_target *rows)
{
    struct device *device = &cuda_current()->base;
    *rows = *feed->target;
    if (!feed->target->beside) return OK;
    int buffer = feed->taken % BUFFERS, band = feed->taken * feed->scene->band_rows;
    TRY(device->await(device, QUEUE_WORK, MARK_IN + buffer));
    rows->data = feed->scene->feed + (size_t)buffer * feed->scene->feed_bytes;
    rows->first_row = band < TILE ? 0 : band - TILE;
    rows->beside = false;
    return OK;
}

int splat_feed_done(struct splat_feed *feed)
{
    struct device *device = &cuda_current()->base;
    int buffer = feed->taken++ % BUFFERS;
    if (!feed->target->beside) return OK;
    TRY(device->mark(device, QUEUE_WORK, MARK_DONE + buffer));
    return fetch(feed);
}
