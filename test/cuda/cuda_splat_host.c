/* Splats on CUDA with the target, or Adam's state, in host memory: the same bits as with all of
 * it on the device, however the device's queues take turns. */
#include "test/cuda/cuda_splat_fit.h"

Suite *cuda_splat_host_suite(void);

enum { STEPS = 2 };

static const struct scene_case cases[] = {
    {"mask, three bands",
     11,
     521,
     3,
     8,
     30,
     3,
     {10, false},
     {{1, 0}, 0.1, SPLAT_SSIM_FOURTH_3, 0},
     0,
     1,
     0,
     0},
    {"mask, halves, 16 bits",
     7,
     261,
     2,
     16,
     30,
     2,
     {0, false},
     {{0.2, 1}, 1, SPLAT_SSIM_EVEN, 0},
     1,
     1,
     1,
     70},
    {"one band", 21, 30, 3, 32, 50, 3, {0, true}, {{0, 1}, 1, SPLAT_SSIM_ALL, 0}, 0, 1, 0, 0},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Host memory of the device, to be given back by `free_host`. */
struct host_resident {
    void *memory[16];
    int count;
};

static void *host_memory(struct host_resident *b, struct device *device, size_t bytes)
{
    expect_ok(device->alloc_host(device, bytes, &b->memory[b->count]));
    return b->memory[b->count++];
}

/* The fit's target in host memory; its buffer on the device is filled with other numbers. */
static void move_target(struct fit *f, struct host_resident *b, const struct scene_case *c)
{
    struct device *device = f->s.device;
    struct splat_target *t = &f->training.target;
    size_t bytes = (size_t)c->width * (size_t)c->height * (size_t)(c->channels * c->bits / 8);
    void *data = host_memory(b, device, bytes), *junk = calloc(bytes, 1);
    expect_ok(device->download(device, data, t->data, bytes));
    expect_ok(device->synchronize(device));
    expect_ok(device->upload(device, (void *)(uintptr_t)t->data, junk, bytes));
    expect_ok(device->synchronize(device));
    free(junk);
    t->data = data;
    t->host_resident = true;
    if (t->weights) {
        size_t pixels = (size_t)c->width * (size_t)c->height;
        uint8_t *weights = host_memory(b, device, pixels);
        expect_ok(device->download(device, weights, t->weights, pixels));
        expect_ok(device->synchronize(device));
        t->weights = weights;
    }
    f->d.workspace.storage.streamed_pixel = c->channels * c->bits / 8 + (t->weights != NULL);
    size_t staging = device->splat->staging_bytes(device, c->width, c->height, c->channels,
                                                  &f->d.workspace.storage);
    f->d.workspace.staging = host_memory(b, device, staging);
}

/* Adam's state in host memory. */
static void move_state(struct fit *f, struct host_resident *b)
{
    struct device *device = f->s.device;
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        struct splat_adam *group = &f->training.groups[g];
        size_t bytes = (size_t)(f->count * group->columns) * sizeof(float);
        group->first = host_memory(b, device, bytes);
        group->second = host_memory(b, device, bytes);
    }
    struct splat_rows *rows = &f->training.rows;
    rows->born = host_memory(b, device, (size_t)f->count * sizeof(int32_t));
    if (rows->axes) {
        size_t n = (size_t)splat_axes_columns(f->training.view.channels, 1);
        rows->axes = host_memory(b, device, (size_t)f->count * n * n * sizeof(float));
        rows->moments =
            host_memory(b, device, (size_t)f->count * (n * (n + 1) / 2) * sizeof(float));
        f->d.workspace.storage.axes = true;
    }
    f->d.workspace.storage.weighted = true;
    f->d.workspace.storage.offload = true;
}

/* With the flags in `what`: 1 the target, 2 the state in host memory; 4: the state has axes. */
static void open_host_resident(struct fit *f, struct host_resident *b, struct device *device,
                               const struct scene_case *c, int what)
{
    b->count = 0;
    open_fit(f, device, c, 0, what & 4);
    if (what & 1) move_target(f, b, c);
    if (what & 2) move_state(f, b);
    struct splat_workspace *w = &f->d.workspace;
    w->bytes = device->splat->workspace_bytes(device, c->width, c->height, c->channels, w->capacity,
                                              &w->storage);
    w->memory = side_workspace(&f->s, w->bytes);
}

static void close_host_resident(struct fit *f, struct host_resident *b)
{
    side_close(&f->s);
    for (int i = 0; i < b->count; i++)
        f->s.device->free_host(f->s.device, b->memory[i]);
}

/* Everything that operations give, as bytes; returns how many. */
static size_t results(struct fit *f, const struct scene_case *c, uint8_t *out)
{
    struct device *device = f->s.device;
    struct splat_sums sums[2];
    size_t at = 0;
    for (int step = 0; step < STEPS; step++) {
        double loss = train(f, step == STEPS - 1);
        if (step == STEPS - 1) memcpy(out, &loss, sizeof loss);
    }
    at += sizeof(double);
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        size_t n = (size_t)(f->count * f->d.columns[g]) * sizeof(float);
        const struct splat_adam *group = &f->training.groups[g];
        const float *arrays[] = {group->parameter, group->first, group->second};
        for (int k = 0; k < 3; k++, at += n)
            expect_ok(device->download(device, out + at, arrays[k], n));
    }
    memset(sums, 0, sizeof sums);
    expect_ok(device->splat->step(device, &f->d.workspace, &f->training.view, &c->blend,
                                  &f->training.target, &c->loss, &f->d.gradients, &sums[0]));
    expect_ok(device->splat->evaluate(device, &f->d.workspace, &f->training.view, &c->blend,
                                      &f->training.target, 0.45f, &sums[1]));
    if (!(c->loss.ssim > 0)) sums[0].ssim = 0;
    sums[0].ssim_inner = 0;
    memcpy(out + at, sums, sizeof sums);
    at += sizeof sums;
    double *importance = calloc((size_t)f->count + 1, sizeof *importance);
    expect_ok(device->splat->importance(device, &f->d.workspace, &f->training.view, &c->blend,
                                        &f->training.target, importance));
    memcpy(out + at, importance, (size_t)f->count * sizeof *importance);
    free(importance);
    return at + (size_t)f->count * sizeof(double);
}

static void blacken(struct fit *f, const struct scene_case *c)
{
    struct device *device = f->s.device;
    struct splat_target *t = &f->training.target;
    size_t bytes = (size_t)c->width * (size_t)c->height * (size_t)(c->channels * c->bits / 8);
    void *black = calloc(bytes, 1);
    expect_ok(device->synchronize(device));
    if (t->host_resident)
        memset((void *)(uintptr_t)t->data, 0, bytes);
    else
        expect_ok(device->upload(device, (void *)(uintptr_t)t->data, black, bytes));
    expect_ok(device->synchronize(device));
    free(black);
}

/* Pixels drawn by both weights, and from a black picture, where they fall anywhere. */
static size_t draws(struct fit *f, const struct scene_case *c, uint8_t *out)
{
    enum { N = 12 };
    struct device *device = f->s.device;
    size_t at = 0;
    float *xy = side_result(&f->s, "xy", 2 * N, 0);
    float *color = side_result(&f->s, "color", (size_t)(N * c->channels), 0);
    for (int k = 0; k < 3; k++) {
        if (k == 2) blacken(f, c);
        bool error = k == 1;
        struct splat_sample sample = {.weight = error ? SPLAT_SAMPLE_ERROR : SPLAT_SAMPLE_GRADIENT,
                                      .residual = error,
                                      .seed = 3,
                                      .step = 5,
                                      .stream = STREAM_TEST,
                                      .count = N,
                                      .xy = xy,
                                      .color = color};
        expect_ok(device->splat->sample(device, &f->d.workspace, error ? &f->training.view : NULL,
                                        &c->blend, &f->training.target, &sample));
        expect_ok(device->download(device, out + at, xy, 2 * N * sizeof(float)));
        at += 2 * N * sizeof(float);
        expect_ok(
            device->download(device, out + at, color, (size_t)(N * c->channels) * sizeof(float)));
        at += (size_t)(N * c->channels) * sizeof(float);
    }
    expect_ok(device->synchronize(device));
    return at;
}

/* Writes what a fit gives with `what` in host memory, the queues in this order. */
static size_t run(const struct scene_case *c, int what, unsigned order, uint8_t *out)
{
    struct device *device;
    struct fit f;
    struct host_resident b;
    emu_stream_order(order);
    expect_ok(cuda_open(&device));
    open_host_resident(&f, &b, device, c, what);
    size_t bytes = results(&f, c, out);
    bytes += draws(&f, c, out + bytes);
    close_host_resident(&f, &b);
    device_close(device);
    emu_stream_order(0);
    return bytes;
}

static void compare_beside(const struct scene_case *c, int what, unsigned order)
{
    static uint8_t kept[2][1 << 16];
    size_t bytes = run(c, what & 4, 0, kept[0]);
    ck_assert_uint_eq(run(c, what, order, kept[1]), bytes);
    ck_assert_uint_le(bytes, sizeof kept[0]);
    for (size_t i = 0; i < bytes; i++)
        ck_assert_msg(kept[0][i] == kept[1][i], "%s, %d beside: byte %zu of %zu", c->name, what, i,
                      bytes);
}

START_TEST(no_order_of_queues_changes_a_bit)
{
    compare_beside(&cases[0], _i % 2 ? 3 : 7, (unsigned)_i);
}
END_TEST

START_TEST(beside_changes_no_bit)
{
    compare_beside(&cases[1 + _i / 2], 1 + _i % 2 + 4, stream_orders - 1);
}
END_TEST

START_TEST(bands_need_their_buffers)
{
    struct device *device;
    struct fit f;
    struct host_resident b;
    struct splat_sums sums;
    expect_ok(cuda_open(&device));
    open_host_resident(&f, &b, device, &cases[0], 1);
    f.d.workspace.staging = NULL;
    ck_assert_int_eq(device->splat->evaluate(device, &f.d.workspace, &f.training.view,
                                             &cases[0].blend, &f.training.target, 1, &sums),
                     ERR_INTERNAL);
    close_host_resident(&f, &b);
    device_close(device);
}
END_TEST

Suite *cuda_splat_host_suite(void)
{
    Suite *suite = suite_create("cuda_splat_host");
    if (!cuda_here("cuda_splat_host")) return suite;
    TCase *tests = tcase_create("beside");
    tcase_add_loop_test(tests, no_order_of_queues_changes_a_bit, 0, stream_orders);
    tcase_add_loop_test(tests, beside_changes_no_bit, 0, 2 * (CASES - 1));
    tcase_add_test(tests, bands_need_their_buffers);
    suite_add_tcase(suite, tests);
    return suite;
}
