/* The text encoder on CUDA beside the CPU, in whatever order the queues and blocks get on; and in
 * its place before a denoiser, with all ways to place the weights. */
#include "diffusion/pipeline/pipeline.h"
#include "test/cuda/cuda_ops.h"
#include "test/diffusion/flux_text_fixture.h"
#include "test/diffusion/tiny_flux.h"
#include "test/diffusion/tiny_zimage.h"
#include "test/near.h"

Suite *cuda_text_suite(void);

enum { MOST = 64 * 32 };

static void cuda_features(struct device *device, const struct qwen3_config *config,
                          const int *lengths, float *features)
{
    qwen3_features_of(config, device, TOKEN_BF16, 2, lengths, features);
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
    MUST(device_open_cpu(&device, 1));
    cuda_features(device, &config, lengths[_i], cpu);
    MUST(cuda_open(&device));
    cuda_features(device, &config, lengths[_i], cuda);
    double error = relative_error(cuda, cpu, count);
    ck_assert_msg(error <= 1e-4, "%g off", error);
    emu_stream_order(1);
    emu_grid_order(true);
    MUST(cuda_open(&device));
    cuda_features(device, &config, lengths[_i], again);
    emu_stream_order(0);
    emu_grid_order(false);
    ck_assert_mem_eq(cuda, again, count * sizeof *cuda);
}
END_TEST

/* Both of FLUX.1's; two prompts each. */
static void cuda_flux_text(struct device *device, float *features, float *vectors)
{
    static const int lengths[] = {20, 12};
    const struct t5_config t5 = t5_small();
    const struct clip_config clip = clip_odd();
    t5_features(&t5, device, TOKEN_BF16, 2, 33, NULL, features);
    clip_vectors(&clip, device, TOKEN_BF16, 2, lengths, vectors);
    ck_assert_uint_eq(device->used_bytes, 0);
    device_close(device);
}

START_TEST(what_flux_reads_is_that_of_the_cpu)
{
    enum { FEATURES = 2 * 33 * 32, VECTORS = 2 * 30 };
    static float cpu[FEATURES], cuda[FEATURES];
    float cpu_vectors[VECTORS], cuda_vectors[VECTORS];
    struct device *device;
    MUST(device_open_cpu(&device, 1));
    cuda_flux_text(device, cpu, cpu_vectors);
    MUST(cuda_open(&device));
    cuda_flux_text(device, cuda, cuda_vectors);
    double error = relative_error(cuda, cpu, FEATURES);
    ck_assert_msg(error <= 1e-4, "T5: %g off", error);
    error = relative_error(cuda_vectors, cpu_vectors, VECTORS);
    ck_assert_msg(error <= 1e-4, "CLIP: %g off", error);
}
END_TEST

/* ---- from a prompt to an image ---- */

enum { OFFICIAL_SIDE = 16, OFFICIAL_FLOATS = 3 * OFFICIAL_SIDE * OFFICIAL_SIDE };

/* One step: of Z-Image away from another prompt, of FLUX.1 guided by a number. */
static struct pipeline_request official_request(const struct model_folder *model)
{
    static const char prompt[] = "a red cat";
    struct pipeline_request r = {.width = OFFICIAL_SIDE,
                                 .height = OFFICIAL_SIDE,
                                 .steps = 1,
                                 .row_count = 5,
                                 .without_count = 1,
                                 .guidance = 1,
                                 .noise = NOISE_PHILOX,
                                 .at_once = 1};
    text_prompt(5, r.rows);
    if (!model->pooled.layers.network) return r;
    r.text_length = 9;
    r.without_count = 0;
    MUST(model_text_rows(model, "a prompt", prompt, strlen(prompt), 9, r.rows, &r.row_count));
    MUST(model_pooled_rows(model, "a prompt", prompt, strlen(prompt), r.pooled_rows,
                           &r.pooled_count));
    return r;
}

/* The most that a stage took. */
static size_t official_make(struct device *device, const struct model_folder *model,
                            const struct placement_options *options, float *image)
{
    const struct pipeline_request request = official_request(model);
    const struct pipeline_watch watch = {.tensor = NULL};
    const uint64_t seed = 5;
    struct pipeline *pipeline;
    float sigmas[SIGMAS_MOST_STEPS + 1];
    size_t most = 0;
    int first, stages = model->pooled.layers.network ? 4 : 3;
    MUST(pipeline_open(&pipeline, model, device, options, PIPELINE_AS_STORED));
    MUST(pipeline_prepare(pipeline, &request, sigmas, &first));
    MUST(pipeline_run(pipeline, &seed, 1, &image, &watch));
    const struct placement *placement = pipeline_placement(pipeline);
    ck_assert_int_eq(placement_report_count(placement), stages);
    ck_assert_str_eq(placement_report_at(placement, 0)->component, "text_encoder");
    for (int i = 0; i < stages; i++) {
        const struct placement_report *r = placement_report_at(placement, i);
        ck_assert_uint_eq(r->device_bytes, r->predicted.device_bytes);
        ck_assert_uint_eq(r->host_bytes, r->predicted.host_bytes);
        ck_assert_int_eq(r->copies, r->predicted.copies);
        ck_assert_uint_eq(r->copied_bytes, r->predicted.copied_bytes);
        if (options->way != PLACEMENT_NONE) ck_assert_uint_eq(r->predicted.kept_bytes, 0);
        if (r->device_bytes > most) most = r->device_bytes;
    }
    pipeline_close(pipeline);
    ck_assert_uint_eq(device->used_bytes, 0);
    ck_assert_uint_eq(device->host_bytes, 0);
    return most;
}

/* Of Z-Image, of FLUX.1. */
START_TEST(every_way_makes_one_image_on_cuda)
{
    static float expected[OFFICIAL_FLOATS], first[OFFICIAL_FLOATS], image[OFFICIAL_FLOATS];
    static const struct zimage_files files = {.type = TENSOR_BF16, .shards = 1};
    struct placement_options options = {.way = PLACEMENT_NONE, .prefetch = true};
    struct model_folder model;
    struct device *device;
    set_up();
    if (_i == 0)
        zimage_write(in_folder("m"), &files);
    else
        flux_write(in_folder("m"), true, &files);
    MUST(model_folder_open(&model, in_folder("m")));
    MUST(device_open_cpu(&device, 1));
    official_make(device, &model, &options, expected);
    device_close(device);
    MUST(cuda_open(&device));
    size_t most = official_make(device, &model, &options, first);
    for (int i = 0; i < OFFICIAL_FLOATS; i++)
        ck_assert_msg(fabsf(first[i] - expected[i]) <= 1e-3F, "%g, on the CPU %g", (double)first[i],
                      (double)expected[i]);
    for (int way = PLACEMENT_MODEL; way <= PLACEMENT_SEQUENTIAL; way++) {
        options.way = (enum placement_way)way;
        options.budget = way == PLACEMENT_SEQUENTIAL ? (int64_t)(most - most / 12) : 0;
        emu_stream_order((unsigned)way % (unsigned)stream_orders);
        size_t less = official_make(device, &model, &options, image);
        ck_assert_uint_lt(less, most);
        ck_assert_mem_eq(image, first, sizeof image);
        most = less;
    }
    emu_stream_order(0);
    device_close(device);
    model_folder_close(&model);
    folder_remove();
}
END_TEST

Suite *cuda_text_suite(void)
{
    Suite *suite = suite_create("cuda_text");
    if (!cuda_here("cuda_text")) return suite;
    TCase *tests = tcase_create("text");
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_loop_test(tests, features_are_those_of_the_cpu, 0, 2);
    tcase_add_test(tests, what_flux_reads_is_that_of_the_cpu);
    tcase_add_loop_test(tests, every_way_makes_one_image_on_cuda, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
