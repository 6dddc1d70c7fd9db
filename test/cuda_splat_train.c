/* Splats on CUDA as a whole: bands, graphs, training beside the CPU, the task, and the numbers of
 * the PyTorch program. */
#include "config/config.h"
#include "cuda_splat_scene.h"
#include "image/image.h"
#include "splat/splat.h"
#include "store/safetensors.h"
#include "temp_folder.h"

Suite *cuda_splat_train_suite(void);

/* ---- bands ---- */

/* The step of a scene on CUDA, with bands or without: its gradients and sums. */
static size_t step_bytes(struct device *device, const struct scene_case *c, uint8_t *out)
{
    struct side s = {.device = device};
    struct splat_sums sums;
    struct drawn d = draw(&s, c, true, 0);
    size_t bytes = sizeof sums;
    expect_ok(device->splat->step(device, &d.workspace, &d.view, &c->blend, &d.target, &c->loss,
                                  &d.gradients, &sums));
    if (!(c->loss.ssim > 0)) sums.ssim = 0;
    sums.ssim_inner = 0;
    memcpy(out, &sums, sizeof sums);
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        size_t n = sizeof(float) * (size_t)(c->count * d.columns[g]);
        expect_ok(device->download(device, out + bytes, d.gradient[g], n));
        expect_ok(device->synchronize(device));
        bytes += n;
    }
    side_close(&s);
    return bytes;
}

START_TEST(bands_change_no_bit)
{
    struct device *device;
    struct scene_case c = scenes[BANDS];
    static uint8_t whole[1 << 16], bands[1 << 16];
    ck_assert(c.bands);
    c.half = _i;
    expect_ok(cuda_open(&device));
    size_t bytes = step_bytes(device, &c, bands);
    c.bands = false;
    ck_assert_uint_eq(step_bytes(device, &c, whole), bytes);
    ck_assert(memcmp(bands, whole, bytes) == 0);
    device_close(device);
}
END_TEST

/* ---- training ---- */

enum { STEPS = 20 };

/* A scene with all that training needs. */
struct fit {
    struct side s;
    struct drawn d;
    struct splat_training training;
    int count;
};

static void open_fit(struct fit *f, struct device *device, const struct scene_case *c, int bits)
{
    static const float rates[SPLAT_GROUPS] = {5e-4f, 2e-3f, 2e-3f, 5e-3f};
    memset(f, 0, sizeof *f);
    f->s.device = device;
    f->d = draw(&f->s, c, true, 0);
    f->count = c->count;
    struct splat_training *t = &f->training;
    t->view = f->d.view;
    t->blend = c->blend;
    t->target = f->d.target;
    t->loss = c->loss;
    t->gradients = f->d.gradients;
    int32_t *born = calloc((size_t)c->count + 1, sizeof *born);
    t->born = side_buffer(&f->s, "born", born, (size_t)c->count * sizeof *born);
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        size_t n = (size_t)(c->count * f->d.columns[g]);
        float *zeros = calloc(n + 1, sizeof *zeros);
        bool scale = g == SPLAT_SCALE;
        t->groups[g] = (struct splat_adam){.parameter = f->d.parameter[g],
                                           .first = upload_floats(&f->s, "m", zeros, n, 0),
                                           .second = upload_floats(&f->s, "v", zeros, n, 0),
                                           .gradient = f->d.gradient[g],
                                           .columns = f->d.columns[g],
                                           .rate = rates[g],
                                           .low = {scale ? 0.001f : -1e9f, scale ? 0.001f : -1e9f},
                                           .high = {1e9f, 1e9f}};
        t->bits[g] = bits;
        if (bits) t->quantized[g] = side_result(&f->s, "quantised", n, 0);
        free(zeros);
    }
    free(born);
    if (!bits) return;
    t->view.xy = t->quantized[SPLAT_XY];
    t->view.scale = t->quantized[SPLAT_SCALE];
    t->view.rot = t->quantized[SPLAT_ROT];
    t->view.feat = t->quantized[SPLAT_FEAT];
}

static double train(struct fit *f, bool wait)
{
    struct splat_sums sums;
    int64_t skipped;
    struct device *device = f->s.device;
    f->training.t++;
    expect_ok(device->splat->train(device, &f->d.workspace, &f->training, wait, &sums, &skipped));
    return splat_loss_of(&f->training.loss, &sums);
}

static float *fetch_group(struct fit *f, int g)
{
    size_t n = (size_t)(f->count * f->d.columns[g]);
    float *x = malloc((n + 1) * sizeof *x);
    expect_ok(f->s.device->download(f->s.device, x, f->d.parameter[g], n * sizeof *x));
    expect_ok(f->s.device->synchronize(f->s.device));
    return x;
}

/* Largest difference of the parameters. */
static double difference(struct fit *a, struct fit *b)
{
    double most = 0;
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        float *x = fetch_group(a, g), *y = fetch_group(b, g);
        for (int i = 0; i < a->count * a->d.columns[g]; i++) {
            double d = fabs((double)x[i] - (double)y[i]);
            if (!(d <= most)) most = d;
        }
        free(x);
        free(y);
    }
    return most;
}

static const struct {
    int scene, bits;
    double loss, parameter; /* largest differences: relative, absolute */
} trainings[] = {{1, 0, 1e-5, 1e-3},
                 {2, 0, 1e-5, 1e-3},
                 {7, 0, 1e-5, 1e-3},
                 {0, 8, 1e-3, 1e-2},
                 {16, 0, 5e-3, 5e-2}};

/* Step by step beside the CPU, waiting at every third step only. */
START_TEST(trains_as_the_cpu_does)
{
    struct device *cpu, *cuda;
    struct fit a, b;
    const struct scene_case *c = &scenes[trainings[_i].scene];
    expect_ok(device_open_cpu(&cpu, 1));
    expect_ok(cuda_open(&cuda));
    open_fit(&a, cpu, c, trainings[_i].bits);
    open_fit(&b, cuda, c, trainings[_i].bits);
    double begin = 0, end = 0;
    for (int step = 0; step < STEPS; step++) {
        bool wait = step % 3 == 0 || step == STEPS - 1;
        double expected = train(&a, true), got = train(&b, wait);
        if (step == 0) begin = got;
        if (wait)
            ck_assert_msg(fabs(got - expected) <= trainings[_i].loss * expected,
                          "%s, step %d: loss %.9g, expected %.9g", c->name, step, got, expected);
        end = expected;
    }
    double d = difference(&a, &b);
    ck_assert_msg(!!(end < 0.97 * begin), "%s does not learn: %g to %g", c->name, begin, end);
    ck_assert_msg(!!(d <= trainings[_i].parameter), "%s: a parameter differs by %g", c->name, d);
    side_close(&a.s);
    side_close(&b.s);
    device_close(cuda);
    device_close(cpu);
}
END_TEST

/* A graph that is launched again and again gives what single steps give; a change of rates reaches
 * it; a change of the number of Gaussians makes a new one. */
START_TEST(graph_is_the_same_as_single_steps)
{
    struct device *device;
    struct fit a, b;
    const struct scene_case *c = &scenes[TOP10_SSIM];
    expect_ok(cuda_open(&device));
    open_fit(&a, device, c, 0);
    open_fit(&b, device, c, 0);
    a.training.view.count = b.training.view.count = 50;
    for (int step = 0; step < 8; step++) {
        if (step == 4) a.training.view.count = 70;
        a.training.groups[0].rate = 1e-3f * (float)(step + 1);
        train(&a, step == 7);
    }
    for (int step = 0; step < 8; step++) {
        struct splat_sums sums;
        int64_t skipped;
        if (step == 4) b.training.view.count = 70;
        b.training.groups[0].rate = 1e-3f * (float)(step + 1);
        const struct splat_ops *ops = device->splat;
        expect_ok(ops->step(device, &b.d.workspace, &b.training.view, &c->blend, &b.d.target,
                            &c->loss, &b.d.gradients, &sums));
        expect_ok(ops->adam(device, b.training.groups, SPLAT_GROUPS, b.training.view.count,
                            b.training.born, step + 1, &skipped));
    }
    double d = difference(&a, &b);
    ck_assert_msg(!(d > 0) && !isnan(d), "differ by %g", d);
    side_close(&a.s);
    side_close(&b.s);
    device_close(device);
}
END_TEST

/* A loss that is not finite leaves the parameters alone, also when nobody waits, until it is seen.
 */
START_TEST(stops_at_a_loss_that_is_not_finite)
{
    struct device *device;
    struct fit a, b;
    struct scene_case c = scenes[TOP10_SSIM];
    c.bits = 32;
    expect_ok(cuda_open(&device));
    open_fit(&a, device, &c, 0);
    open_fit(&b, device, &c, 0);
    train(&b, true);
    train(&a, false);
    size_t bytes = (size_t)c.width * (size_t)c.height * (size_t)c.channels * sizeof(float);
    float *samples = malloc(bytes), *with_nan = malloc(bytes);
    expect_ok(device->download(device, samples, a.d.target.data, bytes));
    expect_ok(device->synchronize(device));
    memcpy(with_nan, samples, bytes);
    with_nan[100] = (float)NAN;
    expect_ok(device->upload(device, (void *)(uintptr_t)a.d.target.data, with_nan, bytes));
    train(&a, false);
    expect_ok(device->upload(device, (void *)(uintptr_t)a.d.target.data, samples, bytes));
    train(&a, false);
    if (_i == 1) a.training.view.count--; /* a new graph before anybody has waited */
    ck_assert(!isfinite(train(&a, _i == 0)));
    double d = difference(&a, &b);
    ck_assert_msg(!(d > 0) && !isnan(d), "differ by %g", d);
    ck_assert(isfinite(train(&a, true))); /* it has been seen */
    ck_assert(difference(&a, &b) > 0);
    free(samples);
    free(with_nan);
    side_close(&a.s);
    side_close(&b.s);
    device_close(device);
}
END_TEST

START_TEST(refuses_a_small_workspace)
{
    struct device *device;
    struct fit f;
    struct splat_sums sums;
    const struct scene_case *c = &scenes[0];
    expect_ok(cuda_open(&device));
    open_fit(&f, device, c, 0);
    f.d.workspace.bytes--;
    ck_assert_int_eq(device->splat->step(device, &f.d.workspace, &f.d.view, &c->blend, &f.d.target,
                                         &c->loss, &f.d.gradients, &sums),
                     ERR_INTERNAL);
    f.d.workspace.bytes++;
    f.d.workspace.capacity--;
    f.d.view.count = c->count;
    ck_assert_int_eq(device->splat->evaluate(device, &f.d.workspace, &f.d.view, &c->blend,
                                             &f.d.target, 1, &sums),
                     ERR_INTERNAL);
    side_close(&f.s);
    device_close(device);
}
END_TEST

/* ---- against the PyTorch program of test/golden ---- */

static const char *const golden[] = {"topk10_mixed", "topk3_sigma", "topk32_ssim",
                                     "topk0_ssim",   "topk4_bands", "additive_mixed"};

static double golden_number(const struct store_file *file, const char *key)
{
    double value;
    expect_ok(store_get_double(file, key, &value));
    return value;
}

static bool golden_flag(const struct store_file *file, const char *key)
{
    return strcmp(store_get(file, key), "true") == 0;
}

/* The fixture as a scene in a device's memory. */
static struct scene_case open_golden(const struct store_file *f, struct side *s, struct drawn *d)
{
    struct scene_case c = {.width = (int)golden_number(f, "width"),
                           .height = (int)golden_number(f, "height"),
                           .channels = (int)golden_number(f, "channels"),
                           .count = (int)golden_number(f, "gaussians"),
                           .blend = {(int)golden_number(f, "topk"), golden_flag(f, "additive")},
                           .loss = {(float)golden_number(f, "l1"), (float)golden_number(f, "l2"),
                                    (float)golden_number(f, "ssim")},
                           .sigma_scale = golden_flag(f, "disable_inverse_scale"),
                           .bits = 8};
    *d = draw(s, &c, true, 0);
    const uint8_t *interleaved = store_find(f, "target")->data;
    size_t pixels = (size_t)c.width * (size_t)c.height, channels = (size_t)c.channels;
    uint8_t *planar = malloc(pixels * channels);
    for (size_t i = 0; i < pixels; i++)
        for (size_t k = 0; k < channels; k++)
            planar[(i / (size_t)c.width * channels + k) * (size_t)c.width + i % (size_t)c.width] =
                interleaved[i * channels + k];
    d->target.data = side_buffer(s, "target", planar, pixels * channels);
    free(planar);
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        char key[32];
        int64_t shape[2] = {c.count, d->columns[g]};
        size_t n = (size_t)(shape[0] * shape[1]);
        float *x = malloc(n * sizeof *x);
        snprintf(key, sizeof key, "in.%s", group_names[g]);
        expect_ok(store_read_f32(f, key, 2, shape, x));
        expect_ok(s->device->upload(s->device, d->parameter[g], x, n * sizeof *x));
        expect_ok(s->device->synchronize(s->device));
        free(x);
    }
    return c;
}

START_TEST(step_agrees_with_pytorch)
{
    char path[128];
    struct side s = {0};
    struct drawn d;
    struct store_file *file;
    struct splat_sums sums;
    snprintf(path, sizeof path, "test/golden/splat_%s.safetensors", golden[_i]);
    expect_ok(store_open(&file, path));
    expect_ok(cuda_open(&s.device));
    struct scene_case c = open_golden(file, &s, &d);
    expect_ok(s.device->splat->step(s.device, &d.workspace, &d.view, &c.blend, &d.target, &c.loss,
                                    &d.gradients, &sums));
    double loss = *(const double *)store_find(file, "out.loss")->data;
    double ours = splat_loss_of(&c.loss, &sums);
    ck_assert_msg(fabs(ours - loss) <= 2e-6 * fabs(loss), "%s: loss %.9g, not %.9g", golden[_i],
                  ours, loss);
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        char key[32];
        size_t n = (size_t)(c.count * d.columns[g]);
        float *x = malloc(n * sizeof *x);
        expect_ok(s.device->download(s.device, x, d.gradient[g], n * sizeof *x));
        expect_ok(s.device->synchronize(s.device));
        snprintf(key, sizeof key, "grad.%s", group_names[g]);
        const double *expected = store_find(file, key)->data;
        double most = 0, scale = 0;
        for (size_t i = 0; i < n; i++) {
            double difference = fabs((double)x[i] - expected[i]);
            if (!(difference <= most)) most = difference;
            scale = fmax(scale, fabs(expected[i]));
        }
        ck_assert_msg(!!(most <= 1e-4 * scale), "%s: %s differs by %g of %g", golden[_i], key, most,
                      scale);
        free(x);
    }
    store_close(file);
    side_close(&s);
    device_close(s.device);
}
END_TEST

/* ---- the task ---- */

static struct task_state *open_task(struct device *device, const struct config *config,
                                    const struct store_file *resume)
{
    struct task_state *state = NULL;
    struct task_setup setup = {.config = config, .device = device, .resume = resume};
    expect_ok(task_splat.open(&state, &setup));
    return state;
}

static struct store_file *save_task(struct task_state *state, const char *name)
{
    char path[512];
    struct store_file *file;
    struct store_writer *writer = store_writer_create();
    snprintf(path, sizeof path, "%s/%s", folder, name);
    expect_ok(task_splat.save(state, writer));
    expect_ok(store_write(writer, path, false));
    store_writer_free(writer);
    expect_ok(store_open(&file, path));
    return file;
}

static void run_task(struct task_state *state, int from, int to)
{
    struct task_report report = {0};
    for (int step = from; step < to; step++) {
        expect_ok(task_splat.step(state, step, step + 1 == to, &report));
        ck_assert(isfinite(report.loss));
    }
}

/* A short fit with growth: every tensor of its checkpoint is near the CPU's, a resumed one is the
 * same to the bit, and its picture is near the CPU's. */
START_TEST(task_runs_on_cuda)
{
    enum { SIDE = 24, END = 12, MIDDLE = 7 };
    char text[1024], path[512];
    struct device *devices[2];
    struct config *config;
    struct image image, pictures[2];
    struct store_file *ends[2];
    set_up();
    expect_ok(image_create(&image, SIDE, SIDE, 3, SAMPLE_U8));
    for (int i = 0; i < SIDE * SIDE * 3; i++)
        ((uint8_t *)image.data)[i] = (uint8_t)(120 + 90 * sinf(0.02f * (float)i));
    snprintf(path, sizeof path, "%s/a.png", folder);
    expect_ok(image_save(&image, path));
    snprintf(text, sizeof text,
             "input_path: \"%s\"\nnum_gaussians: 40\nmax_steps: %d\neval_steps: 5\n"
             "use_amp: false\nquantize: %s\n",
             path, END, _i ? "true" : "false");
    expect_ok(config_load_text(&config, "test", text, strlen(text), 0, NULL));
    expect_ok(device_open_cpu(&devices[0], 1));
    expect_ok(cuda_open(&devices[1]));
    for (int k = 0; k < 2; k++) {
        struct task_state *state = open_task(devices[k], config, NULL);
        run_task(state, 0, MIDDLE);
        struct store_file *middle = save_task(state, k ? "b.middle" : "a.middle");
        run_task(state, MIDDLE, END);
        ends[k] = save_task(state, k ? "b.end" : "a.end");
        expect_ok(task_splat.picture(state, 0, &pictures[k]));
        task_splat.close(state);
        state = open_task(devices[k], config, middle);
        run_task(state, MIDDLE, END);
        struct store_file *again = save_task(state, "again");
        for (int t = 0; t < store_count(again); t++) {
            const struct store_tensor *p = store_at(again, t), *q = store_find(ends[k], p->name);
            ck_assert_msg(memcmp(p->data, q->data, p->bytes) == 0, "resumed: %s", p->name);
        }
        store_close(again);
        store_close(middle);
        task_splat.close(state);
    }
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        const struct store_tensor *p = store_find(ends[0], group_names[g]);
        const struct store_tensor *q = store_find(ends[1], group_names[g]);
        ck_assert_uint_eq(p->bytes, q->bytes);
        for (size_t i = 0; i < p->bytes / sizeof(float); i++) {
            double x = (double)((const float *)p->data)[i], y = (double)((const float *)q->data)[i];
            ck_assert_msg(fabs(x - y) <= 5e-3, "%s[%zu] is %g, expected %g", p->name, i, y, x);
        }
    }
    for (int i = 0; i < SIDE * SIDE * 3; i++) {
        int a = ((uint8_t *)pictures[0].data)[i], b = ((uint8_t *)pictures[1].data)[i];
        ck_assert_msg(abs(a - b) <= 2, "sample %d is %d, expected %d", i, b, a);
    }
    for (int k = 0; k < 2; k++) {
        image_free(&pictures[k]);
        store_close(ends[k]);
        device_close(devices[k]);
    }
    image_free(&image);
    config_free(config);
    tear_down();
}
END_TEST

Suite *cuda_splat_train_suite(void)
{
    Suite *suite = suite_create("cuda_splat_train");
    if (!cuda_here("cuda_splat_train")) return suite;
    TCase *tests = tcase_create("training");
    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(tests, bands_change_no_bit, 0, 2);
    tcase_add_loop_test(tests, trains_as_the_cpu_does, 0,
                        (int)(sizeof trainings / sizeof *trainings));
    tcase_add_test(tests, graph_is_the_same_as_single_steps);
    tcase_add_loop_test(tests, stops_at_a_loss_that_is_not_finite, 0, 2);
    tcase_add_test(tests, refuses_a_small_workspace);
    tcase_add_loop_test(tests, step_agrees_with_pytorch, 0, (int)(sizeof golden / sizeof *golden));
    tcase_add_loop_test(tests, task_runs_on_cuda, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
