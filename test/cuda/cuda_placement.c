/* Placement on CUDA: what is copied beside the operations arrives before those that read it, and
 * does not overwrite what others still read, in whatever order the queues get on. */
#include "device/token_ops.h"
#include "diffusion/model/model_arch.h"
#include "diffusion/pipeline/pipeline.h"
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

/* ---- the denoiser: token operations between copies ---- */

enum { NET_SIDE = 8, NET_FLOATS = 3 * NET_SIDE * NET_SIDE };

static int has_token_operations(struct device *device)
{
    return token_check_device(device);
}

/* An image of random weights, in one way. */
static void make_image(struct device *device, const struct model_arch *arch,
                       const struct placement_options *options, float *image,
                       struct placement_report *report)
{
    const struct pipeline_request request = {.width = NET_SIDE,
                                             .height = NET_SIDE,
                                             .steps = 2,
                                             .row_count = 1,
                                             .noise = NOISE_PHILOX,
                                             .at_once = 1};
    const struct pipeline_watch watch = {0};
    const uint64_t seed = 5;
    struct pipeline *pipeline;
    float sigmas[SIGMAS_MOST_STEPS + 1];
    int first;
    MUST(pipeline_open(&pipeline, &arch->folder, device, options, PIPELINE_AS_STORED));
    MUST(pipeline_prepare(pipeline, &request, sigmas, &first));
    MUST(pipeline_run(pipeline, &seed, 1, &image, &watch));
    expect_as_predicted(pipeline_placement(pipeline));
    *report = *placement_report_at(pipeline_placement(pipeline), 0);
    pipeline_close(pipeline);
    ck_assert_uint_eq(device->used_bytes, 0);
    ck_assert_uint_eq(device->host_bytes, 0);
}

START_TEST(every_way_makes_one_image_on_cuda)
{
    static float expected[NET_FLOATS], first[NET_FLOATS], image[NET_FLOATS];
    struct model_arch arch;
    struct device *cpu, *device;
    struct placement_report report;
    struct placement_options options = {.way = PLACEMENT_NONE, .prefetch = true};
    be_quiet();
    MUST(model_arch_open(&arch, "s3dit-1m", true));
    MUST(device_open_cpu(&cpu, 1));
    make_image(cpu, &arch, &options, expected, &report);
    device_close(cpu);
    MUST(cuda_open(&device));
    make_image(device, &arch, &options, first, &report);
    for (int i = 0; i < NET_FLOATS; i++)
        ck_assert_msg(!(fabsf(first[i] - expected[i]) > 1e-3F), "%g, on the CPU %g",
                      (double)first[i], (double)expected[i]);
    size_t working = report.predicted.working_bytes, weights = report.predicted.weight_bytes;
    bool few = getenv("SKIP_SLOW"); /* under a sanitizer an image takes half a minute */
    for (int share = 3; share < 10; share += few ? 6 : 3)
        for (int prefetch = 0; prefetch < 2; prefetch++) {
            if (few && prefetch != (share == 3)) continue;
            options = (struct placement_options){
                .way = PLACEMENT_SEQUENTIAL,
                .budget = (int64_t)(working + weights / 3 + weights * (size_t)share / 15),
                .by_reading = share == 9,
                .prefetch = prefetch};
            emu_stream_order((unsigned)(share + prefetch) % (unsigned)stream_orders);
            make_image(device, &arch, &options, image, &report);
            ck_assert_mem_eq(image, first, sizeof image);
            ck_assert_int_lt(report.predicted.residents, report.predicted.blocks);
        }
    emu_stream_order(0);
    device_close(device);
    model_arch_close(&arch);
}
END_TEST

/* ---- with a VAE: convolutions between copies, in bands too ---- */

enum { LATENT_SIDE = 32, LATENT_FLOATS = 3 * LATENT_SIDE * LATENT_SIDE };

/* An image begun with another one: encoder, denoiser and decoder. */
static void make_latent_image(struct device *device, const struct model_arch *arch,
                              const struct placement_options *options, enum kl_tiling tiling,
                              float *image)
{
    static float init[LATENT_FLOATS];
    const struct pipeline_request request = {.width = LATENT_SIDE,
                                             .height = LATENT_SIDE,
                                             .steps = 1,
                                             .row_count = 1,
                                             .init = init,
                                             .strength = 1,
                                             .tiling = tiling,
                                             .noise = NOISE_PHILOX,
                                             .at_once = 1};
    const struct pipeline_watch watch = {0};
    const uint64_t seed = 5;
    struct pipeline *pipeline;
    float sigmas[SIGMAS_MOST_STEPS + 1];
    int first;
    for (int i = 0; i < LATENT_FLOATS; i++)
        init[i] = (float)(i * 37 % 256) / 128 - 1;
    MUST(pipeline_open(&pipeline, &arch->folder, device, options, PIPELINE_AS_STORED));
    MUST(pipeline_prepare(pipeline, &request, sigmas, &first));
    MUST(pipeline_run(pipeline, &seed, 1, &image, &watch));
    ck_assert_int_eq(placement_report_count(pipeline_placement(pipeline)), 3);
    expect_as_predicted(pipeline_placement(pipeline));
    pipeline_close(pipeline);
    ck_assert_uint_eq(device->used_bytes, 0);
    ck_assert_uint_eq(device->host_bytes, 0);
}

START_TEST(a_vae_makes_one_image_in_every_way_on_cuda)
{
    static float expected[LATENT_FLOATS], first[LATENT_FLOATS], image[LATENT_FLOATS];
    static const enum placement_way ways[] = {PLACEMENT_MODEL, PLACEMENT_SEQUENTIAL};
    struct model_arch arch;
    struct device *cpu, *device;
    struct placement_options options = {.way = PLACEMENT_NONE, .prefetch = true};
    be_quiet();
    MUST(model_arch_open(&arch, "s3dit-1m-latent", true));
    MUST(device_open_cpu(&cpu, 1));
    make_latent_image(cpu, &arch, &options, KL_TILING_OFF, expected);
    device_close(cpu);
    MUST(cuda_open(&device));
    make_latent_image(device, &arch, &options, KL_TILING_OFF, first);
    for (int i = 0; i < LATENT_FLOATS; i++)
        ck_assert_msg(!(fabsf(first[i] - expected[i]) > 1e-3F), "%g, on the CPU %g",
                      (double)first[i], (double)expected[i]);
    for (int i = 0; i < 2; i++) {
        options = (struct placement_options){.way = ways[i], .prefetch = i == 0};
        emu_stream_order((unsigned)i % (unsigned)stream_orders);
        make_latent_image(device, &arch, &options, KL_TILING_BANDS, image);
        ck_assert_mem_eq(image, first, sizeof image);
    }
    emu_stream_order(0);
    device_close(device);
    model_arch_close(&arch);
}
END_TEST

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
    if (cuda_can("cuda_placement", has_token_operations)) {
        tcase_add_test(tests, every_way_makes_one_image_on_cuda);
        tcase_add_test(tests, a_vae_makes_one_image_in_every_way_on_cuda);
    }
    suite_add_tcase(suite, tests);
    return suite;
}
