/* Placement where there is little room: allocations that fail, what others hold, what is free. */
#include "placement/placement.h"
#include "test/placement/placement_fake.h"

Suite *placement_room_suite(void);

static int (*alloc_before)(struct device *device, size_t bytes, void **memory);
static int allocations, fails_from, fails_to;

static int failing_alloc(struct device *device, size_t bytes, void **memory)
{
    if (bytes > 0 && ++allocations >= fails_from && allocations <= fails_to) {
        *memory = NULL;
        return (fail)(ERR_DEVICE_MEMORY, "allocation %d fails", allocations);
    }
    return alloc_before(device, bytes, memory);
}

/* Three stages, two pictures, while allocations `from` to `to` fail. */
static int run_while_failing(struct device *device, enum placement_way way, int from, int to,
                             int *falls)
{
    struct fake fakes[3];
    struct fake_stage stages[3];
    struct placement *placement;
    const size_t floats[4] = {1000, 3000, 2000, 1500};
    static const char *const names[3] = {"encode", "denoise", "decode"};
    int code = OK;
    fails_from = from, fails_to = to, allocations = 0, *falls = 0;
    placement_with(&placement, device, way, 0);
    for (int i = 0; i < 3; i++) {
        int c;
        fake_create(&fakes[i], names[i], 4, floats, 2);
        MUST(placement_add(placement, &fakes[i].source, &c));
        fake_stage_create(&stages[i], &fakes[i], c, names[i], NULL, 0, 1 + i % 2);
    }
    for (int i = 0; i < 6 && code == OK; i++)
        code = fake_run(placement, device, &stages[i % 3]);
    if (code == OK) expect_as_predicted(placement);
    for (int i = 0; i < placement_report_count(placement); i++)
        *falls += placement_report_at(placement, i)->falls;
    placement_close(placement);
    ck_assert_uint_eq(device->used_bytes, 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(fakes[i].opened, 0);
        fake_free(&fakes[i]);
    }
    return code;
}

START_TEST(each_allocation_may_fail)
{
    struct device *device = cpu_device();
    enum placement_way way = (enum placement_way)_i;
    int falls;
    be_quiet();
    alloc_before = device->alloc;
    device->alloc = failing_alloc;
    ck_assert_int_eq(run_while_failing(device, way, 0, 0, &falls), OK);
    ck_assert_int_eq(falls, 0);
    int count = allocations;
    ck_assert_int_ge(count, 9);
    for (int k = 1; k <= count; k++) {
        /* once: the stage goes on in another way, with the same bytes seen */
        ck_assert_int_eq(run_while_failing(device, way, k, k, &falls), OK);
        ck_assert_int_eq(falls, 1);
        /* for good: it ends, and nothing is left behind */
        ck_assert_int_eq(run_while_failing(device, way, k, 1 << 30, &falls), ERR_DEVICE_MEMORY);
        ck_assert_int_lt(allocations, k + 40); /* the ladder ends */
    }
    device->alloc = alloc_before;
    device_close(device);
}
END_TEST

/* Others took memory since the way was chosen: the stage looks again. */
START_TEST(a_budget_is_looked_at_when_a_stage_begins)
{
    struct device *device = cpu_device();
    struct placement *placement;
    struct fake f;
    struct fake_stage s;
    const size_t floats[4] = {1000, 1000, 1000, 1000};
    enum placement_way way;
    void *others;
    int c;
    be_quiet();
    fake_create(&f, "f", 4, floats, 1);
    int64_t budget = (int64_t)fake_all_placed(&f) + 3 * 4 * 4004 + 8192;
    placement_with(&placement, device, PLACEMENT_AUTO, budget);
    MUST(placement_add(placement, &f.source, &c));
    fake_stage_create(&s, &f, c, "walk", NULL, 0, 1);
    MUST(placement_choose(placement, &s.stage, 1, &way));
    ck_assert_int_eq(way, PLACEMENT_NONE);
    MUST(device->alloc(device, 40 * KB, &others));
    MUST(fake_run(placement, device, &s));
    const struct placement_report *r = placement_report_at(placement, 0);
    ck_assert_int_eq(r->predicted.way, PLACEMENT_SEQUENTIAL);
    ck_assert(!((int64_t)r->device_bytes > budget - 40 * KB));
    expect_as_predicted(placement);
    device->free(device, others, 40 * KB);
    MUST(fake_run(placement, device, &s)); /* the next one starts clean */
    ck_assert_int_eq(placement_report_at(placement, 1)->predicted.way, PLACEMENT_NONE);
    placement_close(placement);
    fake_free(&f);
    device_close(device);
}
END_TEST

/* Nine tenths of what is free, unless the user said how much, or limited the device. */
static int64_t million_bytes_free(const struct device *device)
{
    (void)device;
    return 1000 * KB;
}

START_TEST(a_budget_is_never_more_than_is_free)
{
    static const struct {
        double usage;
        int64_t asked;
        size_t limit;
        int64_t budget;
    } cases[] = {{0, 0, 0, 900 * KB},
                 {.5, 0, 0, 500 * KB},
                 {0, 300 * KB, 0, 300 * KB},
                 {.5, 5000 * KB, 0, 1000 * KB},
                 {0, 0, 2000 * KB, 1000 * KB}};
    struct device *device = cpu_device();
    struct fake f;
    struct fake_stage s;
    const size_t floats[1] = {1000};
    fake_create(&f, "f", 1, floats, 1);
    device->free_bytes = million_bytes_free;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct placement_options options = {.usage = cases[i].usage,
                                                  .budget = cases[i].asked};
        struct placement *placement;
        struct placement_forecast forecast;
        int c;
        device->limit_bytes = cases[i].limit;
        MUST(placement_open(&placement, device, &options));
        MUST(placement_add(placement, &f.source, &c));
        fake_stage_create(&s, &f, c, "walk", NULL, 0, 1);
        MUST(placement_forecast(placement, &s.stage, 1, PLACEMENT_NONE, &forecast));
        ck_assert_int_eq(forecast.budget, cases[i].budget);
        placement_close(placement);
    }
    fake_free(&f);
    device_close(device);
}
END_TEST

/* A component of which a part passed by is not kept for the stages of others, even in `none`. */
START_TEST(a_part_of_a_component_is_not_kept)
{
    struct device *device = cpu_device();
    struct placement *placement;
    struct fake fakes[2];
    struct fake_stage stages[2];
    const size_t floats[4] = {1000, 1000, 1000, 1000};
    void *others;
    be_quiet();
    int64_t budget = 400 * KB;
    placement_with(&placement, device, PLACEMENT_NONE, budget);
    for (int i = 0; i < 2; i++) {
        int c;
        fake_create(&fakes[i], i ? "b" : "a", 4, floats, 1);
        MUST(placement_add(placement, &fakes[i].source, &c));
        fake_stage_create(&stages[i], &fakes[i], c, "walk", NULL, 0, 1);
    }
    size_t held = (size_t)budget - fake_all_placed(&fakes[0]) / 2 - 4 * 4004 - 8 * KB;
    MUST(device->alloc(device, held, &others));
    MUST(fake_run(placement, device, &stages[0]));
    ck_assert_int_eq(placement_report_at(placement, 0)->predicted.way, PLACEMENT_SEQUENTIAL);
    device->free(device, others, held);
    MUST(fake_run(placement, device, &stages[1]));
    ck_assert_int_eq(placement_report_at(placement, 1)->predicted.way, PLACEMENT_NONE);
    ck_assert_uint_eq(placement_report_at(placement, 1)->predicted.kept_bytes, 0);
    MUST(fake_run(placement, device, &stages[0]));
    ck_assert_uint_eq(placement_report_at(placement, 2)->predicted.kept_bytes,
                      fake_all_placed(&fakes[1])); /* but whole ones are */
    expect_as_predicted(placement);
    placement_close(placement);
    for (int i = 0; i < 2; i++)
        fake_free(&fakes[i]);
    device_close(device);
}
END_TEST

Suite *placement_room_suite(void)
{
    Suite *suite = suite_create("placement_room");
    TCase *tests = tcase_create("placement_room");
    tcase_add_loop_test(tests, each_allocation_may_fail, 0, PLACEMENT_WAYS);
    tcase_add_test(tests, a_budget_is_looked_at_when_a_stage_begins);
    tcase_add_test(tests, a_budget_is_never_more_than_is_free);
    tcase_add_test(tests, a_part_of_a_component_is_not_kept);
    suite_add_tcase(suite, tests);
    return suite;
}
