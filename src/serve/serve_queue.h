/* Requests that wait for the models, in their order, and the thread that works on them. */
#ifndef IMGTRAIN_SERVE_SERVE_QUEUE_H
#define IMGTRAIN_SERVE_SERVE_QUEUE_H

#include "serve/serve_job.h"

struct serve_queue;

struct serve_queue_options {
    int limit;      /* requests that wait at most */
    int at_once;    /* that are done together at most */
    double seconds; /* from a request's arrival on: then it is answered with 503, or 504 (with
                       others: from that of the last) */
    double linger;  /* part of the seconds of those done last for which as many are waited for */
    const struct serve_backend *backend;
    void (*done)(struct serve_job *job); /* the job has its answer; by the queue's thread */
};

/* ERR_SYSTEM. */
int serve_queue_open(struct serve_queue **queue, const struct serve_queue_options *options);
/* False when it is full: the job is not taken. */
bool serve_queue_add(struct serve_queue *queue, struct serve_job *job);
int serve_queue_length(struct serve_queue *queue); /* that wait */
/* Seconds after which a place is free, from what requests took so far: 1 at least. */
int serve_queue_wait(struct serve_queue *queue);
/* Works on all that waits, then ends the thread: from then on it is full. */
void serve_queue_finish(struct serve_queue *queue);
void serve_queue_close(struct serve_queue *queue); /* finishes it; accepts NULL */

#endif
