#include "serve/serve_queue.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/threads.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { TOGETHER_MOST = 64 };

struct serve_queue {
    struct serve_queue_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct serve_job *first, **last;
    int length;
    bool closing;
    double mean; /* seconds of a request, of the recent ones */

    /* Of what was done last; the thread's own. */
    int together;
    double took; /* seconds */
};

/* Of what the one thread of the queue works on: models poll it without knowing of a queue. */
static _Atomic double queue_deadline;

static bool queue_is_late(void)
{
    return clock_seconds() > atomic_load(&queue_deadline);
}

/* ---- taking jobs ---- */

static struct serve_job *queue_unlink(struct serve_queue *queue, struct serve_job **at)
{
    struct serve_job *job = *at;
    *at = job->next;
    if (queue->last == &job->next) queue->last = at;
    job->next = NULL;
    queue->length--;
    return job;
}

/* Those whose requests were answered together often ask again together, and the first of them would
 * be done alone: as many are waited for, for a small part of what it took. With the lock held. */
static void queue_gather(struct serve_queue *queue)
{
    double end = clock_seconds() + queue->options.linger * queue->took;
    const struct timespec until = {(time_t)end, (long)(1e9 * (end - (double)(time_t)end))};
    int error = 0;
    while (queue->length < queue->together && !queue->closing && error == 0)
        error = pthread_cond_timedwait(&queue->changed, &queue->lock, &until);
}

/* The first, and those behind it that are done along with it. 0: the queue is closed. */
static int queue_take(struct serve_queue *queue, struct serve_job **jobs)
{
    const struct serve_backend *backend = queue->options.backend;
    int count = 0;
    pthread_mutex_lock(&queue->lock);
    while (!queue->first && !queue->closing)
        pthread_cond_wait(&queue->changed, &queue->lock);
    queue_gather(queue);
    if (queue->first) jobs[count++] = queue_unlink(queue, &queue->first);
    for (struct serve_job **at = &queue->first;
         count > 0 && *at && count < queue->options.at_once && count < TOGETHER_MOST;)
        if (backend->joins(backend->context, jobs[0], *at))
            jobs[count++] = queue_unlink(queue, at);
        else
            at = &(*at)->next;
    pthread_mutex_unlock(&queue->lock);
    return count;
}

/* ---- working on them ---- */

/* Those that have waited too long are answered at once; returns how many remain. */
static int queue_drop_late(struct serve_queue *queue, struct serve_job **jobs, int count)
{
    int kept = 0;
    double now = clock_seconds();
    for (int i = 0; i < count; i++) {
        if (now - jobs[i]->arrived <= queue->options.seconds) {
            jobs[kept++] = jobs[i];
            continue;
        }
        serve_job_fail(jobs[i], 503, "timeout", "the request waited for more than %g seconds",
                       queue->options.seconds);
        serve_job_answer(jobs[i]);
        queue->options.done(jobs[i]);
    }
    return kept;
}

static void queue_measure(struct serve_queue *queue, double seconds, int count)
{
    pthread_mutex_lock(&queue->lock);
    queue->mean = queue->mean > 0 ? 0.8 * queue->mean + 0.2 * seconds / count : seconds / count;
    pthread_mutex_unlock(&queue->lock);
}

/* Work ends when none of them has time left: an older one takes none from those it is done with. */
static void queue_set_deadline(const struct serve_queue *queue, struct serve_job *const *jobs,
                               int count)
{
    double arrived = jobs[0]->arrived;
    for (int i = 1; i < count; i++)
        if (jobs[i]->arrived > arrived) arrived = jobs[i]->arrived;
    atomic_store(&queue_deadline, arrived + queue->options.seconds);
}

static void queue_work(struct serve_queue *queue, struct serve_job **jobs, int count)
{
    const struct serve_backend *backend = queue->options.backend;
    double began = clock_seconds();
    queue_set_deadline(queue, jobs, count);
    backend->run(backend->context, jobs, count, queue_is_late);
    queue->together = count;
    queue->took = clock_seconds() - began;
    queue_measure(queue, queue->took, count);
    for (int i = 0; i < count; i++) {
        serve_job_answer(jobs[i]);
        queue->options.done(jobs[i]);
    }
}

static void *queue_loop(void *argument)
{
    struct serve_queue *queue = argument;
    struct serve_job *jobs[TOGETHER_MOST];
    for (int count; (count = queue_take(queue, jobs)) > 0;)
        if ((count = queue_drop_late(queue, jobs, count)) > 0) queue_work(queue, jobs, count);
    return NULL;
}

/* ---- */

int serve_queue_open(struct serve_queue **out, const struct serve_queue_options *options)
{
    struct serve_queue *queue = calloc(1, sizeof *queue);
    *out = NULL;
    if (!queue) return fail(ERR_SYSTEM, "out of memory");
    queue->options = *options;
    queue->last = &queue->first;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC); /* as clock_seconds() */
    pthread_cond_init(&queue->changed, &clock);
    pthread_condattr_destroy(&clock);
    if (threads_start(&queue->thread, false, queue_loop, queue) != 0) {
        free(queue);
        return fail(ERR_SYSTEM, "no thread for the models");
    }
    *out = queue;
    return OK;
}

bool serve_queue_add(struct serve_queue *queue, struct serve_job *job)
{
    pthread_mutex_lock(&queue->lock);
    bool room = queue->length < queue->options.limit && !queue->closing;
    if (room) {
        *queue->last = job;
        queue->last = &job->next;
        queue->length++;
        pthread_cond_signal(&queue->changed);
    }
    pthread_mutex_unlock(&queue->lock);
    return room;
}

int serve_queue_length(struct serve_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    int length = queue->length;
    pthread_mutex_unlock(&queue->lock);
    return length;
}

int serve_queue_wait(struct serve_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    double seconds = ceil(queue->mean * (queue->length + 1));
    pthread_mutex_unlock(&queue->lock);
    return seconds >= 1 ? seconds < 3600 ? (int)seconds : 3600 : 1;
}

void serve_queue_finish(struct serve_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool was_closing = queue->closing;
    queue->closing = true;
    pthread_cond_signal(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    if (!was_closing) pthread_join(queue->thread, NULL);
}

void serve_queue_close(struct serve_queue *queue)
{
    if (!queue) return;
    serve_queue_finish(queue);
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}
