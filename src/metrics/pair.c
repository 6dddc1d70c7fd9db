/* Two images side by side: decoders push their rows, so the second one has a thread of its own,
 * which waits with a band of rows until they have been used. */
#include "base/error.h"
#include "base/threads.h"
#include "image/rows.h"

#include <stdio.h>

enum { MESSAGE_BYTES = 1024 };

struct partner {
    const struct image_source *source;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    struct image shape;
    bool begun, ended, stop;
    const struct image *rows; /* at hand; NULL: none */
    int used;                 /* of them */
    int code;                 /* once it has ended */
    char message[MESSAGE_BYTES];
};

/* ---- in its thread ---- */

static int partner_begin(void *argument, const struct image *shape)
{
    struct partner *p = argument;
    pthread_mutex_lock(&p->lock);
    p->shape = *shape;
    p->begun = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return OK;
}

static int partner_put(void *argument, struct image *rows, int y)
{
    struct partner *p = argument;
    (void)y; /* they come in order */
    pthread_mutex_lock(&p->lock);
    p->rows = rows;
    p->used = 0;
    pthread_cond_broadcast(&p->changed);
    while (p->rows && !p->stop)
        pthread_cond_wait(&p->changed, &p->lock);
    bool stop = p->stop;
    pthread_mutex_unlock(&p->lock);
    return stop ? fail(ERR_STOPPED, "the other image has ended") : OK;
}

static void *partner_main(void *argument)
{
    struct partner *p = argument;
    const struct image_sink sink = {partner_begin, partner_put, p};
    int code = p->source->stream(p->source->argument, &sink);
    pthread_mutex_lock(&p->lock);
    p->code = code;
    snprintf(p->message, sizeof p->message, "%s", error_message());
    p->ended = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- in the caller's ---- */

struct pair {
    struct partner partner;
    const struct image_pair_sink *to;
};

/* Fails with the reason why the other image has no more rows. */
static int fail_partner(const struct partner *p)
{
    if (p->code < 0) return fail(p->code, "%s", p->message);
    return fail(ERR_INTERNAL, "rows of an image are missing");
}

static int pair_begin(void *argument, const struct image *shape)
{
    struct pair *pair = argument;
    struct partner *p = &pair->partner;
    pthread_mutex_lock(&p->lock);
    while (!p->begun && !p->ended)
        pthread_cond_wait(&p->changed, &p->lock);
    bool begun = p->begun;
    pthread_mutex_unlock(&p->lock);
    return begun ? pair->to->begin(pair->to->argument, shape, &p->shape) : fail_partner(p);
}

/* Rows [from, from + count) of some rows. */
static struct image pair_part_of(const struct image *rows, int from, int count)
{
    struct image part = *rows;
    size_t row = image_bytes(rows) / (size_t)rows->height;
    part.data = (uint8_t *)rows->data + (size_t)from * row;
    part.height = count;
    return part;
}

static int put_part(struct pair *pair, const struct image *rows, int from, int *count)
{
    struct partner *p = &pair->partner;
    pthread_mutex_lock(&p->lock);
    while (!p->rows && !p->ended)
        pthread_cond_wait(&p->changed, &p->lock);
    const struct image *others = p->rows;
    pthread_mutex_unlock(&p->lock);
    if (!others) return fail_partner(p);
    *count = rows->height - from;
    if (others->height - p->used < *count) *count = others->height - p->used;
    struct image a = pair_part_of(rows, from, *count), b = pair_part_of(others, p->used, *count);
    TRY(pair->to->put(pair->to->argument, &a, &b));
    pthread_mutex_lock(&p->lock);
    p->used += *count;
    if (p->used == others->height) {
        p->rows = NULL;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return OK;
}

static int pair_put(void *argument, struct image *rows, int y)
{
    (void)y;
    for (int from = 0, count = 0; from < rows->height; from += count)
        TRY(put_part(argument, rows, from, &count));
    return OK;
}

int image_stream_pair(const struct image_source *a, const struct image_source *b,
                      const struct image_pair_sink *to)
{
    struct pair pair = {.partner = {.source = b}, .to = to};
    struct partner *p = &pair.partner;
    const struct image_sink sink = {pair_begin, pair_put, &pair};
    pthread_t thread;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    int code = OK;
    if (threads_start(&thread, false, partner_main, p) != 0) {
        code = fail(ERR_SYSTEM, "cannot start a thread");
    } else {
        code = a->stream(a->argument, &sink);
        pthread_mutex_lock(&p->lock);
        p->stop = code < 0;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
        pthread_join(thread, NULL);
        if (code == OK && p->code < 0) code = fail_partner(p);
    }
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    return code;
}
