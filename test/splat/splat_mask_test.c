/* Fits with a mask: sums and gradients beside differences, and that what is black does not count.
 */
#include "device/splat_draws.h"
#include "splat/init.h"
#include "splat/splat_weights.h"
#include "test/splat/splat_run.h"

enum { COUNT = 5, CHANNELS = 3, PIXELS = WIDTH * HEIGHT };

static struct {
    float xy[2 * COUNT], scale[2 * COUNT], rot[COUNT], feat[CHANNELS * COUNT];
    float gradient[8 * COUNT], target[CHANNELS * PIXELS];
    uint8_t weights[PIXELS];
} scene;

static void mask_draw_scene(void)
{
    for (int i = 0; i < COUNT; i++) {
        scene.xy[2 * i] = 0.2f + 0.15f * (float)i;
        scene.xy[2 * i + 1] = 0.3f + 0.1f * (float)(i * 2 % 5);
        scene.scale[2 * i] = 0.1f + 0.01f * (float)i;
        scene.scale[2 * i + 1] = 0.14f - 0.01f * (float)i;
        scene.rot[i] = 0.3f * (float)i;
        for (int c = 0; c < CHANNELS; c++)
            scene.feat[CHANNELS * i + c] = 0.2f + 0.13f * (float)((i + 2 * c) % 5);
    }
    for (int i = 0; i < CHANNELS * PIXELS; i++)
        scene.target[i] = 0.5f + 0.4f * sinf(0.07f * (float)(i % 211));
    for (int i = 0; i < PIXELS; i++)
        scene.weights[i] = (uint8_t)(i % WIDTH < 20 ? 0 : i * 37 % 256);
}

/* Sets the units as a mask's are. */
static struct splat_target mask_target(const uint8_t *weights)
{
    double sum = 0, inner = 0;
    for (int i = 0; i < PIXELS; i++) {
        int x = i % WIDTH, y = i / WIDTH;
        sum += weights ? weights[i] : 0;
        if (weights && x >= 5 && x < WIDTH - 5 && y >= 5 && y < HEIGHT - 5) inner += weights[i];
    }
    return (struct splat_target){.width = WIDTH,
                                 .height = HEIGHT,
                                 .channels = CHANNELS,
                                 .sample_bits = 32,
                                 .data = scene.target,
                                 .weights = weights,
                                 .unit = weights ? (float)(PIXELS / sum) : 0,
                                 .inner_unit =
                                     weights ? (float)((WIDTH - 10) * (HEIGHT - 10) / inner) : 0};
}

static double mask_step(const struct splat_target *target, const struct splat_loss *loss,
                        struct splat_sums *sums)
{
    const struct splat_storage storage = {0};
    size_t bytes = device->splat->workspace_bytes(device, WIDTH, HEIGHT, CHANNELS, COUNT, &storage);
    struct splat_workspace workspace = {
        .memory = aligned_alloc(64, (bytes + 63) / 64 * 64), .bytes = bytes, .capacity = COUNT};
    const struct splat_view view = {.xy = scene.xy,
                                    .scale = scene.scale,
                                    .rot = scene.rot,
                                    .feat = scene.feat,
                                    .count = COUNT,
                                    .channels = CHANNELS,
                                    .width = WIDTH,
                                    .height = HEIGHT};
    const struct splat_blend blend = {.topk = 0};
    float *g = scene.gradient;
    const struct splat_gradients gradients = {
        .xy = g, .scale = g + 2 * COUNT, .rot = g + 4 * COUNT, .feat = g + 5 * COUNT};
    *sums = (struct splat_sums){0};
    ck_assert_msg(
        device->splat->step(device, &workspace, &view, &blend, target, loss, &gradients, sums) == 0,
        "%s", error_message());
    free(workspace.memory);
    return splat_loss_of(loss, sums);
}

static const struct splat_loss losses[] = {
    {.pixel = {[PIXEL_L2] = 1}},
    {.pixel = {[PIXEL_L1] = 1}},
    {.ssim = 1},
    {.pixel = {[PIXEL_L1] = 0.5, [PIXEL_L2] = 1}, .ssim = 0.3},
};

/* d loss / d p as differences of the loss tell, for each parameter. */
START_TEST(masked_gradients_are_differences)
{
    mask_draw_scene();
    const struct splat_target target = mask_target(scene.weights);
    struct splat_sums sums;
    float claimed[8 * COUNT];
    float *const parameters[] = {scene.xy, scene.scale, scene.rot, scene.feat};
    const int counts[] = {2 * COUNT, 2 * COUNT, COUNT, CHANNELS * COUNT};
    const float steps[] = {4e-4f, 4e-4f, 4e-3f, 4e-3f};
    mask_step(&target, &losses[_i], &sums);
    memcpy(claimed, scene.gradient, sizeof claimed);
    int at = 0;
    double most = 0;
    for (int g = 0; g < 4; g++) {
        double group_most = 0;
        for (int i = 0; i < counts[g]; i++)
            group_most = fmax(group_most, fabs((double)claimed[at + i]));
        for (int i = 0; i < counts[g]; i++, at++) {
            float before = parameters[g][i];
            parameters[g][i] = before + steps[g];
            double right = mask_step(&target, &losses[_i], &sums);
            parameters[g][i] = before - steps[g];
            double left = mask_step(&target, &losses[_i], &sums);
            parameters[g][i] = before;
            double there = (right - left) / (2 * (double)steps[g]);
            double off = fabs(there - (double)claimed[at]) / group_most;
            /* a Gaussian that moves passes pixels where it ends */
            ck_assert_msg(!!(off <= (g == 0 ? 0.08 : 0.05)),
                          "group %d number %d: %g, by differences %g", g, i, (double)claimed[at],
                          there);
        }
        most = fmax(most, group_most);
    }
    ck_assert(!!(most > 0));
}
END_TEST

/* Equal weights of any size are none, and a black half is as good as not there. */
START_TEST(masks_are_shares)
{
    static uint8_t grey[PIXELS];
    struct splat_sums plain, masked;
    mask_draw_scene();
    memset(grey, 77, sizeof grey);
    const struct splat_target none = mask_target(NULL), same = mask_target(grey);
    for (size_t k = 0; k < sizeof losses / sizeof *losses; k++) {
        float without[8 * COUNT];
        double a = mask_step(&none, &losses[k], &plain);
        memcpy(without, scene.gradient, sizeof without);
        double b = mask_step(&same, &losses[k], &masked);
        ck_assert_msg(!!(fabs(a - b) <= 1e-5 * fabs(a)), "loss %zu: %.9g and %.9g", k, a, b);
        ck_assert(!!(fabs(plain.ssim_inner - masked.ssim_inner) <= 1e-5));
        for (int i = 0; i < 8 * COUNT; i++)
            ck_assert(
                !!(fabsf(without[i] - scene.gradient[i]) <= 1e-4f * (fabsf(without[i]) + 1e-3f)));
    }
    /* what is drawn where the mask is black changes nothing (of windows: some pixels further) */
    for (int i = 0; i < PIXELS; i++)
        scene.weights[i] = i % WIDTH < 30 ? 0 : 255;
    const struct splat_target half = mask_target(scene.weights);
    double before = mask_step(&half, &losses[0], &masked);
    for (int y = 0; y < HEIGHT * CHANNELS; y++)
        for (int x = 0; x < 30; x++)
            scene.target[y * WIDTH + x] = 1 - scene.target[y * WIDTH + x];
    double after = mask_step(&half, &losses[0], &masked);
    ck_assert(!!(fabs(before - after) <= 1e-9));
    double mse = masked.pixel[PIXEL_MSE];
    ck_assert(!!(mse > 0));
}
END_TEST

static char mask_path[512];

/* The left half white. */
static void mask_save(int width, uint8_t left, uint8_t right)
{
    struct image image;
    ck_assert_int_eq(image_create(&image, width, HEIGHT, 1, SAMPLE_U8), 0);
    for (int i = 0; i < width * HEIGHT; i++)
        ((uint8_t *)image.data)[i] = i % width < width / 2 ? left : right;
    snprintf(mask_path, sizeof mask_path, "%s/mask.png", folder);
    ck_assert_int_eq(image_save(&image, mask_path), 0);
    image_free(&image);
}

static struct config *mask_configure(const char *more)
{
    char text[900];
    snprintf(text, sizeof text, "num_gaussians: 100\nmask: \"%s\"\n%s", mask_path, more);
    return configure(text);
}

/* PSNR of the left half of what it shows. */
static double mask_left_psnr(struct task_state *state)
{
    struct image target, final;
    double sum = 0;
    ck_assert_int_eq(image_load(&target, path), 0);
    ck_assert_int_eq(task_splat.write_final(state, in_folder("final.png")), 0);
    ck_assert_int_eq(image_load(&final, in_folder("final.png")), 0);
    for (int y = 0; y < HEIGHT; y++)
        for (int i = 0; i < WIDTH / 2 * 3; i++) {
            double d = (double)((uint8_t *)target.data)[y * WIDTH * 3 + i] -
                       (double)((uint8_t *) final.data)[y * WIDTH * 3 + i];
            sum += d * d;
        }
    image_free(&target);
    image_free(&final);
    return -10 * log10(sum / (HEIGHT * (WIDTH / 2 * 3)) / (255 * 255));
}

START_TEST(white_gets_the_gaussians)
{
    draw("a.png", 3, SAMPLE_U8);
    mask_save(WIDTH, 255, 0);
    struct config *config = mask_configure("max_steps: 150\nrelocate_every: 10\n");
    struct config *plain = configure("num_gaussians: 100\nmax_steps: 150\nrelocate_every: 10\n");
    struct task_report report;
    struct task_state *state = open_state(config, NULL), *without = open_state(plain, NULL);
    train(state, 0, 150, &report);
    double psnr = mask_left_psnr(state), reported = metric(&report, "psnr");
    ck_assert_msg(!!(fabs(psnr - reported) <= 0.4), "%.2f dB, reported %.2f", psnr, reported);
    train(without, 0, 150, &report);
    double before = mask_left_psnr(without);
    ck_assert_msg(!!(psnr >= before + 1), "%.2f dB with the mask, %.2f without", psnr, before);
    task_splat.close(state);
    task_splat.close(without);
    config_free(config);
    config_free(plain);
}
END_TEST

START_TEST(masked_runs_resume)
{
    draw("a.png", 3, SAMPLE_U8);
    mask_save(WIDTH, 255, 30);
    struct config *config = mask_configure("max_steps: 60\nrelocate_every: 7\nadd_steps: 5\n");
    struct store_file *middle;
    expect_resumes(config, 23, train_on);
    ck_assert_int_eq(store_open(&middle, in_folder("middle.safetensors")), 0);
    mask_save(WIDTH, 255, 31); /* another mask */
    struct task_state *other = NULL;
    struct task_setup setup = {.config = config, .device = device, .resume = middle};
    ck_assert_int_eq(task_splat.open(&other, &setup), ERR_CONFIG);
    task_splat.close(other);
    store_close(middle);
    config_free(config);
}
END_TEST

START_TEST(masks_that_do_not_fit)
{
    static const struct {
        int width;
        uint8_t level;
        const char *config;
        int code;
    } bad[] = {{WIDTH - 1, 255, "", ERR_DATA},
               {WIDTH, 0, "", ERR_DATA},
               {WIDTH, 255, "downsample: true\n", ERR_CONFIG},
               {WIDTH, 255, "memory: {grow: true}\n", ERR_CONFIG}};
    draw("a.png", 3, SAMPLE_U8);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mask_save(bad[i].width, bad[i].level, bad[i].level);
        struct config *config = mask_configure(bad[i].config);
        struct task_state *state = NULL;
        struct task_setup setup = {.config = config, .device = device};
        ck_assert_int_eq(task_splat.open(&state, &setup), bad[i].code);
        ck_assert_ptr_nonnull(strstr(error_message(), "mask"));
        task_splat.close(state);
        config_free(config);
    }
    /* another file since it was looked at */
    struct splat_source source;
    mask_save(WIDTH + 1, 255, 255);
    struct config *config = mask_configure("");
    ck_assert_int_eq(splat_source_load(&source, config, NULL, 0), 0);
    ck_assert_int_eq(splat_weights_load(&source, config, NULL), ERR_DATA);
    splat_source_free(&source);
    config_free(config);
}
END_TEST

Suite *splat_mask_test_suite(void);
Suite *splat_mask_test_suite(void)
{
    Suite *suite = suite_create("splat_mask_test");
    TCase *tests = tcase_create("mask");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, masked_gradients_are_differences, 0,
                        (int)(sizeof losses / sizeof *losses));
    tcase_add_test(tests, masks_are_shares);
    tcase_add_test(tests, white_gets_the_gaussians);
    tcase_add_test(tests, masked_runs_resume);
    tcase_add_test(tests, masks_that_do_not_fit);
    suite_add_tcase(suite, tests);
    return suite;
}
