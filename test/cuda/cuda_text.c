/* The text encoder on CUDA beside the CPU, in whatever order the queues and blocks get on. */
#include "test/cuda/cuda_ops.h"
#include "test/diffusion/qwen3_fixture.h"

Suite *cuda_text_suite(void);

enum { MOST = 64 * 32 };

static void cuda_features(struct device *device, const struct qwen3_config *config,
                          const int *lengths, float *features)
{
    struct qwen3_held held;
    qwen3_hold(&held, config, device, TOKEN_BF16, false);
    qwen3_features(&held, 2, lengths, features);
    qwen3_release_held(&held);
    ck_assert_uint_eq(device->used_bytes, 0);
    device_close(device);
}

START_TEST(features_are_those_of_the_cpu)
{
    static const int lengths[2][2] = {{33, 11}, {20, 1}};
    static float cpu[MOST], cuda[MOST], again[MOST];
    const struct qwen3_config config = _i ? qwen3_odd() : qwen3_small();
    size_t count = (size_t)(lengths[_i][0] + lengths[_i][1]) * (size_t)config.hidden;
    struct device *device;
    double off = 0, most = 0;
    MUST(device_open_cpu(&device, 1));
    cuda_features(device, &config, lengths[_i], cpu);
    MUST(cuda_open(&device));
    cuda_features(device, &config, lengths[_i], cuda);
    for (size_t i = 0; i < count; i++) {
        double e = fabs((double)cuda[i] - (double)cpu[i]);
        off = !(e <= off) ? e : off; /* NaN stays */
        most = fmax(most, fabs((double)cpu[i]));
    }
    ck_assert_msg(off <= 1e-4 * most, "%g off, of %g", off, most);
    emu_stream_order(1);
    emu_grid_order(true);
    MUST(cuda_open(&device));
    cuda_features(device, &config, lengths[_i], again);
    emu_stream_order(0);
    emu_grid_order(false);
    ck_assert_mem_eq(cuda, again, count * sizeof *cuda);
}
END_TEST

Suite *cuda_text_suite(void)
{
    Suite *suite = suite_create("cuda_text");
    if (!cuda_here("cuda_text")) return suite;
    TCase *tests = tcase_create("text");
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_loop_test(tests, features_are_those_of_the_cpu, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
