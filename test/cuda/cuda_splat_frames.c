/* Images that CUDA shows, beside the CPU's, and what the host asks of the device for one. */
#include "cpu/device_cpu.h"
#include "image/rows.h"
#include "memory/plan.h"
#include "splat/render.h"
#include "splat/splat.h"
#include "test/cuda/cuda_splat_config.h"

Suite *cuda_splat_frames_suite(void);

/* ---- the same image as the CPU's ---- */

struct shown_case {
    int width, height, channels;
    bool alpha;
    double gamma;
    enum sample_type type;
    struct splat_window window;
    int to_width, to_height;
};

static const struct shown_case shown_cases[] = {
    {61, 45, 3, false, 1, SAMPLE_U8, {61, 45, 0, 0, 61, 45}, 61, 45},
    {61, 45, 3, false, 1, SAMPLE_U8, {61, 45, 0, 0, 61, 45}, 40, 30},
    {61, 45, 3, false, 2.2, SAMPLE_U8, {61, 45, 0, 0, 61, 45}, 31, 45},
    {61, 45, 1, false, 1, SAMPLE_U16, {92, 68, 17, 9, 50, 43}, 50, 43},
    {61, 45, 2, true, 1, SAMPLE_U8, {61, 45, 0, 0, 61, 45}, 20, 15},
    {61, 45, 4, true, 2.2, SAMPLE_U8, {61, 45, 0, 0, 61, 45}, 61, 45},
    {61, 45, 4, true, 1, SAMPLE_U16, {61, 45, 5, 3, 52, 40}, 13, 10},
    {61, 45, 4, false, 1, SAMPLE_F32, {61, 45, 0, 0, 61, 45}, 60, 44},
    {61, 45, 6, false, 1, SAMPLE_F32, {61, 45, 0, 0, 61, 45}, 8, 6},
    {61, 45, 3, false, 1, SAMPLE_U8, {61, 45, 0, 0, 61, 45}, 7, 5}, /* the host scales */
    {130, 300, 3, false, 1, SAMPLE_U8, {130, 300, 0, 0, 130, 300}, 17, 38},
    {1, 1, 3, false, 1, SAMPLE_U8, {1, 1, 0, 0, 1, 1}, 1, 1},
};
enum { SHOWN_CASES = sizeof shown_cases / sizeof *shown_cases, GAUSSIANS = 70 };

static void scatter_gaussians(struct splat_model *model, const struct shown_case *c)
{
    *model = (struct splat_model){.width = c->width,
                                  .height = c->height,
                                  .channels = c->channels,
                                  .count = GAUSSIANS,
                                  .capacity = GAUSSIANS,
                                  .sigma_scale = true,
                                  .blend = {10, 0},
                                  .gamma = c->gamma,
                                  .sample_bits = 8,
                                  .alpha = c->alpha};
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        size_t n = (size_t)(GAUSSIANS * splat_group_columns(model, g));
        model->group[g] = malloc(n * sizeof(float));
        for (size_t i = 0; i < n; i++) {
            float v = unit(20 + (uint64_t)g, i);
            model->group[g][i] = g == SPLAT_SCALE  ? 1 + 9 * v
                                 : g == SPLAT_FEAT ? 1.4f * v - 0.2f
                                                   : v;
        }
    }
}

static void show_image(struct device *device, const struct splat_model *model,
                       const struct shown_case *c, float *const *groups,
                       const struct splat_workspace *workspace, struct image *out)
{
    *out = (struct image){0};
    const struct image_sink sink = image_collector(out);
    expect_ok(splat_render_stream(device, model, groups, workspace, &c->window, c->type,
                                  c->to_width, c->to_height, &sink));
}

static double shown_sample_of(const struct image *image, int i)
{
    switch (image->type) {
    case SAMPLE_U8: return ((uint8_t *)image->data)[i];
    case SAMPLE_U16: return ((uint16_t *)image->data)[i];
    default: return (double)((float *)image->data)[i];
    }
}

/* In a workspace whose staging has room for two rows at a time: other bands, the same bits. */
static void expect_same_in_parts(struct device *device, const struct splat_model *model,
                                 const struct shown_case *c, const struct image *expected)
{
    float *groups[SPLAT_GROUPS];
    void *memory;
    size_t bytes;
    struct image got;
    struct splat_workspace workspace = {.capacity = GAUSSIANS,
                                        .storage = {.bands = true, .half = true}};
    workspace.bytes =
        device->splat->workspace_bytes(device, c->window.full_width, c->window.full_height,
                                       c->channels, GAUSSIANS, &workspace.storage);
    workspace.staging_bytes = 4 * (size_t)(c->window.width * c->channels) * sizeof(float);
    expect_ok(splat_model_upload(model, device, groups, &memory, &bytes));
    expect_ok(device->alloc(device, workspace.bytes, &workspace.memory));
    expect_ok(device->alloc_host(device, workspace.staging_bytes, &workspace.staging));
    show_image(device, model, c, groups, &workspace, &got);
    ck_assert(memcmp(got.data, expected->data, image_bytes(expected)) == 0);
    image_free(&got);
    device->free_host(device, workspace.staging);
    device->free(device, workspace.memory, workspace.bytes);
    device->free(device, memory, bytes);
}

START_TEST(shown_as_on_the_cpu)
{
    const struct shown_case *c = &shown_cases[_i];
    const double tolerances[] = {[SAMPLE_U8] = 1, [SAMPLE_U16] = 32, [SAMPLE_F32] = 1e-4};
    double tolerance = tolerances[c->type];
    struct device *cpu, *cuda;
    struct splat_model model;
    struct image expected, got;
    scatter_gaussians(&model, c);
    expect_ok(device_open_cpu(&cpu, 1));
    expect_ok(cuda_open(&cuda));
    show_image(cpu, &model, c, NULL, NULL, &expected);
    show_image(cuda, &model, c, NULL, NULL, &got);
    ck_assert_int_eq(got.width, c->to_width);
    ck_assert_int_eq(got.height, c->to_height);
    for (int i = 0; i < got.width * got.height * got.channels; i++) {
        double a = shown_sample_of(&got, i), b = shown_sample_of(&expected, i);
        ck_assert_msg(fabs(a - b) <= tolerance, "sample %d is %g, expected %g", i, a, b);
    }
    expect_same_in_parts(cuda, &model, c, &got);
    image_free(&expected);
    image_free(&got);
    for (int g = 0; g < SPLAT_GROUPS; g++)
        free(model.group[g]);
    device_close(cuda);
    device_close(cpu);
}
END_TEST

/* A receiver that fails leaves nothing behind: neither pinned memory nor a copy on its way. */
static int refuse_rows(void *argument, const void *rows, int y, int count)
{
    (void)rows, (void)y, (void)count;
    ++*(int *)argument;
    return (fail)(ERR_IO, "no room for rows");
}

START_TEST(receiver_that_fails)
{
    const struct scene_case *c = &scenes[BANDS];
    struct side s = {0};
    struct device *device;
    int calls = 0;
    expect_ok(cuda_open(&device));
    s.device = device;
    struct drawn d = draw(&s, c, false, 0);
    const struct splat_window window = {c->width, c->height, 0, 0, c->width, c->height};
    const struct splat_display display = {c->width, c->height, 8, false, false, -1};
    const struct splat_receiver receiver = {refuse_rows, &calls};
    ck_assert_int_eq(
        device->splat->show(device, &d.workspace, &d.view, &c->blend, &window, &display, &receiver),
        ERR_IO);
    ck_assert_str_eq(error_message(), "no room for rows");
    ck_assert_int_eq(calls, 1);
    expect_ok(device->synchronize(device));
    side_close(&s);
    device_close(device);
}
END_TEST

#ifdef CUDA_EMU

/* ---- bands ---- */

/* Pinned memory is taken once for all of them, and they have the bits of the whole. */
START_TEST(bands_share_pinned_memory)
{
    const struct shown_case *c = &shown_cases[10];
    const struct splat_window whole = {c->width, c->height, 0, 0, c->width, c->height};
    struct device *device;
    struct splat_model model;
    struct image expected, got = {0};
    scatter_gaussians(&model, c);
    expect_ok(cuda_open(&device));
    expect_ok(splat_render_image(device, &model, NULL, NULL, &whole, c->type, &expected));
    const struct image_sink sink = image_collector(&got);
    struct emu_counts before = emu_counts_now(), used;
    expect_ok(splat_render_bands(device, &model, &whole, c->type, 100, &sink));
    used = emu_counts_since(&before);
    ck_assert_int_eq(used.pinned_allocs, 1);
    ck_assert_int_eq(used.pinned_frees, 1);
    ck_assert_uint_eq(device->host_bytes, 0);
    ck_assert(memcmp(got.data, expected.data, image_bytes(&expected)) == 0);
    image_free(&expected);
    image_free(&got);
    for (int g = 0; g < SPLAT_GROUPS; g++)
        free(model.group[g]);
    device_close(device);
}
END_TEST

/* ---- what a frame asks of the device ---- */

enum { SIDE = 100 };

static struct config *frames_config(bool amp, bool half_size)
{
    char keys[256];
    snprintf(keys, sizeof keys,
             "num_gaussians: 40\nmax_steps: 1000\neval_steps: 1000\nuse_amp: %s\ndownsample: %s\n",
             amp ? "true" : "false", half_size ? "true" : "false");
    return waves_config(SIDE, SIDE, keys);
}

/* One wait, the first time as well; its bytes alone come down; the Gaussians are listed
 * once (4 launches), then each band of rows is rendered and made into samples. */
START_TEST(frames_ask_for_little)
{
    static const int sides[] = {0, SIDE / 2, 30};
    int bands = _i & 1 ? 3 : 1; /* of the colour buffer, of half the bytes with AMP */
    struct device *device;
    struct task_state *state = NULL;
    struct task_report report = {0};
    set_up();
    struct config *config = frames_config(_i & 1, _i & 2);
    expect_ok(cuda_open(&device));
    struct task_setup setup = {.config = config, .device = device};
    expect_ok(task_splat.open(&state, &setup));
    for (int step = 0; step < 3; step++)
        expect_ok(task_splat.step(state, step, false, &report));
    for (size_t k = 0; k < sizeof sides / sizeof *sides; k++) {
        struct image image;
        int side = sides[k] ? sides[k] : SIDE;
        struct emu_counts before = emu_counts_now(), used;
        expect_ok(task_splat.image(state, sides[k], &image));
        used = emu_counts_since(&before);
        ck_assert_int_eq(image.width, side);
        image_free(&image);
        expect_no_memory_calls(&used, "a frame");
        ck_assert_int_eq(emu_waits(&used), 1);
        ck_assert_int_eq(used.bytes_in, 0);
        ck_assert_int_eq(used.bytes_out, side * side * 3);
        ck_assert_int_eq(used.launches, 4 + 2 * bands);
    }
    task_splat.close(state);
    ck_assert_uint_eq(device->host_bytes, 0);
    device_close(device);
    config_free(config);
    folder_remove();
}
END_TEST
#endif

Suite *cuda_splat_frames_suite(void)
{
    Suite *suite = suite_create("cuda_splat_frames");
    if (!cuda_here("cuda_splat_frames")) return suite;
    TCase *tests = tcase_create("frames");
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_loop_test(tests, shown_as_on_the_cpu, 0, SHOWN_CASES);
    tcase_add_test(tests, receiver_that_fails);
#ifdef CUDA_EMU
    tcase_add_test(tests, bands_share_pinned_memory);
    tcase_add_loop_test(tests, frames_ask_for_little, 0, 4);
#endif
    suite_add_tcase(suite, tests);
    return suite;
}
