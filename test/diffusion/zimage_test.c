/* Z-Image in its official layout, on random weights: each stage and each mode against diffusers'
 * and transformers' (zimage_goldens.py); files of every kind; what is opened, and when it is given
 * up; what is wrong with a folder. */
#include "test/diffusion/official_made.h"

Suite *zimage_test_suite(void);

enum { PROMPT = 11, STEPS = 8 };

static const struct zimage_files plain_files = {.type = TENSOR_F32, .shards = 1};

static void open_zimage(const struct zimage_files *files)
{
    zimage_write(in_folder("m"), files);
    MUST(model_folder_open(&model, in_folder("m")));
}

static void set_up_zimage(void)
{
    set_up();
    open_zimage(&plain_files);
    draw_official_picture();
}

static void tear_down_zimage(void)
{
    model_folder_close(&model);
    folder_remove();
}

static struct pipeline_request zimage_request(int length)
{
    struct pipeline_request r = {.width = WIDTH,
                                 .height = HEIGHT,
                                 .steps = STEPS,
                                 .row_count = length,
                                 .strength = 0.6,
                                 .noise = NOISE_TORCH,
                                 .at_once = 1};
    text_prompt(length, r.rows);
    return r;
}

START_TEST(stages_of_diffusers)
{
    static struct made made;
    static float velocity[STATE];
    const struct pipeline_request request = zimage_request(PROMPT);
    const int64_t text[2] = {PROMPT, 32};
    MUST(make(&request, 1, &anyhow, &made));
    near_golden("zimage_text", "small.11", made.text, 2, text, 1e-5);
    const float step = 21.F / 22 - 1; /* the second sigma of eight */
    for (int i = 0; i < STATE; i++)
        velocity[i] = (made.states[1][i] - made.noise[i]) / step;
    near_state("zimage_steps", "velocity", velocity);
    near_state("zimage_steps", "latents.1", made.states[1]);
    near_state("zimage_steps", "latents.4", made.states[4]);
    near_state("zimage_steps", "latents.8", made.states[8]);
    near_picture("zimage_steps", "picture", made.image);
}
END_TEST

/* From words on. */
START_TEST(a_prompt_in_its_template)
{
    static struct made made;
    static const char prompt[] = "a red cat";
    struct pipeline_request request = zimage_request(PROMPT);
    struct tokens tokens;
    MUST(tokenizer_encode_chat(model.reader.tokens, &tokens, prompt, strlen(prompt),
                               TEXT_MOST_ROWS));
    const int64_t text[2] = {tokens.count, 32};
    ck_assert_int_lt(tokens.count, 64);
    request.steps = 1;
    request.row_count = tokens.count;
    memcpy(request.rows, tokens.ids, (size_t)tokens.count * sizeof *tokens.ids);
    MUST(make(&request, 1, &anyhow, &made));
    near_golden("zimage_text", "chat", made.text, 2, text, 1e-5);
    tokens_free(&tokens);
}
END_TEST

START_TEST(modes_of_diffusers)
{
    static struct made made;
    struct pipeline_request request = zimage_request(PROMPT);
    static const char *const names[] = {"image.3", "image.6", "image.10"};
    static const double strengths[] = {0.3, 0.6, 1.0};
    request.init = picture;
    for (int i = 0; i < 3; i++) {
        request.strength = strengths[i];
        MUST(make(&request, 1, &anyhow, &made));
        near_state("zimage_modes", names[i], made.states[STEPS]);
    }
    request.strength = 0.6;
    request.mask = mask;
    MUST(make(&request, 1, &anyhow, &made));
    near_state("zimage_modes", "inpaint", made.states[STEPS]);
    for (int i = 0; i < STATE; i++) { /* what is kept is kept to the bit */
        int y = i % (STATE / 16) / (WIDTH / 8), x = i % (WIDTH / 8);
        bool anew = mask[8 * y * WIDTH + 8 * x] > 0.5F;
        ck_assert_int_eq(memcmp(&made.states[STEPS][i], &made.z0[i], sizeof(float)) == 0, !anew);
    }
    request = zimage_request(33); /* with captions of other lengths */
    request.guidance = 1.5;
    request.steps = 3;
    text_prompt(PROMPT, request.without);
    request.without_count = PROMPT;
    MUST(make(&request, 1, &anyhow, &made));
    near_state("zimage_modes", "guided", made.states[3]);
}
END_TEST

/* Types are widened, wherever; shards and prefixes change nothing. */
START_TEST(files_of_every_kind)
{
    static const struct zimage_files files[] = {
        {TENSOR_F32, false, 3, true},  {TENSOR_F32, false, 1, true}, {TENSOR_BF16, false, 3, false},
        {TENSOR_BF16, false, 1, true}, {TENSOR_F16, false, 1, true}, {TENSOR_F16, false, 3, false}};
    static struct made made, right;
    struct pipeline_request request = zimage_request(PROMPT);
    request.steps = 2;
    struct zimage_files wide = files[_i];
    wide.widened = true;
    wide.shards = 1;
    wide.prefixed = false;
    for (int i = 0; i < 2; i++) {
        tear_down_zimage();
        set_up();
        open_zimage(i == 0 ? &wide : &files[_i]);
        ck_assert_int_eq(store_shards_count(model.reader.shards), i == 0 ? 1 : files[_i].shards);
        MUST(make(&request, 1, &anyhow, i == 0 ? &right : &made));
    }
    ck_assert_mem_eq(made.text, right.text, sizeof made.text);
    ck_assert_mem_eq(made.image, right.image, sizeof made.image);
    if (files[_i].type == TENSOR_F32) return;
    double off = 0, all = 0; /* and near to what was not rounded */
    tear_down_zimage();
    set_up();
    open_zimage(&plain_files);
    MUST(make(&request, 1, &anyhow, &right));
    for (int i = 0; i < STATE; i++) {
        double is = (double)right.states[2][i];
        off += ((double)made.states[2][i] - is) * ((double)made.states[2][i] - is);
        all += is * is;
    }
    ck_assert_msg(off <= 1e-4 * all && off > 0, "rel. RMS %g", sqrt(off / all));
}
END_TEST

/* Of a budget that suffices for `request` in a way, the least in steps of 64 KiB. */
static void make_in_little_memory(enum pipeline_weights weights,
                                  const struct pipeline_request *request, int threads,
                                  struct placement_options *options, struct made *made)
{
    int code;
    options->budget = 256 << 10;
    while ((code = make_with(weights, request, threads, options, made)) == ERR_DEVICE_MEMORY)
        options->budget += 64 << 10;
    MUST(code);
}

START_TEST(every_way_gives_the_same_bits)
{
    const enum pipeline_weights weights = _i ? PIPELINE_BF16 : PIPELINE_AS_STORED;
    static struct made first, made;
    struct pipeline_request request = zimage_request(33);
    request.steps = 2;
    request.guidance = 1.5;
    request.without[0] = 7;
    request.without_count = 1;
    request.init = picture;
    MUST(make_with(weights, &request, 1, &anyhow, &first));
    size_t least = SIZE_MAX;
    for (int way = PLACEMENT_NONE; way <= PLACEMENT_SEQUENTIAL; way++) {
        struct placement_options options = {.way = (enum placement_way)way,
                                            .place = true,
                                            .prefetch = true,
                                            .by_reading = way == PLACEMENT_MODEL};
        if (way == PLACEMENT_SEQUENTIAL)
            make_in_little_memory(weights, &request, 1 + way, &options, &made);
        else
            MUST(make_with(weights, &request, 1 + way, &options, &made));
        ck_assert_mem_eq(first.image, made.image, sizeof first.image);
        ck_assert_int_eq(made.report_count, 4);
        size_t most = 0;
        for (int i = 0; i < made.report_count; i++) {
            const struct placement_report *r = &made.reports[i];
            ck_assert_uint_eq(r->device_bytes, r->predicted.device_bytes);
            ck_assert_int_eq(r->copies, r->predicted.copies);
            ck_assert_uint_eq(r->copied_bytes, r->predicted.copied_bytes);
            if (r->device_bytes > most) most = r->device_bytes;
        }
        ck_assert_uint_lt(most, least);
        least = most;
        /* The encoder is given up before the denoiser comes, unless all may stay. */
        ck_assert_str_eq(made.reports[0].component, "text_encoder");
        ck_assert_str_eq(made.reports[2].component, "denoiser");
        ck_assert_int_eq(made.reports[2].predicted.kept_bytes > 0, way == PLACEMENT_NONE);
    }
}
END_TEST

START_TEST(modes_share_their_weights)
{
    struct pipeline_request request = zimage_request(PROMPT);
    request.steps = 1;
    modes_share_weights(&request, 3);
}
END_TEST

static int stop_looks;

static bool stop_after_looks(void)
{
    return stop_looks-- <= 0;
}

/* Before each layer of the text encoder; what it had begun is begun anew. */
START_TEST(stopped_between_layers)
{
    static struct made right;
    static float made[FLOATS];
    static const uint64_t seed = 42;
    const struct pipeline_watch watch = {.stop_requested = stop_after_looks};
    struct pipeline_request request = zimage_request(PROMPT);
    struct pipeline *pipeline;
    struct device *device;
    float sigmas[SIGMAS_MOST_STEPS + 1], *image = made;
    int first;
    request.steps = 1;
    MUST(make(&request, 1, &anyhow, &right));
    MUST(device_open(&device, "cpu", 1));
    MUST(pipeline_open(&pipeline, &model, device, &anyhow, PIPELINE_AS_STORED));
    MUST(pipeline_prepare(pipeline, &request, sigmas, &first));
    for (int looks = 0; looks < model.reader.layers.list->block_count; looks++) {
        stop_looks = looks;
        ck_assert_int_eq(pipeline_run(pipeline, &seed, 1, &image, &watch), ERR_STOPPED);
        ck_assert_str_eq(placement_report_at(pipeline_placement(pipeline), looks)->stage, "text");
        ck_assert_ptr_null(pipeline_features(pipeline));
    }
    MUST(pipeline_run(pipeline, &seed, 1, &image, &(struct pipeline_watch){0}));
    ck_assert_mem_eq(made, right.image, sizeof made);
    pipeline_close(pipeline);
    ck_assert_uint_eq(device->used_bytes, 0);
    device_close(device);
}
END_TEST

/* A prompt is encoded once: then no text encoder is opened, and the picture is the same. */
START_TEST(a_cached_prompt_opens_no_encoder)
{
    static struct made first, made;
    struct pipeline_request request = zimage_request(PROMPT);
    char *cache = string_format("%s/cache/deep", folder);
    request.steps = 1;
    request.text_cache = cache;
    const struct placement_options placed = {.place = true};
    MUST(make(&request, 1, &placed, &first));
    ck_assert_int_eq(first.counts.opened, 3); /* text encoder, denoiser, decoder */
    ck_assert_int_eq(first.report_count, 3);
    MUST(make(&request, 1, &placed, &made));
    ck_assert_int_eq(made.counts.opened, 2);
    ck_assert_int_eq(made.report_count, 2);
    ck_assert_str_eq(made.reports[0].component, "denoiser");
    ck_assert_uint_lt(made.counts.copied_bytes, first.counts.copied_bytes);
    ck_assert_mem_eq(made.text, first.text, sizeof made.text);
    ck_assert_mem_eq(made.image, first.image, sizeof made.image);
    ck_assert_int_eq(entries(cache), 1);
    /* another prompt, and the other half of a guided one */
    request.rows[3]++;
    MUST(make(&request, 1, &placed, &made));
    ck_assert_int_eq(made.counts.opened, 3);
    ck_assert(memcmp(made.text, first.text, sizeof made.text) != 0);
    request.guidance = 1;
    request.without_count = 1;
    MUST(make(&request, 1, &placed, &made));
    ck_assert_int_eq(made.counts.opened, 3);
    ck_assert_int_eq(entries(cache), 3);
    MUST(make(&request, 1, &placed, &made));
    ck_assert_int_eq(made.counts.opened, 2);
    free(cache);
}
END_TEST

/* It leads nowhere: the picture is that without it, and so is the work. */
START_TEST(guidance_away_from_the_prompt_itself)
{
    static struct made plain, made;
    struct pipeline_request request = zimage_request(PROMPT);
    request.steps = 1;
    MUST(make(&request, 1, &anyhow, &plain));
    request.guidance = 1.5;
    request.without_count = PROMPT;
    memcpy(request.without, request.rows, sizeof request.rows);
    MUST(make(&request, 1, &anyhow, &made));
    ck_assert_mem_eq(made.image, plain.image, sizeof made.image);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(made.reports[i].device_bytes, plain.reports[i].device_bytes);
}
END_TEST

/* Adds one to a number of a tensor in the text encoder's file, which has no CRCs then, as files of
 * others have none. */
static void change_number(const struct store_tensor *tensor, size_t index)
{
    const char *path = in_folder("m/text_encoder/model.safetensors");
    float number;
    uint8_t *text;
    size_t bytes, at;
    MUST(file_read(path, 1 << 24, &text, &bytes));
    for (at = 0; memcmp(text + at, tensor->data, tensor->bytes) != 0; at++)
        ck_assert_uint_lt(at + tensor->bytes, bytes);
    at += index * sizeof number;
    memcpy(&number, text + at, sizeof number);
    number++;
    memcpy(text + at, &number, sizeof number);
    for (size_t i = 0; i + 5 < bytes; i++)
        if (memcmp(text + i, "crc32", 5) == 0) text[i] = 'x';
    model_folder_close(&model);
    MUST(file_atomic_write_whole(path, text, bytes, false));
    MUST(model_folder_open(&model, in_folder("m")));
    free(text);
}

/* Far behind the bytes that a model's checksum has: a matrix's end, and a row of the table that
 * the prompt asks for. */
START_TEST(caches_of_a_changed_encoder_are_not_read)
{
    static struct made first, made;
    struct pipeline_request request = zimage_request(PROMPT);
    char *cache = string_format("%s/cache", folder);
    request.steps = 1;
    request.rows[PROMPT - 1] = 200;
    request.text_cache = cache;
    MUST(make(&request, 1, &anyhow, &first));
    for (int i = 0; i < 2; i++) {
        if (i == 0)
            change_number(model.reader.weights[QWEN3_UP], 64 * 32 - 1);
        else
            change_number(model.reader.table, 200 * 32);
        MUST(make(&request, 1, &anyhow, &made));
        ck_assert_int_eq(made.report_count, 3);
        ck_assert(memcmp(made.text, first.text, sizeof made.text) != 0);
        first = made;
    }
    ck_assert_int_eq(entries(cache), 3);
    free(cache);
}
END_TEST

/* Keyed by the encoder and how it computes; damage, or a folder that cannot be written, is no
 * more than work. */
START_TEST(caches_of_others_are_not_read)
{
    static struct made made, stored;
    struct device *device;
    struct pipeline_request request = zimage_request(PROMPT);
    char *cache = string_format("%s/cache", folder), *file;
    const int64_t shape[2] = {PROMPT, 32};
    request.steps = 1;
    request.text_cache = cache;
    MUST(make(&request, 1, &anyhow, &stored));
    MUST(device_open(&device, "cpu", 1));
    MUST(make_on(device, &request, &anyhow, PIPELINE_BF16, &made));
    device_close(device);
    ck_assert_int_eq(made.report_count, 3);
    ck_assert_int_eq(entries(cache), 2);
    ck_assert(memcmp(made.text, stored.text, sizeof made.text) != 0); /* of rounded matrices */
    near_golden("zimage_text", "small.11", made.text, 2, shape, 2e-2);
    model_folder_close(&model);
    edit_text("m/text_encoder/config.json", "1e-06", "1e-05");
    MUST(model_folder_open(&model, in_folder("m")));
    MUST(make(&request, 1, &anyhow, &made));
    ck_assert_int_eq(made.report_count, 3);
    ck_assert_int_eq(entries(cache), 3);
    DIR *dir = opendir(cache);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        file = string_format("%s/%s", cache, entry->d_name);
        ck_assert_int_eq(truncate(file, 100), 0);
        free(file);
    }
    closedir(dir);
    MUST(make(&request, 1, &anyhow, &made));
    ck_assert_int_eq(made.report_count, 3);
    MUST(make(&request, 1, &anyhow, &made)); /* it was written anew */
    ck_assert_int_eq(made.report_count, 2);
    request.text_cache = "/dev/null/cache";
    MUST(make(&request, 1, &anyhow, &made));
    ck_assert_int_eq(made.report_count, 3);
    free(cache);
}
END_TEST

/* ---- what is wrong with a folder ---- */

static void assert_refused(int code, const char *says)
{
    struct model_folder other;
    int got = model_folder_open(&other, in_folder("m"));
    model_folder_close(&other);
    ck_assert_msg(got == code, "%d, not %d: %s", got, code, error_message());
    ck_assert_msg(strstr(error_message(), says), "\"%s\" is not in: %s", says, error_message());
}

START_TEST(shards_that_are_missing)
{
    const struct zimage_files files = {.type = TENSOR_BF16, .shards = 3};
    tear_down_zimage();
    set_up();
    open_zimage(&files);
    const char *shard = in_folder("m/text_encoder/model-00002-of-00003.safetensors");
    ck_assert_int_eq(truncate(shard, 5000), 0);
    assert_refused(ERR_DATA, "model-00002-of-00003.safetensors");
    ck_assert_int_eq(unlink(shard), 0);
    assert_refused(ERR_INPUT, "model-00002-of-00003.safetensors");
}
END_TEST

/* While it is mapped: an error, no SIGBUS. */
START_TEST(an_embedding_that_got_shorter)
{
    static struct made made;
    struct pipeline_request request = zimage_request(33);
    ck_assert_int_eq(truncate(in_folder("m/text_encoder/model.safetensors"), 4096), 0);
    ck_assert_int_eq(make(&request, 1, &anyhow, &made), ERR_IO);
    ck_assert_ptr_nonnull(strstr(error_message(), "embed_tokens.weight cannot be read any more"));
}
END_TEST

START_TEST(encoders_that_are_refused)
{
    static const struct {
        const char *from, *to, *says;
    } edits[] = {
        {"\"hidden_size\": 32", "\"hidden_size\": 64", "cap_feat_dim 32"},
        {"\"intermediate_size\": 64", "\"intermediate_size\": 65", "mlp.gate_proj"},
        {"\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2", "num_hidden_layers is 2"},
        {"\"num_hidden_layers\": 3", "\"num_hidden_layers\": 5", "layers.3."},
        {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "no multiple"},
        {"\"vocab_size\": 410", "\"vocab_size\": 2147483648", "vocab_size"},
        {"\"vocab_size\": 410", "\"vocab_size\": 411", "embed_tokens"},
        {"\"vocab_size\": 410", "\"vocab_size\": 400", "its tokenizer has 406 words"},
        {"\"silu\"", "\"gelu\"", "hidden_act"},
    };
    edit_text("m/text_encoder/config.json", edits[_i].from, edits[_i].to);
    assert_refused(ERR_DATA, edits[_i].says);
}
END_TEST

/* A tensor that holds no numbers is named, with its stage. */
START_TEST(weights_that_are_no_numbers)
{
    static struct made made;
    struct pipeline_request request = zimage_request(PROMPT);
    const struct store_tensor *sound = model.reader.weights[QWEN3_UP];
    struct store_tensor tensor = *sound;
    float *copy = malloc(tensor.bytes);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, tensor.data, tensor.bytes);
    copy[0] = NAN;
    tensor.data = copy;
    tensor.is_copy = true;
    model.reader.weights[QWEN3_UP] = &tensor;
    ck_assert_int_eq(make(&request, 1, &anyhow, &made), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "text: no number comes out"));
    ck_assert_ptr_nonnull(strstr(error_message(), "layers.0.mlp.up_proj.weight"));
    model.reader.weights[QWEN3_UP] = sound;
    free(copy);
    request.rows[0] = 410;
    ck_assert_int_eq(make(&request, 1, &anyhow, &made), ERR_USAGE);
}
END_TEST

Suite *zimage_test_suite(void)
{
    Suite *suite = suite_create("zimage_test");
    TCase *tests = tcase_create("zimage");
    tcase_add_checked_fixture(tests, set_up_zimage, tear_down_zimage);
    tcase_add_test(tests, stages_of_diffusers);
    tcase_add_test(tests, a_prompt_in_its_template);
    tcase_add_test(tests, modes_of_diffusers);
    tcase_add_loop_test(tests, files_of_every_kind, 0, 6);
    tcase_add_loop_test(tests, every_way_gives_the_same_bits, 0, 2);
    tcase_add_test(tests, modes_share_their_weights);
    tcase_add_test(tests, stopped_between_layers);
    tcase_add_test(tests, a_cached_prompt_opens_no_encoder);
    tcase_add_test(tests, guidance_away_from_the_prompt_itself);
    tcase_add_test(tests, caches_of_others_are_not_read);
    tcase_add_test(tests, caches_of_a_changed_encoder_are_not_read);
    tcase_add_test(tests, shards_that_are_missing);
    tcase_add_test(tests, an_embedding_that_got_shorter);
    tcase_add_loop_test(tests, encoders_that_are_refused, 0, 9);
    tcase_add_test(tests, weights_that_are_no_numbers);
    suite_add_tcase(suite, tests);
    return suite;
}
