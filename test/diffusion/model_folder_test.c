/* Model folders: written and read back, in shards, and everything that can be wrong with one. */
#include "diffusion/model/model_folder.h"
#include "diffusion/text/token_tables.h"
#include "test/diffusion/tiny_model.h"
#include "test/support.h"

#include <unistd.h>

static void set_up_model(void)
{
    set_up();
    tiny_model_write(in_folder("m"), TOKENIZER_LABELS);
}

static void assert_refused(const char *path, int code, const char *says)
{
    struct model_folder model;
    int got = model_folder_open(&model, path);
    model_folder_close(&model);
    ck_assert_msg(got == code, "%d, not %d: %s", got, code, error_message());
    ck_assert_msg(strstr(error_message(), says), "\"%s\" is not in: %s", says, error_message());
    ck_assert_ptr_null(strchr(error_message(), '\n'));
}

START_TEST(what_is_written_is_read)
{
    struct model_folder model;
    MUST(model_folder_open(&model, in_folder("m")));
    float *flat = tiny_weights(&model.dit);
    for (int t = 0; t < model.dit.list.tensor_count; t++) {
        const struct block_tensor *tensor = &model.dit.list.tensors[t];
        ck_assert_int_eq(
            memcmp(model.weights[t]->data, flat + tensor->offset, tensor->count * sizeof *flat), 0);
    }
    free(flat);
    const struct s3dit_config config = tiny_config();
    ck_assert_int_eq(model.dit.config.dim, config.dim);
    ck_assert_int_eq(model.dit.config.heads, config.heads);
    ck_assert_int_eq(model.dit.config.text_dim, config.text_dim);
    ck_assert_int_eq(memcmp(model.dit.config.axes_lens, config.axes_lens, sizeof config.axes_lens),
                     0);
    ck_assert(model.dit.config.norm_eps == config.norm_eps);
    ck_assert(model.schedule.kind == SIGMA_SHIFT_STATIC && model.schedule.shift == 3.0);
    ck_assert(model.defaults.width == 16 && model.defaults.steps == 8);
    ck_assert_int_eq(tokenizer_rows(model.reader.tokens), 4);
    ck_assert_int_eq(tokenizer_none(model.reader.tokens), 3);
    ck_assert_str_eq(tokenizer_label_name(model.reader.tokens, 1), "red square");
    float features[16];
    MUST(model_tensor_row(&model, model.reader.table, 2, features));
    for (int i = 0; i < 16; i++)
        ck_assert(features[i] == (float)formula_uniform("table", (uint64_t)(32 + i)));
    uint64_t checksum = model.checksum;
    model_folder_close(&model);
    edit_text("m/scheduler/scheduler_config.json", "\"shift\": 3", "\"shift\": 2");
    MUST(model_folder_open(&model, in_folder("m")));
    ck_assert(model.schedule.shift == 2.0 && model.checksum != checksum);
    model_folder_close(&model);
}
END_TEST

/* The same folder twice is one model; with another weight or another row of its table it is not. */
START_TEST(a_checksum_is_of_weights_too)
{
    uint64_t checksums[4];
    for (int i = 0; i < 4; i++) {
        struct model_folder model;
        tiny_model_write_changed(in_folder("m"), TOKENIZER_LABELS, 3, i == 2 ? 1 : 0,
                                 i == 3 ? 1 : 0);
        MUST(model_folder_open(&model, in_folder("m")));
        checksums[i] = model.checksum;
        model_folder_close(&model);
    }
    ck_assert(checksums[0] == checksums[1]);
    ck_assert(checksums[0] != checksums[2] && checksums[0] != checksums[3]);
}
END_TEST

/* The same tensors as two shards with an index, one of them through a link and in bf16. */
static void split(const char *index)
{
    struct model_folder model;
    char map[16384] = "", line[256];
    const char *names[] = {"a.safetensors", "b.safetensors"};
    MUST(model_folder_open(&model, in_folder("m")));
    uint16_t *half = malloc(model.dit.list.floats * sizeof *half);
    ck_assert_ptr_nonnull(half);
    for (int part = 0; part < 2; part++) {
        struct store_writer *writer = store_writer_create();
        ck_assert_ptr_nonnull(writer);
        for (int t = part; t < model.dit.list.tensor_count; t += 2) {
            const struct block_tensor *tensor = &model.dit.list.tensors[t];
            const uint32_t *bits = model.weights[t]->data;
            for (size_t i = 0; part && i < tensor->count; i++)
                half[tensor->offset + i] = (uint16_t)(bits[i] >> 16);
            MUST(store_add(writer, tensor->name, part ? TENSOR_BF16 : TENSOR_F32, tensor->dims,
                           tensor->shape, part ? (void *)(half + tensor->offset) : (void *)bits));
            snprintf(line, sizeof line, "%s\"%s\": \"%s\"", *map ? ", " : "", tensor->name,
                     names[part]);
            strcat(map, line);
        }
        char *path = string_format("%s/m/transformer/%s", folder, names[part]);
        MUST(store_write(writer, part ? in_folder("elsewhere") : path, false));
        if (part) ck_assert_int_eq(symlink(in_folder("elsewhere"), path), 0);
        free(path);
        store_writer_free(writer);
    }
    free(half);
    model_folder_close(&model);
    ck_assert_int_eq(unlink(in_folder("m/transformer/diffusion_pytorch_model.safetensors")), 0);
    char *text = string_format("{\"weight_map\": {%s%s}}", map, index);
    write_text("m/transformer/diffusion_pytorch_model.safetensors.index.json", text);
    free(text);
}

START_TEST(shards)
{
    struct model_folder model;
    split("");
    MUST(model_folder_open(&model, in_folder("m")));
    ck_assert_int_eq(store_shards_count(model.denoiser), 2);
    for (int t = 0; t < model.dit.list.tensor_count; t++)
        ck_assert_int_eq(model.weights[t]->type, t % 2 ? TENSOR_BF16 : TENSOR_F32);
    model_folder_close(&model);
    /* a shard that is missing, one that is cut off, one that is no file of its kind */
    ck_assert_int_eq(truncate(in_folder("m/transformer/a.safetensors"), 60000), 0);
    assert_refused(in_folder("m"), ERR_DATA, "a.safetensors");
    ck_assert_int_eq(truncate(in_folder("m/transformer/a.safetensors"), 100), 0);
    assert_refused(in_folder("m"), ERR_DATA, "a.safetensors");
    write_text("m/transformer/a.safetensors", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F{}            ");
    assert_refused(in_folder("m"), ERR_DATA, "a.safetensors");
    ck_assert_int_eq(unlink(in_folder("m/transformer/a.safetensors")), 0);
    assert_refused(in_folder("m"), ERR_INPUT, "a.safetensors");
}
END_TEST

START_TEST(index_that_is_wrong)
{
    static const char *const wrong[][2] = {
        {", \"layers.9.nothing\": \"a.safetensors\"", "layers.9.nothing is not in it"},
        {", \"x\": \"../m/transformer/a.safetensors\"", "beside the index"},
        {", \"x\": \"/etc/passwd\"", "beside the index"},
        {", \"x\": 5", "beside the index"},
        {", \"x\": \"c.safetensors\"", "c.safetensors"},
    };
    split(wrong[_i][0]);
    assert_refused(in_folder("m"), _i == 4 ? ERR_INPUT : ERR_DATA, wrong[_i][1]);
}
END_TEST

START_TEST(tensor_in_two_shards)
{
    split(", \"x_pad_token\": \"c.safetensors\"");
    uint8_t *data;
    size_t bytes;
    MUST(file_read(in_folder("elsewhere"), 1 << 24, &data, &bytes));
    MUST(file_atomic_write_whole(in_folder("m/transformer/c.safetensors"), data, bytes, false));
    free(data);
    assert_refused(in_folder("m"), ERR_DATA, "stands in");
}
END_TEST

START_TEST(folders_of_another_kind)
{
    assert_refused(in_folder("none"), ERR_DATA, "none");
    MUST(file_make_dirs(in_folder("empty")));
    assert_refused(in_folder("empty"), ERR_INPUT, "model_index.json");
    MUST(file_make_dirs(in_folder("run/checkpoints")));
    assert_refused(in_folder("run"), ERR_INPUT, "without a checkpoint");
    assert_refused(in_folder("m/transformer"), ERR_INPUT, "the folder above");
    assert_refused(in_folder("m/text_encoder/model.safetensors"), ERR_DATA, "a single file");
    write_text("model.gguf", "GGUF\3\0\0\0 and more");
    assert_refused(in_folder("model.gguf"), ERR_DATA, "GGUF");
}
END_TEST

static const struct {
    const char *file, *from, *to, *says;
} edits[] = {
    {"model_index.json", "ZImagePipeline", "SanaPipeline", "SanaPipeline"},
    {"model_index.json", "ZImageTransformer2DModel", "UNet2DConditionModel", "UNet2D"},
    {"model_index.json", "[null, null]", "[\"diffusers\", \"AutoencoderTiny\"]",
     "vae is a AutoencoderTiny; AutoencoderKL"},
    {"model_index.json", "[null, null]", "7", "vae"},
    {"model_index.json", "\"transformer\"", "\"unet\"", "transformer is missing"},
    {"model_index.json", "{\"_class", "{\"_class\": ,", "no JSON"},
    {"scheduler/scheduler_config.json", "FlowMatchEuler", "DDIM", "DDIMDiscreteScheduler"},
    {"scheduler/scheduler_config.json", "\"shift\": 3", "\"shift\": 0", "shift"},
    {"scheduler/scheduler_config.json", "\"shift\": 3", "\"shift\": \"a\"", "shift"},
    {"scheduler/scheduler_config.json", "\"shift\": 3", "\"use_karras_sigmas\": true", "karras"},
    {"scheduler/scheduler_config.json", "\"shift\": 3", "\"use_beta_sigmas\": true", "beta"},
    {"scheduler/scheduler_config.json", "\"shift\": 3", "\"use_exponential_sigmas\": true",
     "use_exponential"},
    {"scheduler/scheduler_config.json", "\"shift\": 3", "\"invert_sigmas\": true", "invert"},
    {"scheduler/scheduler_config.json", "\"shift\": 3", "\"stochastic_sampling\": true",
     "stochastic"},
    {"scheduler/scheduler_config.json", "\"shift\": 3", "\"shift_terminal\": 0.1", "terminal"},
    {"scheduler/scheduler_config.json", "\"shift\": 3", "\"time_shift_type\": \"x\"", "time_shift"},
    {"transformer/config.json", "\"dim\": 48", "\"dim\": 2147483648", "dim"},
    {"transformer/config.json", "\"dim\": 48", "\"dim\": 1e300", "dim"},
    {"transformer/config.json", "\"dim\": 48", "\"dim\": 50", "axes_dims"},
    {"transformer/config.json", "\"dim\": 48", "\"dim\": 96", "axes_dims"},
    {"transformer/config.json", "\"dim\": 48", "\"dam\": 48", "dim is missing"},
    {"transformer/config.json", "[8, 8, 8]", "[8, 8]", "axes_dims"},
    {"transformer/config.json", "[8, 8, 8]", "[8, 8, 10]", "axes_dims"},
    {"transformer/config.json", "\"n_heads\": 2", "\"n_heads\": 0", "n_heads"},
    {"transformer/config.json", "\"n_layers\": 1", "\"n_layers\": 2", "layers.1."},
    {"transformer/config.json", "\"n_layers\": 1", "\"n_layers\": 1.5", "n_layers"},
    {"transformer/config.json", "\"in_channels\": 3", "\"in_channels\": 4", "all_x_embedder"},
    {"transformer/config.json", "\"siglip_feat_dim\": null", "\"siglip_feat_dim\": 8", "siglip"},
    {"transformer/config.json", "\"qk_norm\": true", "\"qk_norm\": false", "qk_norm"},
    {"transformer/config.json", "\"cap_feat_dim\": 16", "\"cap_feat_dim\": 32", "cap_embedder"},
    {"text_encoder/config.json", "\"num_hidden_layers\": 1", "\"num_hidden_layers\": 36",
     "layers.1.input_layernorm.weight is missing"},
    {"text_encoder/config.json", "\"hidden_size\": 16", "\"hidden_size\": 8", "hidden_size"},
    {"text_encoder/config.json", "\"vocab_size\": 4", "\"vocab_size\": 3", "vocab_size"},
    {"text_encoder/config.json", "\"vocab_size\": 4", "\"vocab_size\": 5", "embed_tokens"},
    {"tokenizer/tokenizer.json", "WordLevel", "WordPiece", "WordPiece"},
    {"tokenizer/tokenizer.json", "WordLevel", "BPE", "the letter of byte 0"},
    {"tokenizer/tokenizer.json", "\"circle\": 0", "\"circle\": 1", "have one id, 1"},
    {"tokenizer/tokenizer.json", "\"circle\": 0", "\"circle\": -1", "an id from 0"},
    {"tokenizer/tokenizer.json", "\"<none>\": 3}", "\"no\": 3}", "<none>"},
};
enum { EDITS = sizeof edits / sizeof edits[0] };

START_TEST(configs_that_are_refused)
{
    char *name = string_format("m/%s", edits[_i].file);
    edit_text(name, edits[_i].from, edits[_i].to);
    free(name);
    assert_refused(in_folder("m"), ERR_DATA, edits[_i].says);
}
END_TEST

/* Written anew: another type, another shape, a tensor too few, one too many. */
START_TEST(tensors_that_are_refused)
{
    struct model_folder model;
    const char *path = in_folder("m/transformer/diffusion_pytorch_model.safetensors");
    MUST(model_folder_open(&model, in_folder("m")));
    struct store_writer *writer = store_writer_create();
    ck_assert_ptr_nonnull(writer);
    for (int t = 0; t < model.dit.list.tensor_count; t++) {
        const struct block_tensor *tensor = &model.dit.list.tensors[t];
        int64_t shape[2] = {tensor->shape[0], tensor->shape[1]};
        bool last = t == model.dit.list.tensor_count - 1;
        if (last && _i == 0) continue;
        if (last && _i == 1) shape[0] /= 2;
        MUST(store_add(writer, tensor->name, last && _i == 2 ? TENSOR_I8 : TENSOR_F32, tensor->dims,
                       shape, model.weights[t]->data));
    }
    const int64_t one = 1;
    if (_i == 3)
        MUST(store_add(writer, "extra.weight", TENSOR_F32, 1, &one, model.reader.table->data));
    char name[64];
    snprintf(name, sizeof name, "%s", model.dit.list.tensors[model.dit.list.tensor_count - 1].name);
    MUST(store_write(writer, path, false));
    store_writer_free(writer);
    model_folder_close(&model);
    if (_i < 3) {
        assert_refused(in_folder("m"), ERR_DATA, name);
    } else { /* named, and used all the same */
        MUST(model_folder_open(&model, in_folder("m")));
        model_folder_close(&model);
    }
}
END_TEST

START_TEST(prefixed_names_of_the_table)
{
    struct model_folder model;
    struct store_writer *writer = store_writer_create();
    MUST(model_folder_open(&model, in_folder("m")));
    MUST(store_add_f32(writer, "model.embed_tokens.weight", 4, 16, model.reader.table->data));
    MUST(store_write(writer, in_folder("renamed"), false));
    store_writer_free(writer);
    model_folder_close(&model);
    ck_assert_int_eq(rename(in_folder("renamed"), in_folder("m/text_encoder/model.safetensors")),
                     0);
    MUST(model_folder_open(&model, in_folder("m")));
    model_folder_close(&model);
}
END_TEST

START_TEST(flipped_bit)
{
    const char *path = in_folder("m/transformer/diffusion_pytorch_model.safetensors");
    FILE *file = fopen(path, "r+b");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, -100, SEEK_END), 0);
    int c = fgetc(file);
    ck_assert_int_eq(fseek(file, -100, SEEK_END), 0);
    fputc(c ^ 1, file);
    fclose(file);
    assert_refused(in_folder("m"), ERR_DATA, "CRC");
}
END_TEST

START_TEST(names_are_found)
{
    char *path;
    char *cache = path_join(folder, "hub");
    MUST(file_make_dirs(in_folder("run")));
    ck_assert_int_eq(rename(in_folder("m"), in_folder("run/model")), 0);
    MUST(model_folder_find(&path, in_folder("run")));
    ck_assert_str_eq(path, in_folder("run/model"));
    free(path);
    setenv("IMGTRAIN_MODELS", in_folder("run"), 1);
    MUST(model_folder_find(&path, "model"));
    free(path);
    ck_assert_int_eq(model_folder_find(&path, "../run/model"), ERR_INPUT);
    MUST(file_make_dirs(in_folder("hub/models--them--shapes/snapshots")));
    MUST(file_make_dirs(in_folder("hub/models--them--shapes/refs")));
    write_text("hub/models--them--shapes/refs/main", "0123abc\n");
    ck_assert_int_eq(
        rename(in_folder("run/model"), in_folder("hub/models--them--shapes/snapshots/0123abc")), 0);
    ck_assert_int_eq(model_folder_find(&path, "them/shapes"), ERR_INPUT);
    setenv("TRANSFORMERS_CACHE", cache, 1);
    MUST(model_folder_find(&path, "them/shapes"));
    ck_assert_ptr_nonnull(strstr(path, "snapshots/0123abc"));
    free(path);
    setenv("HF_HOME", folder, 1);
    unsetenv("TRANSFORMERS_CACHE");
    MUST(model_folder_find(&path, "them/shapes"));
    free(path);
    ck_assert_int_eq(model_folder_find(&path, "them/other"), ERR_INPUT);
    free(cache);
    unsetenv("HF_HOME");
    unsetenv("IMGTRAIN_MODELS");
}
END_TEST

/* Latents of another number of channels, and no VAE where the index names one. */
START_TEST(vae_that_does_not_fit)
{
    const struct kl_config other = tiny_vae_config(3);
    struct model_folder model, plain;
    tiny_latent_model_write(in_folder("l"), TOKENIZER_LABELS);
    MUST(model_folder_open(&model, in_folder("l")));
    MUST(model_folder_open(&plain, in_folder("m")));
    ck_assert(model.has_vae && model_scale(&model) == 2 && model_image_channels(&model) == 3);
    ck_assert(!plain.has_vae && model_scale(&plain) == 1 && model_image_channels(&plain) == 3);
    model_folder_close(&plain);
    uint64_t checksum = model.checksum;
    model_folder_close(&model);
    edit_text("l/vae/config.json", "\"scaling_factor\": 1.5", "\"scaling_factor\": 1.25");
    MUST(model_folder_open(&model, in_folder("l")));
    ck_assert_uint_ne(model.checksum, checksum);
    model_folder_close(&model);
    tiny_vae_write(in_folder("l/vae"), &other);
    assert_refused(in_folder("l"), ERR_DATA,
                   "latent_channels is 3, the transformer's in_channels 4");
    ck_assert_int_eq(rename(in_folder("l/vae"), in_folder("elsewhere")), 0);
    assert_refused(in_folder("l"), ERR_INPUT, "vae");
}
END_TEST

Suite *model_folder_test_suite(void);
Suite *model_folder_test_suite(void)
{
    Suite *suite = suite_create("model_folder_test");
    TCase *tests = tcase_create("folders");
    tcase_add_checked_fixture(tests, set_up_model, folder_remove);
    tcase_add_test(tests, what_is_written_is_read);
    tcase_add_test(tests, a_checksum_is_of_weights_too);
    tcase_add_test(tests, shards);
    tcase_add_loop_test(tests, index_that_is_wrong, 0, 5);
    tcase_add_test(tests, tensor_in_two_shards);
    tcase_add_test(tests, folders_of_another_kind);
    tcase_add_loop_test(tests, configs_that_are_refused, 0, EDITS);
    tcase_add_loop_test(tests, tensors_that_are_refused, 0, 4);
    tcase_add_test(tests, prefixed_names_of_the_table);
    tcase_add_test(tests, flipped_bit);
    tcase_add_test(tests, vae_that_does_not_fit);
    tcase_add_test(tests, names_are_found);
    suite_add_tcase(suite, tests);
    return suite;
}
