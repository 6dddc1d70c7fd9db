/* The KL autoencoder against diffusers (scripts/reference/kl_goldens.py): moments, images, how far
 * latents are from normal ones, gradients of all tensors and of the image; and that memory, parts
 * of a batch and threads change no bit. */
#include "base/random.h"
#include "base/threads.h"
#include "device/device.h"
#include "diffusion/vae/kl.h"
#include "memory/plan.h"
#include "nn/net_init.h"
#include "nn/pass_memory.h"
#include "s3dit_fixture.h"
#include "store/safetensors.h"
#include "test/near.h"

Suite *kl_test_suite(void);

enum { KL_SIGNED = 2, KL_SAMPLED = 4, KL_SUMMARY = 1 + KL_SIGNED + KL_SAMPLED };
static const float kl_weight = 0.05f;
static const char *const kl_cases[] = {"four", "two", "plain", "quant"};
enum { KL_CASES = sizeof kl_cases / sizeof *kl_cases };

struct kl_fixture {
    struct store_file *file;
    struct kl_config config;
    int n, h, w, moments;
    struct device *device;
    struct net net;
    struct plan *plan;
    struct network_pass pass, again; /* again: backward */
    float *parameters, *gradients, *image_gradient;
    double *sums;
    void *workspace;
};

static int kl_golden_int(const struct store_file *file, const char *key)
{
    int64_t value;
    MUST(store_get_int(file, key, &value));
    return (int)value;
}

static void kl_fixture_config(struct kl_fixture *f)
{
    const char *widths = store_get(f->file, "widths");
    f->config =
        (struct kl_config){.resnets = kl_golden_int(f->file, "blocks"),
                           .latent_channels = kl_golden_int(f->file, "latents"),
                           .groups = kl_golden_int(f->file, "groups"),
                           .attention = strcmp(store_get(f->file, "attention"), "true") == 0,
                           .scaling = 1};
    const char *quant = store_get(f->file, "quant");
    f->config.quant_conv = f->config.post_quant_conv = quant && strcmp(quant, "true") == 0;
    for (char *end; *widths; widths = *end ? end + 1 : end)
        f->config.widths[f->config.levels++] = (int)strtol(widths, &end, 10);
    f->n = kl_golden_int(f->file, "images");
    f->h = kl_golden_int(f->file, "height");
    f->w = kl_golden_int(f->file, "width");
}

static void kl_formula_weights(struct kl_fixture *f)
{
    for (int i = 0; i < f->net.parameter_count; i++) {
        const struct net_parameter *p = &f->net.parameters[i];
        bool bias = strstr(p->name, ".bias") != NULL;
        double scale = p->dims == 1 ? 0.3 : 1 / sqrt((double)(p->count / (size_t)p->shape[0]));
        formula_fill(f->parameters + p->offset, p->count, p->name, scale,
                     p->dims == 1 && !bias ? 1 : 0);
    }
}

static void kl_fixture_open(struct kl_fixture *f, const char *name, bool parts, int threads)
{
    char path[96];
    *f = (struct kl_fixture){.plan = plan_create()};
    snprintf(path, sizeof path, "test/golden/kl_%s.safetensors", name);
    MUST(store_open(&f->file, path));
    kl_fixture_config(f);
    MUST(device_open(&f->device, "cpu", threads));
    MUST(kl_build_training(&f->net, &f->config, f->h, f->w, &f->moments));
    MUST(pass_open(&f->pass, &f->net));
    MUST(pass_open(&f->again, &f->net));
    int layers = f->net.layer_count;
    struct pass_use use = {.plan = f->plan,
                           .net = &f->net,
                           .name = "kl",
                           .backward = layers + 1,
                           .n = f->n,
                           .chunk = 1,
                           .parts = parts};
    MUST(pass_plan_values(&use, &f->pass, true, 2, &f->again));
    MUST(pass_plan_gradients(&use, &f->pass, -1, NULL, 0));
    size_t floats = f->net.floats * sizeof(float);
    const struct {
        enum plan_kind kind;
        size_t bytes;
        void *slot;
    } all[] = {
        {PLAN_ACTIVATIONS, (size_t)f->n * net_bytes(&f->net, KL_IMAGE), &f->pass.value[KL_IMAGE]},
        {PLAN_ACTIVATIONS, (size_t)f->n * net_bytes(&f->net, KL_NOISE), &f->pass.value[KL_NOISE]},
        {PLAN_PARAMETERS, floats, &f->parameters},
        {PLAN_GRADIENTS, floats, &f->gradients},
        {PLAN_HOST, (size_t)f->n * sizeof(double), &f->sums},
        {PLAN_WORKSPACE, pass_workspace(&f->net, f->device, f->n, 1), &f->workspace}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        MUST(plan_declare(f->plan, "kl", all[i].kind, all[i].bytes, PLAN_ALWAYS, all[i].slot));
    MUST(plan_commit(f->plan, f->device));
    kl_formula_weights(f);
    memset(f->gradients, 0, floats);
    struct network_pass *const passes[] = {&f->pass, &f->again};
    for (int p = 0; p < 2; p++) {
        passes[p]->device = f->device;
        passes[p]->parameters = f->parameters;
        passes[p]->gradients = f->gradients;
        passes[p]->workspace = f->workspace;
        passes[p]->addend = f->pass.addend;
        passes[p]->n = f->n;
        passes[p]->chunk = 1;
        passes[p]->parts = parts;
    }
    for (int i = 0; i < layers; i++) {
        f->again.grad[i] = f->pass.grad[i];
        if (!f->again.value[i]) f->again.value[i] = f->pass.value[i];
    }
}

static void kl_fixture_close(struct kl_fixture *f)
{
    plan_free(f->plan);
    pass_close(&f->pass);
    pass_close(&f->again);
    net_free(&f->net);
    store_close(f->file);
    device_close(f->device);
}

static double kl_error(const struct kl_fixture *f, const char *name, const float *got)
{
    const struct store_tensor *tensor = store_find(f->file, name);
    ck_assert_ptr_nonnull(tensor);
    size_t count = 1;
    for (int i = 0; i < tensor->dims; i++)
        count *= (size_t)tensor->shape[i];
    return relative_error(got, tensor->data, count);
}

/* The values of a layer, before the memory plan may give its place to another. */
static void kl_check_layer(const struct kl_fixture *f, const char *name, int layer)
{
    double error = kl_error(f, name, f->pass.value[layer]);
    ck_assert_msg(error <= 1e-5, "%s differs by %g", name, error);
}

static void kl_run(struct kl_fixture *f, bool check)
{
    int last = f->net.layer_count - 1;
    size_t images = (size_t)f->n * net_elements(&f->net, KL_IMAGE);
    formula_fill(f->pass.value[KL_IMAGE], images, "image", 1, 0);
    formula_fill(f->pass.value[KL_NOISE], (size_t)f->n * net_elements(&f->net, KL_NOISE), "noise",
                 1, 0);
    MUST(pass_forward_through(&f->pass, 0, f->moments, PASS_NO_MASKS, false));
    if (check) kl_check_layer(f, "moments", f->moments);
    MUST(pass_forward_through(&f->pass, f->moments + 1, last, PASS_NO_MASKS, false));
    if (check) kl_check_layer(f, "out", last);
    formula_fill(f->pass.grad[last], images, "d_out", 1, 0);
    MUST(pass_backward_through(&f->again, last, f->moments + 1, true));
    const struct net_layer *noise = &f->net.layers[KL_NOISE];
    struct nn_latent latent = {.moments = f->pass.value[f->moments],
                               .n = f->n,
                               .pixels = noise->h * noise->w,
                               .c = noise->c};
    MUST(
        f->device->nn->latent_kl(f->device, &latent, f->sums, f->pass.grad[f->moments], kl_weight));
    MUST(pass_backward_through(&f->again, f->moments, 0, true));
}

static void kl_check_gradient(const char *name, const float *g, size_t count, const float *right)
{
    double most = (double)right[0], own = 0, error = 0;
    for (size_t i = 0; i < count; i++)
        own = fmax(own, fabs((double)g[i]));
    error = fabs(own - most);
    for (int k = 0; k < KL_SIGNED; k++) {
        char sign[96];
        double sum = 0;
        snprintf(sign, sizeof sign, "%s.sign.%d", name, k);
        for (size_t i = 0; i < count; i++)
            sum += formula_uniform(sign, i) < 0 ? -(double)g[i] : (double)g[i];
        error = larger_error(error, fabs(sum - (double)right[1 + k]) / sqrt((double)count) / 4);
    }
    for (uint64_t i = 0; i < KL_SAMPLED; i++) {
        uint64_t at = formula_word(name, ((uint64_t)1 << 32) + i) % count;
        double e = fabs((double)g[at] - (double)right[1 + KL_SIGNED + i]);
        error = larger_error(error, e);
    }
    ck_assert_msg(error <= 1e-4 * most + 1e-6, "%s: differs by %g of %g", name, error, most);
}

/* Where its row is: the file has them in the order of their names, behind the image's. */
static int kl_row_of(const struct net *net, int parameter)
{
    int row = 1;
    for (int i = 0; i < net->parameter_count; i++)
        row += strcmp(net->parameters[i].name, net->parameters[parameter].name) < 0;
    return row;
}

START_TEST(as_diffusers_does)
{
    struct kl_fixture f;
    kl_fixture_open(&f, kl_cases[_i], false, 2);
    ck_assert_uint_eq(f.net.parameter_total, (size_t)kl_golden_int(f.file, "parameters"));
    kl_run(&f, true);
    const struct store_tensor *rows = store_find(f.file, "gradients"),
                              *kl = store_find(f.file, "kl");
    ck_assert(rows && kl);
    ck_assert_int_eq(rows->shape[0], f.net.parameter_count + 1);
    ck_assert_int_eq(rows->shape[1], KL_SUMMARY);
    for (int i = 0; i < f.n; i++) {
        double right = (double)((const float *)kl->data)[i];
        ck_assert_double_le(fabs(f.sums[i] - right), 1e-5 * right);
    }
    kl_check_gradient("image", f.pass.grad[KL_IMAGE], (size_t)f.n * net_elements(&f.net, KL_IMAGE),
                      rows->data);
    for (int i = 0; i < f.net.parameter_count; i++) {
        const struct net_parameter *p = &f.net.parameters[i];
        kl_check_gradient(p->name, f.gradients + p->offset, p->count,
                          (const float *)rows->data + kl_row_of(&f.net, i) * KL_SUMMARY);
    }
    kl_fixture_close(&f);
}
END_TEST

START_TEST(memory_and_threads_change_no_bit)
{
    struct kl_fixture plain, other;
    kl_fixture_open(&plain, "two", false, 1);
    kl_run(&plain, false);
    kl_fixture_open(&other, "two", _i % 2, 1 + _i);
    kl_run(&other, false);
    ck_assert_mem_eq(plain.gradients, other.gradients, plain.net.floats * sizeof(float));
    ck_assert_mem_eq(plain.pass.grad[KL_IMAGE], other.pass.grad[KL_IMAGE],
                     (size_t)plain.n * net_bytes(&plain.net, KL_IMAGE));
    kl_fixture_close(&plain);
    kl_fixture_close(&other);
}
END_TEST

/* So that a block hands its input on as it is, and all that is in front of it gets a gradient. */
START_TEST(blocks_start_as_nothing)
{
    const struct kl_config config = {.levels = 2,
                                     .widths = {8, 16},
                                     .resnets = 1,
                                     .latent_channels = 2,
                                     .groups = 2,
                                     .attention = true};
    struct net net = {.layer_count = 0};
    int moments, ends = 0;
    MUST(kl_build_training(&net, &config, 8, 8, &moments));
    float *parameters = calloc(net.floats, sizeof *parameters);
    ck_assert_ptr_nonnull(parameters);
    net_initialise(&net, parameters, 3, STREAM_VAE_WEIGHTS, 0);
    for (int i = 0; i < net.parameter_count; i++) {
        const struct net_parameter *p = &net.parameters[i];
        bool ends_block = strstr(p->name, "conv2.weight") || strstr(p->name, "to_out.0.weight");
        double squares = 0, fan_in = p->dims > 1 ? (double)p->count / (double)p->shape[0] : 1;
        for (size_t k = 0; k < p->count; k++)
            squares += pow((double)parameters[p->offset + k], 2) / (double)p->count;
        if (ends_block || p->dims == 1)
            ck_assert_msg(squares == 0 || squares == 1, "%s: %g", p->name, squares);
        else
            ck_assert_msg(fabs(squares * fan_in - 1) < 0.5, "%s: %g", p->name, squares * fan_in);
        ends += ends_block;
        ck_assert_msg(!ends_block || squares == 0, "%s: %g", p->name, squares);
    }
    ck_assert_int_eq(ends, 12);
    free(parameters);
    net_free(&net);
}
END_TEST

START_TEST(what_cannot_be_built_is_refused)
{
    static const struct {
        struct kl_config config;
        int h, w;
        const char *text;
    } bad[] = {
        {{.levels = 2, .widths = {16, 20}, .resnets = 1, .latent_channels = 4, .groups = 8},
         8,
         8,
         "20 channels in 8 groups"},
        {{.levels = 2, .widths = {16, 16}, .resnets = 1, .latent_channels = 4, .groups = 8},
         8,
         9,
         "multiples of 2, not 9 x 8"},
        {{.levels = 7, .resnets = 1, .latent_channels = 4, .groups = 8}, 8, 8, "7 levels"},
        {{.levels = 1, .widths = {8}, .resnets = 0, .latent_channels = 4, .groups = 8},
         8,
         8,
         "0 blocks"},
        {{.levels = 1, .widths = {8}, .resnets = 1, .latent_channels = 1000, .groups = 8},
         8,
         8,
         "1000 channels"},
    };
    struct net net = {.layer_count = 0};
    ck_assert_int_eq(kl_build_encoder(&net, &bad[_i].config, bad[_i].h, bad[_i].w), ERR_CONFIG);
    ck_assert_msg(strstr(error_message(), bad[_i].text), "'%s'", error_message());
    net_free(&net);
}
END_TEST

Suite *kl_test_suite(void)
{
    Suite *suite = suite_create("kl_test");
    TCase *tests = tcase_create("kl");
    tcase_add_loop_test(tests, as_diffusers_does, 0, KL_CASES);
    tcase_add_loop_test(tests, memory_and_threads_change_no_bit, 1, 4);
    tcase_add_test(tests, blocks_start_as_nothing);
    tcase_add_loop_test(tests, what_cannot_be_built_is_refused, 0, 5);
    suite_add_tcase(suite, tests);
    return suite;
}
