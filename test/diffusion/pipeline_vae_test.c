/* Pipelines with a VAE: whole loops against diffusers' (diffusion_latent_goldens.py), and the same
 * bits whatever the threads, the images beside, the way weights are placed and the bands. */
#include "diffusion/pipeline/pipeline.h"
#include "math/bf16.h"
#include "test/diffusion/tiny_model.h"
#include "test/support.h"

#include <math.h>

Suite *pipeline_vae_test_suite(void);

enum { SIDE = 16, FLOATS = 3 * SIDE * SIDE, LATENT = 8, STATE = 4 * LATENT * LATENT };

static struct model_folder model;
static float picture[FLOATS], mask[SIDE * SIDE];

static void set_up_latent(void)
{
    set_up();
    tiny_latent_model_write(in_folder("m"), TEXT_LABELS);
    MUST(model_folder_open(&model, in_folder("m")));
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            mask[y * SIDE + x] = y >= 4 && y < 13 && x >= 5 && x < 12 ? 1.0f : 0.0f;
            for (int c = 0; c < 3; c++)
                picture[(c * SIDE + y) * SIDE + x] =
                    (float)((x * 16 + y * 7 + c * 60) % 256) / 255.0f * 2.0f - 1.0f;
        }
}

static void tear_down_latent(void)
{
    model_folder_close(&model);
    folder_remove();
}

static struct pipeline_request latent_request(int row)
{
    return (struct pipeline_request){.width = SIDE,
                                     .height = SIDE,
                                     .steps = 8,
                                     .rows = {row},
                                     .row_count = 1,
                                     .without = {3},
                                     .without_count = 1,
                                     .strength = 0.6,
                                     .noise = NOISE_TORCH,
                                     .at_once = 1};
}

/* How images are made, and what is looked at on the way. */
struct latent_run {
    int threads;
    struct placement_options options;
    float begun[STATE], made[STATE];
    struct placement_counts counts;
    struct placement_report reports[8];
    int report_count;
};

static int keep_states(void *context, int index, const char *name, int dims, const int64_t *shape,
                       const float *data)
{
    struct latent_run *run = context;
    bool is_begun = strcmp(name, "z0") == 0, is_last = strcmp(name, "step-008") == 0;
    ck_assert(strcmp(name, "picture") == 0 || (dims == 3 && shape[0] == 4 && shape[1] == LATENT));
    if (index == 0 && is_begun) memcpy(run->begun, data, sizeof run->begun);
    if (index == 0 && is_last) memcpy(run->made, data, sizeof run->made);
    return OK;
}

/* images [n][FLOATS] of seeds `seed`, `seed` + 1, ... */
static int latent_images(const struct pipeline_request *request, struct latent_run *how,
                         uint64_t seed, int n, float *images)
{
    struct device *device;
    struct pipeline *pipeline;
    const struct pipeline_watch watch = {.tensor = keep_states, .context = how};
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
    const struct placement *placement = pipeline_placement(pipeline);
    how->counts = *placement_counts(placement);
    how->report_count = placement_report_count(placement);
    for (int i = 0; i < how->report_count && i < 8; i++)
        how->reports[i] = *placement_report_at(placement, i);
    pipeline_close(pipeline);
    ck_assert_uint_eq(device->used_bytes, 0);
    ck_assert_uint_eq(device->host_bytes, 0);
    device_close(device);
    return code;
}

static void assert_latent_golden(const char *name, const float *got, int channels, int side)
{
    struct store_file *file;
    const int64_t shape[3] = {channels, side, side};
    float wanted[FLOATS];
    double off = 0.0, largest = 0.0;
    MUST(store_open(&file, "test/golden/diffusion_latent.safetensors"));
    MUST(store_read_f32(file, name, 3, shape, wanted));
    store_close(file);
    for (int i = 0; i < channels * side * side; i++) {
        off = fmax(off, fabs((double)got[i] - (double)wanted[i]));
        largest = fmax(largest, fabs((double)wanted[i]));
    }
    ck_assert_msg(off <= 1e-4 * largest, "%s: %g off, of %g", name, off, largest);
}

START_TEST(latent_loops_of_diffusers)
{
    static struct latent_run one = {.threads = 1};
    float image[FLOATS];
    struct pipeline_request request = latent_request(1);
    MUST(latent_images(&request, &one, 42, 1, image));
    assert_latent_golden("text", image, 3, SIDE);
    request = latent_request(0);
    request.init = picture;
    MUST(latent_images(&request, &one, 42, 1, image));
    assert_latent_golden("image", image, 3, SIDE);
    request.mask = mask;
    MUST(latent_images(&request, &one, 42, 1, image));
    assert_latent_golden("inpaint", image, 3, SIDE);
    assert_latent_golden("latents", one.made, 4, LATENT);
    for (int c = 0; c < 4; c++) /* what is kept is kept to the bit */
        for (int y = 0; y < LATENT; y++)
            for (int x = 0; x < LATENT; x++) {
                int at = (c * LATENT + y) * LATENT + x;
                bool anew = mask[2 * y * SIDE + 2 * x] > 0.5f;
                ck_assert_int_eq(memcmp(&one.made[at], &one.begun[at], sizeof(float)) == 0, !anew);
            }
    request.mask = NULL;
    request.tiling = KL_TILING_BLEND;
    MUST(latent_images(&request, &one, 42, 1, image));
    assert_latent_golden("blend", image, 3, SIDE);
}
END_TEST

/* Without an init image the encoder is not even opened. */
START_TEST(only_what_is_used_is_opened)
{
    static struct latent_run one = {.threads = 1, .options = {.place = true}};
    float image[2 * FLOATS];
    struct pipeline_request request = latent_request(1);
    request.steps = 2;
    MUST(latent_images(&request, &one, 42, 2, image));
    ck_assert_int_eq(one.counts.opened, 2);
    ck_assert_int_eq(one.report_count, 4); /* two of each stage */
    ck_assert_str_eq(one.reports[0].stage, "denoise");
    ck_assert_str_eq(one.reports[1].component, "decoder");
    request.init = picture;
    MUST(latent_images(&request, &one, 42, 2, image));
    ck_assert_int_eq(one.counts.opened, 3);
    ck_assert_int_eq(one.report_count, 5); /* encoded once for both */
    ck_assert_str_eq(one.reports[0].stage, "encode");
}
END_TEST

START_TEST(latents_have_the_same_bits_in_every_way)
{
    enum { N = 4 };
    static float first[N * FLOATS], other[N * FLOATS];
    static const enum kl_tiling tilings[] = {KL_TILING_AUTO, KL_TILING_OFF, KL_TILING_BANDS};
    struct pipeline_request request = latent_request(1);
    request.init = picture;
    request.mask = mask;
    request.steps = 2;
    static struct latent_run one = {.threads = 1}, how;
    MUST(latent_images(&request, &one, 7, N, first));
    for (int threads = 1; threads <= 3; threads++)
        for (int way = PLACEMENT_NONE; way <= PLACEMENT_SEQUENTIAL; way++)
            for (int batch = 1; batch <= N; batch += 3) {
                how = (struct latent_run){.threads = threads,
                                          .options = {.way = (enum placement_way)way,
                                                      .place = true,
                                                      .by_reading = threads == 3,
                                                      .prefetch = batch > 1}};
                int code;
                /* the least budget that does, so that most blocks pass by */
                if (way == PLACEMENT_SEQUENTIAL) how.options.budget = 1 << 20;
                request.at_once = batch;
                request.tiling = tilings[(threads + way) % 3];
                while ((code = latent_images(&request, &how, 7, N, other)) == ERR_DEVICE_MEMORY &&
                       way == PLACEMENT_SEQUENTIAL)
                    how.options.budget += 128 << 10;
                MUST(code);
                ck_assert_int_eq(memcmp(first, other, sizeof first), 0);
                for (int i = 0; i < how.report_count && i < 8; i++) {
                    const struct placement_report *r = &how.reports[i];
                    ck_assert_uint_eq(r->device_bytes, r->predicted.device_bytes);
                    ck_assert_uint_eq(r->host_bytes, r->predicted.host_bytes);
                    ck_assert_int_eq(r->copies, r->predicted.copies);
                    ck_assert_uint_eq(r->copied_bytes, r->predicted.copied_bytes);
                    ck_assert_int_eq(r->falls, 0);
                }
            }
    ck_assert_int_ne(memcmp(first, first + FLOATS, FLOATS * sizeof *first), 0);
}
END_TEST

/* Weights of half precision are widened, wherever: the picture is that of the numbers they stand
 * for. */
START_TEST(a_vae_of_half_precision)
{
    static float widened[FLOATS], image[FLOATS];
    int count = model.vae.tensor_count;
    struct store_tensor *halves = calloc((size_t)count, sizeof *halves);
    struct store_tensor *floats = calloc((size_t)count, sizeof *floats);
    const struct store_tensor **stored = model.vae.weights, *list[256];
    struct pipeline_request request = latent_request(1);
    request.init = picture;
    request.steps = 1;
    ck_assert_int_le(count, 256);
    for (int t = 0; t < count; t++) {
        size_t numbers = stored[t]->bytes / sizeof(float);
        uint16_t *half = malloc(numbers * sizeof *half);
        float *wide = malloc(numbers * sizeof *wide);
        for (size_t i = 0; i < numbers; i++) {
            half[i] = bf16_round(((const float *)stored[t]->data)[i]);
            wide[i] = bf16_value(half[i]);
        }
        halves[t] = floats[t] = *stored[t];
        halves[t].type = TENSOR_BF16;
        halves[t].data = half;
        halves[t].bytes = numbers * sizeof *half;
        floats[t].data = wide;
        halves[t].is_copy = floats[t].is_copy = true;
        list[t] = &floats[t];
    }
    model.vae.weights = list;
    static struct latent_run how = {.threads = 1};
    MUST(latent_images(&request, &how, 3, 1, widened));
    for (int t = 0; t < count; t++)
        list[t] = &halves[t];
    for (int place = 0; place < 2; place++) {
        how.options.place = place;
        MUST(latent_images(&request, &how, 3, 1, image));
        ck_assert_mem_eq(image, widened, sizeof image);
    }
    model.vae.weights = stored;
    MUST(latent_images(&request, &how, 3, 1, image));
    ck_assert(memcmp(image, widened, sizeof image) != 0);
    for (int t = 0; t < count; t++) {
        free((void *)(uintptr_t)halves[t].data);
        free((void *)(uintptr_t)floats[t].data);
    }
    free(halves);
    free(floats);
}
END_TEST

START_TEST(masks_that_are_too_fine)
{
    static struct latent_run one = {.threads = 1};
    static float fine[SIDE * SIDE];
    float image[FLOATS];
    struct pipeline_request request = latent_request(1);
    request.init = picture;
    request.mask = fine;
    fine[SIDE + 1] = 1.0f;
    ck_assert_int_eq(latent_images(&request, &one, 1, 1, image), ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(error_message(), "too fine"));
    request = latent_request(1);
    request.width = 18;
    ck_assert_int_eq(latent_images(&request, &one, 1, 1, image), ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(error_message(), "multiple of 4"));
}
END_TEST

/* Of either network the tensor and the stage are named. */
START_TEST(weights_of_a_vae_that_are_no_numbers)
{
    static struct latent_run one = {.threads = 1};
    float image[FLOATS];
    struct pipeline_request request = latent_request(1);
    request.steps = 1;
    request.init = picture;
    for (int decoder = 0; decoder < 2; decoder++) {
        int broken = decoder ? model.vae.tensor_count - 1 : 2;
        struct store_tensor tensor = *model.vae.weights[broken];
        const struct store_tensor *sound = model.vae.weights[broken];
        float *copy = malloc(tensor.bytes);
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, tensor.data, tensor.bytes);
        copy[0] = NAN;
        tensor.data = copy;
        model.vae.weights[broken] = &tensor;
        ck_assert_int_eq(latent_images(&request, &one, 1, 1, image), ERR_DATA);
        ck_assert_ptr_nonnull(strstr(error_message(), tensor.name));
        ck_assert_ptr_nonnull(strstr(error_message(), decoder ? "decode" : "encode"));
        model.vae.weights[broken] = sound;
        free(copy);
    }
}
END_TEST

Suite *pipeline_vae_test_suite(void)
{
    Suite *suite = suite_create("pipeline_vae_test");
    TCase *tests = tcase_create("latent");
    tcase_add_checked_fixture(tests, set_up_latent, tear_down_latent);
    tcase_add_test(tests, latent_loops_of_diffusers);
    tcase_add_test(tests, only_what_is_used_is_opened);
    tcase_add_test(tests, latents_have_the_same_bits_in_every_way);
    tcase_add_test(tests, a_vae_of_half_precision);
    tcase_add_test(tests, masks_that_are_too_fine);
    tcase_add_test(tests, weights_of_a_vae_that_are_no_numbers);
    suite_add_tcase(suite, tests);
    return suite;
}
