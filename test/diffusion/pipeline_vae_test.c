/* Pipelines with a VAE: whole loops against diffusers' (diffusion_latent_goldens.py), and the same
 * bits whatever the threads, the images beside, the way weights are placed and the bands. */
#include "math/bf16.h"
#include "test/diffusion/pipeline_made.h"

Suite *pipeline_vae_test_suite(void);

enum { LATENT = 8, STATE = 4 * LATENT * LATENT };

static void set_up_latent(void)
{
    set_up();
    tiny_latent_model_write(in_folder("m"), TOKENIZER_LABELS);
    open_model();
}

/* What the first image was on the way. */
static float begun[STATE], made[STATE];

static int keep_states(void *context, int index, const char *name, int dims, const int64_t *shape,
                       const float *data)
{
    (void)context;
    bool is_begun = strcmp(name, "z0") == 0, is_last = strcmp(name, "step-008") == 0;
    ck_assert(strcmp(name, "picture") == 0 || (dims == 3 && shape[0] == 4 && shape[1] == LATENT));
    if (index == 0 && is_begun) memcpy(begun, data, sizeof begun);
    if (index == 0 && is_last) memcpy(made, data, sizeof made);
    return OK;
}

static void assert_latent_golden(const char *name, const float *got, int channels, int side)
{
    assert_golden("test/golden/diffusion_latent.safetensors", name, got, channels, side, side);
}

START_TEST(latent_loops_of_diffusers)
{
    static struct run one = {.threads = 1, .watch = {.tensor = keep_states}};
    float image[FLOATS];
    struct pipeline_request request = request_of(1);
    MUST(run_images(&request, &one, 42, 1, image));
    assert_latent_golden("text", image, 3, SIDE);
    request = request_of(0);
    request.init = picture;
    MUST(run_images(&request, &one, 42, 1, image));
    assert_latent_golden("image", image, 3, SIDE);
    request.mask = mask;
    MUST(run_images(&request, &one, 42, 1, image));
    assert_latent_golden("inpaint", image, 3, SIDE);
    assert_latent_golden("latents", made, 4, LATENT);
    for (int c = 0; c < 4; c++) /* what is kept is kept to the bit */
        for (int y = 0; y < LATENT; y++)
            for (int x = 0; x < LATENT; x++) {
                int at = (c * LATENT + y) * LATENT + x;
                bool anew = mask[2 * y * SIDE + 2 * x] > 0.5f;
                ck_assert_int_eq(memcmp(&made[at], &begun[at], sizeof(float)) == 0, !anew);
            }
    request.mask = NULL;
    request.tiling = KL_TILING_BLEND;
    MUST(run_images(&request, &one, 42, 1, image));
    assert_latent_golden("blend", image, 3, SIDE);
}
END_TEST

/* Without an init image the encoder is not even opened. */
START_TEST(only_what_is_used_is_opened)
{
    static struct run one = {.threads = 1, .options = {.place = true}};
    float image[2 * FLOATS];
    struct pipeline_request request = request_of(1);
    request.steps = 2;
    MUST(run_images(&request, &one, 42, 2, image));
    ck_assert_int_eq(one.counts.opened, 2);
    ck_assert_int_eq(one.report_count, 4); /* two of each stage */
    ck_assert_str_eq(one.reports[0].stage, "denoise");
    ck_assert_str_eq(one.reports[1].component, "decoder");
    request.init = picture;
    MUST(run_images(&request, &one, 42, 2, image));
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
    struct pipeline_request request = request_of(1);
    request.init = picture;
    request.mask = mask;
    request.steps = 2;
    static struct run one = {.threads = 1}, how;
    MUST(run_images(&request, &one, 7, N, first));
    for (int threads = 1; threads <= 3; threads++)
        for (int way = PLACEMENT_NONE; way <= PLACEMENT_SEQUENTIAL; way++)
            for (int batch = 1; batch <= N; batch += 3) {
                how = (struct run){.threads = threads,
                                   .watch = {.tensor = keep_states},
                                   .options = {.way = (enum placement_way)way,
                                               .place = true,
                                               .by_reading = threads == 3,
                                               .prefetch = batch > 1}};
                request.at_once = batch;
                request.tiling = tilings[(threads + way) % 3];
                run_in_little_memory(&request, &how, 7, N, other);
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
    struct pipeline_request request = request_of(1);
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
    static struct run how = {.threads = 1};
    MUST(run_images(&request, &how, 3, 1, widened));
    for (int t = 0; t < count; t++)
        list[t] = &halves[t];
    for (int place = 0; place < 2; place++) {
        how.options.place = place;
        MUST(run_images(&request, &how, 3, 1, image));
        ck_assert_mem_eq(image, widened, sizeof image);
    }
    model.vae.weights = stored;
    MUST(run_images(&request, &how, 3, 1, image));
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
    static struct run one = {.threads = 1};
    static float fine[SIDE * SIDE];
    float image[FLOATS];
    struct pipeline_request request = request_of(1);
    request.init = picture;
    request.mask = fine;
    fine[SIDE + 1] = 1.0f;
    ck_assert_int_eq(run_images(&request, &one, 1, 1, image), ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(error_message(), "too fine"));
    request = request_of(1);
    request.width = 18;
    ck_assert_int_eq(run_images(&request, &one, 1, 1, image), ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(error_message(), "multiple of 4"));
}
END_TEST

/* Of either network the tensor and the stage are named. */
START_TEST(weights_of_a_vae_that_are_no_numbers)
{
    static struct run one = {.threads = 1};
    float image[FLOATS];
    struct pipeline_request request = request_of(1);
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
        ck_assert_int_eq(run_images(&request, &one, 1, 1, image), ERR_DATA);
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
    tcase_add_checked_fixture(tests, set_up_latent, close_model);
    tcase_add_test(tests, latent_loops_of_diffusers);
    tcase_add_test(tests, only_what_is_used_is_opened);
    tcase_add_test(tests, latents_have_the_same_bits_in_every_way);
    tcase_add_test(tests, a_vae_of_half_precision);
    tcase_add_test(tests, masks_that_are_too_fine);
    tcase_add_test(tests, weights_of_a_vae_that_are_no_numbers);
    suite_add_tcase(suite, tests);
    return suite;
}
