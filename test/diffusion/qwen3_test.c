/* The text encoder against transformers' (zimage_goldens.py), and the same bits whatever the
 * threads and the prompts beside. */
#include "base/threads.h"
#include "qwen3_fixture.h"
#include "registry/devices.h"
#include "store/json_file.h"
#include "store/safetensors.h"
#include "test/near.h"

Suite *qwen3_test_suite(void);

enum { MOST = 64 * 32 };

START_TEST(features_of_transformers)
{
    static const struct {
        const char *name;
        int length;
    } cases[] = {{"small.1", 1}, {"small.11", 11}, {"small.33", 33}, {"odd.20", 20}};
    const struct qwen3_config config = _i == 3 ? qwen3_odd() : qwen3_small();
    const int64_t shape[2] = {cases[_i].length, config.hidden};
    static float got[MOST], right[MOST];
    struct device *device;
    struct store_file *golden;
    MUST(device_open(&device, "cpu", 1));
    qwen3_features_of(&config, device, TOKEN_F32, 1, &cases[_i].length, got);
    MUST(store_open(&golden, "test/golden/zimage_text.safetensors"));
    MUST(store_read_f32(golden, cases[_i].name, 2, shape, right));
    double error = relative_error(got, right, (size_t)(cases[_i].length * config.hidden));
    ck_assert_msg(error <= 1e-5, "%s: %g off", cases[_i].name, error);
    store_close(golden);
    device_close(device);
}
END_TEST

/* Of 64 tokens in all; matrices in each type of files give what their numbers give. */
START_TEST(bits_depend_on_the_prompt_alone)
{
    static const int both[] = {33, 11};
    static float first[MOST], other[MOST];
    const struct qwen3_config config = qwen3_small();
    const enum token_type type = (enum token_type)_i;
    const size_t width = (size_t)config.hidden, bytes = width * sizeof(float);
    struct qwen3_model model;
    struct text_held held;
    struct device *device;
    MUST(qwen3_model_create(&model, &config));
    const struct text_encoder encoder = qwen3_encoder(&model);
    for (int threads = 1; threads <= 3; threads++) {
        MUST(device_open(&device, "cpu", threads));
        text_hold(&held, &encoder, device, type, threads == 1);
        if (threads == 1) {
            qwen3_features(&held, 1, &both[0], first);
            qwen3_features(&held, 1, &both[1], first + 33 * width);
        }
        qwen3_features(&held, 2, both, other);
        ck_assert_mem_eq(first, other, 44 * bytes);
        text_release_held(&held);
        ck_assert_uint_eq(device->used_bytes, 0);
        device_close(device);
    }
    qwen3_model_free(&model);
}
END_TEST

START_TEST(a_prompt_has_a_position_for_each_token)
{
    struct qwen3_config config = qwen3_small();
    struct qwen3_model model;
    struct text_pass pass;
    struct device *device;
    struct plan *plan = plan_create();
    config.positions = 8;
    const struct text_size size = {.prompts = 1, .lengths = {9}};
    MUST(device_open(&device, "cpu", 1));
    MUST(qwen3_model_create(&model, &config));
    const struct text_encoder encoder = qwen3_encoder(&model);
    ck_assert_int_eq(text_pass_memory(&pass, &encoder, &size, device, plan), ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(error_message(), "1 to 8"));
    ck_assert_double_eq(text_macs(&encoder, &size),
                        9 * 2 * (2 * 64 * 32 + 2 * 32 * 32 + 3 * 64 * 32) + 2 * 45 * 2 * 64.0);
    plan_free(plan);
    qwen3_model_free(&model);
    device_close(device);
}
END_TEST

/* ---- config.json ---- */

static const char qwen3_whole[] =
    "{\"hidden_size\": 2560, \"intermediate_size\": 9728, \"num_hidden_layers\": 36, "
    "\"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"head_dim\": 128, "
    "\"vocab_size\": 151936, \"rms_norm_eps\": 1e-06, \"max_position_embeddings\": 40960, %s}";

static int config_of(struct qwen3_config *config, const char *more)
{
    char text[1024];
    cJSON *object;
    size_t bytes = (size_t)snprintf(text, sizeof text, qwen3_whole, more);
    MUST(json_file_parse(&object, "config.json", (uint8_t *)text, bytes));
    int code = qwen3_read_config(config, object, "config.json");
    cJSON_Delete(object);
    return code;
}

START_TEST(configs_old_and_new)
{
    struct qwen3_config config;
    struct qwen3_model model;
    MUST(config_of(&config, "\"rope_theta\": 1000000, \"rope_scaling\": null"));
    ck_assert_double_eq(config.rope_theta, 1e6);
    MUST(config_of(&config, "\"rope_parameters\": {\"rope_theta\": 1e6, \"rope_type\": "
                            "\"default\"}, \"layer_types\": [\"full_attention\"]"));
    ck_assert_double_eq(config.rope_theta, 1e6);
    MUST(qwen3_model_create(&model, &config)); /* as its own program counts them */
    ck_assert_uint_eq(model.list.parameter_total, (size_t)35 * 100930816);
    ck_assert(qwen3_has_tensor(&model, "layers.35.mlp.up_proj.weight"));
    ck_assert(!qwen3_has_tensor(&model, "layers.36.mlp.up_proj.weight"));
    qwen3_model_free(&model);
}
END_TEST

START_TEST(configs_of_others_are_refused)
{
    static const char *const cases[][2] = {
        {"\"model_type\": \"llama\"", "model_type is llama"},
        {"\"hidden_act\": \"gelu\"", "hidden_act is gelu"},
        {"\"attention_bias\": true", "attention_bias"},
        {"\"rope_scaling\": {\"type\": \"yarn\"}", "yarn"},
        {"\"layer_types\": [\"sliding_attention\"]", "sliding_attention"},
        {"\"rms_norm_eps\": 0, \"rope_theta\": \"x\"", "rope_theta"},
    };
    struct qwen3_config config;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_int_eq(config_of(&config, cases[i][0]), ERR_DATA);
        ck_assert_msg(strstr(error_message(), cases[i][1]) != NULL, "%s", error_message());
    }
    config.heads = 3; /* read before what was refused */
    struct qwen3_model model;
    ck_assert_int_eq(qwen3_model_create(&model, &config), ERR_DATA);
    qwen3_model_free(&model);
}
END_TEST

Suite *qwen3_test_suite(void)
{
    Suite *suite = suite_create("qwen3_test");
    TCase *tests = tcase_create("qwen3");
    tcase_add_loop_test(tests, features_of_transformers, 0, 4);
    tcase_add_loop_test(tests, bits_depend_on_the_prompt_alone, 0, 3);
    tcase_add_test(tests, a_prompt_has_a_position_for_each_token);
    tcase_add_test(tests, configs_old_and_new);
    tcase_add_test(tests, configs_of_others_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
