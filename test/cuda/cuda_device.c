/* The CUDA device: why there is none, memory and its limits, copies, and failures that come back as
 * errors. What only an emulated machine can be asked for runs there alone. */
#include "cuda/ceilings.h"
#include "cuda/device_cuda.h"
#include "registry/devices.h"
#include "test/cuda/cuda_ops.h"

Suite *cuda_device_suite(void);

static struct device *opened(void)
{
    struct device *device;
    ck_assert_msg(cuda_open(&device) == OK, "%s", error_message());
    ck_assert(!device->is_host);
    return device;
}

START_TEST(memory_is_zeroed_and_booked)
{
    struct device *device = opened();
    enum { BYTES = 100003 };
    void *memory, *host, *none;
    ck_assert_int_eq(device->alloc(device, BYTES, &memory), OK);
    ck_assert_uint_eq(device->used_bytes, BYTES);
    ck_assert_int_eq(device->alloc(device, 0, &none), OK);
    ck_assert_ptr_null(none);
    ck_assert_int_eq(device->alloc_host(device, BYTES, &host), OK);
    memset(host, 1, BYTES);
    ck_assert_int_eq(device->download(device, host, memory, BYTES), OK);
    ck_assert_int_eq(device->synchronize(device), OK);
    for (int i = 0; i < BYTES; i++)
        ck_assert_uint_eq(((uint8_t *)host)[i], 0);
    device->free(device, memory, BYTES);
    device->free_host(device, host);
    ck_assert_uint_eq(device->used_bytes, 0);
    device_close(device);
}
END_TEST

START_TEST(copies_keep_their_order)
{
    struct device *device = opened();
    uint8_t *host, *back;
    void *memory, *room;
    enum { BYTES = 4099 };
    ck_assert_int_eq(device->alloc(device, BYTES, &memory), OK);
    ck_assert_int_eq(device->alloc_host(device, BYTES, &room), OK);
    host = room;
    ck_assert_int_eq(device->alloc_host(device, BYTES, &room), OK);
    back = room;
    for (int i = 0; i < BYTES; i++)
        host[i] = (uint8_t)(i * 7);
    ck_assert_int_eq(device->upload(device, memory, host, BYTES), OK);
    ck_assert_int_eq(device->upload(device, (uint8_t *)memory + 5, host, 11), OK);
    ck_assert_int_eq(device->download(device, back, memory, BYTES), OK);
    ck_assert_int_eq(device->synchronize(device), OK);
    for (int i = 0; i < BYTES; i++)
        ck_assert_uint_eq(back[i], host[i >= 5 && i < 16 ? i - 5 : i]);
    device->free(device, memory, BYTES);
    device->free_host(device, host);
    device->free_host(device, back);
    device_close(device);
}
END_TEST

START_TEST(too_much_memory_is_an_error_and_no_end)
{
    struct device *device = opened();
    void *memory, *some;
    int64_t there = device->free_bytes(device);
    ck_assert_int_gt(there, 0);
    ck_assert_int_eq(device->alloc(device, (size_t)there + ((size_t)1 << 30), &memory),
                     ERR_DEVICE_MEMORY);
    ck_assert_ptr_null(memory);
    ck_assert_int_eq(device->synchronize(device), OK);
    device->limit_bytes = 1000;
    ck_assert_int_eq(device->free_bytes(device), 1000);
    ck_assert_int_eq(device->alloc(device, 1001, &memory), ERR_DEVICE_MEMORY);
    ck_assert_int_eq(device->alloc(device, 1000, &some), OK);
    ck_assert_int_eq(device->free_bytes(device), 0);
    device->free(device, some, 1000);
    device_close(device);
}
END_TEST

START_TEST(one_device_at_a_time)
{
    struct device *device = opened(), *other;
    ck_assert_int_eq(cuda_open(&other), ERR_INTERNAL);
    device_close(device);
    device_close(opened());
}
END_TEST

#if HAVE_CUDA
START_TEST(ceilings_are_measured)
{
    struct device *device = opened();
    struct cuda_ceilings c;
    ck_assert_msg(cuda_measure_ceilings(device, 1 << 20, 2, 1, &c) == OK, "%s", error_message());
    ck_assert(c.copy_bytes > 0 && c.fma_flops > 0 && c.mma_flops > 0);
    ck_assert(isfinite(c.copy_bytes) && isfinite(c.fma_flops) && isfinite(c.mma_flops));
    ck_assert_uint_eq(device->used_bytes, 0);
    device_close(device);
}
END_TEST
#endif

#ifdef CUDA_EMU
/* Opens with IMGTRAIN_EMU=`machine`. */
static int open_machine(const char *machine, int ordinal, struct device **device)
{
    setenv("IMGTRAIN_EMU", machine, 1);
    return device_open_cuda(device, ordinal, 1);
}

/* On small and large ones: A100, H100, B200, RTX 5090 and PRO 6000 have these. */
START_TEST(any_number_of_multiprocessors)
{
    static const int numbers[] = {1, 4, 108, 132, 148, 170, 188};
    struct device *device;
    struct cuda_ceilings c;
    char machine[32];
    snprintf(machine, sizeof machine, "multiprocessors=%d", numbers[_i]);
    ck_assert_int_eq(open_machine(machine, 0, &device), OK);
    snprintf(machine, sizeof machine, " %d multiprocessors", numbers[_i]);
    ck_assert_msg(strstr(device->name, machine) != NULL, "%s", device->name);
    ck_assert_msg(cuda_measure_ceilings(device, 1 << 20, 1, 1, &c) == OK, "%s", error_message());
    ck_assert(c.copy_bytes > 0 && c.fma_flops > 0 && c.mma_flops > 0);
    ck_assert_int_eq(cuda_measure_ceilings(device, 1000, 1, 1, &c), ERR_INTERNAL);
    device_close(device);
}
END_TEST

START_TEST(says_why_there_is_no_device)
{
    static const struct {
        const char *machine;
        int ordinal;
        const char *says;
    } machines[] = {
        {"driver=0", 0, "there is no CUDA driver"},
        {"driver=12080", 0, "the driver is too old: it is for CUDA 12.8, needed is 13.0"},
        {"devices=0", 0, "there is no CUDA device (nvidia-smi -L"},
        {"devices=2", 2, "there is no CUDA device 2: 2 found"},
        {"code=0", 0, "this build has no code for sm_90"},
        {"memory=1000", 0, "cudaMalloc"},
    };
    struct device *device;
    int code = open_machine(machines[_i].machine, machines[_i].ordinal, &device);
    ck_assert_int_eq(code, _i == 5 ? ERR_DEVICE_MEMORY : ERR_DEVICE);
    ck_assert_ptr_null(device);
    ck_assert_msg(strstr(error_message(), machines[_i].says) != NULL, "%s", error_message());
    if (_i == 3 || _i == 5) return; /* there are others, or one that is too small */
    ck_assert_int_eq(device_open(&device, "auto", 1), OK); /* the CPU */
    ck_assert(device->is_host);
    device_close(device);
}
END_TEST

/* The device's own scratch comes first; where that cannot be had, it does not open. */
START_TEST(a_failed_allocation_comes_back)
{
    struct device *device;
    void *memory;
    char machine[32];
    int failed = 0;
    snprintf(machine, sizeof machine, "fail_alloc=%d", _i);
    int code = open_machine(machine, 0, &device);
    if (code != OK) {
        ck_assert_int_eq(code, ERR_DEVICE_MEMORY);
        ck_assert_ptr_null(device);
        return;
    }
    for (int i = 0; i < 8; i++) {
        code = device->alloc(device, 64, &memory);
        ck_assert(code == OK || code == ERR_DEVICE_MEMORY);
        failed += code != OK;
        ck_assert_uint_eq(device->used_bytes, code == OK ? 64 : 0);
        device->free(device, memory, 64);
    }
    ck_assert_int_eq(failed, 1);
    device_close(device);
}
END_TEST

START_TEST(a_refused_launch_comes_back_once)
{
    struct device *device;
    void *memory;
    ck_assert_int_eq(open_machine("fail_launch=2", 0, &device), OK);
    ck_assert_int_eq(device->alloc(device, 64, &memory), OK);
    ck_assert_int_eq(device->nn->ema(device, memory, memory, 16, memory), OK);
    ck_assert_int_eq(device->nn->ema(device, memory, memory, 16, memory), ERR_DEVICE);
    ck_assert_msg(strstr(error_message(), "ema_kernel: too many resources") != NULL, "%s",
                  error_message());
    ck_assert_int_eq(device->nn->ema(device, memory, memory, 16, memory), OK);
    ck_assert_int_eq(device->synchronize(device), OK);
    device->free(device, memory, 64);
    device_close(device);
}
END_TEST

START_TEST(a_lost_device_fails_for_good)
{
    struct device *device;
    void *memory, *other;
    ck_assert_int_eq(open_machine("lose=2", 0, &device), OK);
    ck_assert_int_eq(device->alloc(device, 64, &memory), OK);
    double sum;
    for (int i = 0; i < 3; i++)
        device->nn->ema(device, memory, memory, 16, memory);
    ck_assert_int_eq(device->nn->norm2(device, &sum, memory, 16), ERR_DEVICE);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(device->synchronize(device), ERR_DEVICE);
    ck_assert_int_eq(device->alloc(device, 64, &other), ERR_DEVICE);
    ck_assert_int_eq(device->upload(device, memory, "x", 1), ERR_DEVICE);
    device->free(device, memory, 64);
    device_close(device);
}
END_TEST
#endif

Suite *cuda_device_suite(void)
{
    Suite *suite = suite_create("cuda_device");
    if (!cuda_here("cuda_device")) return suite;
    TCase *tests = tcase_create("device");
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_test(tests, memory_is_zeroed_and_booked);
    tcase_add_test(tests, copies_keep_their_order);
    tcase_add_test(tests, too_much_memory_is_an_error_and_no_end);
    tcase_add_test(tests, one_device_at_a_time);
#if HAVE_CUDA
    tcase_add_test(tests, ceilings_are_measured);
#endif
#ifdef CUDA_EMU
    tcase_add_loop_test(tests, any_number_of_multiprocessors, 0, 7);
    tcase_add_loop_test(tests, says_why_there_is_no_device, 0, 6);
    tcase_add_loop_test(tests, a_failed_allocation_comes_back, 1, 8);
    tcase_add_test(tests, a_refused_launch_comes_back_once);
    tcase_add_test(tests, a_lost_device_fails_for_good);
#endif
    suite_add_tcase(suite, tests);
    return suite;
}
