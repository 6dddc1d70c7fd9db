/* Autoencoders read from folders and files, and everything that can be wrong with one. */
#include "diffusion/vae/kl_folder.h"
#include "diffusion/vae/kl_folder_write.h"
#include "math/bf16.h"
#include "test/diffusion/tiny_vae.h"

#include <unistd.h>

static void set_up_vae(void)
{
    const struct kl_config config = tiny_vae_config(4);
    set_up();
    tiny_vae_write(in_folder("m/vae"), &config);
}

static void assert_vae_refused(const char *path, int code, const char *says)
{
    struct kl_folder vae;
    int got = kl_folder_open(&vae, path);
    kl_folder_close(&vae);
    ck_assert_msg(got == code, "%d, not %d: %s", got, code, error_message());
    ck_assert_msg(strstr(error_message(), says), "\"%s\" is not in: %s", says, error_message());
    ck_assert_ptr_null(strchr(error_message(), '\n'));
}

/* The same weights and checksum, wherever and however they lie. */
START_TEST(vae_is_read_wherever_it_lies)
{
    static const char *const paths[] = {"m/vae", "m", "file.safetensors", "run"};
    const struct kl_config config = tiny_vae_config(4);
    struct net net = {.layer_count = 0};
    float *flat = tiny_vae_weights(&net, &config), *read = formula_floats(net.floats);
    uint64_t checksum = 0, identity = 0;
    MUST(file_make_dirs(in_folder("run")));
    tiny_vae_write_file(in_folder("file.safetensors"), &config);
    tiny_vae_write_file(in_folder("run/model.safetensors"), &config);
    for (int i = 0; i < 4; i++) {
        struct kl_folder vae;
        MUST(kl_folder_open(&vae, in_folder(paths[i])));
        ck_assert_int_eq(vae.sample_size, i < 2 ? TINY_VAE_TILE : 0);
        ck_assert_int_eq(vae.tensor_count, net.parameter_count);
        ck_assert_int_eq(vae.config.latent_channels, 4);
        ck_assert_mem_eq(vae.config.widths, config.widths, sizeof config.widths);
        ck_assert(vae.config.scaling == 1.5 && vae.config.shift == -0.25);
        if (i == 0) checksum = vae.checksum;
        ck_assert_uint_eq(vae.checksum, checksum);
        if (i == 0) identity = kl_folder_identity(&vae);
        ck_assert_uint_eq(kl_folder_identity(&vae), identity);
        memset(read, 0, net.floats * sizeof *read);
        MUST(kl_folder_load(&vae, &net, read));
        ck_assert_mem_eq(read, flat, net.floats * sizeof *read);
        kl_folder_close(&vae);
    }
    edit_text("m/vae/config.json", "1.5", "1.25");
    struct kl_folder other;
    MUST(kl_folder_open(&other, in_folder("m")));
    ck_assert(other.checksum != checksum && other.config.scaling == 1.25);
    checksum = other.checksum;
    kl_folder_close(&other);
    edit_text("m/vae/config.json", "\"norm_num_groups\": 2",
              "\"norm_num_groups\": 4"); /* in no tensor either */
    MUST(kl_folder_open(&other, in_folder("m")));
    ck_assert(other.checksum != checksum && other.config.groups == 4);
    kl_folder_close(&other);
    free(read);
    free(flat);
    net_free(&net);
}
END_TEST

/* Opening looks at the beginnings of its tensors alone. */
START_TEST(another_last_weight_is_another_vae)
{
    const struct kl_config config = tiny_vae_config(4);
    struct net net = {.layer_count = 0};
    float *flat = tiny_vae_weights(&net, &config);
    const struct net_parameter *largest = net.parameters;
    struct kl_folder vae, other;
    for (int i = 1; i < net.parameter_count; i++)
        if (net.parameters[i].count > largest->count) largest = &net.parameters[i];
    flat[largest->offset + largest->count - 1] += 1;
    MUST(kl_write_folder(in_folder("other/vae"), &config, TINY_VAE_TILE, &net, flat));
    MUST(kl_folder_open(&vae, in_folder("m")));
    MUST(kl_folder_open(&other, in_folder("other")));
    ck_assert_uint_eq(vae.checksum, other.checksum);
    ck_assert_uint_ne(kl_folder_identity(&vae), kl_folder_identity(&other));
    kl_folder_close(&other);
    kl_folder_close(&vae);
    free(flat);
    net_free(&net);
}
END_TEST

/* A run's file has more digits than nine, which would be another float. */
START_TEST(vae_in_a_folder_keeps_its_numbers)
{
    struct kl_config config = tiny_vae_config(4);
    struct kl_folder file, copy;
    config.scaling = 1.0000001788129342;
    config.shift = -1.0000001788129342;
    tiny_vae_write_file(in_folder("file.safetensors"), &config);
    MUST(kl_folder_open(&file, in_folder("file.safetensors")));
    MUST(kl_folder_write(&file, 16, in_folder("copy/vae")));
    MUST(kl_folder_open(&copy, in_folder("copy")));
    ck_assert(copy.config.scaling == config.scaling && copy.config.shift == config.shift);
    ck_assert_uint_eq(copy.checksum, file.checksum);
    kl_folder_close(&copy);
    kl_folder_close(&file);
}
END_TEST

/* Types of its tensors in any mix; one more tensor than is wanted. */
START_TEST(vae_of_half_precision_is_widened)
{
    const struct kl_config config = tiny_vae_config(4);
    struct net net = {.layer_count = 0};
    float *flat = tiny_vae_weights(&net, &config), *read = formula_floats(net.floats);
    uint16_t *half = calloc(net.floats, sizeof *half);
    struct store_writer *writer = store_writer_create();
    struct kl_folder vae;
    for (int i = 0; i < net.parameter_count; i++) {
        const struct net_parameter *p = &net.parameters[i];
        for (size_t k = 0; k < p->count; k++)
            half[p->offset + k] = bf16_round(flat[p->offset + k]);
        bool is_half = i % 2 == 0;
        MUST(store_add(writer, p->name, is_half ? TENSOR_BF16 : TENSOR_F32, p->dims, p->shape,
                       is_half ? (void *)(half + p->offset) : (void *)(flat + p->offset)));
    }
    MUST(store_add_f32(writer, "quant_conv.weight", 1, 1, flat));
    MUST(store_write(writer, in_folder("m/vae/diffusion_pytorch_model.safetensors"), false));
    store_writer_free(writer);
    MUST(kl_folder_open(&vae, in_folder("m")));
    MUST(kl_folder_load(&vae, &net, read));
    for (int i = 0; i < net.parameter_count; i++)
        for (size_t k = 0; k < net.parameters[i].count; k++) {
            size_t at = net.parameters[i].offset + k;
            ck_assert(read[at] == (i % 2 == 0 ? bf16_value(half[at]) : flat[at]));
        }
    kl_folder_close(&vae);
    free(half);
    free(read);
    free(flat);
    net_free(&net);
}
END_TEST

/* As older releases wrote them: convolutions around the latents, and other names in attention. */
START_TEST(vae_of_older_releases)
{
    static const char *const names[][2] = {{"to_q.weight", "query.weight"},
                                           {"to_k.weight", "key.weight"},
                                           {"to_v.bias", "value.bias"},
                                           {"to_out.0.weight", "proj_attn.weight"}};
    struct kl_config config = tiny_vae_config(4);
    struct net net = {.layer_count = 0};
    struct kl_folder vae;
    char name[96];
    config.quant_conv = config.post_quant_conv = true;
    float *flat = tiny_vae_weights(&net, &config), *read = formula_floats(net.floats);
    struct store_writer *writer = store_writer_create();
    tiny_vae_write(in_folder("m/vae"), &config);
    for (int i = 0; i < net.parameter_count; i++) {
        const struct net_parameter *p = &net.parameters[i];
        snprintf(name, sizeof name, "%s", p->name);
        for (int k = 0; k < 4; k++) {
            char *at = strstr(name, names[k][0]);
            if (at) snprintf(at, sizeof name - (size_t)(at - name), "%s", names[k][1]);
        }
        MUST(store_add(writer, name, TENSOR_F32, p->dims, p->shape, flat + p->offset));
    }
    MUST(store_write(writer, in_folder("m/vae/diffusion_pytorch_model.safetensors"), false));
    store_writer_free(writer);
    MUST(kl_folder_open(&vae, in_folder("m")));
    ck_assert(vae.config.quant_conv && vae.config.post_quant_conv);
    ck_assert_int_eq(vae.tensor_count, net.parameter_count);
    ck_assert_str_eq(vae.weights[vae.encoder_tensors - 1]->name, "quant_conv.bias");
    ck_assert_str_eq(vae.weights[vae.encoder_tensors]->name, "post_quant_conv.weight");
    MUST(kl_folder_load(&vae, &net, read));
    ck_assert_mem_eq(read, flat, net.floats * sizeof *read);
    MUST(kl_folder_write(&vae, 16, in_folder("copy/vae")));
    struct kl_folder copy;
    MUST(kl_folder_open(&copy, in_folder("copy")));
    ck_assert_uint_eq(copy.checksum, vae.checksum);
    kl_folder_close(&copy);
    kl_folder_close(&vae);
    free(read);
    free(flat);
    net_free(&net);
}
END_TEST

START_TEST(vae_configs_that_are_refused)
{
    static const struct {
        const char *from, *to, *says;
    } bad[] = {
        {"AutoencoderKL", "AutoencoderTiny", "_class_name is AutoencoderTiny; AutoencoderKL"},
        {"[8, 16]", "[]", "block_out_channels: a list of 1 to 6"},
        {"[8, 16]", "[8, 2147483648]", "block_out_channels"},
        {"[8, 16]", "[8, 15]", "15 channels in 2 groups"},
        {"[8, 16]", "[8, 24]", "expected F32 [24, 8, 3, 3]"},
        {"[8, 16]", "[8, 16, 16]", "down_block_types: a list of 3"},
        {"\"UpDecoderBlock2D\"", "\"AttnUpDecoderBlock2D\"", "AttnUpDecoderBlock2D; UpDecoder"},
        {"\"silu\"", "\"mish\"", "act_fn is mish"},
        {"\"in_channels\": 3", "\"in_channels\": 4", "in_channels"},
        {"\"use_quant_conv\": false, ", "", "tensor quant_conv.weight is missing"},
        {"\"use_post_quant_conv\": false", "\"use_post_quant_conv\": true",
         "tensor post_quant_conv.weight is missing"},
        {"\"sample_size\"", "\"latents_mean\": [0], \"sample_size\"", "latents_mean"},
        {"\"scaling_factor\": 1.5", "\"scaling_factor\": 0", "scaling_factor"},
        {"\"latent_channels\": 4", "\"latent_channels\": 5", "encoder.conv_out"},
        {"{", "[", "config.json"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        edit_text("m/vae/config.json", bad[i].from, bad[i].to);
        assert_vae_refused(in_folder("m"), ERR_DATA, bad[i].says);
        const struct kl_config config = tiny_vae_config(4);
        tiny_vae_write(in_folder("m/vae"), &config);
    }
    assert_vae_refused(in_folder("none"), ERR_INPUT, "none");
    MUST(file_make_dirs(in_folder("empty")));
    assert_vae_refused(in_folder("empty"), ERR_INPUT, "no autoencoder in it");
    ck_assert_int_eq(unlink(in_folder("m/vae/diffusion_pytorch_model.safetensors")), 0);
    assert_vae_refused(in_folder("m"), ERR_INPUT, "no diffusion_pytorch_model.safetensors");
}
END_TEST

START_TEST(vae_weights_that_are_no_numbers)
{
    const struct kl_config config = tiny_vae_config(4);
    struct net net = {.layer_count = 0};
    float *flat = tiny_vae_weights(&net, &config), *read = formula_floats(net.floats);
    struct store_writer *writer = store_writer_create();
    struct kl_folder vae;
    flat[net.parameters[3].offset] = NAN;
    MUST(weights_store(writer, "", &net, flat));
    MUST(store_write(writer, in_folder("m/vae/diffusion_pytorch_model.safetensors"), false));
    store_writer_free(writer);
    MUST(kl_folder_open(&vae, in_folder("m")));
    ck_assert_int_eq(kl_folder_load(&vae, &net, read), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), net.parameters[3].name));
    kl_folder_close(&vae);
    free(read);
    free(flat);
    net_free(&net);
}
END_TEST

START_TEST(vae_files_that_are_none)
{
    static const struct {
        const char *key, *value, *says;
    } bad[] = {{"vae.levels", "9", "vae.levels"},
               {"vae.levels", "1", "expected F32"},
               {"vae.width.1", "15", "15 channels in 2 groups"},
               {"vae.width.1", "24", "conv"},
               {"vae.scaling_factor", "nan", "vae.scaling_factor"},
               {"vae.attention", "0", NULL}};
    const struct kl_config config = tiny_vae_config(3);
    const char *path = in_folder("file.safetensors");
    tiny_vae_write_file_with(path, &config, bad[_i].key, bad[_i].value);
    if (bad[_i].says) {
        assert_vae_refused(path, ERR_DATA, bad[_i].says);
        return;
    }
    struct kl_folder vae; /* tensors that it does not ask for */
    MUST(kl_folder_open(&vae, path));
    kl_folder_close(&vae);
}
END_TEST

Suite *kl_folder_test_suite(void);
Suite *kl_folder_test_suite(void)
{
    Suite *suite = suite_create("kl_folder_test");
    TCase *tests = tcase_create("folder");
    tcase_add_checked_fixture(tests, set_up_vae, folder_remove);
    tcase_add_test(tests, vae_is_read_wherever_it_lies);
    tcase_add_test(tests, another_last_weight_is_another_vae);
    tcase_add_test(tests, vae_in_a_folder_keeps_its_numbers);
    tcase_add_test(tests, vae_of_half_precision_is_widened);
    tcase_add_test(tests, vae_of_older_releases);
    tcase_add_test(tests, vae_configs_that_are_refused);
    tcase_add_loop_test(tests, vae_files_that_are_none, 0, 6);
    tcase_add_test(tests, vae_weights_that_are_no_numbers);
    suite_add_tcase(suite, tests);
    return suite;
}
