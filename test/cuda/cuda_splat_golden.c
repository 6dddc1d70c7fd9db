/* Splats on CUDA beside the PyTorch program whose numbers stand in test/golden. */
#include "store/safetensors.h"
#include "test/cuda/cuda_splat_scene.h"

Suite *cuda_splat_golden_suite(void);

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
                           .loss = {{golden_number(f, "l1"), golden_number(f, "l2")},
                                    golden_number(f, "ssim"),
                                    SPLAT_SSIM_ALL,
                                    0},
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
    for (int g = 0; g < SPLAT_WEIGHT; g++) {
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
    for (int g = 0; g < SPLAT_WEIGHT; g++) {
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

Suite *cuda_splat_golden_suite(void)
{
    Suite *suite = suite_create("cuda_splat_golden");
    if (!cuda_here("cuda_splat_golden")) return suite;
    TCase *tests = tcase_create("golden");
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_loop_test(tests, step_agrees_with_pytorch, 0, (int)(sizeof golden / sizeof *golden));
    suite_add_tcase(suite, tests);
    return suite;
}
