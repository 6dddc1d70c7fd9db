/* Placement on a device whose copies and operations take as long as their bytes. */
#include "placement/placement.h"
#include "test/placement/placement_fake.h"

Suite *placement_time_suite(void);

static double queue_time[DEVICE_QUEUES], mark_time[DEVICE_MARKS], host_time;

static int slow_alloc(struct device *device, size_t bytes, void **memory)
{
    *memory = calloc(1, bytes + 1);
    device_book(device, bytes);
    return OK;
}

static void slow_free(struct device *device, void *memory, size_t bytes)
{
    free(memory);
    device_unbook(device, bytes);
}

static int slow_alloc_host(struct device *device, size_t bytes, void **memory)
{
    (void)device;
    *memory = calloc(1, bytes + 1);
    return OK;
}

static void slow_free_host(struct device *device, void *memory)
{
    (void)device;
    free(memory);
}

static int slow_copy(struct device *device, enum device_queue queue, void *to, const void *from,
                     size_t bytes)
{
    (void)device;
    memcpy(to, from, bytes);
    if (queue_time[queue] < host_time) queue_time[queue] = host_time;
    queue_time[queue] += (double)bytes;
    return OK;
}

static int slow_mark(struct device *device, enum device_queue queue, int mark)
{
    (void)device;
    mark_time[mark] = queue_time[queue];
    return OK;
}

static int slow_await(struct device *device, enum device_queue queue, int mark)
{
    (void)device;
    if (queue_time[queue] < mark_time[mark]) queue_time[queue] = mark_time[mark];
    return OK;
}

static int slow_await_host(struct device *device, int mark)
{
    (void)device;
    if (host_time < mark_time[mark]) host_time = mark_time[mark];
    return OK;
}

static int slow_synchronize(struct device *device)
{
    (void)device;
    for (int q = 0; q < DEVICE_QUEUES; q++)
        if (host_time < queue_time[q]) host_time = queue_time[q];
    return OK;
}

/* How long a walk takes that works as long as copies do. */
static double walk_time(bool prefetch)
{
    struct device device = {.alloc = slow_alloc,
                            .free = slow_free,
                            .alloc_host = slow_alloc_host,
                            .free_host = slow_free_host,
                            .copy = slow_copy,
                            .mark = slow_mark,
                            .await = slow_await,
                            .await_host = slow_await_host,
                            .synchronize = slow_synchronize};
    const struct placement_options options = {
        .way = PLACEMENT_SEQUENTIAL, .budget = 20 * KB, .prefetch = prefetch};
    struct placement *placement;
    struct fake f;
    struct fake_stage s;
    size_t floats[10];
    int c;
    for (int b = 0; b < 10; b++)
        floats[b] = 1023;
    fake_create(&f, "f", 10, floats, 1);
    MUST(placement_open(&placement, &device, &options));
    MUST(placement_add(placement, &f.source, &c));
    fake_stage_create(&s, &f, c, "walk", NULL, 0, 5);
    s.stage.declare = NULL;
    host_time = 0;
    memset(queue_time, 0, sizeof queue_time);
    memset(mark_time, 0, sizeof mark_time);
    MUST(placement_begin(placement, &s.stage));
    for (int pass = 0; pass < 5; pass++)
        for (int b = 0; b < 10; b++) {
            const void *const *tensors;
            MUST(placement_acquire(placement, b, &tensors));
            ck_assert_mem_eq(tensors[0], f.bytes[b], 4096);
            if (queue_time[QUEUE_WORK] < host_time) queue_time[QUEUE_WORK] = host_time;
            queue_time[QUEUE_WORK] += 4096;
            MUST(placement_release(placement, b));
        }
    MUST(placement_end(placement));
    expect_as_predicted(placement);
    placement_close(placement);
    ck_assert_uint_eq(device.used_bytes, 0);
    fake_free(&f);
    return host_time;
}

START_TEST(prefetch_hides_copies)
{
    double with = walk_time(true), without = walk_time(false);
    ck_assert_msg(!(without < 1.3 * with), "%.0f with, %.0f without", with, without);
    /* 50 blocks of work, and hardly more than the first copy before them */
    ck_assert_msg(!(with > 54 * 4096), "%.0f", with);
}
END_TEST

Suite *placement_time_suite(void)
{
    Suite *suite = suite_create("placement_time");
    TCase *tests = tcase_create("placement_time");
    tcase_add_test(tests, prefetch_hides_copies);
    suite_add_tcase(suite, tests);
    return suite;
}
