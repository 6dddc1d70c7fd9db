/* The threads that share work: every item is done once, whatever is asked for and whatever the
 * system gives; those that wait sleep. */
#include "base/threads.h"

#include "base/clock.h"
#include "base/log.h"
#include "test/child.h"
#include "test/support.h"

#include <check.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

Suite *threads_suite(void);

enum { MOST = 1000, PATIENCE = 200 };

/* ---- items ---- */

struct items {
    atomic_int done[MOST];
    atomic_int below_grain, wrong_self;
    int64_t count, grain;
    int threads;
};

static void count_items(void *context, int64_t from, int64_t to)
{
    struct items *items = context;
    if (to - from < items->grain && to < items->count) items->below_grain++;
    if (threads_self() < 0 || threads_self() >= items->threads) items->wrong_self++;
    for (int64_t i = from; i < to; i++)
        items->done[i]++;
}

static void check_items(int threads, int64_t count, int64_t grain)
{
    struct items items = {.count = count, .grain = grain, .threads = threads};
    threads_for(count, grain, count_items, &items);
    for (int64_t i = 0; i < MOST; i++)
        ck_assert_msg(items.done[i] == (i < count), "item %d of %d by %d threads: %d times", (int)i,
                      (int)count, threads, items.done[i]);
    ck_assert_int_eq(items.below_grain, 0);
    ck_assert_int_eq(items.wrong_self, 0);
}

static void check_all_counts(int threads)
{
    static const int counts[] = {0, 1, 2, 3, 7, 31, 32, 33, 500, MOST};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (int64_t grain = 1; grain <= 2000; grain = grain * 5 + 1)
            check_items(threads, counts[i], grain);
}

START_TEST(every_item_is_done_once)
{
    for (int threads = 1; threads <= 9; threads += threads < 4 ? 1 : 5) {
        ck_assert_int_eq(threads_set(threads), threads);
        ck_assert_int_eq(threads_count(), threads);
        check_all_counts(threads);
    }
    ck_assert_int_eq(threads_set(2), 2); /* the others stay, and do nothing */
    check_all_counts(2);
    for (int round = 0; round < 3000; round++)
        check_items(2, 3, 1);
}
END_TEST

/* ---- sums ---- */

enum { CHUNK = 37, CHUNKS = (MOST + CHUNK - 1) / CHUNK };

static void sum_chunks(void *context, int64_t from, int64_t to)
{
    double *sums = context;
    for (int64_t c = from; c < to; c++) {
        sums[c] = 0;
        for (int64_t i = c * CHUNK; i < (c + 1) * CHUNK && i < MOST; i++)
            sums[c] += 1.0 / (double)(3 * i + 1);
    }
}

START_TEST(sums_of_fixed_chunks_have_the_same_bits)
{
    double first = 0;
    for (int threads = 1; threads <= 7; threads++) {
        double sums[CHUNKS], sum = 0;
        threads_set(threads);
        threads_for(CHUNKS, 1, sum_chunks, sums);
        for (int c = 0; c < CHUNKS; c++)
            sum += sums[c];
        if (threads == 1) first = sum;
        ck_assert(memcmp(&sum, &first, sizeof sum) == 0);
    }
}
END_TEST

/* ---- helpers take part ---- */

struct meeting {
    atomic_int there;
    atomic_int missed; /* nobody else came */
    atomic_int unblocked;
    atomic_size_t stack; /* of the helper */
};

static void meet(void *context, int64_t from, int64_t to)
{
    struct meeting *meeting = context;
    double end = clock_seconds() + PATIENCE;
    if (threads_self() == 1) {
        sigset_t mask;
        pthread_sigmask(SIG_SETMASK, NULL, &mask);
        if (!sigismember(&mask, SIGTERM) || !sigismember(&mask, SIGINT)) meeting->unblocked++;
        pthread_attr_t how;
        size_t bytes;
        pthread_getattr_np(pthread_self(), &how);
        pthread_attr_getstacksize(&how, &bytes);
        pthread_attr_destroy(&how);
        meeting->stack = bytes;
    }
    for (int64_t i = from; i < to; i++) {
        meeting->there++;
        while (meeting->there < 2 && clock_seconds() < end)
            sched_yield();
        if (meeting->there < 2) meeting->missed++;
    }
}

static void check_meeting(void)
{
    struct meeting meeting = {0};
    threads_for(2, 1, meet, &meeting);
    ck_assert_int_eq(meeting.missed, 0);
    ck_assert_int_eq(meeting.unblocked, 0);
    ck_assert_uint_ge(meeting.stack, 1 << 19);
}

START_TEST(helpers_take_part)
{
    threads_set(2);
    for (int round = 0; round < 50; round++) {
        check_meeting();
        if (round % 10 == 0) usleep(5000); /* they have fallen asleep */
    }
}
END_TEST

/* As under `ulimit -s 64`: a thread takes that for its size by itself. */
START_TEST(stacks_do_not_follow_the_limit)
{
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    ck_assert_int_eq(pthread_setattr_default_np(&small), 0);
    pthread_attr_destroy(&small);
    threads_set(2);
    check_meeting();
}
END_TEST

START_TEST(a_forked_process_has_its_own)
{
    threads_set(3);
    check_all_counts(3);
    for (int round = 0; round < 5; round++) {
        struct child child = child_fork();
        if (child.pid == 0) {
            check_meeting();
            check_all_counts(3);
            _exit(threads_count() == 3 ? 0 : 1);
        }
        child_assert_status(child, 0);
    }
    check_meeting();
}
END_TEST

static void *start_slowly(void *started)
{
    double end = clock_seconds() + 0.05;
    while (clock_seconds() < end)
        sched_yield();
    *(atomic_bool *)started = true;
    for (;;)
        pause();
    return NULL;
}

/* See test/main.c: locks that a thread held would stay held in the child. */
START_TEST(a_test_forks_when_its_threads_sleep)
{
    static atomic_bool started[3];
    pthread_t thread;
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(threads_start(&thread, true, start_slowly, &started[i]), 0);
    struct child child = child_fork();
    if (child.pid == 0) _exit(started[0] && started[1] && started[2] ? 0 : 1);
    child_assert_status(child, 0);
}
END_TEST

/* ---- work within work, and beside it ---- */

static void inner(void *context, int64_t from, int64_t to)
{
    atomic_int *done = context;
    *done += (int)(to - from) * (threads_self() == 0 && threads_count() == 1);
}

static void outer(void *context, int64_t from, int64_t to)
{
    atomic_int *done = context;
    for (int64_t i = from; i < to; i++) {
        int own = threads_self();
        threads_for(10, 1, inner, done);
        if (threads_self() != own) *done += 1000;
    }
}

START_TEST(work_within_work_is_done_alone)
{
    threads_set(4);
    for (int round = 0; round < 200; round++) {
        atomic_int done = 0;
        threads_for(50, 1, outer, &done);
        ck_assert_int_eq(done, 500);
    }
    ck_assert_int_eq(threads_count(), 4);
}
END_TEST

static void *share_work(void *argument)
{
    (void)argument;
    for (int round = 0; round < 500; round++)
        check_items(3, 100, 1);
    return NULL;
}

START_TEST(two_threads_share_work_at_the_same_time)
{
    pthread_t other;
    threads_set(3);
    ck_assert_int_eq(threads_start(&other, false, share_work, NULL), 0);
    share_work(NULL);
    ck_assert_int_eq(pthread_join(other, NULL), 0);
}
END_TEST

/* ---- fewer than asked for ---- */

/* Room for the stack of one thread more, and no second. */
static bool limit_memory(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long pages = 0;
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%ld", &pages), 1);
    fclose(file);
    rlim_t bytes = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)3 << 19);
    return setrlimit(RLIMIT_AS, &(struct rlimit){bytes, bytes}) == 0;
}

START_TEST(fewer_threads_do_as_well)
{
    if (SANITIZED) return; /* they need address space themselves */
    log_set_level(LOG_ERROR);
    ck_assert(limit_memory());
    int made = threads_set(16);
    ck_assert_int_lt(made, 16);
    ck_assert_int_ge(made, 1);
    ck_assert_int_eq(threads_count(), made);
    check_all_counts(made);
}
END_TEST

START_TEST(a_fork_without_room_works_alone)
{
    if (SANITIZED) return; /* they need address space themselves */
    threads_set(4);
    check_all_counts(4);
    struct child child = child_fork();
    if (child.pid == 0) {
        setrlimit(RLIMIT_AS, &(struct rlimit){1 << 20, 1 << 20});
        struct items items = {.count = 100, .grain = 1, .threads = 4};
        threads_for(100, 1, count_items, &items);
        _exit(items.done[99] == 1 ? 0 : 1);
    }
    child_assert_status(child, 0);
}
END_TEST

START_TEST(the_environment_counts_where_nothing_is_said)
{
    setenv("OMP_NUM_THREADS", "3", 1);
    ck_assert_int_eq(threads_set(0), 3);
    ck_assert_int_eq(threads_set(2), 2);
    setenv("OMP_NUM_THREADS", "4,2", 1);
    ck_assert_int_eq(threads_set(0), 4);
    static const char *const nonsense[] = {"", "0", "-2", "many", "3x", "99999999999999"};
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        setenv("OMP_NUM_THREADS", nonsense[i], 1);
        ck_assert_int_eq(threads_set(0), threads_available());
    }
}
END_TEST

/* ---- sleep ---- */

static void hold(void *context, int64_t from, int64_t to)
{
    (void)to;
    if (from == 0) usleep(*(const useconds_t *)context);
}

/* Helpers that have nothing to do, and a caller whose helper is late, take no processor time. */
START_TEST(who_waits_sleeps)
{
    useconds_t time = 400000;
    threads_set(threads_available() > 2 ? threads_available() : 2);
    check_meeting();
    double before = processor_seconds();
    usleep(time);
    threads_for(2, 1, hold, &time);
    ck_assert_double_lt(processor_seconds() - before, 0.05);
}
END_TEST

Suite *threads_suite(void)
{
    Suite *suite = suite_create("threads");
    TCase *tests = tcase_create("threads");
    tcase_add_test(tests, every_item_is_done_once);
    tcase_add_test(tests, sums_of_fixed_chunks_have_the_same_bits);
    tcase_add_test(tests, helpers_take_part);
    tcase_add_test(tests, stacks_do_not_follow_the_limit);
    tcase_add_test(tests, a_forked_process_has_its_own);
    tcase_add_test(tests, a_test_forks_when_its_threads_sleep);
    tcase_add_test(tests, work_within_work_is_done_alone);
    tcase_add_test(tests, two_threads_share_work_at_the_same_time);
    tcase_add_test(tests, fewer_threads_do_as_well);
    tcase_add_test(tests, a_fork_without_room_works_alone);
    tcase_add_test(tests, the_environment_counts_where_nothing_is_said);
    tcase_add_test(tests, who_waits_sleeps);
    suite_add_tcase(suite, tests);
    return suite;
}
