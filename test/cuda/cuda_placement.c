/* Placement on CUDA: what is copied beside the operations arrives before those that read it, and
 * does not overwrite what others still read, in whatever order the queues get on. */
#include "test/cuda/cuda_ops.h"
#include "test/placement/placement_fake.h"

Suite *cuda_placement_suite(void);

START_TEST(anything_goes_as_predicted_on_cuda)
{
    struct device *device;
    be_quiet();
    MUST(cuda_open(&device));
    for (uint32_t trial = 0; trial < 60; trial++) {
        emu_stream_order((unsigned)trial % (unsigned)stream_orders);
        fake_trial(device, 1000 + trial);
    }
    emu_stream_order(0);
    device_close(device);
}
END_TEST

#ifdef CUDA_EMU
/* The k-th allocation of pinned or device memory fails: no leak, whatever comes back. */
START_TEST(each_allocation_may_fail_on_cuda)
{
    struct device *device;
    be_quiet();
    MUST(cuda_open(&device));
    for (int k = 1; k < 12; k++) {
        struct placement_options options = {.way = PLACEMENT_AUTO, .prefetch = true};
        struct placement *placement;
        struct fake f;
        struct fake_stage s;
        const size_t floats[4] = {1000, 3000, 2000, 1500};
        int c;
        fake_create(&f, "f", 4, floats, 2);
        MUST(placement_open(&placement, device, &options));
        MUST(placement_add(placement, &f.source, &c));
        fake_stage_create(&s, &f, c, "walk", NULL, 0, 2);
        emu_fail_alloc(k);
        for (int picture = 0; picture < 3; picture++)
            MUST(fake_run(placement, device, &s));
        expect_as_predicted(placement);
        placement_close(placement);
        ck_assert_uint_eq(device->used_bytes, 0);
        ck_assert_uint_eq(device->host_bytes, 0);
        fake_free(&f);
    }
    device_close(device);
}
END_TEST
#endif

Suite *cuda_placement_suite(void)
{
    Suite *suite = suite_create("cuda_placement");
    if (!cuda_here("cuda_placement")) return suite;
    TCase *tests = tcase_create("placement");
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_test(tests, anything_goes_as_predicted_on_cuda);
#ifdef CUDA_EMU
    tcase_add_test(tests, each_allocation_may_fail_on_cuda);
#endif
    suite_add_tcase(suite, tests);
    return suite;
}
