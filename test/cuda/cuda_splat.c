/* Every splat operation of CUDA against the CPU, on small pictures with odd sizes. */
#include "math/gaussian_form.h"
#include "math/half.h"
#include "splat/least_important.h"
#include "test/cuda/cuda_splat_scene.h"

Suite *cuda_splat_suite(void);

static void add_sums(struct side *s, const struct splat_sums *sums, double tol)
{
    double list[] = {sums->pixel[PIXEL_L1], sums->pixel[PIXEL_L2], sums->pixel[PIXEL_MSE],
                     1 - sums->ssim};
    for (size_t k = 0; k < sizeof list / sizeof *list; k++) {
        side_buffer(s, "a sum", &list[k], sizeof list[k]);
        side_kind(s, BUFFER_DOUBLE, tol);
    }
}

/* Half buffers: 11 bits a value; sums of many are better, but for ties at the threshold. */
static double tolerance(const struct scene_case *c, double full)
{
    /* weights of one: colours nearly cancel, and what is left has many times an error of exp2f */
    if (c->blend.topk == 1 && !c->half) full = 5e-3;
    return c->half ? 2e-2 : full;
}

static void step(struct side *s, int shape)
{
    const struct scene_case *c = &scenes[shape];
    struct splat_sums sums;
    struct drawn d = draw(s, c, true, tolerance(c, 2e-4));
    expect_ok(s->device->splat->step(s->device, &d.workspace, &d.view, &c->blend, &d.target,
                                     &c->loss, &d.gradients, &sums));
    if (!(c->loss.ssim > 0)) sums.ssim = 0; /* not asked for */
    add_sums(s, &sums, c->half ? 2e-3 : 2e-6);
}

static const int evaluated[] = {TOP10_SSIM, 5, ADDITIVE, 8, 9, 10, BANDS, 16, MASK, MASK + 1};
enum { EVALUATED = sizeof evaluated / sizeof *evaluated };

static void evaluate(struct side *s, int shape)
{
    const struct scene_case *c = &scenes[evaluated[shape]];
    struct splat_sums sums;
    struct drawn d = draw(s, c, false, 0);
    for (int k = 0; k < 2; k++) {
        expect_ok(s->device->splat->evaluate(s->device, &d.workspace, &d.view, &c->blend, &d.target,
                                             k ? 0.45f : 1.0f, &sums));
        add_sums(s, &sums, c->half ? 2e-3 : 2e-5);
        double inner = 1 - sums.ssim_inner;
        side_buffer(s, "1 - inner SSIM", &inner, sizeof inner);
        side_kind(s, BUFFER_DOUBLE, c->half ? 2e-3 : 2e-5);
    }
}

static const int shown[] = {TOP10_SSIM, 5, ADDITIVE, 9, 10, BANDS, 15};
enum { SHOWN = sizeof shown / sizeof *shown };

/* Whole, and a window of the picture enlarged by half. */
static void render(struct side *s, int shape)
{
    const struct scene_case *c = &scenes[shown[shape]];
    struct drawn d = draw(s, c, false, 0);
    int w = c->width * 3 / 2, h = c->height * 3 / 2;
    const struct splat_window windows[2] = {{c->width, c->height, 0, 0, c->width, c->height},
                                            {w, h, w / 3, h / 4, w - w / 3 - w / 8, h / 2 + 1}};
    size_t room = (size_t)w * (size_t)h * (size_t)c->channels + 64;
    float *out = malloc(room * sizeof *out);
    for (int k = 0; k < 2; k++) {
        const struct splat_window *p = &windows[k];
        if (p->y + p->height > p->full_height) continue;
        size_t bytes =
            s->device->splat->workspace_bytes(s->device, p->full_width, p->full_height, c->channels,
                                              d.workspace.capacity, &d.workspace.storage);
        struct splat_workspace workspace = d.workspace;
        workspace.bytes = bytes;
        workspace.memory = side_workspace(s, bytes);
        expect_ok(s->device->splat->render(s->device, &workspace, &d.view, &c->blend, p, out));
        upload_floats(s, "picture", out, (size_t)p->width * (size_t)p->height * (size_t)c->channels,
                      1e-5);
    }
    free(out);
}

/* What each Gaussian is worth; and the choice that relocation makes of it: the least twentieth, in
 * its order. */
static void importance(struct side *s, int shape)
{
    enum { MOST = 2400 };
    const struct scene_case *c = &scenes[shape];
    static double importance[MOST];
    static struct splat_candidate candidates[MOST];
    int64_t chosen[MOST];
    int count = c->count / 20 + (c->count > 0);
    ck_assert_int_le(c->count, MOST);
    struct drawn d = draw(s, c, false, 0);
    expect_ok(s->device->splat->importance(s->device, &d.workspace, &d.view, &c->blend, &d.target,
                                           importance));
    for (int i = 0; i < c->count; i++)
        candidates[i] = (struct splat_candidate){importance[i], i};
    splat_least_important(candidates, c->count, count);
    for (int i = 0; i < count; i++)
        chosen[i] = candidates[i].row;
    side_buffer(s, "the least important", chosen, (size_t)count * sizeof *chosen);
    side_buffer(s, "importance", importance, (size_t)c->count * sizeof *importance);
    /* top 1: where it is the only one, what is left of the denominator is mostly rounding */
    side_kind(s, BUFFER_DOUBLE, c->blend.topk == 1 ? 1e-3 : 1e-4);
}

static void quantize(struct side *s, int shape)
{
    static const size_t counts[] = {1, 40, 2100};
    static const int bits[] = {4, 8, 16};
    size_t n = counts[shape];
    float *x = side_floats(s, "values", n, 1, -3, 5, 0), *out = side_result(s, "out", n, 0);
    expect_ok(s->device->splat->fake_quantize(s->device, x, (int64_t)n, bits[shape], out));
}

/* Rows of all ages, and two whose gradient is not finite. */
static void adam(struct side *s, int shape)
{
    enum { ROWS = 300 };
    static const int columns[SPLAT_GROUPS] = {2, 2, 1, 3, 1};
    struct splat_adam groups[SPLAT_GROUPS];
    int32_t born[ROWS];
    int64_t skipped = -1;
    for (int i = 0; i < ROWS; i++)
        born[i] = i % 7 * 4;
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        size_t n = ROWS * (size_t)columns[g];
        float *gradient = malloc(n * sizeof *gradient);
        for (size_t i = 0; i < n; i++)
            gradient[i] = unit(7 + (uint64_t)g, i) - 0.5f;
        if (shape == 1 && g == 2) gradient[5] = (float)NAN;
        if (shape == 1 && g == 3) gradient[299 * 3 + 2] = (float)INFINITY;
        groups[g] = (struct splat_adam){.parameter = side_floats(s, "p", n, 1, 0, 1, 1e-6),
                                        .first = side_floats(s, "m", n, 2, -1, 1, 1e-6),
                                        .second = side_floats(s, "v", n, 3, 0, 1, 1e-6),
                                        .gradient = side_buffer(s, "g", gradient, n * 4),
                                        .columns = columns[g],
                                        .rate = 0.01f * (float)(g + 1),
                                        .low = {0.1f, 0.2f},
                                        .high = {0.7f, 0.9f}};
        free(gradient);
    }
    const struct splat_rows rows = {.born = side_buffer(s, "born", born, sizeof born)};
    expect_ok(
        s->device->splat->adam(s->device, groups, SPLAT_GROUPS, ROWS, &rows, 31, 0.97, &skipped));
    ck_assert_int_eq(skipped, shape == 1 ? 2 : 0);
}

/* The same pixels as on the CPU; shape 8 has fewer with weight than are drawn, 9 a mask. */
static void sample(struct side *s, int shape)
{
    struct scene_case c = scenes[shape == 9 ? MASK : shape % 4 == 3 ? BANDS : shape % 4];
    int64_t count = 40;
    bool flat = shape == 8;
    c.half = false;
    if (c.capacity < count) c.capacity = c.count > count ? c.count : count;
    struct drawn d = draw(s, &c, false, 0);
    if (flat) {                            /* one bright pixel: Sobel reaches eight */
        uint8_t pixels[61 * 45 * 3] = {0}; /* of the first scene */
        pixels[61 * 3 * 20 + 30] = 255;
        d.target.data = side_buffer(s, "target", pixels, sizeof pixels);
    }
    float *xy = side_result(s, "drawn xy", (size_t)count * 2, 1e-6);
    float *color = side_result(s, "drawn colour", (size_t)count * (size_t)c.channels, 1e-5);
    bool error = shape >= 4 && !flat;
    struct splat_sample draws = {.weight = error ? SPLAT_SAMPLE_ERROR : SPLAT_SAMPLE_GRADIENT,
                                 .residual = error && shape % 2,
                                 .seed = 3,
                                 .step = 17,
                                 .stream = STREAM_SPLAT_GROWTH,
                                 .count = count,
                                 .xy = xy,
                                 .color = color};
    expect_ok(s->device->splat->sample(s->device, &d.workspace, error ? &d.view : NULL, &c.blend,
                                       &d.target, &draws));
}

static const struct {
    const char *name;
    void (*run)(struct side *s, int shape);
    int shapes;
} cases[] = {
    {"step", step, SCENES},
    {"evaluate", evaluate, EVALUATED},
    {"render", render, SHOWN},
    {"fake_quantize", quantize, 3},
    {"adam", adam, 2},
    {"sample", sample, 10},
    {"importance", importance, SCENES},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Case _i / ROOM, shape _i % ROOM. */
enum { ROOM = 32 };

START_TEST(same_as_the_cpu)
{
    char name[96];
    int shape = _i % ROOM;
    snprintf(name, sizeof name, "%s %d", cases[_i / ROOM].name, shape);
    compare_devices(name, cases[_i / ROOM].run, shape);
}
END_TEST

#if HAVE_CUDA
/* Large images have strips of 128 and of 256 rows in SSIM: here, those of small ones, too. */
START_TEST(tall_strips_are_as_low_ones)
{
    static const int tall[] = {BANDS, MASK - 2, MASK + 1};
    int blocks = cuda_ssim_blocks;
    cuda_ssim_blocks = _i % 2 ? 1 : 4; /* 4: 256 rows want 12 */
    compare_devices(scenes[tall[_i / 2]].name, step, tall[_i / 2]);
    cuda_ssim_blocks = blocks;
}
END_TEST
#endif

/* ---- the scenes ---- */

static int compare_falling(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return p < q ? 1 : p > q ? -1 : 0;
}

/* How much larger a pixel's K-th alpha is than the next one, in units of 2^-24 of it. */
static double gap_at_threshold(const struct gaussian_form *forms, int count,
                               const struct splat_blend *blend, int x, int y)
{
    static double alpha[4096];
    double cut = (double)gaussian_cut_power(splat_cut(blend));
    int n = 0;
    ck_assert_int_le(count, 4096);
    for (int i = 0; i < count; i++) {
        const struct gaussian_form *g = &forms[i];
        double dx = x + 0.5 - (double)g->mx, dy = y + 0.5 - (double)g->my;
        double power = (double)g->A * dx * dx + (double)g->B * dx * dy + (double)g->C * dy * dy;
        if (power <= cut) alpha[n++] = exp2(-power);
    }
    if (n <= blend->topk) return (double)INFINITY;
    qsort(alpha, (size_t)n, sizeof *alpha, compare_falling);
    return (1 - alpha[blend->topk] / alpha[blend->topk - 1]) / 0x1p-24;
}

/* Another library's exp2f may not choose other Gaussians than the CPU's: then all that are blended
 * at the pixel differ, by far more than rounding. Two alphas that are each off by up to 8 in the
 * last place (the emulator's ulp=4), 16 of these units at most, keep their order where they are 32
 * apart. In halves they do not: they have a tolerance of their own. */
START_TEST(no_scene_hangs_on_a_near_tie)
{
    for (int k = 0; k < SCENES; k++) {
        const struct scene_case *c = &scenes[k];
        struct side s = {0};
        double least = (double)INFINITY;
        if (c->blend.additive || c->blend.topk == 0 || c->half || c->count == 0) continue;
        expect_ok(device_open_cpu(&s.device, 1));
        struct splat_view v = draw(&s, c, false, 0).view;
        struct gaussian_form *forms = calloc((size_t)c->count, sizeof *forms);
        for (int i = 0; i < c->count; i++)
            forms[i] = gaussian_form_of(v.xy + 2 * i, v.scale + 2 * i, v.rot[i], v.sigma_scale,
                                        c->width, c->height, 1, 1);
        for (int y = 0; y < c->height; y++)
            for (int x = 0; x < c->width; x++)
                least = fmin(least, gap_at_threshold(forms, c->count, &c->blend, x, y));
        ck_assert_msg(least >= 32, "%s: two alphas at the threshold are %g units apart", c->name,
                      least);
        free(forms);
        side_close(&s);
        device_close(s.device);
    }
}
END_TEST

/* ---- lists by region ---- */

#ifdef CUDA_EMU
/* Steps of projecting and listing for a picture so many times enlarged. */
static double list_work(const struct scene_case *c, int times)
{
    struct side s = {0};
    float out[16 * 16];
    int side = c->width * times;
    const struct splat_window window = {side, side, 0, 0, 16, 16};
    expect_ok(cuda_open(&s.device));
    struct drawn d = draw(&s, c, false, 0);
    struct splat_workspace workspace = d.workspace;
    workspace.bytes = s.device->splat->workspace_bytes(s.device, side, side, c->channels, c->count,
                                                       &workspace.storage);
    workspace.memory = side_workspace(&s, workspace.bytes);
    emu_work = 0;
    expect_ok(s.device->splat->render(s.device, &workspace, &d.view, &c->blend, &window, out));
    side_close(&s);
    device_close(s.device);
    return (double)emu_work;
}

/* 1024 regions: looking at each Gaussian for each of them, once to count and once to list, would be
 * 2048 steps a Gaussian. */
START_TEST(lists_do_not_take_regions_times_gaussians)
{
    const struct scene_case few = {
        "few", 256, 256, 1, 8, 300, 0, {10, false}, {{1, 0}, 0, SPLAT_SSIM_ALL, 0}, 0, 1, 0, 0};
    const struct scene_case many = {
        "many", 256, 256, 1, 8, 600, 0, {10, false}, {{1, 0}, 0, SPLAT_SSIM_ALL, 0}, 0, 1, 0, 0};
    double one = list_work(&few, 16), two = list_work(&many, 16);
    ck_assert_msg(one >= 2 * few.count && one <= 100.0 * few.count, "%g steps for %d", one,
                  few.count);
    ck_assert_msg(two <= 4 * one, "%g steps for %d Gaussians, %g for %d", two, many.count, one,
                  few.count);
}
END_TEST
#endif

/* ---- halves ---- */

START_TEST(halves_round_as_ieee_says)
{
    for (uint32_t h = 0; h < 0x7c00; h++) { /* every finite one, and the middle to the next */
        float v = half_half_value((uint16_t)h), next = half_half_value((uint16_t)(h + 1));
        ck_assert_uint_eq(half_round(v), h);
        ck_assert_uint_eq(half_round(-v), h | 0x8000);
        ck_assert_uint_eq(half_floor(v), h);
        if (h == 0x7bff) break;
        float middle = v + (next - v) / 2;
        ck_assert_uint_eq(half_round(middle), h + (h & 1));
        ck_assert_uint_eq(half_round(nextafterf(middle, next)), h + 1);
        ck_assert_uint_eq(half_floor(nextafterf(next, v)), h);
    }
    ck_assert_uint_eq(half_round(65520), 0x7c00);
    ck_assert(isnan(half_half_value(half_round((float)NAN))));
}
END_TEST

Suite *cuda_splat_suite(void)
{
    Suite *suite = suite_create("cuda_splat");
    TCase *host = tcase_create("host");
    tcase_add_test(host, halves_round_as_ieee_says);
    tcase_add_test(host, no_scene_hangs_on_a_near_tie);
    suite_add_tcase(suite, host);
    if (!cuda_here("cuda_splat")) return suite;
#ifdef CUDA_EMU
    TCase *lists = tcase_create("lists");
    tcase_add_test(lists, lists_do_not_take_regions_times_gaussians);
    suite_add_tcase(suite, lists);
#endif
    for (int k = 0; k < CASES; k++) {
        TCase *op = tcase_create(cases[k].name);
        tcase_add_checked_fixture(op, NULL, cuda_close_left);
        tcase_add_loop_test(op, same_as_the_cpu, k * ROOM, k * ROOM + cases[k].shapes);
        suite_add_tcase(suite, op);
    }
#if HAVE_CUDA
    TCase *strips = tcase_create("strips");
    tcase_add_checked_fixture(strips, NULL, cuda_close_left);
    tcase_add_loop_test(strips, tall_strips_are_as_low_ones, 0, 6);
    suite_add_tcase(suite, strips);
#endif
    return suite;
}
