/* The GAN's steps against goldens of an independent PyTorch program with double backward. */
#include "base/error.h"
#include "base/threads.h"
#include "device/device.h"
#include "gan/core.h"
#include "math/augment.h"
#include "memory/plan.h"
#include "registry/devices.h"
#include "store/safetensors.h"
#include "test/support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *gan_suite(void);

/* A golden file and a core that has its weights. */
struct bench {
    struct store_file *file;
    struct device *device;
    struct plan *plan;
    struct gan_core core;
    int step; /* of a trajectory; -1: a single step */
    bool augment;
};

static long get_int(const struct store_file *file, const char *key)
{
    int64_t value;
    MUST(store_get_int(file, key, &value));
    return (long)value;
}

static double get_double(const struct store_file *file, const char *key)
{
    double value;
    MUST(store_get_double(file, key, &value));
    return value;
}

static void get_list(const struct store_file *file, const char *key, int *values)
{
    const char *text = store_get(file, key);
    ck_assert_ptr_nonnull(text);
    for (char *end; *text; text = *end ? end + 1 : end)
        *values++ = (int)strtol(text, &end, 10);
}

static const struct store_tensor *find(const struct store_file *file, const char *prefix,
                                       const char *name)
{
    char full[96];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct store_tensor *tensor = store_find(file, full);
    ck_assert_msg(tensor != NULL, "no tensor %s", full);
    return tensor;
}

static double element(const struct store_tensor *t, size_t i)
{
    switch (t->type) {
    case TENSOR_F64: return ((const double *)t->data)[i];
    case TENSOR_F32: return (double)((const float *)t->data)[i];
    case TENSOR_I16: return ((const int16_t *)t->data)[i] / 4096.0;
    case TENSOR_U8: return (((const uint8_t *)t->data)[i] - 128) / 128.0;
    default: return ((const int32_t *)t->data)[i];
    }
}

static void read_weights(const struct store_file *file, const struct net *net, float *to)
{
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        const struct store_tensor *t = find(file, "in.", p->name);
        size_t count = 1;
        for (int j = 0; j < t->dims; j++)
            count *= (size_t)t->shape[j];
        ck_assert_msg(count == p->count && t->dims == p->dims, "%s", p->name);
        for (size_t j = 0; j < count; j++)
            to[p->offset + j] = (float)element(t, j);
    }
}

static void bench_open(struct bench *b, const char *name, int micro, enum gan_scheme scheme,
                       const struct nn_ops *ops)
{
    char path[128];
    snprintf(path, sizeof path, "test/golden/%s.safetensors", name);
    memset(b, 0, sizeof *b);
    MUST(store_open(&b->file, path));
    MUST(device_open(&b->device, "cpu", 2));
    b->plan = plan_create();
    struct net_design design = {
        .stages = (int)get_int(b->file, "stages"),
        .base_h = (int)get_int(b->file, "base_height"),
        .base_w = (int)get_int(b->file, "base_width"),
        .z = (int)get_int(b->file, "z"),
        .classes = (int)get_int(b->file, "classes"),
        .embedding = (int)get_int(b->file, "embedding"),
        .channels = (int)get_int(b->file, "image_channels"),
    };
    if (!design.classes) design.embedding = 0;
    get_list(b->file, "widths", design.width);
    get_list(b->file, "blocks", design.blocks);
    int batch = (int)get_int(b->file, "batch");
    struct gan_mode choices = {.batch = batch, .micro = micro ? micro : batch, .scheme = scheme};
    b->step = -1;
    b->device->nn = ops;
    MUST(gan_core_declare(&b->core, &design, &choices, b->device, b->plan));
    MUST(plan_commit(b->plan, b->device));
    MUST(gan_core_connect(&b->core));
    read_weights(b->file, &b->core.g.net, b->core.g.parameters);
    read_weights(b->file, &b->core.d.net, b->core.d.parameters);
    memcpy(b->core.g.ema, b->core.g.parameters, b->core.g.net.floats * sizeof(float));
}

static void bench_close(struct bench *b)
{
    plan_free(b->plan);
    gan_core_close(&b->core);
    device_close(b->device);
    store_close(b->file);
}

static void read_draws(const struct bench *b, const char *name, struct gan_inputs *in,
                       struct nn_augment *draws)
{
    char full[64];
    snprintf(full, sizeof full, "aug.%s.colour", name);
    const struct store_tensor *colour = store_find(b->file, full);
    for (int i = 0; i < in->n; i++)
        draws[i] = augment_none();
    if (!colour) return;
    snprintf(full, sizeof full, "aug.%s.shift", name);
    const struct store_tensor *shift = find(b->file, full, "");
    snprintf(full, sizeof full, "aug.%s.cutout", name);
    const struct store_tensor *cutout = find(b->file, full, "");
    size_t skip = (size_t)(in->first + (b->step > 0 ? b->step * b->core.mode.batch : 0));
    for (int i = 0; i < in->n; i++) {
        size_t k = skip + (size_t)i;
        draws[i].brightness = (float)element(colour, 3 * k);
        draws[i].saturation = (float)element(colour, 3 * k + 1);
        draws[i].contrast = (float)element(colour, 3 * k + 2);
        draws[i].dy = (int)element(shift, 2 * k);
        draws[i].dx = (int)element(shift, 2 * k + 1);
        draws[i].y0 = (int)element(cutout, 4 * k);
        draws[i].x0 = (int)element(cutout, 4 * k + 1);
        draws[i].y1 = (int)element(cutout, 4 * k + 2);
        draws[i].x1 = (int)element(cutout, 4 * k + 3);
    }
}

static int fill(void *context, enum gan_which which, struct gan_inputs *in)
{
    const struct bench *b = context;
    const struct gan_core *core = &b->core;
    const char *w = which == GAN_D ? "d" : "g";
    char name[32];
    const struct store_tensor *real = find(b->file, w, ".real"), *z = find(b->file, w, ".z");
    size_t skip = (size_t)(in->first + (b->step > 0 ? b->step * core->mode.batch : 0));
    size_t pixels = (size_t)(core->shape.h * core->shape.w), c = (size_t)core->shape.c;
    for (size_t i = 0; i < (size_t)in->n; i++) {
        in->flips[i] = 0;
        ck_assert_int_eq(real->type, TENSOR_U8);
        for (size_t p = 0; p < pixels; p++)
            for (size_t j = 0; j < c; j++)
                in->pixels[(i * pixels + p) * c + j] =
                    ((const uint8_t *)real->data)[((skip + i) * c + j) * pixels + p];
        for (size_t j = 0; j < (size_t)in->z_count; j++)
            in->z[i * (size_t)in->z_stride + j] =
                (float)element(z, (skip + i) * (size_t)in->z_count + j);
        in->labels[i] =
            core->design.classes ? (int)element(find(b->file, "label.", w), skip + i) : 0;
    }
    snprintf(name, sizeof name, "%s_real", w);
    read_draws(b, name, in, in->real_draws);
    snprintf(name, sizeof name, "%s_fake", w);
    read_draws(b, name, in, in->fake_draws);
    return OK;
}

/* Largest error relative to the tensor's largest value. swap: what the names begin with that the
 * file leaves out. */
static double compare(const struct bench *b, const char *prefix, const char *swap,
                      const struct net *net, const float *got)
{
    double worst = 0;
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        const struct store_tensor *t =
            find(b->file, prefix, swap ? p->name + strlen(swap) : p->name);
        double error = 0, most = 0;
        for (size_t j = 0; j < p->count; j++) {
            double want = element(t, j);
            error = fmax(error, fabs((double)got[p->offset + j] - want));
            if (isnan(got[p->offset + j])) error = (double)INFINITY;
            most = fmax(most, fabs(want));
        }
        if (getenv("GAN_TEST_VERBOSE")) printf("%-20s %.2e of %.2e\n", p->name, error, most);
        worst = fmax(worst, error / (most + 1e-12));
    }
    return worst;
}

static void check_scalar(const struct bench *b, const char *name, size_t at, double got, double tol)
{
    double want = element(find(b->file, name, ""), at);
    ck_assert_msg(fabs(got - want) <= tol * fmax(1, fabs(want)), "%s: %.9g, not %.9g", name, got,
                  want);
}

static void check_step(const char *name, enum gan_scheme scheme, const struct nn_ops *ops)
{
    struct bench b;
    struct gan_report d, g;
    bench_open(&b, name, 0, scheme, ops);
    MUST(gan_d_step(&b.core, fill, &b, get_double(b.file, "gamma"), &d));
    check_scalar(&b, "out.d.adv", 0, d.loss, 2e-5);
    check_scalar(&b, "out.d.r1", 0, d.r1, 5e-5);
    check_scalar(&b, "out.d.r2", 0, d.r2, 5e-5);
    double error = compare(&b, "grad.", NULL, &b.core.d.net, b.core.d.gradients);
    ck_assert_msg(error <= 1e-4, "%s: gradients of D differ by %.2e", name, error);
    ck_assert_msg(d.invariant <= 1e-4, "identity off by %.2e", d.invariant);
    ck_assert_msg(d.units <= (scheme == GAN_SCHEME_NONE ? 4.1 : 5.0), "%.3f units", d.units);
    MUST(gan_g_step(&b.core, fill, &b, &g));
    check_scalar(&b, "out.g.loss", 0, g.loss, 2e-5);
    error = compare(&b, "grad.", NULL, &b.core.g.net, b.core.g.gradients);
    ck_assert_msg(error <= 1e-4, "%s: gradients of G differ by %.2e", name, error);
    bench_close(&b);
}

static const char *const singles[] = {"gan_8x8", "gan_8x8_labels", "gan_16x12"};

START_TEST(steps_equal_double_backward)
{
    check_step(singles[_i], GAN_SCHEME_NONE, nn_ops_cpu());
}
END_TEST

START_TEST(reference_steps_equal_double_backward)
{
    check_step(singles[_i], GAN_SCHEME_NONE, nn_ops_reference());
}
END_TEST

START_TEST(scheme_c_is_exact)
{
    check_step(singles[_i], GAN_SCHEME_BLOCK, nn_ops_cpu());
}
END_TEST

static void train_step(struct bench *b, struct gan_report *d, struct gan_report *g)
{
    const struct gan_rates rates = {
        .gamma = get_double(b->file, "gamma"),
        .adam.lr = get_double(b->file, "lr"),
        .adam.b2 = get_double(b->file, "b2"),
        .ema = get_double(b->file, "ema_beta"),
    };
    MUST(gan_train_step(&b->core, &rates, fill, b));
    MUST(gan_report(&b->core, 0, d, g));
}

/* Both programs from the same weights and data, all updates included. */
static void check_trajectory(const char *name)
{
    struct bench b;
    struct gan_report d, g;
    bench_open(&b, name, 0, GAN_SCHEME_NONE, nn_ops_cpu());
    int steps = (int)get_int(b.file, "steps");
    for (b.step = 0; b.step < steps; b.step++) {
        train_step(&b, &d, &g);
        size_t at = (size_t)b.step;
        check_scalar(&b, "traj.d.adv", at, d.loss, 1e-4);
        check_scalar(&b, "traj.d.r1", at, d.r1, 1e-3);
        check_scalar(&b, "traj.d.r2", at, d.r2, 1e-3);
        check_scalar(&b, "traj.g.loss", at, g.loss, 1e-4);
    }
    double error = compare(&b, "final.", NULL, &b.core.d.net, b.core.d.parameters);
    ck_assert_msg(error <= 1e-3, "weights of D differ by %.2e", error);
    error = compare(&b, "final.", NULL, &b.core.g.net, b.core.g.parameters);
    ck_assert_msg(error <= 1e-3, "weights of G differ by %.2e", error);
    error = compare(&b, "final.ema.", "g.", &b.core.g.net, b.core.g.ema);
    ck_assert_msg(error <= 1e-3, "EMA weights differ by %.2e", error);
    bench_close(&b);
}

START_TEST(twenty_steps_stay_together)
{
    check_trajectory(_i ? "gan_traj_labels" : "gan_traj");
}
END_TEST

/* The same bits whatever the micro-batch, the scheme and the number of threads. */
START_TEST(no_choice_changes_a_bit)
{
    struct bench a, b;
    struct gan_report d, g;
    bench_open(&a, "gan_16x12", 0, GAN_SCHEME_NONE, nn_ops_cpu());
    bench_open(&b, "gan_16x12", 0, GAN_SCHEME_BLOCK, nn_ops_cpu());
    /* chunks of one pair, so that this small batch can be cut */
    struct network_pass *passes[] = {&a.core.d_second, &a.core.g_back, &b.core.d_second,
                                     &b.core.g_back};
    for (int i = 0; i < 4; i++)
        passes[i]->chunk = i % 2 ? 1 : 2;
    b.core.mode.micro = 1;
    threads_set(2);
    train_step(&a, &d, &g);
    threads_set(1);
    train_step(&b, &d, &g);
    size_t bytes = a.core.d.net.floats * sizeof(float);
    ck_assert_int_eq(memcmp(a.core.d.gradients, b.core.d.gradients, bytes), 0);
    ck_assert_int_eq(memcmp(a.core.d.parameters, b.core.d.parameters, bytes), 0);
    bytes = a.core.g.net.floats * sizeof(float);
    ck_assert_int_eq(memcmp(a.core.g.gradients, b.core.g.gradients, bytes), 0);
    ck_assert_int_eq(memcmp(a.core.g.ema, b.core.g.ema, bytes), 0);
    bench_close(&a);
    bench_close(&b);
}
END_TEST

/* The comparison sees a penalty that is off by 1 %. */
START_TEST(gradient_of_penalty_matters)
{
    struct bench b;
    struct gan_report d;
    bench_open(&b, "gan_8x8", 0, GAN_SCHEME_NONE, nn_ops_cpu());
    MUST(gan_d_step(&b.core, fill, &b, 1.01 * get_double(b.file, "gamma"), &d));
    ck_assert(compare(&b, "grad.", NULL, &b.core.d.net, b.core.d.gradients) > 1e-4);
    bench_close(&b);
}
END_TEST

Suite *gan_suite(void)
{
    Suite *suite = suite_create("gan");
    TCase *golden = tcase_create("golden");
    tcase_add_loop_test(golden, steps_equal_double_backward, 0, 3);
    tcase_add_loop_test(golden, reference_steps_equal_double_backward, 0, 3);
    tcase_add_loop_test(golden, scheme_c_is_exact, 0, 3);
    tcase_add_loop_test(golden, twenty_steps_stay_together, 0, 2);
    tcase_add_test(golden, no_choice_changes_a_bit);
    tcase_add_test(golden, gradient_of_penalty_matters);
    suite_add_tcase(suite, golden);
    return suite;
}
