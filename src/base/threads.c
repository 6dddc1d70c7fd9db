#include "base/threads.h"

#include "base/clock.h"
#include "base/log.h"

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* cgroup v2 "cpu.max": "QUOTA PERIOD" or "max PERIOD"; v1 has two files. 0 when there is no quota.
 */
static int quota_cores(void)
{
    double quota = 0, period = 0;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (file) {
        if (fscanf(file, "%lf %lf", &quota, &period) != 2) quota = 0;
        fclose(file);
    } else if ((file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "re"))) {
        if (fscanf(file, "%lf", &quota) != 1) quota = 0;
        fclose(file);
        if (quota > 0 && (file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "re"))) {
            if (fscanf(file, "%lf", &period) != 1) period = 0;
            fclose(file);
        }
    }
    if (!(quota > 0) || !(period > 0)) return 0;
    int cores = (int)(quota / period + 0.999);
    return cores < 1 ? 1 : cores;
}

int threads_available(void)
{
    cpu_set_t set;
    int cores = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
    int quota = quota_cores();
    if (quota > 0 && quota < cores) cores = quota;
    return cores < 1 ? 1 : cores;
}

/* ---- starting ---- */

/* As much as thread_stack.c gives; decoders of images are the deepest users. */
enum { STACK_BYTES = 2 << 20 };

int threads_start(pthread_t *thread, bool detached, void *(*body)(void *), void *argument)
{
    pthread_attr_t how;
    sigset_t all, before;
    int error = pthread_attr_init(&how);
    if (error) return error;
    pthread_attr_setstacksize(&how, STACK_BYTES);
    if (detached) pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(thread, &how, body, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&how);
    return error;
}

/* ---- the pool ---- */

/* A thread that waits looks for this long before it sleeps: longer than the gaps within a step,
 * shorter than what a busy machine gives a process at a time. */
#define SPIN_SECONDS 30e-6

/* Ranges for each thread, so that the last ones even out. */
enum { CUTS = 4 };

/* Set in `gate` while no work may be begun; the rest of it counts the helpers that are inside. */
enum { GATE_CLOSED = 1 << 30 };

/* A thread's share of the ranges. The thread begins with its own ranges, whose data it often has in
 * cache, and then takes from the others'. */
struct share {
    _Alignas(64) _Atomic int64_t next;
    int64_t end;
};

static struct {
    atomic_int count;   /* threads that share work, the caller among them; 0: not chosen yet */
    atomic_bool taken;  /* somebody shares work, or makes threads */
    int helpers;        /* threads made */
    bool refused;       /* the system gave no more */
    bool forks_watched; /* fork_child() is known to the system */
    atomic_bool spin;   /* no more threads than cores */

    atomic_int round;    /* grows with every job: helpers wait for it */
    atomic_int sleepers; /* of the helpers */
    atomic_int gate;     /* what the caller waits for, until it is GATE_CLOSED again */
    atomic_bool caller_sleeps;
    threads_body *body;
    void *context;
    int64_t items, range; /* items of all and of a range */
    int sharers;
    struct share shares[THREADS_MOST];
} pool = {.gate = GATE_CLOSED};

static _Thread_local int self;    /* 0 but in helpers */
static _Thread_local bool inside; /* of a body */

static void futex_wait(atomic_int *word, int value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(atomic_int *word, int most)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, most, NULL, NULL, 0);
}

static void spin_pause(void)
{
    for (int i = 0; i < 16; i++) {
#if defined __x86_64__
        __builtin_ia32_pause();
#elif defined __aarch64__
        __asm__ volatile("yield");
#endif
    }
}

/* Spins for a short while until the word is no longer (or, with `want`, becomes) `value`. */
static bool spin_until(atomic_int *word, int value, bool want)
{
    if ((atomic_load(word) == value) == want) return true;
    if (!atomic_load(&pool.spin)) return false;
    double end = clock_seconds() + SPIN_SECONDS;
    do {
        spin_pause();
        if ((atomic_load(word) == value) == want) return true;
    } while (clock_seconds() < end);
    return false;
}

/* Does the ranges of one share after the other, beginning with the share of this thread. */
static void do_ranges(void)
{
    inside = true;
    for (int k = 0; k < pool.sharers; k++) {
        struct share *share = &pool.shares[(self + k) % pool.sharers];
        int64_t number;
        while ((number = atomic_fetch_add(&share->next, 1)) < share->end) {
            int64_t from = number * pool.range, to = from + pool.range;
            pool.body(pool.context, from, to < pool.items ? to : pool.items);
        }
    }
    inside = false;
}

static void do_alone(int64_t count, threads_body *body, void *context)
{
    int own = self;
    bool within = inside;
    self = 0;
    inside = true;
    body(context, 0, count);
    self = own;
    inside = within;
}

/* A helper that comes late, or again, finds the gate closed or no range left. */
static void help_once(void)
{
    if (!(atomic_fetch_add(&pool.gate, 1) & GATE_CLOSED) && self < pool.sharers) do_ranges();
    if (atomic_fetch_sub(&pool.gate, 1) == GATE_CLOSED + 1 && atomic_load(&pool.caller_sleeps))
        futex_wake(&pool.gate, 1);
}

static void *helper_main(void *number)
{
    self = (int)(intptr_t)number;
    for (int seen = 0;;) {
        if (!spin_until(&pool.round, seen, false)) {
            atomic_fetch_add(&pool.sleepers, 1);
            while (atomic_load(&pool.round) == seen)
                futex_wait(&pool.round, seen);
            atomic_fetch_sub(&pool.sleepers, 1);
        }
        seen = atomic_load(&pool.round);
        help_once();
    }
    return NULL;
}

/* The child has the forking thread alone: it makes its helpers anew when it needs them. */
static void fork_child(void)
{
    pool.helpers = 0;
    pool.refused = false;
    self = 0;
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.gate, GATE_CLOSED);
    atomic_store(&pool.caller_sleeps, false);
    atomic_store(&pool.taken, false);
}

/* Makes the helpers that are missing; returns the error that kept it from making all. */
static int make_helpers(int count)
{
    pthread_t thread;
    if (!pool.forks_watched) pthread_atfork(NULL, NULL, fork_child);
    pool.forks_watched = true;
    while (pool.helpers < count - 1 && !pool.refused) {
        int error = threads_start(&thread, true, helper_main, (void *)(intptr_t)(pool.helpers + 1));
        if (error) {
            pool.refused = true;
            return error;
        }
        pool.helpers++;
    }
    return 0;
}

/* OMP_NUM_THREADS is "4", or "4,2" for nested work. */
int threads_default(void)
{
    const char *text = getenv("OMP_NUM_THREADS");
    char *end;
    long asked = text ? strtol(text, &end, 10) : 0;
    if (asked >= 1 && asked <= THREADS_MOST && (*end == '\0' || *end == ',')) return (int)asked;
    return threads_available();
}

int threads_set(int count)
{
    if (count <= 0) count = threads_default();
    if (count > THREADS_MOST) count = THREADS_MOST;
    if (atomic_exchange(&pool.taken, true)) return threads_count();
    pool.refused = false;
    atomic_store(&pool.spin, count <= threads_available());
    int error = make_helpers(count), made = pool.helpers + 1;
    if (error)
        log_warning("%d of %d threads could be made (%s): work goes on with them", made, count,
                    strerror(error));
    if (made < count) count = made;
    atomic_store(&pool.count, count);
    atomic_store(&pool.taken, false);
    return count;
}

int threads_count(void)
{
    if (inside) return 1;
    int count = atomic_load(&pool.count);
    return count > 0 ? count : threads_set(0);
}

int threads_self(void)
{
    return self;
}

int64_t threads_grain(int64_t each)
{
    enum { WORTH = 1 << 14 };
    return each < WORTH ? WORTH / (each > 0 ? each : 1) : 1;
}

/* Cuts the work into ranges and deals them out. */
static void open_gate(int64_t count, int64_t grain, int sharers, threads_body *body, void *context)
{
    int64_t range = (count + (int64_t)sharers * CUTS - 1) / ((int64_t)sharers * CUTS);
    pool.range = range > grain ? range : grain;
    pool.items = count;
    pool.body = body;
    pool.context = context;
    int64_t ranges = (count + pool.range - 1) / pool.range;
    pool.sharers = ranges < sharers ? (int)ranges : sharers;
    for (int i = 0; i < pool.sharers; i++) {
        atomic_store_explicit(&pool.shares[i].next, ranges * i / pool.sharers,
                              memory_order_relaxed);
        pool.shares[i].end = ranges * (i + 1) / pool.sharers;
    }
    atomic_fetch_and(&pool.gate, ~GATE_CLOSED);
    atomic_fetch_add(&pool.round, 1);
    if (atomic_load(&pool.sleepers) > 0) futex_wake(&pool.round, INT_MAX);
}

static void close_gate(void)
{
    atomic_fetch_or(&pool.gate, GATE_CLOSED);
    if (spin_until(&pool.gate, GATE_CLOSED, true)) return;
    atomic_store(&pool.caller_sleeps, true);
    for (int gate; (gate = atomic_load(&pool.gate)) != GATE_CLOSED;)
        futex_wait(&pool.gate, gate);
    atomic_store(&pool.caller_sleeps, false);
}

void threads_for(int64_t count, int64_t grain, threads_body *body, void *context)
{
    if (count <= 0) return;
    int sharers = threads_count();
    if (grain < 1) grain = 1;
    if (sharers <= 1 || count <= grain || atomic_exchange(&pool.taken, true)) {
        do_alone(count, body, context);
        return;
    }
    if (pool.helpers < sharers - 1) make_helpers(sharers); /* after a fork */
    open_gate(count, grain, sharers, body, context);
    do_ranges();
    close_gate();
    atomic_store(&pool.taken, false);
}

/* ---- copies ---- */

struct copy {
    char *to;
    const char *from;
    size_t bytes;
};

static void copy_pieces(void *context, int64_t from, int64_t to)
{
    const struct copy *copy = context;
    memcpy(copy->to + from, copy->from + from, (size_t)(to - from));
}

void threads_copy(void *to, const void *from, size_t bytes)
{
    struct copy copy = {to, from, bytes};
    threads_for((int64_t)bytes, 1 << 20, copy_pieces, &copy);
}
