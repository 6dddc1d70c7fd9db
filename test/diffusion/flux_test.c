/* FLUX.1 in its official layout, on random weights: each stage and each mode against diffusers' and
 * transformers' (flux_pipeline_goldens.py); files of every kind; the same bits in every way; what
 * is opened, and when it is given up; what is wrong with a folder. */
#include "test/diffusion/tiny_flux.h"

/* Its names would be hidden by those above. */
#include "test/diffusion/official_made.h"

#include <unistd.h>

Suite *flux_test_suite(void);

enum { FLUX_ROWS = 24, FLUX_STEPS = 4 };

static const struct zimage_files flux_plain = {.type = TENSOR_F32, .shards = 1};

static void flux_open(bool guided, const struct zimage_files *files)
{
    flux_write(in_folder("m"), guided, files);
    MUST(model_folder_open(&model, in_folder("m")));
}

static void flux_set_up(void)
{
    set_up();
    flux_open(true, &flux_plain);
    draw_official_picture();
}

static void flux_tear_down(void)
{
    model_folder_close(&model);
    folder_remove();
}

static struct pipeline_request flux_request(const char *prompt)
{
    struct pipeline_request r = {.width = WIDTH,
                                 .height = HEIGHT,
                                 .steps = FLUX_STEPS,
                                 .text_length = FLUX_ROWS,
                                 .guidance = model_usual_guidance(&model),
                                 .strength = 0.6,
                                 .noise = NOISE_TORCH,
                                 .at_once = 1};
    MUST(
        model_text_rows(&model, "prompt", prompt, strlen(prompt), FLUX_ROWS, r.rows, &r.row_count));
    MUST(model_pooled_rows(&model, "prompt", prompt, strlen(prompt), r.pooled_rows,
                           &r.pooled_count));
    return r;
}

START_TEST(flux_stages_of_diffusers)
{
    static struct made made;
    struct pipeline_request request = flux_request("a red cat");
    const int64_t text[2] = {FLUX_ROWS, 32}, pooled[1] = {32};
    ck_assert_int_eq(model_usual_steps(&model), 28);
    ck_assert_int_eq(request.row_count, FLUX_ROWS);
    MUST(make(&request, 1, &anyhow, &made));
    near_golden("flux_steps", "text", made.text, 2, text, 1e-5);
    near_golden("flux_steps", "pooled", made.pooled, 1, pooled, 1e-5);
    near_state("flux_steps", "latents", made.states[FLUX_STEPS]);
    near_picture("flux_steps", "picture", made.image);
    request.guidance = 1.5;
    MUST(make(&request, 1, &anyhow, &made));
    near_state("flux_modes", "guided", made.states[FLUX_STEPS]);
}
END_TEST

START_TEST(flux_from_an_image)
{
    static struct made made;
    struct pipeline_request request = flux_request("a red cat");
    request.init = picture;
    MUST(make(&request, 1, &anyhow, &made));
    near_state("flux_modes", "image", made.states[FLUX_STEPS]);
    request.mask = mask;
    MUST(make(&request, 1, &anyhow, &made));
    near_state("flux_modes", "inpaint", made.states[FLUX_STEPS]);
    for (int i = 0; i < STATE; i++) { /* what is kept is kept to the bit */
        int y = i % (STATE / 16) / (WIDTH / 8), x = i % (WIDTH / 8);
        bool anew = mask[8 * y * WIDTH + 8 * x] > 0.5F;
        ck_assert_int_eq(memcmp(&made.states[FLUX_STEPS][i], &made.z0[i], sizeof(float)) == 0,
                         !anew);
    }
}
END_TEST

/* Without guidance, whatever the request says of it. */
START_TEST(flux_schnell_of_diffusers)
{
    static struct made made, other;
    flux_tear_down();
    set_up();
    flux_open(false, &flux_plain);
    struct pipeline_request request = flux_request("a red cat");
    ck_assert_int_eq(model_usual_steps(&model), FLUX_STEPS);
    ck_assert(request.guidance == 0);
    MUST(make(&request, 1, &anyhow, &made));
    near_state("flux_steps", "schnell", made.states[FLUX_STEPS]);
    request.guidance = 3;
    request.without_count = 1;
    MUST(make(&request, 1, &anyhow, &other));
    ck_assert_mem_eq(made.image, other.image, sizeof made.image);
}
END_TEST

/* Types are widened, wherever; shards change nothing. */
START_TEST(flux_files_of_every_kind)
{
    static const struct zimage_files files[] = {
        {TENSOR_F32, false, 3, false}, {TENSOR_F32, false, 1, true},
        {TENSOR_BF16, false, 3, true}, {TENSOR_BF16, false, 1, false},
        {TENSOR_F16, false, 1, true},  {TENSOR_F16, false, 3, false}};
    static struct made made, right;
    struct zimage_files wide = files[_i];
    wide.widened = true;
    wide.shards = 1;
    wide.prefixed = false;
    for (int i = 0; i < 2; i++) {
        flux_tear_down();
        set_up();
        flux_open(true, i == 0 ? &wide : &files[_i]);
        struct pipeline_request request = flux_request("a red cat");
        request.steps = 2;
        ck_assert_int_eq(store_shards_count(model.reader.shards), i == 0 ? 1 : files[_i].shards);
        ck_assert_int_eq(store_shards_count(model.pooled.shards), i == 0 ? 1 : files[_i].shards);
        MUST(make(&request, 1, &anyhow, i == 0 ? &right : &made));
    }
    ck_assert_mem_eq(made.text, right.text, sizeof made.text);
    ck_assert_mem_eq(made.pooled, right.pooled, sizeof made.pooled);
    ck_assert_mem_eq(made.image, right.image, sizeof made.image);
    if (files[_i].type == TENSOR_F32) return;
    double off = 0, all = 0; /* and near to what was not rounded */
    flux_tear_down();
    set_up();
    flux_open(true, &flux_plain);
    struct pipeline_request request = flux_request("a red cat");
    request.steps = 2;
    MUST(make(&request, 1, &anyhow, &right));
    for (int i = 0; i < STATE; i++) {
        double is = (double)right.states[2][i];
        off += ((double)made.states[2][i] - is) * ((double)made.states[2][i] - is);
        all += is * is;
    }
    ck_assert_msg(off <= 2.5e-3 * all && off > 0, "rel. RMS %g", sqrt(off / all));
}
END_TEST

/* And any number of threads; predictions hold to the byte. */
START_TEST(flux_every_way_gives_the_same_bits)
{
    static const char *const stages[] = {"clip", "text", "encode", "denoise", "decode"};
    const enum pipeline_weights weights = _i ? PIPELINE_BF16 : PIPELINE_AS_STORED;
    static struct made first, made;
    struct pipeline_request request = flux_request("the old house near the river");
    request.steps = 2;
    request.init = picture;
    MUST(make_with(weights, &request, 1, &anyhow, &first));
    for (int way = PLACEMENT_NONE; way <= PLACEMENT_SEQUENTIAL; way++) {
        struct placement_options options = {.way = (enum placement_way)way,
                                            .budget = way == PLACEMENT_SEQUENTIAL ? 3 << 20 : 0,
                                            .place = true,
                                            .prefetch = true,
                                            .by_reading = way == PLACEMENT_MODEL};
        MUST(make_with(weights, &request, 1 + way, &options, &made));
        ck_assert_mem_eq(first.image, made.image, sizeof first.image);
        ck_assert_int_eq(made.report_count, 5);
        for (int i = 0; i < made.report_count; i++) {
            const struct placement_report *r = &made.reports[i];
            ck_assert_str_eq(r->stage, stages[i]);
            ck_assert_uint_eq(r->device_bytes, r->predicted.device_bytes);
            ck_assert_int_eq(r->copies, r->predicted.copies);
            ck_assert_uint_eq(r->copied_bytes, r->predicted.copied_bytes);
        }
        /* Encoders are given up before the denoiser comes, unless all may stay. */
        ck_assert_int_eq(made.reports[3].predicted.kept_bytes > 0, way == PLACEMENT_NONE);
    }
}
END_TEST

START_TEST(flux_modes_share_their_weights)
{
    struct pipeline_request request = flux_request("a red cat");
    request.steps = 1;
    modes_share_weights(&request, 4); /* CLIP, T5, denoiser, decoder */
}
END_TEST

/* A prompt is encoded once: then no text encoder is opened, and the picture is the same. */
START_TEST(flux_cached_prompts_open_no_encoder)
{
    static struct made first, made;
    struct pipeline_request request = flux_request("a red cat");
    char *cache = string_format("%s/cache", folder);
    const struct placement_options placed = {.place = true};
    request.steps = 1;
    request.text_cache = cache;
    MUST(make(&request, 1, &placed, &first));
    ck_assert_int_eq(first.counts.opened, 4); /* CLIP, T5, denoiser, decoder */
    MUST(make(&request, 1, &placed, &made));
    ck_assert_int_eq(made.counts.opened, 2);
    ck_assert_str_eq(made.reports[0].component, "denoiser");
    ck_assert_mem_eq(made.text, first.text, sizeof made.text);
    ck_assert_mem_eq(made.pooled, first.pooled, sizeof made.pooled);
    ck_assert_mem_eq(made.image, first.image, sizeof made.image);
    free(cache);
}
END_TEST

/* What a processor makes of a prompt by products of bf16 is not what one of the same name makes
 * without them. */
START_TEST(flux_caches_tell_products_of_bf16)
{
    static struct made made;
    struct pipeline_request request = flux_request("a red cat");
    char *cache = string_format("%s/cache", folder);
    const struct placement_options placed = {.place = true};
    struct device *device;
    request.steps = 1;
    request.text_cache = cache;
    MUST(device_open(&device, "cpu", 1));
    const struct token_ops *own = device->token;
    struct token_ops other = *own;
    other.bf16 = !own->bf16;
    for (int i = 0; i < 3; i++) {
        device->token = i == 1 ? &other : own;
        MUST(make_on(device, &request, &placed, PIPELINE_BF16, &made));
        ck_assert_int_eq(made.counts.opened, i < 2 ? 4 : 2);
    }
    device->token = own;
    device_close(device);
    free(cache);
}
END_TEST

/* ---- what is wrong with a folder ---- */

START_TEST(flux_folders_that_are_refused)
{
    static const struct {
        const char *file, *from, *to, *says;
    } edits[] = {
        {"model_index.json", "FluxPipeline", "FluxKontextPipeline", "_class_name is FluxKontext"},
        {"model_index.json", "T5EncoderModel", "UMT5EncoderModel", "text_encoder_2 is a UMT5"},
        {"transformer/config.json", "\"in_channels\": 64", "\"in_channels\": 66", "multiple of 4"},
        {"transformer/config.json", "\"in_channels\": 64", "\"in_channels\": 128", "x_embedder"},
        {"transformer/config.json", "\"out_channels\": null", "\"out_channels\": 4",
         "out_channels"},
        {"transformer/config.json", "\"guidance_embeds\": true", "\"guidance_embeds\": false",
         "guidance_embedder.linear_1.bias is there, but guidance_embeds is 0"},
        {"transformer/config.json", "\"patch_size\": 1", "\"patch_size\": 2", "patch_size is 2"},
        {"transformer/config.json", "[8, 8, 8]", "[8, 8, 4]", "axes"},
        {"transformer/config.json", "\"num_layers\": 2", "\"num_layers\": 1", "num_layers is 1"},
        {"transformer/config.json", "\"num_layers\": 2, \"num_single_layers\": 2",
         "\"num_layers\": 0, \"num_single_layers\": 0", "num_single_layers together"},
        {"transformer/config.json", "\"joint_attention_dim\": 32",
         "\"joint_attention_dim\": 2147483648", "joint_attention_dim"},
        {"text_encoder_2/config.json", "\"d_model\": 32", "\"d_model\": 64",
         "joint_attention_dim 32"},
        {"text_encoder_2/config.json", "\"num_layers\": 3", "\"num_layers\": 2", "num_layers is 2"},
        {"text_encoder_2/config.json", "\"vocab_size\": 224", "\"vocab_size\": 100",
         "its tokenizer has"},
        {"text_encoder/config.json", "\"hidden_size\": 32", "\"hidden_size\": 64",
         "pooled_projection_dim 32"},
        {"text_encoder/config.json", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4",
         "encoder.layers.3."},
        {"tokenizer/tokenizer.json", "RobertaProcessing", "ByteLevel", "tokenizer: no token ends"},
        {"tokenizer_2/tokenizer.json", "TemplateProcessing", "ByteLevel", "_2: no token ends"},
    };
    struct model_folder other;
    char *file = string_format("m/%s", edits[_i].file);
    edit_text(file, edits[_i].from, edits[_i].to);
    int got = model_folder_open(&other, in_folder("m"));
    model_folder_close(&other);
    ck_assert_msg(got == ERR_DATA, "%d: %s", got, error_message());
    ck_assert_msg(strstr(error_message(), edits[_i].says), "\"%s\" is not in: %s", edits[_i].says,
                  error_message());
    free(file);
}
END_TEST

/* While it is mapped: an error, no SIGBUS. */
START_TEST(flux_embeddings_that_got_shorter)
{
    static struct made made;
    static const char *const files[] = {"m/text_encoder/model.safetensors",
                                        "m/text_encoder_2/model.safetensors"};
    struct pipeline_request request = flux_request("a red cat");
    ck_assert_int_eq(truncate(in_folder(files[_i]), 4096), 0);
    ck_assert_int_eq(make(&request, 1, &anyhow, &made), ERR_IO);
    ck_assert_msg(strstr(error_message(), "cannot be read any more"), "%s", error_message());
}
END_TEST

/* A tensor that holds no numbers is named, with its stage. */
START_TEST(flux_weights_that_are_no_numbers)
{
    static struct made made;
    static const char *const stages[] = {"clip: no number", "text: no number", "denoise, step 1"};
    const struct store_tensor **lists[] = {model.pooled.weights, model.reader.weights,
                                           model.weights};
    struct pipeline_request request = flux_request("a red cat");
    const struct store_tensor *sound = lists[_i][1];
    struct store_tensor tensor = *sound;
    float *copy = malloc(tensor.bytes);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, tensor.data, tensor.bytes);
    copy[0] = NAN;
    tensor.data = copy;
    tensor.is_copy = true;
    lists[_i][1] = &tensor;
    ck_assert_int_eq(make(&request, 1, &anyhow, &made), ERR_DATA);
    ck_assert_msg(strstr(error_message(), stages[_i]), "%s", error_message());
    ck_assert_msg(strstr(error_message(), tensor.name), "%s", error_message());
    lists[_i][1] = sound;
    free(copy);
}
END_TEST

Suite *flux_test_suite(void)
{
    Suite *suite = suite_create("flux_test");
    TCase *tests = tcase_create("flux");
    tcase_add_checked_fixture(tests, flux_set_up, flux_tear_down);
    tcase_add_test(tests, flux_stages_of_diffusers);
    tcase_add_test(tests, flux_from_an_image);
    tcase_add_test(tests, flux_schnell_of_diffusers);
    tcase_add_loop_test(tests, flux_files_of_every_kind, 0, 6);
    tcase_add_loop_test(tests, flux_every_way_gives_the_same_bits, 0, 2);
    tcase_add_test(tests, flux_modes_share_their_weights);
    tcase_add_test(tests, flux_cached_prompts_open_no_encoder);
    tcase_add_test(tests, flux_caches_tell_products_of_bf16);
    tcase_add_loop_test(tests, flux_folders_that_are_refused, 0, 18);
    tcase_add_loop_test(tests, flux_embeddings_that_got_shorter, 0, 2);
    tcase_add_loop_test(tests, flux_weights_that_are_no_numbers, 0, 3);
    suite_add_tcase(suite, tests);
    return suite;
}
