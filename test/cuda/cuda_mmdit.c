/* MMDiT on CUDA beside the CPU, and in whatever order queues and blocks get on. */
#include "test/cuda/cuda_ops.h"
#include "test/diffusion/placed_mmdit_run.h"
#include "test/near.h"

Suite *cuda_mmdit_suite(void);

static const struct mmdit_case small_net = {
    .config = SMALL_MMDIT, .size = {.samples = 2, .height = 6, .width = 8, .text_rows = 5}};

static void cuda_mmdit_run(struct mmdit_fixture *f, bool cuda)
{
    struct device *device;
    MUST(cuda ? cuda_open(&device) : device_open_cpu(&device, 1));
    mm_open_on(f, &small_net, device);
    mm_plan(f);
    mm_run(f);
}

START_TEST(outputs_are_those_of_the_cpu)
{
    struct mmdit_fixture cpu, cuda;
    cuda_mmdit_run(&cpu, false);
    cuda_mmdit_run(&cuda, true);
    double error = relative_error(cuda.host[MM_OUT], cpu.host[MM_OUT], cpu.counts[MM_OUT]);
    ck_assert_msg(error <= 1e-5, "out differs by %g", error);
    emu_stream_order(1);
    emu_grid_order(true);
    memcpy(cpu.host[MM_OUT], cuda.host[MM_OUT], cpu.counts[MM_OUT] * sizeof(float));
    mm_close(&cuda);
    cuda_mmdit_run(&cuda, true);
    emu_stream_order(0);
    emu_grid_order(false);
    ck_assert_mem_eq(cuda.host[MM_OUT], cpu.host[MM_OUT], cpu.counts[MM_OUT] * sizeof(float));
    mm_close(&cuda);
    mm_close(&cpu);
}
END_TEST

/* Placed, of all types: the bytes that were predicted, and the CPU's numbers. */
START_TEST(placed_weights_are_those_of_the_cpu)
{
    static const struct placement_options whole = {
        .way = PLACEMENT_NONE, .place = true, .prefetch = true};
    struct mmdit_fixture f[2];
    for (int cuda = 0; cuda < 2; cuda++) {
        struct device *device;
        struct mapped_weights mapped;
        struct placement_options options = whole;
        MUST(cuda ? cuda_open(&device) : device_open_cpu(&device, 1));
        mm_open_on(&f[cuda], &small_net, device);
        mapped_weights_create(&mapped, &f[cuda].model.list, f[cuda].host[MM_PARAMETERS], false);
        struct placement_report report =
            mm_run_placed(&f[cuda], &mapped, &options, (enum pipeline_weights)_i);
        options.way = PLACEMENT_SEQUENTIAL;
        options.budget = (int64_t)(device->used_bytes + report.predicted.device_bytes * 9 / 10);
        mm_run_placed(&f[cuda], &mapped, &options, (enum pipeline_weights)_i);
        mapped_weights_free(&mapped);
    }
    double error = relative_error(f[1].host[MM_OUT], f[0].host[MM_OUT], f[0].counts[MM_OUT]);
    ck_assert_msg(error <= 1e-5, "out differs by %g", error);
    mm_close(&f[1]);
    mm_close(&f[0]);
}
END_TEST

Suite *cuda_mmdit_suite(void)
{
    Suite *suite = suite_create("cuda_mmdit");
    if (!cuda_here("cuda_mmdit")) return suite;
    TCase *tests = tcase_create("mmdit");
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_test(tests, outputs_are_those_of_the_cpu);
    tcase_add_loop_test(tests, placed_weights_are_those_of_the_cpu, 0, PIPELINE_INT8 + 1);
    suite_add_tcase(suite, tests);
    return suite;
}
