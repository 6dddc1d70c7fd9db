/* MMDiT on CUDA beside the CPU, and in whatever order queues and blocks get on. */
#include "test/cuda/cuda_ops.h"
#include "test/diffusion/mmdit_fixture.h"
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

Suite *cuda_mmdit_suite(void)
{
    Suite *suite = suite_create("cuda_mmdit");
    if (!cuda_here("cuda_mmdit")) return suite;
    TCase *tests = tcase_create("mmdit");
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_test(tests, outputs_are_those_of_the_cpu);
    suite_add_tcase(suite, tests);
    return suite;
}
