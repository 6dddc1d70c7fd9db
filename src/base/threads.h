/* The threads that share work. They are made once, sleep while there is nothing to do, and block
 * all signals. Where the system gives fewer than asked for, work goes on with fewer: no range of
 * work belongs to a thread, whoever is free takes the next. */
#ifndef IMGTRAIN_BASE_THREADS_H
#define IMGTRAIN_BASE_THREADS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { THREADS_MOST = 4096 }; /* the most that `threads` takes */

/* Cores this process may use: the smaller of the affinity mask and the cgroup CPU quota, >= 1. */
int threads_available(void);

/* OMP_NUM_THREADS where it is set, as batch systems and users of other programs do; else
 * threads_available(). */
int threads_default(void);

/* Makes the threads that are missing for `count`, the calling one among them; 0 =
 * threads_default(). Returns how many share the work from now on, and says so where they are fewer.
 * Not while work is shared. */
int threads_set(int count);

/* How many share the work that the caller would begin now: 1 within work. */
int threads_count(void);

/* The number of the calling thread among those that share a job, below their count and that of the
 * items: for buffers of each. */
int threads_self(void);

/* Calls `body` for ranges [from, to) that make up [0, count), `grain` items or more in each, by all
 * threads, and returns when all are done. Results must not depend on how [0, count) is cut. Work
 * within work, and work of a second thread at the same time, is done by its caller alone. */
typedef void threads_body(void *context, int64_t from, int64_t to);
void threads_for(int64_t count, int64_t grain, threads_body *body, void *context);

/* Items of `each` simple operations that are worth being handed to another thread. */
int64_t threads_grain(int64_t each);

/* memcpy by all threads. */
void threads_copy(void *to, const void *from, size_t bytes);

/* pthread_create for a thread that blocks all signals, which are for the main thread, and has a
 * stack of its own size whatever `ulimit -s` says. Returns pthread_create's error. */
int threads_start(pthread_t *thread, bool detached, void *(*body)(void *), void *argument);

#endif
