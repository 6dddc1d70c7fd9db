/* MMDiT against diffusers (scripts/reference/mmdit_goldens.py), and that neither neighbours,
 * threads nor where weights come from change a bit. */
#include "diffusion/mmdit/mmdit_internal.h"
#include "math/bf16.h"
#include "math/half.h"
#include "mmdit_fixture.h"
#include "store/safetensors.h"
#include "test/diffusion/timed_block.h"
#include "test/golden_file.h"
#include "test/near.h"

Suite *mmdit_test_suite(void);

static const char *const golden_names[] = {"guided", "plain"};
enum { GOLDENS = sizeof golden_names / sizeof *golden_names };

static struct store_file *golden_open(const char *name, struct mmdit_case *is)
{
    char path[96];
    struct store_file *file;
    snprintf(path, sizeof path, "test/golden/mmdit_%s.safetensors", name);
    MUST(store_open(&file, path));
    *is = (struct mmdit_case){
        .config = {.channels = golden_int(file, "config.in_channels") / 4,
                   .double_blocks = golden_int(file, "config.num_layers"),
                   .single_blocks = golden_int(file, "config.num_single_layers"),
                   .heads = golden_int(file, "config.num_attention_heads"),
                   .head_dim = golden_int(file, "config.attention_head_dim"),
                   .text_dim = golden_int(file, "config.joint_attention_dim"),
                   .pooled_dim = golden_int(file, "config.pooled_projection_dim"),
                   .guidance = golden_int(file, "config.guidance_embeds")},
        .size = {.samples = golden_int(file, "samples"),
                 .height = golden_int(file, "height"),
                 .width = golden_int(file, "width"),
                 .text_rows = golden_int(file, "rows")}};
    golden_list(file, "config.axes_dims_rope", is->config.axes, MMDIT_AXES);
    return file;
}

START_TEST(outputs_are_those_of_the_reference)
{
    struct mmdit_fixture f;
    struct mmdit_case is;
    struct store_file *file = golden_open(golden_names[_i], &is);
    mm_open(&f, &is, 1);
    mm_plan(&f);
    mm_run(&f);
    const struct store_tensor *out = store_find(file, "out");
    ck_assert_ptr_nonnull(out);
    double error = relative_error(f.host[MM_OUT], out->data, f.counts[MM_OUT]);
    ck_assert_msg(error <= 5e-6, "out differs by %g", error);
    ck_assert_uint_eq(f.model.list.parameter_total, (size_t)golden_int(file, "parameters"));
    const char *names = store_get(file, "names");
    for (int t = 0; t < f.model.list.tensor_count; t++)
        ck_assert_msg(strstr(names, f.model.list.tensors[t].name) != NULL, "no %s",
                      f.model.list.tensors[t].name);
    mm_close(&f);
    store_close(file);
}
END_TEST

/* Each sample alone, by more threads: the bits of the batch. */
START_TEST(a_sample_does_not_depend_on_its_neighbours)
{
    struct mmdit_fixture f, other;
    struct mmdit_case is;
    struct store_file *file = golden_open("plain", &is);
    mm_open(&f, &is, 1);
    mm_plan(&f);
    mm_run(&f);
    mm_open(&other, &is, 3);
    mm_plan(&other);
    struct block_flat flat = {&other.model.list, other.host[MM_PARAMETERS]};
    const struct block_source source = block_flat_source(&flat);
    size_t each = f.counts[MM_OUT] / (size_t)is.size.samples;
    for (int i = is.size.samples - 1; i >= 0; i--) {
        const struct mmdit_batch batch = mm_batch(&other, i, 1);
        MUST(mmdit_forward(&other.mmdit, &source, &batch, other.host[MM_OUT]));
        ck_assert_mem_eq(other.host[MM_OUT], f.host[MM_OUT] + (size_t)i * each,
                         each * sizeof(float));
    }
    mm_close(&other);
    mm_close(&f);
    store_close(file);
}
END_TEST

/* ---- weights in half precision, block by block ---- */

struct mm_halves {
    const struct mmdit_fixture *f;
    uint16_t *halves; /* [list.floats] */
    enum token_type type;
    int held;
    int fails_at; /* the block that cannot be had; -1: none */
};

static int mm_acquire(void *context, int block, struct block_weights *weights)
{
    struct mm_halves *h = context;
    const struct block_list *list = &h->f->model.list;
    ck_assert_int_eq(h->held, -1);
    if (block == h->fails_at) return fail(ERR_DEVICE_MEMORY, "no room for a block");
    h->held = block;
    memset(weights, 0, sizeof *weights);
    for (int slot = 0; slot < BLOCK_SLOTS; slot++) {
        const struct block_tensor *t = block_tensor_of(list, block, slot);
        if (!t) continue;
        weights->type[slot] = t->is_matrix ? h->type : TOKEN_F32;
        weights->at[slot] = t->is_matrix ? (const void *)(h->halves + t->offset)
                                         : (const void *)(h->f->host[MM_PARAMETERS] + t->offset);
    }
    return OK;
}

static int mm_release(void *context, int block)
{
    struct mm_halves *h = context;
    ck_assert_int_eq(h->held, block);
    h->held = -1;
    return OK;
}

START_TEST(half_weights_are_computed_from)
{
    struct mmdit_fixture f;
    struct mmdit_case is;
    struct store_file *file = golden_open("guided", &is);
    mm_open(&f, &is, 2);
    mm_plan(&f);
    struct mm_halves h = {&f, calloc(f.model.list.floats, 2), _i ? TOKEN_F16 : TOKEN_BF16, -1, -1};
    float *out = calloc(f.counts[MM_OUT], sizeof *out);
    for (size_t i = 0; i < f.model.list.matrix_floats; i++) {
        float *x = &f.host[MM_PARAMETERS][i];
        h.halves[i] = _i ? half_round(*x) : bf16_round(*x);
        *x = _i ? half_half_value(h.halves[i]) : bf16_value(h.halves[i]);
    }
    mm_run(&f);
    const struct block_source source = {mm_acquire, mm_release, &h};
    const struct mmdit_batch batch = mm_batch(&f, 0, is.size.samples);
    for (h.fails_at = 0; h.fails_at < f.model.list.block_count; h.fails_at++) {
        ck_assert_int_eq(mmdit_forward(&f.mmdit, &source, &batch, out), ERR_DEVICE_MEMORY);
        ck_assert_int_eq(h.held, -1);
    }
    h.fails_at = -1;
    MUST(mmdit_forward(&f.mmdit, &source, &batch, out));
    ck_assert_mem_eq(out, f.host[MM_OUT], f.counts[MM_OUT] * sizeof *out);
    free(out);
    free(h.halves);
    mm_close(&f);
    store_close(file);
}
END_TEST

/* ---- what is refused ---- */

static const struct mmdit_config flux = {.channels = 16,
                                         .double_blocks = 19,
                                         .single_blocks = 38,
                                         .heads = 24,
                                         .head_dim = 128,
                                         .text_dim = 4096,
                                         .pooled_dim = 768,
                                         .guidance = true,
                                         .axes = {16, 56, 56}};

static void refuses(const struct mmdit_config *config, const char *says)
{
    struct mmdit_model model;
    ck_assert_int_eq(mmdit_model_create(&model, config), ERR_DATA);
    ck_assert_msg(strstr(error_message(), says) != NULL, "%s", error_message());
    mmdit_model_free(&model);
}

START_TEST(configs_that_do_not_fit_are_refused)
{
    struct mmdit_config c = flux;
    c.axes[1] = 58;
    refuses(&c, "axes_dims_rope make 130: attention_head_dim is 128");
    c = flux, c.axes[0] = 15, c.axes[1] = 57;
    refuses(&c, "even");
    c = flux, c.heads = INT32_MAX;
    refuses(&c, "num_attention_heads is 2147483647");
    c = flux, c.head_dim = 0;
    refuses(&c, "attention_head_dim is 0");
    c = flux, c.single_blocks = -1;
    refuses(&c, "num_single_layers is -1");
    c = flux, c.pooled_dim = 0;
    refuses(&c, "pooled_projection_dim is 0");
    c = flux, c.channels = 0;
    refuses(&c, "in_channels");
    MUST(mmdit_check_size(&flux, 128, 128, 512));
    ck_assert_int_eq(mmdit_check_size(&flux, 127, 128, 512), ERR_USAGE);
    ck_assert_int_eq(mmdit_check_size(&flux, 128, 0, 512), ERR_USAGE);
    ck_assert_int_eq(mmdit_check_size(&flux, 128, 128, 0), ERR_USAGE);
    ck_assert_int_eq(mmdit_check_size(&flux, 1 << 20, 1 << 20, 1), ERR_USAGE);
}
END_TEST

/* The numbers that the released weights have. */
START_TEST(list_is_of_flux_1)
{
    struct mmdit_model model;
    const struct mmdit_size size = {1, 128, 128, 256};
    size_t block[2] = {0, 0};
    MUST(mmdit_model_create(&model, &flux));
    ck_assert_uint_eq(model.list.parameter_total, 11901408320);
    for (int t = 0; t < model.list.tensor_count; t++)
        for (int k = 0; k < 2; k++)
            if (model.list.tensors[t].block == (k ? 20 : 1))
                block[k] += model.list.tensors[t].count;
    ck_assert_uint_eq(block[0], 339831296);
    ck_assert_uint_eq(block[1], 141591808);
    ck_assert_str_eq(model.list.names[57], "single_transformer_blocks.37");
    ck_assert_str_eq(block_tensor_of(&model.list, 3, MMDIT_STREAM + MMDIT_NORM_K)->name,
                     "transformer_blocks.2.attn.norm_added_k.weight");
    ck_assert_str_eq(block_tensor_of(&model.list, 20, MMDIT_SINGLE_NORM_Q)->name,
                     "single_transformer_blocks.0.attn.norm_q.weight");
    double tera = 2e-12 * mmdit_macs(&model, &size);
    ck_assert_msg(tera > 69.4 && tera < 69.6, "%g TFLOP", tera);
    mmdit_model_free(&model);
}
END_TEST

/* ---- BLOCK_SPEED ---- */

START_TEST(a_block_is_timed)
{
    struct timed_request request;
    ck_assert(timed_requested("double single", &request));
    bool is_double = strcmp(request.part, "double") == 0;
    struct mmdit_case is = {.config = flux,
                            .size = {1, request.pixels / 8, request.pixels / 8, request.text}};
    is.config.double_blocks = is_double;
    is.config.single_blocks = !is_double;
    is.config.text_dim = is.config.pooled_dim = 64;
    struct mmdit_fixture f;
    mm_open(&f, &is, 1);
    mm_plan(&f);
    struct block_flat flat = {&f.model.list, f.host[MM_PARAMETERS]};
    struct timed_block timed;
    timed_open(&timed, &flat, 1, request.type);
    const struct block_source source = {timed_acquire, timed_release, &timed};
    const struct mmdit_batch batch = mm_batch(&f, 0, 1);
    for (int turn = 0; turn < 2; turn++) /* the first one brings its pages */
        MUST(mmdit_forward(&f.mmdit, &source, &batch, f.host[MM_OUT]));
    timed_close(&timed);
    mm_close(&f);
}
END_TEST

Suite *mmdit_test_suite(void)
{
    Suite *suite = suite_create("mmdit_test");
    TCase *tests = tcase_create("mmdit");
    tcase_add_loop_test(tests, outputs_are_those_of_the_reference, 0, GOLDENS);
    tcase_add_test(tests, a_sample_does_not_depend_on_its_neighbours);
    tcase_add_loop_test(tests, half_weights_are_computed_from, 0, 2);
    tcase_add_test(tests, configs_that_do_not_fit_are_refused);
    tcase_add_test(tests, list_is_of_flux_1);
    struct timed_request request;
    if (timed_requested("double single", &request)) tcase_add_test(tests, a_block_is_timed);
    suite_add_tcase(suite, tests);
    return suite;
}
