/* Whole loops against diffusers' pipelines (diffusion_pipeline_goldens.py), and the same bits
 * whatever the threads, the images beside and the way weights are placed. */
#include "test/diffusion/pipeline_made.h"

static void set_up_model(void)
{
    set_up();
    tiny_model_write(in_folder("m"), TOKENIZER_LABELS);
    open_model();
}

static void assert_loop_golden(const char *name, const float *got, int height, int width)
{
    assert_golden("test/golden/diffusion_pipeline.safetensors", name, got, 3, height, width);
}

START_TEST(loops_of_diffusers)
{
    static struct run one = {.threads = 1};
    float image[FLOATS];
    struct pipeline_request request = request_of(1);
    MUST(run_images(&request, &one, 42, 1, image));
    assert_loop_golden("text", image, SIDE, SIDE);
    request = request_of(2);
    request.guidance = 1.5;
    MUST(run_images(&request, &one, 42, 1, image));
    assert_loop_golden("guided", image, SIDE, SIDE);
    request = request_of(0);
    request.init = picture;
    MUST(run_images(&request, &one, 42, 1, image));
    assert_loop_golden("image", image, SIDE, SIDE);
    request.mask = mask;
    MUST(run_images(&request, &one, 42, 1, image));
    assert_loop_golden("inpaint", image, SIDE, SIDE);
    for (int i = 0; i < FLOATS; i++) /* what is kept is kept to the bit */
        ck_assert(mask[i % (SIDE * SIDE)] > 0.5f || image[i] == picture[i]);
    request = request_of(1);
    request.steps = 3;
    request.height = 8;
    request.width = 24;
    MUST(run_images(&request, &one, 42, 1, image));
    assert_loop_golden("flat", image, 8, 24);
}
END_TEST

START_TEST(the_same_bits_in_every_way)
{
    enum { N = 4 };
    static float first[N * FLOATS], other[N * FLOATS];
    struct pipeline_request request = request_of(1);
    request.guidance = 2.0;
    request.without_count = 33; /* captions of unequal length */
    for (int k = 0; k < 33; k++)
        request.without[k] = k % 4;
    request.steps = 2;
    MUST(run_images(&request, &(struct run){.threads = 1}, 7, N, first));
    for (int threads = 1; threads <= 3; threads++)
        for (int way = PLACEMENT_NONE; way <= PLACEMENT_SEQUENTIAL; way++)
            for (int batch = 1; batch <= N; batch += 3) {
                struct run how = {.threads = threads,
                                  .options = {.way = (enum placement_way)way,
                                              .place = true,
                                              .by_reading = threads == 3,
                                              .prefetch = batch > 1}};
                request.at_once = batch;
                run_in_little_memory(&request, &how, 7, N, other);
                ck_assert_int_eq(memcmp(first, other, sizeof first), 0);
            }
    ck_assert_int_ne(memcmp(first, first + FLOATS, FLOATS * sizeof *first), 0);
}
END_TEST

START_TEST(too_little_memory_is_said_before)
{
    float image[FLOATS];
    struct pipeline_request request = request_of(1);
    for (int way = PLACEMENT_NONE; way <= PLACEMENT_AUTO; way++) {
        struct run how = {
            .threads = 1,
            .options = {.way = (enum placement_way)way, .place = true, .budget = 100000}};
        ck_assert_int_eq(run_images(&request, &how, 1, 1, image), ERR_DEVICE_MEMORY);
        ck_assert_ptr_nonnull(strstr(error_message(), "denoise"));
    }
}
END_TEST

START_TEST(requests_that_are_refused)
{
    static struct run one = {.threads = 1};
    float image[FLOATS];
    const struct {
        int width, height, steps, rows;
        double strength;
    } bad[] = {{15, 16, 8, 1, 0},   {0, 16, 8, 1, 0},    {100000, 16, 8, 1, 0},
               {16, 66, 8, 1, 0},   {16, 16, 0, 1, 0},   {16, 16, 1000000, 1, 0},
               {16, 16, 8, 0, 0},   {16, 16, 8, 128, 0}, {16, 16, 8, 1, 1.5},
               {16, 16, 8, 1, -0.5}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct pipeline_request request = request_of(1);
        request.width = bad[i].width;
        request.height = bad[i].height;
        request.steps = bad[i].steps;
        request.row_count = bad[i].rows;
        if (bad[i].strength != 0.0) {
            request.init = picture;
            request.strength = bad[i].strength;
        }
        ck_assert_int_eq(run_images(&request, &one, 1, 1, image), ERR_USAGE);
    }
}
END_TEST

/* A NaN in weights is never an image: the tensor and its block are named. */
START_TEST(weights_that_are_no_numbers)
{
    float image[FLOATS];
    const struct pipeline_request request = request_of(1);
    int broken = model.dit.list.tensor_count - 8;
    struct store_tensor tensor = *model.weights[broken];
    float *copy = malloc(tensor.bytes);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, tensor.data, tensor.bytes);
    copy[3] = NAN;
    tensor.data = copy;
    const struct store_tensor *sound = model.weights[broken];
    model.weights[broken] = &tensor;
    ck_assert_int_eq(run_images(&request, &(struct run){.threads = 1}, 1, 1, image), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), tensor.name));
    ck_assert_ptr_nonnull(strstr(error_message(), "denoise"));
    model.weights[broken] = sound;
    free(copy);
}
END_TEST

/* Likewise of the table, also the second time: nothing is kept of a prompt that failed. */
START_TEST(rows_that_are_no_numbers)
{
    struct device *device;
    struct pipeline *pipeline;
    const struct pipeline_request request = request_of(1);
    const struct placement_options options = {.way = PLACEMENT_NONE};
    float sigmas[SIGMAS_MOST_STEPS + 1];
    int first;
    struct store_tensor table = *model.reader.table;
    float *copy = malloc(table.bytes);
    ck_assert_ptr_nonnull(copy);
    for (size_t i = 0; i < table.bytes / sizeof *copy; i++)
        copy[i] = NAN;
    table.data = copy;
    table.is_copy = true;
    const struct store_tensor *sound = model.reader.table;
    model.reader.table = &table;
    MUST(device_open(&device, "cpu", 1));
    MUST(pipeline_open(&pipeline, &model, device, &options, PIPELINE_AS_STORED));
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pipeline_prepare(pipeline, &request, sigmas, &first), ERR_DATA);
    model.reader.table = sound;
    MUST(pipeline_prepare(pipeline, &request, sigmas, &first));
    pipeline_close(pipeline);
    device_close(device);
    free(copy);
}
END_TEST

/* How often the pipeline may look before it is told to stop, and how many steps it had done. */
static int stop_looks, stop_steps;

static bool stop_after_looks(void)
{
    return stop_looks-- <= 0;
}

static void stop_count(void *context, int done, int total)
{
    (void)context;
    (void)total;
    stop_steps = done;
}

/* At once, and within the first step: one of a large image takes long. */
START_TEST(stopped_between_blocks)
{
    struct device *device;
    struct pipeline *pipeline;
    const struct pipeline_request request = request_of(1);
    const struct pipeline_watch watch = {.step = stop_count, .stop_requested = stop_after_looks};
    const struct placement_options options = {.way = PLACEMENT_NONE};
    float sigmas[SIGMAS_MOST_STEPS + 1], image[FLOATS], *images[1] = {image};
    const uint64_t seed = 1;
    int first;
    MUST(device_open(&device, "cpu", 1));
    MUST(pipeline_open(&pipeline, &model, device, &options, PIPELINE_AS_STORED));
    MUST(pipeline_prepare(pipeline, &request, sigmas, &first));
    for (int looks = 0; looks < 3; looks++) {
        stop_looks = looks;
        stop_steps = 0;
        ck_assert_int_eq(pipeline_run(pipeline, &seed, 1, images, &watch), ERR_STOPPED);
        ck_assert_int_eq(stop_steps, 0);
    }
    ck_assert_int_eq(pipeline_run(pipeline, &seed, 1, images, &(struct pipeline_watch){0}), OK);
    pipeline_close(pipeline);
    ck_assert_uint_eq(device->used_bytes, 0);
    device_close(device);
}
END_TEST

Suite *pipeline_test_suite(void);
Suite *pipeline_test_suite(void)
{
    Suite *suite = suite_create("pipeline_test");
    TCase *tests = tcase_create("loops");
    tcase_add_checked_fixture(tests, set_up_model, close_model);
    tcase_add_test(tests, loops_of_diffusers);
    tcase_add_test(tests, the_same_bits_in_every_way);
    tcase_add_test(tests, too_little_memory_is_said_before);
    tcase_add_test(tests, requests_that_are_refused);
    tcase_add_test(tests, weights_that_are_no_numbers);
    tcase_add_test(tests, rows_that_are_no_numbers);
    tcase_add_test(tests, stopped_between_blocks);
    suite_add_tcase(suite, tests);
    return suite;
}
