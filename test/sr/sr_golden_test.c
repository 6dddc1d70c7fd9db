/* Networks that enlarge images against the same in PyTorch (scripts/reference/sr_goldens.py): what
 * they make, each gradient, twenty steps of AdamW and the average; and model files of others. */
#include "device/device.h"
#include "memory/plan.h"
#include "registry/devices.h"
#include "sr/enlarger.h"
#include "sr/sr_core.h"
#include "store/safetensors.h"
#include "test/near.h"
#include "test/support.h"

#include <math.h>

Suite *sr_golden_test_suite(void);

static const struct store_tensor *golden_find(const struct store_file *file, const char *prefix,
                                              const char *name)
{
    char full[96];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct store_tensor *tensor = store_find(file, full);
    ck_assert_msg(tensor && tensor->type == TENSOR_F32, "%s: no %s", store_path(file), full);
    return tensor;
}

static struct store_file *golden_open(const char *name)
{
    char path[96];
    struct store_file *file;
    snprintf(path, sizeof path, "test/golden/sr_%s.safetensors", name);
    MUST(store_open(&file, path));
    return file;
}

/* Largest error relative to the largest right value. */
static double golden_error(const float *got, const struct store_tensor *want, size_t count)
{
    return relative_error(got, want->data, count);
}

static void compare_parameters(const struct store_file *file, const char *prefix,
                               const struct net *net, const float *got)
{
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        double error = golden_error(got + p->offset, golden_find(file, prefix, p->name), p->count);
        ck_assert_msg(error <= 1e-4, "%s: %s%s differs by %g", store_path(file), prefix, p->name,
                      error);
    }
}

struct golden_patches {
    const struct store_file *file;
    int step, batch;
};

static int golden_fill(void *context, int first, int n, float *lq, float *gt)
{
    const struct golden_patches *p = context;
    float *const to[] = {lq, gt};
    for (int i = 0; i < 2; i++) {
        const struct store_tensor *all = golden_find(p->file, i ? "gt" : "lq", "");
        size_t one = (size_t)(all->shape[2] * all->shape[3] * all->shape[4]);
        size_t skip = (size_t)(p->step % 2 * p->batch + first) * one;
        memcpy(to[i], (const float *)all->data + skip, (size_t)n * one * sizeof(float));
    }
    return OK;
}

static double golden_number(const struct store_file *file, const char *key)
{
    double value;
    MUST(store_get_double(file, key, &value));
    return value;
}

static void golden_enlarge(struct sr_core *core, const struct store_file *file)
{
    int side = core->mode.lq_size, scale = core->design.scale;
    size_t count = (size_t)(side * side * scale * scale * 3);
    float *out = malloc(count * sizeof *out);
    const struct sr_rows rows = {golden_find(file, "lq", "")->data, side, side, 0, side};
    ck_assert_ptr_nonnull(out);
    MUST(sr_core_enlarge(core, &rows, 0, 0, side, side, out, NULL));
    ck_assert_double_le(golden_error(out, golden_find(file, "enlarged", ""), count), 1e-5);
    free(out);
}

/* What happens in the other memory modes is in sr_parts: the same bits. */
static const struct {
    const char *name;
    int micro;
    bool checkpointing;
} golden_runs[] = {{"compact", 3, false},   {"span", 2, false},        {"span", 1, true},
                   {"span_norm", 3, false}, {"span_merged", 3, false}, {"esrgan_2x", 2, false},
                   {"esrgan_2x", 3, true}};

START_TEST(as_pytorch_does)
{
    struct store_file *file = golden_open(golden_runs[_i].name);
    struct sr_design design;
    struct device *device;
    struct sr_core core = {.stepper = {.turn = 0}};
    struct plan *plan = plan_create();
    const struct sr_loss_choices loss = {.weight = {[SR_TERM_CHARBONNIER] = 1}};
    ck_assert(sr_network_detect(&design, file, "in."));
    design.norm = store_get(file, "sr.norm") != NULL; /* there is no in.no_norm */
    const struct sr_mode mode = {.batch = (int)golden_number(file, "batch"),
                                 .micro = golden_runs[_i].micro,
                                 .lq_size = (int)golden_number(file, "side"),
                                 .checkpointing = golden_runs[_i].checkpointing};
    const struct sr_rates rates = {.adam = {.lr = golden_number(file, "lr"),
                                            .b1 = golden_number(file, "b1"),
                                            .b2 = golden_number(file, "b2"),
                                            .decay = golden_number(file, "decay")},
                                   .ema = golden_number(file, "ema")};
    struct golden_patches patches = {.file = file, .batch = mode.batch};
    MUST(device_open(&device, "cpu", 2));
    MUST(sr_core_declare(&core, &design, &loss, &mode, device, plan));
    MUST(plan_commit(plan, device));
    sr_core_connect(&core);
    const struct net *net = &core.net.net;
    MUST(sr_network_load(&design, net, file, "in.", store_finite(), core.net.parameters));
    memcpy(core.net.ema, core.net.parameters, net->floats * sizeof(float));
    MUST(sr_core_begin(&core));
    golden_enlarge(&core, file);
    for (int steps = (int)golden_number(file, "steps"); patches.step < steps; patches.step++) {
        struct sr_report report;
        MUST(sr_train_step(&core, &rates, golden_fill, &patches));
        MUST(sr_core_report(&core, 0, &report));
        double want = (double)((const float *)golden_find(file, "loss", "")->data)[patches.step];
        ck_assert_double_le(fabs(report.loss - want), 1e-5 * want);
        if (patches.step == 0) compare_parameters(file, "gradient.", net, core.net.gradients);
    }
    compare_parameters(file, "out.", net, core.net.parameters);
    compare_parameters(file, "ema.", net, core.net.ema);
    MUST(stepper_rest(&core.stepper));
    plan_free(plan);
    sr_core_close(&core);
    device_close(device);
    store_close(file);
}
END_TEST

/* Whole files as other programs write them. */
static const char *const golden_files[] = {"file_span", "file_span_norm", "file_esrgan_old",
                                           "file_esrgan_trunk", "file_esrgan_new"};

START_TEST(files_of_others)
{
    char name[64];
    struct store_file *model = golden_open(golden_files[_i]);
    snprintf(name, sizeof name, "%s_image", golden_files[_i]);
    struct store_file *image = golden_open(name);
    const struct store_tensor *lq = golden_find(image, "lq", "");
    const struct store_tensor *want = golden_find(image, "enlarged", "");
    int h = (int)lq->shape[1], w = (int)lq->shape[2];
    size_t count = (size_t)(want->shape[1] * want->shape[2] * 3);
    float *out = malloc(count * sizeof *out);
    const struct sr_rows rows = {lq->data, w, h, 0, h};
    struct sr_enlarger *enlarger;
    struct device *device;
    ck_assert_ptr_nonnull(out);
    MUST(device_open(&device, "cpu", 1));
    MUST(sr_enlarger_open(&enlarger, device, model, NULL, h, w));
    MUST(sr_enlarger_run(enlarger, &rows, 0, 0, w, h, out, NULL));
    ck_assert_double_le(golden_error(out, want, count), 1e-5);
    free(out);
    sr_enlarger_close(enlarger);
    device_close(device);
    store_close(image);
    store_close(model);
}
END_TEST

/* SPAN's files say that there is no norm by a tensor, whatever stands before the names. */
START_TEST(norm_of_wrapped_files)
{
    struct store_file *model = golden_open(_i ? "file_span_norm" : "file_span"), *wrapped;
    struct store_writer *writer = store_writer_create();
    struct sr_design design;
    const char *path = in_folder("wrapped.safetensors");
    ck_assert_ptr_nonnull(writer);
    for (int i = 0; i < store_count(model); i++) {
        const struct store_tensor *t = store_at(model, i);
        char name[96];
        snprintf(name, sizeof name, "module.%s", t->name);
        MUST(store_add(writer, name, t->type, t->dims, t->shape, t->data));
    }
    MUST(store_write(writer, path, false));
    MUST(store_open(&wrapped, path));
    ck_assert(sr_network_detect(&design, wrapped, "module."));
    ck_assert_int_eq(design.norm, _i);
    store_writer_free(writer);
    store_close(wrapped);
    store_close(model);
}
END_TEST

Suite *sr_golden_test_suite(void)
{
    Suite *suite = suite_create("sr_golden_test");
    TCase *tests = tcase_create("sr_golden_test");
    tcase_add_loop_test(tests, as_pytorch_does, 0, sizeof golden_runs / sizeof *golden_runs);
    tcase_add_loop_test(tests, files_of_others, 0, sizeof golden_files / sizeof *golden_files);
    suite_add_tcase(suite, tests);
    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, set_up, folder_remove);
    tcase_add_loop_test(files, norm_of_wrapped_files, 0, 2);
    suite_add_tcase(suite, files);
    return suite;
}
