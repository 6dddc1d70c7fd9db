/* The ladder with rows made up: which one a run takes, and what it may have. */
#include "memory/ladder.h"

#include "base/error.h"
#include "device/device.h"
#include "memory/memory_retry.h"
#include "registry/devices.h"
#include "test/support.h"

#include <check.h>
#include <math.h>

static void add_row(struct ladder *ladder, int level, bool amp, size_t bytes, double time)
{
    struct memory_mode mode = {.level = level, .amp = amp};
    struct memory_need need = {.device_bytes = bytes, .relative_time = time};
    ladder_add(ladder, &mode, &need);
}

static int picked(struct ladder *ladder, int64_t budget)
{
    int least;
    ladder_judge(ladder, budget);
    return ladder_pick(ladder, &least);
}

START_TEST(ladder_picks_the_fastest_that_fits)
{
    struct ladder ladder = {.settings = {.level = -1}};
    int least;
    add_row(&ladder, 0, false, 1000, 1);
    add_row(&ladder, 1, false, 700, 1.3);
    add_row(&ladder, 2, false, 500, 1.1);
    add_row(&ladder, 3, true, 400, 0.9);
    add_row(&ladder, 4, false, 300, 1.5);
    ck_assert_int_eq(picked(&ladder, 1000), 0);
    ck_assert_int_eq(picked(&ladder, 999), 2); /* not row 1, which is slower and larger */
    ck_assert_int_eq(picked(&ladder, 499), 4); /* not row 3: another result */
    ck_assert_int_eq(picked(&ladder, 299), -1);
    ck_assert_int_eq(ladder_pick(&ladder, &least), -1);
    ck_assert_int_eq(least, 4);
    ladder_judge(&ladder, 1000);
    ck_assert_int_eq(ladder_down(&ladder, 0), 2);
    ck_assert_int_eq(ladder_down(&ladder, 2), 4);
    ck_assert_int_eq(ladder_down(&ladder, 4), -1);
    ladder_judge(&ladder, 450);
    ladder.modes[4].need.device_bytes = 9999;
    ladder_judge(&ladder, 450);
    ck_assert_int_eq(ladder_down(&ladder, 0), 3);
    ladder.least_level = 1; /* a resumed run */
    ck_assert_int_eq(picked(&ladder, 1000), 2);
    ladder.count = 3; /* and on a device that has no such level */
    ladder.least_level = 4;
    ck_assert_int_eq(picked(&ladder, 1000), 2);
    ck_assert_int_eq(picked(&ladder, 400), -1);
    ck_assert_int_eq(ladder_pick(&ladder, &least), -1);
    ck_assert_int_eq(least, 2);
    ladder.count = 5;
    ladder.least_level = 1;
    ladder.settings.level = 1;
    ck_assert_int_eq(picked(&ladder, 1000), 1);
    ck_assert_int_eq(picked(&ladder, 600), -1);
    ladder.count = 3;
    ladder.settings.level = 4; /* the nearest below that there is */
    ck_assert_int_eq(picked(&ladder, 1000), 2);
}
END_TEST

START_TEST(budget_follows_what_is_free)
{
    struct device *device;
    struct ladder_settings settings = {.level = -1, .target_usage = 0.85, .safety_margin = 0.05};
    MUST(device_open(&device, "cpu", 1));
    double left = (double)device->free_bytes(device);
    double budget = (double)ladder_budget(&settings, device, 0);
    ck_assert_double_le(fabs(budget / (left * 0.8) - 1), 0.2); /* others use memory meanwhile */
    device->limit_bytes = 1000000;
    ck_assert_int_eq(ladder_budget(&settings, device, 0), 1000000);
    device->used_bytes = 400000; /* the run's own, to be used again */
    ck_assert_int_eq(ladder_budget(&settings, device, 0), 600000);
    ck_assert_int_eq(ladder_budget(&settings, device, 400000), 1000000);
    settings.budget = 5000;
    ck_assert_int_eq(ladder_budget(&settings, device, 400000), 5000);
    device->limit_bytes = SIZE_MAX; /* none */
    ck_assert_int_eq(device_limit_left(device), INT64_MAX);
    ck_assert_int_eq(device_check_limit(device, 1 << 20), OK);
    device->used_bytes = 0;
    device_close(device);
}
END_TEST

/* Attempts that fail until there is room for them, and what makes room until there is no more. */
struct tries {
    int needs, room, most, made;
    int other; /* an error that is not memory's, at attempt 1 */
};

static int try_it(void *context)
{
    struct tries *t = context;
    t->made++;
    if (t->other) return t->other;
    return t->room >= t->needs ? OK : fail(ERR_DEVICE_MEMORY, "attempt %d", t->made);
}

static int make_room(void *context)
{
    struct tries *t = context;
    ck_assert_ptr_nonnull(strstr(error_message(), "attempt"));
    if (t->room == t->most) return ERR_DEVICE_MEMORY;
    t->room++;
    return OK;
}

START_TEST(retry_ends_with_room_or_without)
{
    struct tries enough = {.needs = 3, .most = 5}, scarce = {.needs = 3, .most = 2};
    struct tries broken = {.other = ERR_IO};
    ck_assert_int_eq(memory_retry(try_it, &enough, make_room, &enough), OK);
    ck_assert_int_eq(enough.made, 4);
    ck_assert_int_eq(memory_retry(try_it, &scarce, make_room, &scarce), ERR_DEVICE_MEMORY);
    ck_assert_int_eq(scarce.made, 3);
    ck_assert_str_eq(error_message(), "attempt 3");
    ck_assert_int_eq(memory_retry(try_it, &broken, make_room, &broken), ERR_IO);
    ck_assert_int_eq(broken.made, 1);
}
END_TEST

Suite *ladder_suite(void);
Suite *ladder_suite(void)
{
    Suite *suite = suite_create("ladder");
    TCase *tests = tcase_create("ladder");
    tcase_add_test(tests, ladder_picks_the_fastest_that_fits);
    tcase_add_test(tests, budget_follows_what_is_free);
    tcase_add_test(tests, retry_ends_with_room_or_without);
    suite_add_tcase(suite, tests);
    return suite;
}
