/* Training of splats on CUDA: bands, graphs, steps beside the CPU's. */
#include "cpu/device_cpu.h"
#include "test/cuda/cuda_splat_fit.h"

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
    c.half = _i % 2;
    if (_i >= 2) c.capacity = 1100000; /* so many that none has more than one chunk */
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

static const struct {
    int scene, bits, axes;
    double loss, parameter; /* largest differences: relative, absolute. Where functions err as CUDA
                               says they may, Adam moves a parameter of little gradient by another
                               part of its rate: in 20 steps by 1.07e-3 (ulp=1 of the emulator) */
} trainings[] = {{1, 0, 0, 1e-5, 2e-3}, {2, 0, 0, 1e-5, 2e-3},  {7, 0, 0, 1e-5, 2e-3},
                 {0, 8, 0, 1e-3, 1e-2}, {16, 0, 0, 5e-3, 5e-2}, {1, 0, 1, 1e-5, 2e-3},
                 {5, 0, 1, 1e-5, 2e-3}};

/* Step by step beside the CPU, waiting at every third step only. */
START_TEST(trains_as_the_cpu_does)
{
    struct device *cpu, *cuda;
    struct fit a, b;
    const struct scene_case *c = &scenes[trainings[_i].scene];
    expect_ok(device_open_cpu(&cpu, 1));
    expect_ok(cuda_open(&cuda));
    open_fit(&a, cpu, c, trainings[_i].bits, trainings[_i].axes);
    open_fit(&b, cuda, c, trainings[_i].bits, trainings[_i].axes);
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
 * it; a change of the number of Gaussians, or of the loss alone, makes a new one. */
START_TEST(graph_is_the_same_as_single_steps) /* 1: in axes */
{
    struct device *device;
    struct fit a, b;
    const struct scene_case *c = &scenes[TOP10_SSIM];
    expect_ok(cuda_open(&device));
    open_fit(&a, device, c, 0, _i);
    open_fit(&b, device, c, 0, _i);
    a.training.view.count = b.training.view.count = 50;
    int more_at = _i ? 8 : 4; /* in axes a row begins by `born`, which says 0 of all */
    for (int step = 0; step < 8; step++) {
        if (step == more_at) a.training.view.count = 70;
        if (step == 6) a.training.loss.pixel[PIXEL_L2] = 3;
        a.training.groups[0].rate = 1e-3f * (float)(step + 1);
        a.training.b2 = step < 4 ? 0.999 : 0.9;
        train(&a, step == 7);
    }
    for (int step = 0; step < 8; step++) {
        struct splat_sums sums;
        int64_t skipped;
        if (step == more_at) b.training.view.count = 70;
        if (step == 6) b.training.loss.pixel[PIXEL_L2] = 3;
        b.training.groups[0].rate = 1e-3f * (float)(step + 1);
        b.training.b2 = step < 4 ? 0.999 : 0.9;
        const struct splat_ops *ops = device->splat;
        expect_ok(ops->step(device, &b.d.workspace, &b.training.view, &c->blend, &b.d.target,
                            &b.training.loss, &b.d.gradients, &sums));
        expect_ok(ops->adam(device, b.training.groups, SPLAT_GROUPS, b.training.view.count,
                            &b.training.rows, step + 1, b.training.b2, &skipped));
    }
    double d = difference(&a, &b);
    ck_assert_msg(!(d > 0) && !isnan(d), "differ by %g", d);
    side_close(&a.s);
    side_close(&b.s);
    device_close(device);
}
END_TEST

static int graphs;
static int (*real_begin)(struct device *device);
static int (*real_end)(struct device *device, struct device_graph **graph);

static int counted_begin(struct device *device)
{
    graphs++;
    return real_begin(device);
}

static int failing_end(struct device *device, struct device_graph **graph)
{
    expect_ok(real_end(device, graph));
    device->graph_free(device, *graph);
    *graph = NULL;
    return ERR_DEVICE;
}

/* What kernels need at their first use comes before the graph; where one cannot be made (_i = 1),
 * steps go on without, and it is not tried again. */
START_TEST(first_step_is_no_graph)
{
    struct device *device;
    struct fit a, b;
    const struct scene_case *c = &scenes[TOP10_SSIM];
    expect_ok(cuda_open(&device));
    open_fit(&b, device, c, 0, false);
    for (int step = 0; step < 4; step++)
        train(&b, true);
    open_fit(&a, device, c, 0, false);
    real_begin = device->graph_begin;
    real_end = device->graph_end;
    device->graph_begin = counted_begin;
    if (_i) device->graph_end = failing_end;
    graphs = 0;
    for (int step = 0; step < 4; step++) {
        train(&a, step == 3);
        ck_assert_int_eq(graphs, step > 0);
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
    open_fit(&a, device, &c, 0, false);
    open_fit(&b, device, &c, 0, false);
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

/* So does a render that is NaN, in half precision, too. */
START_TEST(stops_at_a_render_that_is_not_finite)
{
    struct device *device;
    struct fit a;
    struct scene_case c = scenes[TOP10_SSIM];
    c.half = _i & 1;
    if (_i & 2) c.loss.ssim = 0;
    expect_ok(cuda_open(&device));
    open_fit(&a, device, &c, 0, false);
    ck_assert(isfinite(train(&a, true)));
    float *xy = fetch_group(&a, SPLAT_XY), *feat = fetch_group(&a, SPLAT_FEAT);
    feat[1] = (float)NAN; /* of a Gaussian that is larger than the picture */
    size_t bytes = (size_t)(c.count * c.channels) * sizeof *feat;
    expect_ok(device->upload(device, a.d.parameter[SPLAT_FEAT], feat, bytes));
    expect_ok(device->synchronize(device));
    ck_assert(!isfinite(train(&a, true)));
    float *after = fetch_group(&a, SPLAT_XY);
    ck_assert(memcmp(xy, after, (size_t)c.count * 2 * sizeof *xy) == 0);
    free(xy);
    free(feat);
    free(after);
    side_close(&a.s);
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
    open_fit(&f, device, c, 0, false);
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

#ifdef CUDA_EMU
/* Memory that training takes beside its workspace: what could not be had is an error of that step,
 * and of no later one. */
START_TEST(continues_after_a_failed_allocation)
{
    struct device *device;
    struct fit f;
    struct splat_sums sums;
    int64_t skipped;
    expect_ok(cuda_open(&device));
    open_fit(&f, device, &scenes[0], 0, false);
    f.training.t = 1;
    emu_fail_alloc(_i);
    ck_assert_int_eq(
        device->splat->train(device, &f.d.workspace, &f.training, true, &sums, &skipped),
        ERR_DEVICE_MEMORY);
    expect_ok(device->splat->train(device, &f.d.workspace, &f.training, true, &sums, &skipped));
    side_close(&f.s);
    device_close(device);
}
END_TEST
#endif

Suite *cuda_splat_train_suite(void)
{
    Suite *suite = suite_create("cuda_splat_train");
    if (!cuda_here("cuda_splat_train")) return suite;
    TCase *tests = tcase_create("training");
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_loop_test(tests, bands_change_no_bit, 0, 4);
    tcase_add_loop_test(tests, trains_as_the_cpu_does, 0,
                        (int)(sizeof trainings / sizeof *trainings));
    tcase_add_loop_test(tests, graph_is_the_same_as_single_steps, 0, 2);
    tcase_add_loop_test(tests, first_step_is_no_graph, 0, 2);
    tcase_add_loop_test(tests, stops_at_a_loss_that_is_not_finite, 0, 2);
    tcase_add_loop_test(tests, stops_at_a_render_that_is_not_finite, 0, 4);
    tcase_add_test(tests, refuses_a_small_workspace);
#ifdef CUDA_EMU
    tcase_add_loop_test(tests, continues_after_a_failed_allocation, 1, 3);
#endif
    suite_add_tcase(suite, tests);
    return suite;
}
