/* FLUX.1's text encoders against transformers' (flux_text_goldens.py), and the same bits whatever
 * the threads and the prompts beside. */
#include "flux_text_fixture.h"
#include "store/json_file.h"
#include "store/safetensors.h"
#include "test/diffusion/timed_block.h"
#include "test/near.h"

Suite *flux_text_test_suite(void);

enum { MOST = TEXT_PROMPTS * TEXT_LONGEST * 32 };

static void read_golden(const char *name, int dims, int64_t rows, int64_t width, float *right)
{
    const int64_t shape[2] = {rows, width};
    struct store_file *golden;
    MUST(store_open(&golden, "test/golden/flux_text.safetensors"));
    MUST(store_read_f32(golden, name, dims, dims == 2 ? shape : shape + 1, right));
    store_close(golden);
}

START_TEST(features_of_t5)
{
    static const struct {
        const char *name;
        int length, step;
    } cases[] = {{"t5.small.1", 1, 1},
                 {"t5.small.11", 11, 1},
                 {"t5.small.33", 33, 1},
                 {"t5.small.300", 300, 26},
                 {"t5.odd.20", 20, 1}};
    const struct t5_config config = _i == 4 ? t5_odd() : t5_small();
    static float got[MOST], right[MOST];
    int width = config.hidden, step = cases[_i].step, rows = (cases[_i].length + step - 1) / step;
    struct device *device;
    MUST(device_open(&device, "cpu", 1));
    t5_features(&config, device, TOKEN_F32, 1, cases[_i].length, NULL, got);
    for (int row = 1; row < rows; row++)
        memmove(got + row * width, got + row * step * width, (size_t)width * sizeof *got);
    read_golden(cases[_i].name, 2, rows, width, right);
    double error = relative_error(got, right, (size_t)(rows * width));
    ck_assert_msg(error <= 1e-5, "%s: %g off", cases[_i].name, error);
    device_close(device);
}
END_TEST

START_TEST(distances_fall_into_the_buckets_of_transformers)
{
    enum { SIDE = 299 };
    const struct t5_config config = _i ? t5_odd() : t5_small();
    static float right[2 * SIDE + 1];
    read_golden(_i ? "buckets.odd" : "buckets.small", 1, 1, 2 * SIDE + 1, right);
    for (int d = -SIDE; d <= SIDE; d++)
        ck_assert_int_eq(t5_bucket(&config, d), (int)right[d + SIDE]);
}
END_TEST

START_TEST(vectors_of_clip)
{
    static const int lengths[] = {3, 12, 77, 20};
    static const char *const kinds[] = {"new", "old"};
    struct clip_config config = _i == 3 ? clip_odd() : clip_small();
    float got[32], right[32];
    char name[32];
    struct device *device;
    MUST(device_open(&device, "cpu", 1));
    for (int old = 0; old < (_i == 3 ? 1 : 2); old++) {
        if (old) config.end = 2;
        clip_vectors(&config, device, TOKEN_F32, 1, &lengths[_i], got);
        snprintf(name, sizeof name, "clip.%s.%d", _i == 3 ? "odd" : kinds[old], lengths[_i]);
        read_golden(name, 1, 1, config.hidden, right);
        double error = relative_error(got, right, (size_t)config.hidden);
        ck_assert_msg(error <= 1e-5, "%s: %g off", name, error);
    }
    device_close(device);
}
END_TEST

/* In each type of files. */
START_TEST(bits_of_t5_depend_on_the_prompt_alone)
{
    static float alone[MOST], both[MOST];
    const struct t5_config config = t5_small();
    const enum token_type type = (enum token_type)_i;
    int others[33];
    struct device *device;
    for (int i = 0; i < 33; i++)
        others[i] = i;
    for (int threads = 1; threads <= 3; threads += 2) {
        MUST(device_open(&device, "cpu", threads));
        if (threads == 1) t5_features(&config, device, type, 1, 33, NULL, alone);
        t5_features(&config, device, type, 2, 33, others, both);
        ck_assert_mem_eq(alone, both, (size_t)(33 * config.hidden) * sizeof *alone);
        ck_assert_uint_eq(device->used_bytes, 0);
        device_close(device);
    }
}
END_TEST

START_TEST(bits_of_clip_depend_on_the_prompt_alone)
{
    static const int lengths[] = {20, 12};
    const struct clip_config config = clip_small();
    const enum token_type type = (enum token_type)_i;
    float alone[2 * 32], both[2 * 32];
    struct device *device;
    for (int threads = 1; threads <= 3; threads += 2) {
        MUST(device_open(&device, "cpu", threads));
        for (int i = 0; i < 2 && threads == 1; i++)
            clip_vectors(&config, device, type, 1, &lengths[i], alone + i * config.hidden);
        clip_vectors(&config, device, type, 2, lengths, both);
        ck_assert_mem_eq(alone, both, sizeof both);
        device_close(device);
    }
}
END_TEST

START_TEST(t5_takes_prompts_of_one_length)
{
    const struct t5_config config = t5_small();
    const struct text_size unequal = {.prompts = 2, .lengths = {5, 6}}, none = {.prompts = 1};
    const struct text_size size = {.prompts = 1, .lengths = {9}};
    struct t5_model model;
    struct text_pass pass;
    struct device *device;
    struct plan *plan = plan_create();
    MUST(device_open(&device, "cpu", 1));
    MUST(t5_model_create(&model, &config));
    const struct text_encoder encoder = t5_encoder(&model);
    ck_assert_int_eq(text_pass_memory(&pass, &encoder, &unequal, device, plan), ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(error_message(), "5 and 6"));
    ck_assert_int_eq(text_pass_memory(&pass, &encoder, &none, device, plan), ERR_USAGE);
    ck_assert_double_eq(text_macs(&encoder, &size),
                        9 * 3 * (4 * 64 * 32 + 3 * 64 * 32) + 81 * 3 * 2 * 64.0);
    plan_free(plan);
    t5_model_free(&model);
    device_close(device);
}
END_TEST

/* ---- config.json ---- */

/* `more` first: of a key that is there twice the first counts. */
static cJSON *config_of(const char *more, const char *all)
{
    char text[1024];
    cJSON *object;
    size_t bytes = (size_t)snprintf(text, sizeof text, "{%s%s}", more, all);
    MUST(json_file_parse(&object, "config.json", (uint8_t *)text, bytes));
    return object;
}

static const char t5_xxl[] = "\"model_type\": \"t5\", \"d_model\": 4096, \"d_ff\": 10240, "
                             "\"d_kv\": 64, \"num_layers\": 24, \"num_heads\": 64, "
                             "\"vocab_size\": 32128, \"layer_norm_epsilon\": 1e-06";
static const char t5_gated[] = "\"feed_forward_proj\": \"gated-gelu\", ";
static const char clip_l[] = "\"hidden_size\": 768, \"intermediate_size\": 3072, "
                             "\"num_hidden_layers\": 12, \"num_attention_heads\": 12, "
                             "\"vocab_size\": 49408, \"max_position_embeddings\": 77";

START_TEST(sizes_of_the_official_ones)
{
    struct t5_config t5;
    struct t5_model t5_model;
    struct clip_config clip;
    struct clip_model clip_model;
    cJSON *object = config_of(t5_gated, t5_xxl);
    MUST(t5_read_config(&t5, object, "config.json"));
    cJSON_Delete(object);
    ck_assert_int_eq(t5.buckets, 32);
    ck_assert_int_eq(t5.distance, 128);
    MUST(t5_model_create(&t5_model, &t5)); /* 4,762,310,656 with embedding and distances */
    ck_assert_uint_eq(t5_model.list.parameter_total, (size_t)4762310656 - 32128 * 4096 - 32 * 64);
    ck_assert(t5_has_tensor(&t5_model, "encoder.block.23.layer.1.DenseReluDense.wo.weight"));
    ck_assert(t5_has_tensor(&t5_model, T5_TABLE));
    ck_assert(!t5_has_tensor(&t5_model, "encoder.block.24.layer.1.DenseReluDense.wo.weight"));
    object = config_of("\"eos_token_id\": 2, ", clip_l);
    MUST(clip_read_config(&clip, object, "config.json"));
    cJSON_Delete(object);
    ck_assert_int_eq(clip.end, 2);
    MUST(clip_model_create(&clip_model, &clip)); /* 123,060,480 likewise */
    ck_assert_uint_eq(clip_model.list.parameter_total, (size_t)123060480 - (49408 + 77) * 768);
    ck_assert(clip_has_tensor(&clip_model, "encoder.layers.11.mlp.fc2.bias"));
    ck_assert(!clip_has_tensor(&clip_model, "encoder.layers.12.mlp.fc2.bias"));
    t5_model_free(&t5_model);
    clip_model_free(&clip_model);
}
END_TEST

START_TEST(configs_of_others_are_refused)
{
    static const char *const t5_cases[][2] = {
        {"\"feed_forward_proj\": \"relu\", ", "feed_forward_proj is relu"},
        {"", "feed_forward_proj is relu"},
        {"\"model_type\": \"umt5\", \"feed_forward_proj\": \"gated-gelu\", ", "umt5"},
        {"\"feed_forward_proj\": \"gated-gelu\", \"d_kv\": 512, ", "d_kv is 512"},
        {"\"feed_forward_proj\": \"gated-gelu\", \"relative_attention_num_buckets\": 30, ",
         "relative_attention_num_buckets is 30"},
        {"\"feed_forward_proj\": \"gated-gelu\", \"relative_attention_max_distance\": 8, ",
         "relative_attention_max_distance 8"},
    };
    static const char *const clip_cases[][2] = {
        {"\"hidden_act\": \"gelu\", ", "hidden_act is gelu"},
        {"\"model_type\": \"clip_vision_model\", ", "clip_vision_model"},
        {"\"num_attention_heads\": 7, ", "num_attention_heads 7"},
        {"\"hidden_size\": 0, ", "hidden_size"},
    };
    struct t5_config t5;
    struct clip_config clip;
    for (size_t i = 0; i < sizeof t5_cases / sizeof *t5_cases; i++) {
        cJSON *object = config_of(t5_cases[i][0], t5_xxl);
        ck_assert_int_eq(t5_read_config(&t5, object, "config.json"), ERR_DATA);
        ck_assert_msg(strstr(error_message(), t5_cases[i][1]) != NULL, "%s", error_message());
        cJSON_Delete(object);
    }
    for (size_t i = 0; i < sizeof clip_cases / sizeof *clip_cases; i++) {
        cJSON *object = config_of(clip_cases[i][0], clip_l);
        ck_assert_int_eq(clip_read_config(&clip, object, "config.json"), ERR_DATA);
        ck_assert_msg(strstr(error_message(), clip_cases[i][1]) != NULL, "%s", error_message());
        cJSON_Delete(object);
    }
}
END_TEST

/* ---- BLOCK_SPEED ---- */

START_TEST(a_layer_is_timed)
{
    const struct t5_config xxl = {.hidden = 4096,
                                  .mlp = 10240,
                                  .layers = 1,
                                  .heads = 64,
                                  .head_dim = 64,
                                  .vocabulary = TEXT_WORDS,
                                  .buckets = 32,
                                  .distance = 128,
                                  .eps = 1e-6};
    struct timed_request request;
    struct timed_block timed;
    struct device *device;
    struct t5_model model;
    ck_assert(timed_requested("t5", &request));
    MUST(t5_model_create(&model, &xxl));
    float *numbers = formula_floats(model.list.floats);
    for (size_t i = 0; i < model.list.floats; i++)
        numbers[i] = (float)(i * 2654435761U >> 7 & 1023) / 65536 - 1.F / 128;
    struct block_flat flat = {&model.list, numbers};
    timed_open(&timed, &flat, 0, request.type);
    const struct text_encoder encoder = t5_encoder(&model);
    MUST(device_open(&device, "cpu", 1));
    const struct text_size size = {.prompts = 1, .lengths = {request.text}};
    struct text_pass pass;
    struct plan *plan = plan_create();
    const struct block_source source = {timed_acquire, timed_release, &timed};
    MUST(text_pass_memory(&pass, &encoder, &size, device, plan));
    MUST(plan_commit(plan, device));
    MUST(text_pass_connect(&pass, numbers)); /* any table will do */
    for (int turn = 0; turn < 2; turn++) {   /* the first one brings its pages */
        for (int i = 0; i < request.text * xxl.hidden; i++)
            pass.x[i] = (float)(i % 1021) / 1021 - 0.5F;
        MUST(text_pass_forward(&pass, &source, NULL));
    }
    timed_close(&timed);
    plan_free(plan);
    device_close(device);
    t5_model_free(&model);
    free(numbers);
}
END_TEST

Suite *flux_text_test_suite(void)
{
    Suite *suite = suite_create("flux_text_test");
    TCase *tests = tcase_create("flux_text");
    tcase_add_loop_test(tests, features_of_t5, 0, 5);
    tcase_add_loop_test(tests, distances_fall_into_the_buckets_of_transformers, 0, 2);
    tcase_add_loop_test(tests, vectors_of_clip, 0, 4);
    tcase_add_loop_test(tests, bits_of_t5_depend_on_the_prompt_alone, 0, 3);
    tcase_add_loop_test(tests, bits_of_clip_depend_on_the_prompt_alone, 0, 3);
    tcase_add_test(tests, t5_takes_prompts_of_one_length);
    tcase_add_test(tests, sizes_of_the_official_ones);
    tcase_add_test(tests, configs_of_others_are_refused);
    struct timed_request request;
    if (timed_requested("t5", &request)) tcase_add_test(tests, a_layer_is_timed);
    suite_add_tcase(suite, tests);
    return suite;
}
