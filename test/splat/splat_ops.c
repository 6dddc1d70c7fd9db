/* The splat operations against an independent PyTorch program in double (test/golden/splat_*), for
 * every instruction set that this machine has. */
#include "device/splat_ops.h"

#include "base/error.h"
#include "device/device.h"
#include "math/shown_sample.h"
#include "registry/devices.h"
#include "store/safetensors.h"

#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const isas[] = {"base", "avx2", "avx512"};

static const char *const cases[] = {
    "topk10_l1",      "topk10_mixed",  "topk3_l2",    "topk3_sigma", "topk1_l1",
    "topk32_ssim",    "topk0_ssim",    "topk4_bands", "topk0_l1",    "additive_l1",
    "additive_mixed", "additive_ssim", "quantize",    "traj_topk10", "traj_topk0_sigma",
    "traj_additive",  "traj_quantize",
};
enum { CASES = sizeof cases / sizeof cases[0] };

/* The four groups of parameters, in the order of their names. */
enum { XY, SCALE, ROT, FEAT, GROUPS };
static const char *const group_names[GROUPS] = {"xy", "scale", "rot", "feat"};

struct fixture {
    struct device *device;
    struct store_file *file;
    struct splat_view view;
    struct splat_blend blend;
    struct splat_target target;
    struct splat_loss loss;
    struct splat_workspace workspace;
    int columns[GROUPS], bits[GROUPS];
    float *parameter[GROUPS], *quantized[GROUPS], *gradient[GROUPS], *first[GROUPS],
        *second[GROUPS];
    bool quantize;
    uint8_t *pixels; /* [height][channels][width] */
};

static double number(const struct fixture *f, const char *key)
{
    double value;
    ck_assert_msg(store_get_double(f->file, key, &value) == OK, "%s", error_message());
    return value;
}

static bool flag(const struct fixture *f, const char *key)
{
    return strcmp(store_get(f->file, key), "true") == 0;
}

static void open_fixture(struct fixture *f, const char *name, const char *isa, int threads)
{
    char path[256];
    memset(f, 0, sizeof *f);
    setenv("IMGTRAIN_ISA", isa, 1);
    snprintf(path, sizeof path, "test/golden/splat_%s.safetensors", name);
    ck_assert_msg(store_open(&f->file, path) == OK, "%s", error_message());
    ck_assert_int_eq(device_open(&f->device, "cpu", threads), OK);

    int width = (int)number(f, "width"), height = (int)number(f, "height");
    int channels = (int)number(f, "channels");
    int64_t count = (int64_t)number(f, "gaussians");
    int columns[GROUPS] = {2, 2, 1, channels};
    for (int g = 0; g < GROUPS; g++) {
        char key[32];
        size_t values = (size_t)(count * columns[g]);
        int64_t shape[2] = {count, columns[g]};
        f->columns[g] = columns[g];
        snprintf(key, sizeof key, "%s_bits", g == XY ? "pos" : group_names[g]);
        f->bits[g] = (int)number(f, key);
        float **arrays[] = {&f->parameter[g], &f->quantized[g], &f->gradient[g], &f->first[g],
                            &f->second[g]};
        for (int a = 0; a < 5; a++)
            ck_assert_ptr_nonnull(*arrays[a] = calloc(values, sizeof(float)));
        snprintf(key, sizeof key, "in.%s", group_names[g]);
        ck_assert_msg(store_read_f32(f->file, key, 2, shape, f->parameter[g]) == OK, "%s",
                      error_message());
    }
    f->quantize = flag(f, "quantize");
    float **p = f->quantize ? f->quantized : f->parameter;
    f->view = (struct splat_view){
        p[XY], p[SCALE], p[ROT], p[FEAT], count, channels, flag(f, "disable_inverse_scale"),
        width, height,   NULL};
    f->blend = (struct splat_blend){(int)number(f, "topk"), flag(f, "additive")};
    f->loss = (struct splat_loss){
        {number(f, "l1"), number(f, "l2")}, number(f, "ssim"), SPLAT_SSIM_ALL, 0};
    const uint8_t *interleaved = store_find(f->file, "target")->data;
    f->pixels = malloc((size_t)(width * height * channels));
    for (int i = 0; i < height * width; i++)
        for (int c = 0; c < channels; c++)
            f->pixels[(i / width * channels + c) * width + i % width] =
                interleaved[i * channels + c];
    f->target = (struct splat_target){.width = width,
                                      .height = height,
                                      .channels = channels,
                                      .sample_bits = 8,
                                      .data = f->pixels};
    f->workspace.capacity = count;
    f->workspace.bytes = f->device->splat->workspace_bytes(f->device, width, height, channels,
                                                           count, &f->workspace.storage);
    ck_assert_int_eq(f->device->alloc(f->device, f->workspace.bytes, &f->workspace.memory), OK);
    /* whatever was there before must not matter: NaN in every float */
    memset(f->workspace.memory, 0xff, f->workspace.bytes);
}

static void close_fixture(struct fixture *f)
{
    for (int g = 0; g < GROUPS; g++) {
        free(f->parameter[g]);
        free(f->quantized[g]);
        free(f->gradient[g]);
        free(f->first[g]);
        free(f->second[g]);
    }
    free(f->pixels);
    f->device->free(f->device, f->workspace.memory, f->workspace.bytes);
    device_close(f->device);
    store_close(f->file);
}

static void run_step(struct fixture *f, struct splat_sums *sums)
{
    const struct splat_ops *ops = f->device->splat;
    for (int g = 0; f->quantize && g < GROUPS; g++)
        ck_assert_int_eq(ops->fake_quantize(f->device, f->parameter[g],
                                            f->view.count * f->columns[g], f->bits[g],
                                            f->quantized[g]),
                         OK);
    struct splat_gradients gradients = {f->gradient[XY], f->gradient[SCALE], f->gradient[ROT],
                                        f->gradient[FEAT], NULL};
    ck_assert_msg(ops->step(f->device, &f->workspace, &f->view, &f->blend, &f->target, &f->loss,
                            &gradients, sums) == OK,
                  "%s", error_message());
}

/* `ours` against the f64 tensor `name`: the largest difference relative to its largest value. */
static void compare(const struct fixture *f, const char *prefix, const char *name,
                    const float *ours, double tolerance, const char *isa)
{
    char key[32];
    snprintf(key, sizeof key, "%s.%s", prefix, name);
    const struct store_tensor *t = store_find(f->file, key);
    ck_assert_msg(t != NULL, "no tensor %s", key);
    const double *reference = t->data;
    double most = 0, scale = 0;
    for (size_t i = 0; i < t->bytes / sizeof(double); i++) {
        double d = fabs((double)ours[i] - reference[i]);
        if (!(d <= most)) most = d;
        if (fabs(reference[i]) > scale) scale = fabs(reference[i]);
    }
    ck_assert_msg(!!(most <= tolerance * scale), "%s: %s differs by %g of %g (%s)",
                  store_get(f->file, "case"), key, most, scale, isa);
}

/* render_bytes: those that the floats of the same window become, and none behind them. */
static void expect_bytes(const struct fixture *f, const struct splat_window *window)
{
    size_t samples = (size_t)window->width * (size_t)window->height * (size_t)f->target.channels;
    const struct splat_ops *ops = f->device->splat;
    float *floats = malloc(samples * sizeof *floats);
    uint8_t *bytes = malloc(samples + 1); /* one more, to see that it stays */
    bytes[samples] = 77;
    ck_assert_int_eq(ops->render(f->device, &f->workspace, &f->view, &f->blend, window, floats),
                     OK);
    ck_assert_int_eq(
        ops->render_bytes(f->device, &f->workspace, &f->view, &f->blend, window, bytes), OK);
    for (size_t i = 0; i < samples; i++)
        ck_assert_uint_eq(bytes[i], shown_level(floats[i], 255.0f));
    ck_assert_uint_eq(bytes[samples], 77);
    free(floats);
    free(bytes);
}

START_TEST(step_agrees_with_pytorch)
{
    const char *name = cases[_i % CASES], *isa = isas[_i / CASES];
    struct fixture f;
    struct splat_sums sums;
    open_fixture(&f, name, isa, 2);
    run_step(&f, &sums);
    double loss = *(const double *)store_find(f.file, "out.loss")->data;
    ck_assert_msg(fabs(splat_loss_of(&f.loss, &sums) - loss) <= 2e-6 * fabs(loss),
                  "%s: loss %.9g, not %.9g", name, splat_loss_of(&f.loss, &sums), loss);
    bool near_cancel = strcmp(name, "topk1_l1") == 0; /* weights of one: colours nearly cancel */
    for (int g = 0; g < GROUPS; g++)
        compare(&f, "grad", group_names[g], f.gradient[g], near_cancel ? 1e-3 : 5e-5, isa);
    size_t samples = (size_t)f.target.width * (size_t)f.target.height * (size_t)f.target.channels;
    float *picture = malloc(samples * sizeof *picture);
    struct splat_window whole = {f.target.width, f.target.height, 0, 0,
                                 f.target.width, f.target.height};
    ck_assert_int_eq(
        f.device->splat->render(f.device, &f.workspace, &f.view, &f.blend, &whole, picture), OK);
    compare(&f, "out", "render", picture, 1e-5, isa);
    expect_bytes(&f, &whole);
    struct splat_window part = {whole.width, whole.height, 3, 2, whole.width - 4, 5};
    expect_bytes(&f, &part);
    free(picture);
    close_fixture(&f);
}
END_TEST

START_TEST(trajectory_agrees_with_pytorch)
{
    struct fixture f;
    struct splat_sums sums;
    const char *isa = isas[_i % 3], *name = cases[CASES - 4 + _i / 3];
    open_fixture(&f, name, isa, 2);
    const double *reference = store_find(f.file, "traj.loss")->data;
    int32_t *born = calloc((size_t)f.view.count, sizeof *born);
    const struct splat_rows rows = {.born = born};
    float least = 0.3f, most = (float)(f.view.width > f.view.height ? f.view.width : f.view.height);
    struct splat_adam groups[GROUPS];
    for (int g = 0; g < GROUPS; g++) {
        char key[32];
        snprintf(key, sizeof key, "%s_lr", g == XY ? "pos" : group_names[g]);
        groups[g] = (struct splat_adam){.parameter = f.parameter[g],
                                        .first = f.first[g],
                                        .second = f.second[g],
                                        .gradient = f.gradient[g],
                                        .columns = f.columns[g],
                                        .rate = (float)number(&f, key),
                                        .low = {-INFINITY, -INFINITY},
                                        .high = {INFINITY, INFINITY}};
    }
    for (int c = 0; c < 2; c++) {
        groups[XY].low[c] = 0;
        groups[XY].high[c] = 1;
        groups[SCALE].low[c] = f.view.sigma_scale ? least : 1 / most;
        groups[SCALE].high[c] = f.view.sigma_scale ? most : 1 / least;
    }
    for (int step = 0; step < (int)number(&f, "steps"); step++) {
        int64_t skipped;
        run_step(&f, &sums);
        double loss = splat_loss_of(&f.loss, &sums);
        ck_assert_msg(fabs(loss - reference[step]) <= 1e-5 * reference[step],
                      "%s step %d: loss %.9g, not %.9g", name, step, loss, reference[step]);
        ck_assert_int_eq(f.device->splat->adam(f.device, groups, GROUPS, f.view.count, &rows,
                                               step + 1, 0.999, &skipped),
                         OK);
        ck_assert_int_eq(skipped, 0);
    }
    for (int g = 0; g < GROUPS; g++)
        compare(&f, "final", group_names[g], f.parameter[g], 5e-5, isa);
    free(born);
    close_fixture(&f);
}
END_TEST

/* The sums of all images below are split over strips and threads in many ways. */
static void fill_tall(struct fixture *f, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        f->parameter[XY][2 * i] = (float)((i * 37) % 101) / 101.0f;
        f->parameter[XY][2 * i + 1] = (float)((i * 53) % 97) / 97.0f;
        f->parameter[SCALE][2 * i] = 1.0f / (1.0f + (float)(i % 9) * 3.0f);
        f->parameter[SCALE][2 * i + 1] = 1.0f / (1.0f + (float)(i % 7));
        f->parameter[ROT][i] = (float)i;
    }
}

START_TEST(threads_do_not_change_a_bit)
{
    float *kept[GROUPS] = {NULL};
    struct splat_sums first = {0};
    for (int threads = 1; threads <= 5; threads++) {
        struct fixture f;
        struct splat_sums sums;
        open_fixture(&f, "topk0_ssim", "avx512", threads);
        fill_tall(&f, f.view.count);
        run_step(&f, &sums);
        for (int g = 0; g < GROUPS; g++) {
            size_t bytes = sizeof(float) * (size_t)(f.view.count * f.columns[g]);
            if (threads == 1) kept[g] = memcpy(malloc(bytes), f.gradient[g], bytes);
            ck_assert_msg(memcmp(kept[g], f.gradient[g], bytes) == 0, "%s with %d threads",
                          group_names[g], threads);
        }
        if (threads == 1) first = sums;
        ck_assert_int_eq(memcmp(&first, &sums, sizeof sums), 0);
        close_fixture(&f);
    }
    for (int g = 0; g < GROUPS; g++)
        free(kept[g]);
}
END_TEST

/* A device's prepared steps are compared by their key: every byte of a training is in it but those
 * that are handed to a prepared step anew. A field that is added is in it by itself. */
START_TEST(key_of_a_training_holds_all_but_rates)
{
    struct splat_training zero, training;
    memset(&zero, 0, sizeof zero);
    const struct splat_training key = splat_training_key(&zero);
    for (size_t i = 0; i < sizeof training; i++) {
        memset(&training, 0, sizeof training);
        ((unsigned char *)&training)[i] = 1;
        size_t rows = offsetof(struct splat_training, loss.ssim_rows);
        bool left_out = i >= offsetof(struct splat_training, b2);
        if (i >= rows && i < rows + sizeof training.loss.ssim_rows) left_out = true;
        for (size_t g = 0; g < SPLAT_GROUPS; g++) {
            size_t group = offsetof(struct splat_training, groups) + g * sizeof(struct splat_adam);
            if (i >= group + offsetof(struct splat_adam, rate) &&
                i < group + sizeof(struct splat_adam))
                left_out = true;
        }
        struct splat_training got = splat_training_key(&training);
        ck_assert_msg((memcmp(&got, &key, sizeof got) == 0) == left_out, "byte %zu", i);
    }
}
END_TEST

Suite *splat_ops_suite(void);
Suite *splat_ops_suite(void)
{
    Suite *suite = suite_create("splat_ops");
    TCase *tcase = tcase_create("golden");
    tcase_add_loop_test(tcase, step_agrees_with_pytorch, 0, 3 * CASES);
    tcase_add_loop_test(tcase, trajectory_agrees_with_pytorch, 0, 3 * 4);
    tcase_add_test(tcase, threads_do_not_change_a_bit);
    tcase_add_test(tcase, key_of_a_training_holds_all_but_rates);
    suite_add_tcase(suite, tcase);
    return suite;
}
