/* The device that fails on request, which other tests rely on. */
#include "device/faults.h"

#include "base/error.h"
#include "base/log.h"
#include "device/device.h"
#include "registry/devices.h"

#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { KB = 1000 };

static struct device *open_with(const char *text)
{
    struct device *device = NULL;
    log_set_level(LOG_ERROR);
    setenv("IMGTRAIN_FAULTS", text, 1);
    ck_assert_msg(device_open(&device, "cpu", 1) == OK, "%s", error_message());
    device->limit_bytes = 100 * KB;
    return device;
}

/* Whether an allocation succeeds; it is given back at once. */
static bool has(struct device *device, size_t bytes)
{
    void *memory = NULL;
    int code = device->alloc(device, bytes, &memory);
    if (code == OK) {
        ck_assert_ptr_nonnull(memory);
        device->free(device, memory, bytes);
    } else {
        ck_assert_int_eq(code, ERR_DEVICE_MEMORY);
        ck_assert_ptr_null(memory);
    }
    ck_assert_uint_eq(device->used_bytes, 0);
    return code == OK;
}

START_TEST(unset_means_none)
{
    struct device *device = open_with("");
    ck_assert_ptr_null(device->faults);
    ck_assert(has(device, KB));
    ck_assert_int_eq(device_begin_step(device, 0), OK);
    device_close(device);
}
END_TEST

START_TEST(the_kth_allocation_fails)
{
    struct device *device = open_with("alloc=2,alloc=4+");
    ck_assert(has(device, KB));
    ck_assert(!has(device, KB));
    device_close(device);
    device = open_with("alloc=2,alloc=4+"); /* counted on */
    ck_assert(has(device, KB));
    ck_assert(!has(device, KB) && !has(device, KB));
    void *none = &none;
    ck_assert_int_eq(device->alloc(device, 0, &none), OK);
    ck_assert_ptr_null(none);
    device_close(device);
}
END_TEST

START_TEST(another_process_takes_what_is_free)
{
    struct device *device = open_with("step=3:take=60kB,step=5:take=1GB,step=7:give");
    ck_assert_int_eq(device_begin_step(device, 2), OK);
    ck_assert_int_eq(device->free_bytes(device), 100 * KB);
    ck_assert_int_eq(device_begin_step(device, 3), OK);
    ck_assert_int_eq(device->free_bytes(device), 40 * KB);
    ck_assert(has(device, 40 * KB) && !has(device, 41 * KB));
    void *memory = NULL;
    ck_assert_int_eq(device->alloc(device, 30 * KB, &memory), OK);
    ck_assert_int_eq(device_begin_step(device, 5), OK);
    ck_assert_int_eq(device->free_bytes(device), 0);
    device->free(device, memory, 30 * KB);
    ck_assert_int_eq(device->free_bytes(device), 30 * KB);
    ck_assert_int_eq(device_begin_step(device, 7), OK);
    ck_assert_int_eq(device->free_bytes(device), 100 * KB);
    device_close(device);
}
END_TEST

START_TEST(a_cotenant_goes_by_seed_and_step)
{
    struct device *device = open_with("cotenant=5:80kB");
    int64_t first[20], differences = 0;
    for (int step = 0; step < 20; step++) {
        ck_assert_int_eq(device_begin_step(device, step), OK);
        first[step] = device->free_bytes(device);
        ck_assert(first[step] >= 20 * KB && first[step] <= 100 * KB);
        differences += step > 0 && first[step] != first[step - 1];
    }
    ck_assert_int_eq(differences, 19);
    for (int step = 0; step < 20; step++) {
        ck_assert_int_eq(device_begin_step(device, step), OK);
        ck_assert_int_eq(device->free_bytes(device), first[step]);
    }
    device_close(device);
}
END_TEST

START_TEST(a_loss_is_no_number_once_or_ever_after)
{
    struct device *device = open_with("step=2:nan,step=4:nan+");
    ck_assert(device_loss_of_step(device, 1, 0.5) == 0.5);
    ck_assert(isnan(device_loss_of_step(device, 2, 0.5)));
    ck_assert(device_loss_of_step(device, 2, 0.5) == 0.5);
    for (int i = 0; i < 2; i++)
        ck_assert(isnan(device_loss_of_step(device, 4, 0.5)));
    ck_assert(device_loss_of_step(device, 5, 0.5) == 0.5);
    device_close(device);
}
END_TEST

START_TEST(a_step_fails_once)
{
    struct device *device = open_with("step=1:fail");
    ck_assert_int_eq(device_begin_step(device, 0), OK);
    ck_assert_int_eq(device_begin_step(device, 1), ERR_DEVICE_MEMORY);
    ck_assert_int_eq(device_begin_step(device, 1), OK);
    device_close(device);
}
END_TEST

START_TEST(what_is_no_fault_is_refused)
{
    static const char *const bad[] = {"alloc",        "alloc=",         "alloc=0",
                                      "alloc=x+",     "step=1",         "step=1:",
                                      "step=-1:give", "step=1:take=",   "step=1:take",
                                      "cotenant=1",   "cotenant=x:1MB", "alloc=1;alloc=2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct device *device = NULL;
        setenv("IMGTRAIN_FAULTS", bad[i], 1);
        ck_assert_msg(device_open(&device, "cpu", 1) == ERR_CONFIG, "%s", bad[i]);
        ck_assert_ptr_null(device);
        ck_assert_ptr_nonnull(strstr(error_message(), "IMGTRAIN_FAULTS"));
    }
}
END_TEST

Suite *faults_suite(void);
Suite *faults_suite(void)
{
    Suite *suite = suite_create("faults");
    TCase *tests = tcase_create("faults");
    tcase_add_test(tests, unset_means_none);
    tcase_add_test(tests, the_kth_allocation_fails);
    tcase_add_test(tests, another_process_takes_what_is_free);
    tcase_add_test(tests, a_cotenant_goes_by_seed_and_step);
    tcase_add_test(tests, a_step_fails_once);
    tcase_add_test(tests, a_loss_is_no_number_once_or_ever_after);
    tcase_add_test(tests, what_is_no_fault_is_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
