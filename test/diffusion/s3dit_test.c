/* S3-DiT against diffusers (scripts/reference/s3dit_goldens.py): outputs, gradients of all tensors
 * and of captions; and that micro-batches, checkpointing and threads change no bit. */
#include "s3dit_fixture.h"
#include "store/safetensors.h"

Suite *s3dit_test_suite(void);

enum { SIGNED = 4, SAMPLED = 16, SUMMARY = 1 + SIGNED + SAMPLED };

static const char *const golden_names[] = {"12_31", "35_32", "32_33", "unequal", "odd"};
enum { GOLDENS = sizeof golden_names / sizeof *golden_names };

static int golden_int(const struct store_file *file, const char *key)
{
    int64_t value;
    MUST(store_get_int(file, key, &value));
    return (int)value;
}

/* "1,2,3": how many. */
static int golden_list(const struct store_file *file, const char *key, int *values, int most)
{
    const char *text = store_get(file, key);
    int count = 0;
    ck_assert_ptr_nonnull(text);
    for (char *end; *text && count < most; text = *end ? end + 1 : end)
        values[count++] = (int)strtol(text, &end, 10);
    return count;
}

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
    const float *right = tensor->data;
    double error = 0, most = 0;
    size_t count = 1;
    for (int i = 0; i < tensor->dims; i++)
        count *= (size_t)tensor->shape[i];
    for (size_t i = 0; i < count; i++) {
        double e = fabs((double)got[i] - (double)right[i]);
        error = !(e <= error) ? e : error; /* NaN stays */
        most = fmax(most, fabs((double)right[i]));
    }
    return error / most;
}

/* The tensor of this name, and the text behind its comma. */
static const struct s3dit_tensor *golden_tensor(const struct s3dit_model *model, const char **names)
{
    size_t length = strcspn(*names, ",");
    for (int i = 0; i < model->tensor_count; i++) {
        const struct s3dit_tensor *t = &model->tensors[i];
        if (strlen(t->name) != length || strncmp(t->name, *names, length)) continue;
        *names += length + ((*names)[length] == ',');
        return t;
    }
    ck_abort_msg("no tensor %s", *names);
    return NULL;
}

static void compare_gradient(const struct s3dit_tensor *t, const float *g, const float *right)
{
    double most = right[0], own = 0, signs[SIGNED] = {0};
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
        error = fmax(error, fabs(signs[k] - (double)right[1 + k]) / sqrt((double)t->count) / 4);
    for (uint64_t i = 0; i < SAMPLED; i++) {
        uint64_t at = formula_word(t->name, ((uint64_t)1 << 32) + i) % t->count;
        double e = fabs((double)g[at] - (double)right[1 + SIGNED + i]);
        error = !(e <= error) ? e : error;
    }
    ck_assert_msg(error <= 1e-4 * most, "%s: differs by %g of %g", t->name, error, most);
}

static void compare_gradients(const struct store_file *file, const struct dit_fixture *f)
{
    const struct store_tensor *tensor = store_find(file, "gradients");
    const char *names = store_get(file, "names");
    ck_assert(tensor && names);
    ck_assert_int_eq(tensor->shape[0], f->model.tensor_count);
    ck_assert_int_eq(tensor->shape[1], SUMMARY);
    for (int i = 0; i < f->model.tensor_count; i++) {
        const struct s3dit_tensor *t = golden_tensor(&f->model, &names);
        compare_gradient(t, f->gradients + t->offset, (const float *)tensor->data + i * SUMMARY);
    }
}

START_TEST(as_diffusers_does)
{
    struct dit_fixture f;
    struct dit_case is;
    struct store_file *file = golden_open(golden_names[_i], &is);
    fixture_open(&f, &is, 2);
    ck_assert_uint_eq(f.model.parameter_total, (size_t)golden_int(file, "parameters"));
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
    ck_assert_mem_eq(a->gradients, b->gradients, a->model.floats * sizeof(float));
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
    size_t bytes = plan_device_bytes(f.plan);
    fixture_close(&f);
    return bytes;
}

START_TEST(checkpointing_takes_less)
{
    struct dit_case is;
    struct store_file *file = golden_open("12_31", &is);
    is.config.layers = 12;
    size_t all = planned_bytes(&is, S3DIT_TRAINING);
    size_t borders = planned_bytes(&is, S3DIT_CHECKPOINTED);
    ck_assert_uint_lt(borders, all / 2);
    ck_assert_uint_lt(planned_bytes(&is, S3DIT_FORWARD_ONLY), borders);
    store_close(file);
}
END_TEST

Suite *s3dit_test_suite(void)
{
    Suite *suite = suite_create("s3dit_test");
    TCase *golden = tcase_create("golden"), *ways = tcase_create("ways");
    tcase_add_loop_test(golden, as_diffusers_does, 0, GOLDENS);
    tcase_add_loop_test(ways, ways_change_no_bit, 0, DIT_WAYS);
    tcase_add_test(ways, checkpointing_takes_less);
    suite_add_tcase(suite, golden);
    suite_add_tcase(suite, ways);
    return suite;
}
