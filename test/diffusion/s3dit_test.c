/* S3-DiT against diffusers (scripts/reference/s3dit_goldens.py): outputs, gradients of all tensors
 * and of captions; and that micro-batches, checkpointing and threads change no bit. */
#include "diffusion/dit/s3dit_internal.h"
#include "diffusion/model/model_arch.h"
#include "math/bf16.h"
#include "s3dit_fixture.h"
#include "test/diffusion/small_dit.h"
#include "test/diffusion/timed_block.h"
#include "test/golden_file.h"
#include "test/near.h"

Suite *s3dit_test_suite(void);

enum { SIGNED = 4, SAMPLED = 16, SUMMARY = 1 + SIGNED + SAMPLED };

static const char *const golden_names[] = {"12_31", "35_32", "32_33", "unequal", "odd"};
enum { GOLDENS = sizeof golden_names / sizeof *golden_names };

static void golden_case(const struct store_file *file, struct dit_case *is)
{
    *is =
        (struct dit_case){.config = {.channels = golden_int(file, "config.in_channels"),
                                     .patch = 2,
                                     .dim = golden_int(file, "config.dim"),
                                     .layers = golden_int(file, "config.n_layers"),
                                     .refiner_layers = golden_int(file, "config.n_refiner_layers"),
                                     .heads = golden_int(file, "config.n_heads"),
                                     .text_dim = golden_int(file, "config.cap_feat_dim"),
                                     .rope_theta = 256,
                                     .t_scale = 1000,
                                     .norm_eps = 1e-5},
                          .size = {.height = golden_int(file, "height"),
                                   .width = golden_int(file, "width"),
                                   .text_rows = golden_int(file, "rows"),
                                   .mixed_text = true,
                                   .chunk = 1}};
    golden_list(file, "config.axes_dims", is->config.axes, S3DIT_AXES);
    golden_list(file, "config.axes_lens", is->config.axes_lens, S3DIT_AXES);
    is->size.samples = golden_list(file, "lengths", is->lengths, FORMULA_SAMPLES);
}

static struct store_file *golden_open(const char *name, struct dit_case *is)
{
    char path[96];
    struct store_file *file;
    snprintf(path, sizeof path, "test/golden/s3dit_%s.safetensors", name);
    MUST(store_open(&file, path));
    golden_case(file, is);
    return file;
}

/* Largest error relative to the largest right value. */
static double golden_error(const struct store_file *file, const char *name, const float *got)
{
    const struct store_tensor *tensor = store_find(file, name);
    ck_assert_ptr_nonnull(tensor);
    size_t count = 1;
    for (int i = 0; i < tensor->dims; i++)
        count *= (size_t)tensor->shape[i];
    return relative_error(got, tensor->data, count);
}

/* The tensor of this name, and the text behind its comma. */
static const struct block_tensor *golden_tensor(const struct s3dit_model *model, const char **names)
{
    size_t length = strcspn(*names, ",");
    for (int i = 0; i < model->list.tensor_count; i++) {
        const struct block_tensor *t = &model->list.tensors[i];
        if (strlen(t->name) != length || strncmp(t->name, *names, length)) continue;
        *names += length + ((*names)[length] == ',');
        return t;
    }
    ck_abort_msg("no tensor %s", *names);
    return NULL;
}

static void compare_gradient(const struct block_tensor *t, const float *g, const float *right)
{
    double most = (double)right[0], own = 0, signs[SIGNED] = {0};
    for (size_t i = 0; i < t->count; i++)
        own = fmax(own, fabs((double)g[i]));
    for (int k = 0; k < SIGNED; k++) {
        char name[96];
        snprintf(name, sizeof name, "%s.sign.%d", t->name, k);
        for (size_t i = 0; i < t->count; i++)
            signs[k] += formula_uniform(name, i) < 0 ? -(double)g[i] : (double)g[i];
    }
    double error = fabs(own - most);
    for (int k = 0; k < SIGNED; k++) /* as large as the root of the count by rounding alone */
        error =
            larger_error(error, fabs(signs[k] - (double)right[1 + k]) / sqrt((double)t->count) / 4);
    for (uint64_t i = 0; i < SAMPLED; i++) {
        uint64_t at = formula_word(t->name, ((uint64_t)1 << 32) + i) % t->count;
        double e = fabs((double)g[at] - (double)right[1 + SIGNED + i]);
        error = larger_error(error, e);
    }
    ck_assert_msg(error <= 1e-4 * most, "%s: differs by %g of %g", t->name, error, most);
}

static void compare_gradients(const struct store_file *file, const struct dit_fixture *f)
{
    const struct store_tensor *tensor = store_find(file, "gradients");
    const char *names = store_get(file, "names");
    ck_assert(tensor && names);
    ck_assert_int_eq(tensor->shape[0], f->model.list.tensor_count);
    ck_assert_int_eq(tensor->shape[1], SUMMARY);
    for (int i = 0; i < f->model.list.tensor_count; i++) {
        const struct block_tensor *t = golden_tensor(&f->model, &names);
        compare_gradient(t, f->gradients + t->offset, (const float *)tensor->data + i * SUMMARY);
    }
}

START_TEST(as_diffusers_does)
{
    struct dit_fixture f;
    struct dit_case is;
    struct store_file *file = golden_open(golden_names[_i], &is);
    fixture_open(&f, &is, 2);
    ck_assert_uint_eq(f.model.list.parameter_total, (size_t)golden_int(file, "parameters"));
    fixture_plan(&f, S3DIT_TRAINING, is.size.samples);
    fixture_run(&f);
    ck_assert_double_le(golden_error(file, "out", f.out), 1e-5);
    ck_assert_double_le(golden_error(file, "text_gradient", f.text_gradient), 1e-4);
    compare_gradients(file, &f);
    fixture_close(&f);
    store_close(file);
}
END_TEST

/* ---- the same bits ---- */

static void compare_bits(const struct dit_fixture *a, const struct dit_fixture *b, bool backward)
{
    size_t n = (size_t)a->is.size.samples;
    ck_assert_mem_eq(a->out, b->out, n * a->image_floats * sizeof(float));
    if (!backward) return;
    ck_assert_mem_eq(a->text_gradient, b->text_gradient, n * a->text_floats * sizeof(float));
    ck_assert_mem_eq(a->gradients, b->gradients, a->model.list.floats * sizeof(float));
}

static const struct {
    enum s3dit_use use;
    int micro, threads;
} dit_ways[] = {
    {S3DIT_TRAINING, 4, 2},     {S3DIT_TRAINING, 4, 3},     {S3DIT_TRAINING, 2, 1},
    {S3DIT_CHECKPOINTED, 4, 1}, {S3DIT_CHECKPOINTED, 2, 3}, {S3DIT_FORWARD_ONLY, 4, 1},
    {S3DIT_FORWARD_ONLY, 1, 2}, {S3DIT_FORWARD_ONLY, 3, 3},
};
enum { DIT_WAYS = sizeof dit_ways / sizeof *dit_ways };

START_TEST(ways_change_no_bit)
{
    struct dit_fixture plain, other;
    struct dit_case is;
    struct store_file *file = golden_open("unequal", &is);
    is.size.chunk = 2;
    fixture_open(&plain, &is, 1);
    fixture_plan(&plain, S3DIT_TRAINING, is.size.samples);
    fixture_run(&plain);
    fixture_open(&other, &is, dit_ways[_i].threads);
    fixture_plan(&other, dit_ways[_i].use, dit_ways[_i].micro);
    fixture_run(&other);
    compare_bits(&plain, &other, dit_ways[_i].use != S3DIT_FORWARD_ONLY);
    fixture_run(&other); /* nothing is left of a run */
    compare_bits(&plain, &other, dit_ways[_i].use != S3DIT_FORWARD_ONLY);
    fixture_close(&other);
    fixture_close(&plain);
    store_close(file);
}
END_TEST

static size_t planned_bytes(const struct dit_case *is, enum s3dit_use use)
{
    struct dit_fixture f;
    fixture_open(&f, is, 1);
    fixture_plan(&f, use, is->size.samples);
    size_t bytes = plan_kind_bytes(f.plan, PLAN_ACTIVATIONS); /* workspaces are the device's */
    fixture_close(&f);
    return bytes;
}

/* Attention keeps no matrix of scores: four times the tokens take four times the memory. */
/* Memory that was replaced holds nothing of before: positions and lengths come again. */
START_TEST(connected_again_it_goes_on)
{
    struct dit_fixture f;
    struct dit_case is;
    struct store_file *file = golden_open("unequal", &is);
    fixture_open(&f, &is, 1);
    fixture_plan(&f, S3DIT_FORWARD_ONLY, is.size.samples);
    fixture_run(&f);
    size_t floats = (size_t)is.size.samples * f.image_floats;
    float *before = formula_floats(floats);
    memcpy(before, f.out, floats * sizeof *before);
    memset(f.dit.buffers->lengths, 0, S3DIT_LENGTHS * (size_t)is.size.samples * sizeof(int));
    memset(f.dit.buffers->cosines, 0xff, 64);
    memset(f.dit.buffers->sines, 0xff, 64);
    MUST(s3dit_connect(&f.dit));
    fixture_run(&f);
    ck_assert_mem_eq(before, f.out, floats * sizeof *before);
    free(before);
    fixture_close(&f);
    store_close(file);
}
END_TEST

START_TEST(memory_is_linear_in_tokens)
{
    struct dit_case is;
    struct store_file *file = golden_open("12_31", &is);
    is.size.height = is.size.width = 16;
    is.size.text_rows = 64;
    is.size.mixed_text = false; /* which takes angles for each length */
    size_t small = planned_bytes(&is, S3DIT_TRAINING);
    is.size.height = is.size.width = 32;
    is.size.text_rows = 224; /* tokens: 64 + 64, 256 + 224 */
    size_t large = planned_bytes(&is, S3DIT_TRAINING);
    ck_assert_uint_le(large, small * (256 + 224) / 128);
    ck_assert_uint_ge(large, 3 * small);
    store_close(file);
}
END_TEST

START_TEST(checkpointing_takes_less)
{
    struct dit_case is;
    struct store_file *file = golden_open("12_31", &is);
    is.config.layers = 12;
    size_t all = planned_bytes(&is, S3DIT_TRAINING);
    size_t borders = planned_bytes(&is, S3DIT_CHECKPOINTED);
    ck_assert_uint_lt(borders, all / 2);
    size_t halves = planned_bytes(&is, S3DIT_HALVES);
    ck_assert_uint_lt(halves, all * 2 / 3);
    ck_assert_uint_gt(halves, borders);
    ck_assert_uint_lt(planned_bytes(&is, S3DIT_FORWARD_ONLY), borders);
    store_close(file);
}
END_TEST

/* What is kept is rounded to 8 bits, so gradients are near to what they are without. */
START_TEST(halves_keep_gradients)
{
    struct dit_fixture plain, halves;
    struct dit_case is;
    struct store_file *file = golden_open("unequal", &is);
    fixture_open(&plain, &is, 1);
    fixture_plan(&plain, S3DIT_TRAINING, is.size.samples);
    fixture_run(&plain);
    fixture_open(&halves, &is, 2);
    fixture_plan(&halves, S3DIT_HALVES, is.size.samples);
    fixture_run(&halves);
    for (int i = 0; i < plain.model.list.tensor_count; i++) {
        const struct block_tensor *t = &plain.model.list.tensors[i];
        double error = 0, all = 0;
        for (size_t j = t->offset; j < t->offset + t->count; j++) {
            double d = (double)halves.gradients[j] - (double)plain.gradients[j];
            error += d * d;
            all += (double)plain.gradients[j] * (double)plain.gradients[j];
        }
        ck_assert_msg(error <= 2e-2 * 2e-2 * all, "%s: %g", t->name, sqrt(error / all));
    }
    float *again = formula_floats(plain.model.list.floats);
    memcpy(again, halves.gradients, plain.model.list.floats * sizeof *again);
    fixture_unplan(&halves);
    fixture_plan(&halves, S3DIT_HALVES, 1);
    fixture_run(&halves);
    ck_assert_mem_eq(again, halves.gradients, plain.model.list.floats * sizeof *again);
    free(again);
    fixture_close(&halves);
    fixture_close(&plain);
    store_close(file);
}
END_TEST

/* ---- weights in half precision, block by block ---- */

/* The blocks of a network with bf16 matrices; what is acquired and released. */
struct half_blocks {
    const struct s3dit_model *model;
    const float *parameters;
    uint16_t *halves; /* [model->list.floats] */
    int held, acquired;
    int fails_at; /* the block that cannot be had; -1: none */
};

static int half_acquire(void *context, int block, struct block_weights *weights)
{
    struct half_blocks *h = context;
    ck_assert_int_eq(h->held, -1);
    if (block == h->fails_at) return fail(ERR_DEVICE_MEMORY, "no room for a block");
    h->held = block;
    h->acquired++;
    memset(weights, 0, sizeof *weights);
    for (int slot = 0; slot < BLOCK_SLOTS; slot++) {
        const struct block_tensor *t = block_tensor_of(&h->model->list, block, slot);
        if (!t) continue;
        weights->type[slot] = t->is_matrix ? TOKEN_BF16 : TOKEN_F32;
        weights->at[slot] = t->is_matrix ? (const void *)(h->halves + t->offset)
                                         : (const void *)(h->parameters + t->offset);
    }
    return OK;
}

static int half_release(void *context, int block)
{
    struct half_blocks *h = context;
    ck_assert_int_eq(h->held, block);
    h->held = -1;
    return OK;
}

START_TEST(half_weights_are_computed_from)
{
    struct dit_fixture f;
    struct dit_case is;
    struct store_file *file = golden_open("unequal", &is);
    fixture_open(&f, &is, 2);
    fixture_plan(&f, S3DIT_FORWARD_ONLY, is.size.samples);
    struct half_blocks h = {&f.model, f.parameters, calloc(f.model.list.floats, 2), -1, 0, -1};
    for (size_t i = 0; i < f.model.list.matrix_floats; i++) {
        h.halves[i] = bf16_round(f.parameters[i]);
        f.parameters[i] = bf16_value(h.halves[i]);
    }
    fixture_run(&f);
    const struct block_source source = {half_acquire, half_release, &h};
    const struct s3dit_batch batch = fixture_batch(&f, 0, is.size.samples);
    size_t floats = (size_t)is.size.samples * f.image_floats;
    float *out = formula_floats(floats);
    MUST(s3dit_forward(&f.dit, &source, &batch, out));
    ck_assert_mem_eq(out, f.out, floats * sizeof *out);
    ck_assert_int_eq(h.acquired, f.model.list.block_count);
    for (h.fails_at = 0; h.fails_at < f.model.list.block_count; h.fails_at++) {
        ck_assert_int_eq(s3dit_forward(&f.dit, &source, &batch, out), ERR_DEVICE_MEMORY);
        ck_assert_int_eq(h.held, -1);
    }
    h.fails_at = -1;
    MUST(s3dit_forward(&f.dit, &source, &batch, out));
    ck_assert_mem_eq(out, f.out, floats * sizeof *out);
    free(out);
    free(h.halves);
    fixture_close(&f);
    store_close(file);
}
END_TEST

/* ---- what is refused ---- */

static const struct s3dit_config plain_config = SMALL_DIT(3, 2, 32, 256);

static void refuses(const struct s3dit_config *config, const char *says)
{
    struct s3dit_model model;
    ck_assert_int_eq(s3dit_model_create(&model, config), ERR_DATA);
    ck_assert_msg(strstr(error_message(), says) != NULL, "%s", error_message());
    s3dit_model_free(&model);
}

START_TEST(configs_that_do_not_fit_are_refused)
{
    struct s3dit_config c = plain_config;
    c.axes[1] = 10;
    refuses(&c, "axes_dims make 26: a head's width, dim / n_heads, is 24");
    c = plain_config;
    c.heads = 5;
    refuses(&c, "dim 48 is no multiple of n_heads 5");
    c = plain_config;
    c.axes[0] = 7, c.axes[1] = 9;
    refuses(&c, "even");
    c = plain_config;
    c.dim = INT32_MAX;
    refuses(&c, "dim is 2147483647");
    c = plain_config;
    c.layers = 0;
    refuses(&c, "n_layers is 0");
    c = plain_config;
    c.heads = 1, c.dim = 258, c.axes[0] = 86, c.axes[1] = 86, c.axes[2] = 86;
    refuses(&c, "a head's width is 258");
    c = plain_config;
    c.norm_eps = (double)NAN;
    refuses(&c, "norm_eps");
    c = plain_config;
    c.rope_theta = (double)NAN;
    refuses(&c, "rope_theta");
}
END_TEST

START_TEST(sizes_without_positions_are_refused)
{
    MUST(s3dit_check_size(&plain_config, 64, 64, 224));
    ck_assert_int_eq(s3dit_check_size(&plain_config, 64, 64, 225), ERR_USAGE);
    ck_assert_int_eq(s3dit_check_size(&plain_config, 64, 64, 0), ERR_USAGE);
    ck_assert_int_eq(s3dit_check_size(&plain_config, 66, 64, 1), ERR_USAGE);
    ck_assert_int_eq(s3dit_check_size(&plain_config, 64, 66, 1), ERR_USAGE);
    ck_assert_int_eq(s3dit_check_size(&plain_config, 63, 64, 1), ERR_USAGE);
    ck_assert_int_eq(s3dit_check_size(&plain_config, 0, 64, 1), ERR_USAGE);
}
END_TEST

START_TEST(list_is_of_z_image)
{
    struct model_arch arch;
    MUST(model_arch_open(&arch, "z-image-turbo", false));
    const struct s3dit_model *model = &arch.folder.dit;
    size_t block[2] = {0, 0};
    for (int i = 0; i < model->list.tensor_count; i++) {
        if (model->list.tensors[i].block == 1) block[0] += model->list.tensors[i].count;
        if (model->list.tensors[i].block == 3) block[1] += model->list.tensors[i].count;
    }
    ck_assert_uint_eq(block[0], 180910336u);
    ck_assert_uint_eq(block[1], 176962816u);
    ck_assert_str_eq(block_tensor_of(&model->list, 3, S3DIT_W2)->name,
                     "context_refiner.0.feed_forward.w2.weight");
    ck_assert_ptr_null(block_tensor_of(&model->list, 3, S3DIT_MODULATION_WEIGHT));
    model_arch_close(&arch);
}
END_TEST

START_TEST(first_weights_leave_the_image_alone)
{
    struct dit_fixture f;
    const struct dit_case is = {plain_config, {2, 8, 8, 3, false, 1}, {3, 1}};
    fixture_open(&f, &is, 1);
    fixture_plan(&f, S3DIT_TRAINING, 2);
    s3dit_initialise(&f.model, f.parameters, 5);
    fixture_run(&f);
    double sum = 0, most = 0;
    const struct block_tensor *t = block_tensor_of(&f.model.list, 0, S3DIT_TIME_IN_WEIGHT);
    for (size_t i = 0; i < t->count; i++) {
        double w = (double)f.parameters[t->offset + i];
        sum += w * w;
        most = fmax(most, fabs(w));
    }
    /* The variance of a normal number cut at two is .774. */
    ck_assert_double_eq_tol(sqrt(sum / (double)t->count), 0.02 * sqrt(0.7737), 2e-4);
    ck_assert(most > 0.039 && most <= 0.04);
    for (size_t i = 0; i < 2 * f.image_floats; i++)
        ck_assert(f.out[i] == 0);
    t = block_tensor_of(&f.model.list, f.model.list.block_count - 1, S3DIT_FINAL_WEIGHT);
    ck_assert(f.gradients[t->offset] != 0); /* there it begins to learn */
    fixture_close(&f);
}
END_TEST

/* ---- BLOCK_SPEED ---- */

START_TEST(a_block_is_timed)
{
    struct timed_request request;
    struct model_arch arch;
    ck_assert(timed_requested("z-image", &request));
    MUST(model_arch_open(&arch, "z-image-turbo", false));
    struct dit_case is = {.config = arch.folder.dit.config,
                          .size = {.samples = 1,
                                   .height = request.pixels / 8,
                                   .width = request.pixels / 8,
                                   .text_rows = request.text,
                                   .chunk = 1}};
    model_arch_close(&arch);
    is.config.layers = 1;
    is.config.refiner_layers = 0;
    is.config.text_dim = 64;
    is.lengths[0] = request.text;
    struct dit_fixture f;
    fixture_open(&f, &is, 1);
    fixture_plan(&f, S3DIT_FORWARD_ONLY, 1);
    struct block_flat flat = {&f.model.list, f.parameters};
    struct timed_block timed;
    timed_open(&timed, &flat, 1, request.type);
    const struct block_source source = {timed_acquire, timed_release, &timed};
    const struct s3dit_batch batch = fixture_batch(&f, 0, 1);
    for (int turn = 0; turn < 2; turn++) /* the first one brings its pages */
        MUST(s3dit_forward(&f.dit, &source, &batch, f.out));
    timed_close(&timed);
    fixture_close(&f);
}
END_TEST

Suite *s3dit_test_suite(void)
{
    Suite *suite = suite_create("s3dit_test");
    TCase *golden = tcase_create("golden"), *ways = tcase_create("ways"),
          *list = tcase_create("list");
    tcase_add_loop_test(golden, as_diffusers_does, 0, GOLDENS);
    tcase_add_loop_test(ways, ways_change_no_bit, 0, DIT_WAYS);
    tcase_add_test(ways, connected_again_it_goes_on);
    tcase_add_test(ways, memory_is_linear_in_tokens);
    tcase_add_test(ways, checkpointing_takes_less);
    tcase_add_test(ways, halves_keep_gradients);
    tcase_add_test(ways, half_weights_are_computed_from);
    tcase_add_test(list, list_is_of_z_image);
    tcase_add_test(list, configs_that_do_not_fit_are_refused);
    tcase_add_test(list, sizes_without_positions_are_refused);
    tcase_add_test(list, first_weights_leave_the_image_alone);
    struct timed_request request;
    if (timed_requested("z-image", &request)) tcase_add_test(list, a_block_is_timed);
    suite_add_tcase(suite, list);
    suite_add_tcase(suite, golden);
    suite_add_tcase(suite, ways);
    return suite;
}
