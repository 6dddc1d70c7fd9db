/* The pipeline's memory: none of its allocations may fail badly, and a second mode over the same
 * weights brings none of them again. */
#include "device/device.h"
#include "diffusion/model/model_arch.h"
#include "diffusion/pipeline/pipeline.h"
#include "placement/placement.h"
#include "registry/devices.h"
#include "test/support.h"

Suite *pipeline_memory_test_suite(void);

enum { SIDE = 16, FLOATS = 3 * SIDE * SIDE };

static struct model_arch arch, latent_arch;

static void arch_set_up(void)
{
    be_quiet();
    MUST(model_arch_open(&arch, "s3dit-1m", true));
    MUST(model_arch_open(&latent_arch, "s3dit-1m-latent", true));
}

static void arch_tear_down(void)
{
    model_arch_close(&arch);
    model_arch_close(&latent_arch);
}

static struct pipeline_request request_of(const float *init)
{
    return (struct pipeline_request){.width = SIDE,
                                     .height = SIDE,
                                     .steps = 2,
                                     .row_count = 1,
                                     .init = init,
                                     .strength = 1,
                                     .noise = NOISE_PHILOX,
                                     .at_once = 1};
}

static int run_once(struct pipeline *pipeline, const struct pipeline_request *request, float *image)
{
    const uint64_t seed = 3;
    const struct pipeline_watch watch = {0};
    float sigmas[SIGMAS_MOST_STEPS + 1];
    int first;
    TRY(pipeline_prepare(pipeline, request, sigmas, &first));
    return pipeline_run(pipeline, &seed, 1, &image, &watch);
}

static int allocations, fails_from, fails_to;
static int (*alloc_before)(struct device *device, size_t bytes, void **memory);

static int failing_alloc(struct device *device, size_t bytes, void **memory)
{
    if (bytes > 0 && ++allocations >= fails_from && allocations <= fails_to) {
        *memory = NULL;
        return (fail)(ERR_DEVICE_MEMORY, "allocation %d fails", allocations);
    }
    return alloc_before(device, bytes, memory);
}

/* Two images one after the other, while allocations `from` to `to` fail; how each ended. Of a model
 * with a VAE they are begun with an image, so that all three components are there. */
static void run_while_failing(const struct model_folder *model, enum placement_way way, int from,
                              int to, int codes[2], float images[2][FLOATS])
{
    static float init[FLOATS];
    const struct placement_options options = {
        .way = way, .place = true, .budget = way == PLACEMENT_AUTO ? 0 : 1 << 30};
    const struct pipeline_request request = request_of(model->has_vae ? init : NULL);
    struct pipeline *pipeline;
    struct device *device;
    MUST(device_open(&device, "cpu", 1));
    alloc_before = device->alloc;
    device->alloc = failing_alloc;
    allocations = 0, fails_from = from, fails_to = to;
    MUST(pipeline_open(&pipeline, model, device, &options, PIPELINE_AS_STORED));
    for (int i = 0; i < 2; i++)
        codes[i] = run_once(pipeline, &request, images[i]);
    pipeline_close(pipeline);
    ck_assert_uint_eq(device->used_bytes, 0);
    ck_assert_uint_eq(device->host_bytes, 0);
    device_close(device);
}

START_TEST(no_failed_allocation_makes_another_image)
{
    static float expected[2][FLOATS], images[2][FLOATS];
    const struct model_folder *model = _i % 2 ? &latent_arch.folder : &arch.folder;
    enum placement_way way = (enum placement_way)(_i / 2);
    int codes[2];
    run_while_failing(model, way, 0, 0, codes, expected);
    ck_assert(codes[0] == OK && codes[1] == OK);
    ck_assert_mem_eq(expected[0], expected[1], sizeof expected[0]);
    int count = allocations;
    ck_assert_int_ge(count, 2);
    for (int k = 1; k <= count; k++) {
        run_while_failing(model, way, k, k, codes, images);
        ck_assert(codes[0] == OK && codes[1] == OK);
        ck_assert_mem_eq(images, expected, sizeof images);
        run_while_failing(model, way, k, 1 << 30, codes, images);
        for (int i = 0; i < 2; i++) {
            ck_assert(codes[i] == OK || codes[i] == ERR_DEVICE_MEMORY);
            if (codes[i] == OK) ck_assert_mem_eq(images[i], expected[0], sizeof images[i]);
        }
        ck_assert_int_eq(codes[1], ERR_DEVICE_MEMORY);
    }
}
END_TEST

START_TEST(a_second_mode_brings_no_weights)
{
    const struct placement_options options = {.way = PLACEMENT_AUTO, .place = true};
    static float image[FLOATS], init[FLOATS];
    struct pipeline_request request = request_of(NULL);
    struct pipeline *pipeline;
    struct device *device;
    MUST(device_open(&device, "cpu", 1));
    MUST(pipeline_open(&pipeline, &arch.folder, device, &options, PIPELINE_AS_STORED));
    MUST(run_once(pipeline, &request, image));
    struct placement_counts first = *placement_counts(pipeline_placement(pipeline));
    ck_assert_uint_gt(first.copied_bytes, 4 * arch.folder.dit.list.parameter_total);
    request = request_of(init); /* image to image */
    request.strength = .6;
    MUST(run_once(pipeline, &request, image));
    const struct placement_counts *second = placement_counts(pipeline_placement(pipeline));
    ck_assert_uint_eq(second->copied_bytes, first.copied_bytes);
    ck_assert_int_eq(second->opened, 1);
    pipeline_close(pipeline);
    device_close(device);
}
END_TEST

Suite *pipeline_memory_test_suite(void)
{
    Suite *suite = suite_create("pipeline_memory_test");
    TCase *tests = tcase_create("pipeline_memory");
    tcase_add_checked_fixture(tests, arch_set_up, arch_tear_down);
    tcase_add_loop_test(tests, no_failed_allocation_makes_another_image, 0,
                        2 * (PLACEMENT_AUTO + 1));
    tcase_add_test(tests, a_second_mode_brings_no_weights);
    suite_add_tcase(suite, tests);
    return suite;
}
