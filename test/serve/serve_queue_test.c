/* Which requests the queue takes, which it does together, and when there is no time left. */
#include "base/clock.h"
#include "base/error.h"
#include "serve/serve_queue.h"
#include "test/support.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SECONDS = 1000, JOBS = 5 };

/* A backend whose first job holds the queue up. */
static struct {
    atomic_bool begun, free;
    int calls, counts[JOBS], models[JOBS];
    bool was_late[JOBS];
} seen;
static atomic_int answered;
static double linger;

static bool queue_test_joins(void *context, const struct serve_job *one,
                             const struct serve_job *other)
{
    (void)context;
    return one->model == other->model;
}

/* Until what came first has no time left. */
static void queue_test_pass_time(const struct serve_job *job)
{
    while (clock_seconds() <= job->arrived + SECONDS + 0.001)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void queue_test_run(void *context, struct serve_job *const *jobs, int count,
                           bool (*late)(void))
{
    (void)context;
    atomic_store(&seen.begun, true);
    while (!atomic_load(&seen.free))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (jobs[0]->model == 2 && count == 2) queue_test_pass_time(jobs[0]);
    seen.was_late[seen.calls] = late();
    seen.counts[seen.calls] = count;
    seen.models[seen.calls++] = jobs[0]->model;
    for (int i = 0; i < count; i++)
        serve_job_fail(jobs[i], 400, NULL, "done");
}

static void queue_test_done(struct serve_job *job)
{
    ck_assert_ptr_nonnull(job->answer);
    atomic_fetch_add(&answered, 1);
}

static struct serve_job *queue_test_job(int model, double age)
{
    struct serve_job *job = calloc(1, sizeof *job);
    ck_assert_ptr_nonnull(job);
    job->model = model;
    job->arrived = clock_seconds() - age;
    return job;
}

/* One job that is worked on until seen.free. */
static struct serve_queue *queue_test_open(struct serve_job *first)
{
    static const struct serve_backend backend = {.joins = queue_test_joins, .run = queue_test_run};
    const struct serve_queue_options options = {.limit = JOBS - 1,
                                                .at_once = 2,
                                                .seconds = SECONDS,
                                                .linger = linger,
                                                .backend = &backend,
                                                .done = queue_test_done};
    struct serve_queue *queue;
    memset(&seen, 0, sizeof seen);
    atomic_store(&answered, 0);
    MUST(serve_queue_open(&queue, &options));
    ck_assert(serve_queue_add(queue, first));
    while (!atomic_load(&seen.begun))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return queue;
}

static void queue_test_finish(struct serve_queue *queue, struct serve_job **jobs, int count)
{
    atomic_store(&seen.free, true);
    serve_queue_finish(queue);
    ck_assert_int_eq(atomic_load(&answered), count);
    ck_assert(!serve_queue_add(queue, jobs[0]));
    serve_queue_close(queue);
}

START_TEST(jobs_of_a_kind_pass_those_between)
{
    struct serve_job *jobs[JOBS] = {queue_test_job(0, 0), queue_test_job(1, 0),
                                    queue_test_job(0, 0), queue_test_job(1, 0),
                                    queue_test_job(1, 0)};
    struct serve_queue *queue = queue_test_open(jobs[0]);
    for (int i = 1; i < JOBS; i++)
        ck_assert(serve_queue_add(queue, jobs[i]));
    ck_assert(!serve_queue_add(queue, jobs[0])); /* it is full */
    ck_assert_int_eq(serve_queue_length(queue), JOBS - 1);
    queue_test_finish(queue, jobs, JOBS);
    ck_assert_int_eq(seen.calls, 4);
    static const int counts[] = {1, 2, 1, 1}, models[] = {0, 1, 0, 1};
    for (int i = 0; i < 4; i++)
        ck_assert(seen.counts[i] == counts[i] && seen.models[i] == models[i]);
    for (int i = 0; i < JOBS; i++)
        serve_job_free(jobs[i]);
}
END_TEST

START_TEST(nobody_loses_time_to_an_older_one)
{
    struct serve_job *jobs[] = {queue_test_job(0, 0), queue_test_job(1, SECONDS + 1),
                                queue_test_job(2, SECONDS - 1), queue_test_job(2, 0),
                                queue_test_job(2, SECONDS - 1)};
    struct serve_queue *queue = queue_test_open(jobs[0]);
    for (int i = 1; i < JOBS; i++)
        ck_assert(serve_queue_add(queue, jobs[i]));
    queue_test_finish(queue, jobs, JOBS);
    ck_assert_int_eq(jobs[1]->status, 503); /* it has waited too long */
    ck_assert_str_eq(jobs[1]->code, "timeout");
    ck_assert_int_eq(jobs[3]->status, 400);
    ck_assert_int_eq(seen.models[1], 2);
    ck_assert(!seen.was_late[1]);
    for (int i = 0; i < JOBS; i++)
        serve_job_free(jobs[i]);
}
END_TEST

START_TEST(who_asked_together_is_waited_for)
{
    struct serve_job *jobs[JOBS];
    for (int i = 0; i < JOBS; i++)
        jobs[i] = queue_test_job(i > 0, 0);
    linger = 1e9;
    struct serve_queue *queue = queue_test_open(jobs[0]);
    for (int i = 1; i < JOBS; i++) {
        ck_assert(serve_queue_add(queue, jobs[i]));
        if (i == 2) atomic_store(&seen.free, true);
        while (i == 2 && atomic_load(&answered) < 3)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        if (i == 3) nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    queue_test_finish(queue, jobs, JOBS);
    ck_assert(seen.calls == 3 && seen.counts[0] == 1 && seen.counts[1] == 2 && seen.counts[2] == 2);
    for (int i = 0; i < JOBS; i++)
        serve_job_free(jobs[i]);
}
END_TEST

Suite *serve_queue_test_suite(void);
Suite *serve_queue_test_suite(void)
{
    Suite *suite = suite_create("serve_queue_test");
    TCase *test = tcase_create("queue");
    tcase_add_test(test, jobs_of_a_kind_pass_those_between);
    tcase_add_test(test, nobody_loses_time_to_an_older_one);
    tcase_add_test(test, who_asked_together_is_waited_for);
    suite_add_tcase(suite, test);
    return suite;
}
