/* Whole loops against diffusers' pipelines (diffusion_pipeline_goldens.py), and the same bits
 * whatever the threads, the images beside and the way weights are placed. */
#include "diffusion/pipeline/pipeline.h"
#include "test/diffusion/tiny_model.h"
#include "test/support.h"

#include <math.h>

enum { SIDE = 16, FLOATS = 3 * SIDE * SIDE, ROW_NONE = 3 };

static struct model_folder model;

static void set_up_model(void)
{
    set_up();
    tiny_model_write(in_folder("m"), TEXT_LABELS);
    MUST(model_folder_open(&model, in_folder("m")));
}

static void tear_down_model(void)
{
    model_folder_close(&model);
    folder_remove();
}

static struct pipeline_request request_of(int row)
{
    return (struct pipeline_request){.width = SIDE,
                                     .height = SIDE,
                                     .steps = 8,
                                     .rows = {row},
                                     .row_count = 1,
                                     .without = {ROW_NONE},
                                     .without_count = 1,
                                     .strength = 0.6,
                                     .noise = NOISE_TORCH,
                                     .at_once = 1};
}

struct run {
    int threads;
    struct placement_options options;
};

/* images [n][FLOATS] of seeds `seed`, `seed` + 1, ... */
static int run_images(const struct pipeline_request *request, const struct run *how, uint64_t seed,
                      int n, float *images)
{
    struct device *device;
    struct pipeline *pipeline;
    const struct pipeline_watch watch = {0};
    float sigmas[SIGMAS_MOST_STEPS + 1];
    int first;
    MUST(device_open(&device, "cpu", how->threads));
    MUST(pipeline_open(&pipeline, &model, device, &how->options, PIPELINE_AS_STORED));
    int code = pipeline_prepare(pipeline, request, sigmas, &first);
    for (int i = 0; code == OK && i < n; i += request->at_once) {
        uint64_t seeds[8];
        float *at[8];
        int now = n - i < request->at_once ? n - i : request->at_once;
        for (int k = 0; k < now; k++) {
            seeds[k] = seed + (uint64_t)(i + k);
            at[k] = images + (size_t)(i + k) * FLOATS;
        }
        code = pipeline_run(pipeline, seeds, now, at, &watch);
    }
    pipeline_close(pipeline);
    ck_assert_uint_eq(device->used_bytes, 0);
    device_close(device);
    return code;
}

static void draw_init(float *picture)
{
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                picture[(c * SIDE + y) * SIDE + x] =
                    (float)((x * 16 + y * 7 + c * 60) % 256) / 255.0f * 2.0f - 1.0f;
}

static void draw_inpaint_mask(float *mask)
{
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            mask[y * SIDE + x] = y >= 4 && y < 13 && x >= 5 && x < 12 ? 1.0f : 0.0f;
}

static void assert_golden(const char *name, const float *got, int height, int width)
{
    struct store_file *file;
    const int64_t shape[3] = {3, height, width};
    float wanted[FLOATS];
    double off = 0.0, largest = 0.0;
    MUST(store_open(&file, "test/golden/diffusion_pipeline.safetensors"));
    MUST(store_read_f32(file, name, 3, shape, wanted));
    store_close(file);
    for (int i = 0; i < 3 * height * width; i++) {
        off = fmax(off, fabs((double)got[i] - (double)wanted[i]));
        largest = fmax(largest, fabs((double)wanted[i]));
    }
    ck_assert_msg(off <= 1e-4 * largest, "%s: %g off, of %g", name, off, largest);
}

START_TEST(loops_of_diffusers)
{
    static const struct run one = {.threads = 1};
    float picture[FLOATS], mask[SIDE * SIDE], image[FLOATS];
    draw_init(picture);
    draw_inpaint_mask(mask);
    struct pipeline_request request = request_of(1);
    MUST(run_images(&request, &one, 42, 1, image));
    assert_golden("text", image, SIDE, SIDE);
    request = request_of(2);
    request.guidance = 1.5;
    MUST(run_images(&request, &one, 42, 1, image));
    assert_golden("guided", image, SIDE, SIDE);
    request = request_of(0);
    request.init = picture;
    MUST(run_images(&request, &one, 42, 1, image));
    assert_golden("image", image, SIDE, SIDE);
    request.mask = mask;
    MUST(run_images(&request, &one, 42, 1, image));
    assert_golden("inpaint", image, SIDE, SIDE);
    for (int i = 0; i < FLOATS; i++) /* what is kept is kept to the bit */
        ck_assert(mask[i % (SIDE * SIDE)] > 0.5f || image[i] == picture[i]);
    request = request_of(1);
    request.steps = 3;
    request.height = 8;
    request.width = 24;
    MUST(run_images(&request, &one, 42, 1, image));
    assert_golden("flat", image, 8, 24);
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
                /* the least budget that does, so that most blocks pass by */
                int code;
                if (way == PLACEMENT_SEQUENTIAL) how.options.budget = 1 << 20;
                request.at_once = batch;
                while ((code = run_images(&request, &how, 7, N, other)) == ERR_DEVICE_MEMORY &&
                       way == PLACEMENT_SEQUENTIAL)
                    how.options.budget += 128 << 10;
                MUST(code);
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
        const struct run how = {
            .threads = 1,
            .options = {.way = (enum placement_way)way, .place = true, .budget = 100000}};
        ck_assert_int_eq(run_images(&request, &how, 1, 1, image), ERR_DEVICE_MEMORY);
        ck_assert_ptr_nonnull(strstr(error_message(), "denoise"));
    }
}
END_TEST

START_TEST(requests_that_are_refused)
{
    static const struct run one = {.threads = 1};
    float image[FLOATS], picture[FLOATS];
    draw_init(picture);
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
    int broken = model.dit.tensor_count - 8;
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
    tcase_add_checked_fixture(tests, set_up_model, tear_down_model);
    tcase_add_test(tests, loops_of_diffusers);
    tcase_add_test(tests, the_same_bits_in_every_way);
    tcase_add_test(tests, too_little_memory_is_said_before);
    tcase_add_test(tests, requests_that_are_refused);
    tcase_add_test(tests, weights_that_are_no_numbers);
    tcase_add_test(tests, stopped_between_blocks);
    suite_add_tcase(suite, tests);
    return suite;
}
