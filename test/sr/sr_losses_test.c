/* Losses of whole images against what measures them elsewhere. */
#include "base/random.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "memory/plan.h"
#include "metrics/image_metrics.h"
#include "registry/devices.h"
#include "sr/perceptual.h"
#include "store/safetensors.h"
#include "test/support.h"

#include <math.h>

Suite *sr_losses_test_suite(void);

/* Two images that are alike, 0..1. */
static void draw_pair(int side, float *out, float *target)
{
    for (int i = 0; i < 3 * side * side; i++) {
        float a = philox_uniform(philox_draw(1, STREAM_TEST, 1, (uint64_t)i).v[0]);
        float b = philox_uniform(philox_draw(1, STREAM_TEST, 2, (uint64_t)i).v[0]);
        out[i] = a;
        target[i] = 0.7f * a + 0.3f * b;
    }
}

static double ssim_loss_of(int side, const float *out, const float *target)
{
    size_t all = 3 * (size_t)side * (size_t)side;
    double sum = 0;
    void *workspace = aligned_alloc(64, (nn_ssim_layout_of(1, side).bytes + 63) / 64 * 64);
    float *grad = calloc(all, sizeof *grad);
    ck_assert(workspace && grad);
    MUST(nn_ops_cpu()->ssim_loss(NULL, &(struct nn_ssim_loss){.sums = &sum,
                                                              .grad = grad,
                                                              .out = out,
                                                              .target = target,
                                                              .n = 1,
                                                              .side = side,
                                                              .weight = 1,
                                                              .workspace = workspace}));
    free(workspace);
    free(grad);
    return sum;
}

START_TEST(ms_ssim_is_that_of_the_metric)
{
    static const int rows[][2] = {{11, 1}, {20, 1},  {21, 2},  {41, 3}, {64, 3}, {80, 3},
                                  {81, 4}, {160, 4}, {161, 5}, {200, 5}}; /* side, scales */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int side = rows[i][0];
        float *out = malloc(3 * (size_t)side * (size_t)side * sizeof *out);
        float *target = malloc(3 * (size_t)side * (size_t)side * sizeof *target);
        double measured;
        ck_assert(out && target);
        draw_pair(side, out, target);
        const struct image a = {side, side, 3, SAMPLE_F32, out};
        const struct image b = {side, side, 3, SAMPLE_F32, target};
        ck_assert_int_eq(nn_ssim_layout_of(1, side).scales, rows[i][1]);
        MUST(metric_ms_ssim_scales(&a, &b, rows[i][1], &measured));
        ck_assert_double_eq_tol(1 - ssim_loss_of(side, out, target), measured, 5e-6);
        ck_assert_double_eq_tol(ssim_loss_of(side, out, out), 0, 1e-6);
        free(out);
        free(target);
    }
}
END_TEST

/* Taps as MATLAB's imresize has them at 1/2: to be read off any other program. */
START_TEST(bicubic_taps_are_those_of_matlab)
{
    static const double half[8] = {-0.01171875, -0.03515625, 0.11328125,  0.43359375,
                                   0.43359375,  0.11328125,  -0.03515625, -0.01171875};
    struct nn_reduction two = nn_reduction_bicubic(2), one = nn_reduction_bicubic(1);
    ck_assert_int_eq(two.taps, 8);
    ck_assert_int_eq(two.first, -3);
    for (int k = 0; k < 8; k++)
        ck_assert_double_eq_tol((double)two.tap[k], half[k], 1e-7);
    ck_assert_int_eq(one.taps, 1);
    for (int factor = 1; factor <= NN_FACTOR_MOST; factor++) {
        struct nn_reduction r = nn_reduction_bicubic(factor);
        double sum = 0, centre = 0;
        for (int k = 0; k < r.taps; k++) {
            sum += (double)r.tap[k];
            centre += (r.first + k) * (double)r.tap[k];
        }
        ck_assert_double_eq_tol(sum, 1, 1e-6);
        ck_assert_double_eq_tol(centre, (factor - 1) / 2.0, 1e-4);
        ck_assert_int_le(r.taps, NN_TAPS_MOST);
    }
}
END_TEST

/* ---- VGG19, by definition and in double ---- */

enum { VGG_CONVS = 16 };
static const int vgg_channels[VGG_CONVS + 1] = {3,   64,  64,  128, 128, 256, 256, 256, 256,
                                                512, 512, 512, 512, 512, 512, 512, 512};
static const int vgg_number[VGG_CONVS] = {0,  2,  5,  7,  10, 12, 14, 16,
                                          19, 21, 23, 25, 28, 30, 32, 34};

struct vgg {
    float *weight[VGG_CONVS], *bias[VGG_CONVS];
};

static void vgg_draw(struct vgg *v, const char *path, int without)
{
    struct store_writer *writer;
    writer = store_writer_create();
    ck_assert_ptr_nonnull(writer);
    for (int k = 0; k < VGG_CONVS; k++) {
        int64_t shape[4] = {vgg_channels[k + 1], vgg_channels[k], 3, 3};
        size_t count = (size_t)(shape[0] * shape[1] * 9);
        float scale = 2 * sqrtf(6.0f / (float)(9 * shape[1]));
        char name[64];
        v->weight[k] = malloc(count * sizeof(float));
        v->bias[k] = calloc((size_t)shape[0], sizeof(float));
        ck_assert(v->weight[k] && v->bias[k]);
        for (size_t i = 0; i < count; i += 4) {
            struct philox4 draw = philox_draw(9, STREAM_TEST, (uint64_t)k, i);
            for (size_t j = 0; j < 4 && i + j < count; j++)
                v->weight[k][i + j] = scale * (philox_uniform(draw.v[j]) - 0.5f);
        }
        for (int i = 0; i < vgg_channels[k + 1]; i++)
            v->bias[k][i] = 0.01f * (float)(i % 7 - 3);
        if (k == without) continue;
        snprintf(name, sizeof name, "features.%d.weight", vgg_number[k]);
        MUST(store_add(writer, name, TENSOR_F32, 4, shape, v->weight[k]));
        snprintf(name, sizeof name, "features.%d.bias", vgg_number[k]);
        MUST(store_add(writer, name, TENSOR_F32, 1, shape, v->bias[k]));
    }
    MUST(store_write(writer, path, false));
    store_writer_free(writer);
}

static void vgg_free(struct vgg *v)
{
    for (int k = 0; k < VGG_CONVS; k++) {
        free(v->weight[k]);
        free(v->bias[k]);
    }
}

/* in [side][side][channels of k] -> out, zeros outside. */
static void vgg_conv(const struct vgg *v, int k, int side, const double *in, double *out)
{
    int from = vgg_channels[k], to = vgg_channels[k + 1];
    for (int p = 0; p < side * side; p++)
        for (int o = 0; o < to; o++) {
            double sum = (double)v->bias[k][o];
            for (int t = 0; t < 9; t++) {
                int y = p / side + t / 3 - 1, x = p % side + t % 3 - 1;
                if (y < 0 || x < 0 || y >= side || x >= side) continue;
                for (int i = 0; i < from; i++)
                    sum += (double)v->weight[k][(o * from + i) * 9 + t] *
                           in[(y * side + x) * from + i];
            }
            out[p * to + o] = sum;
        }
}

/* ReLU, and before the next block (halve) the largest of 2 x 2. */
static void vgg_pass_on(double *values, int side, int channels, bool halve)
{
    for (int i = 0; i < side * side * channels; i++)
        values[i] = fmax(values[i], 0);
    for (int p = 0; halve && p < side / 2 * (side / 2); p++)
        for (int c = 0; c < channels; c++) {
            int y = p / (side / 2) * 2, x = p % (side / 2) * 2;
            double most = 0;
            for (int t = 0; t < 4; t++)
                most = fmax(most, values[((y + t / 2) * side + x + t % 2) * channels + c]);
            values[p * channels + c] = most;
        }
}

/* The weighted sum of the taps' mean differences. */
static double vgg_loss(const struct vgg *v, int side, const float *out, const float *target)
{
    static const double mean[3] = {.485, .456, .406}, deviation[3] = {.229, .224, .225};
    size_t room = (size_t)side * (size_t)side * 64;
    double *now[2] = {malloc(room * sizeof(double)), malloc(room * sizeof(double))};
    double *next[2] = {malloc(room * sizeof(double)), malloc(room * sizeof(double))}, loss = 0;
    ck_assert(now[0] && now[1] && next[0] && next[1]);
    for (int i = 0; i < 3 * side * side; i++) {
        now[0][i] = ((double)out[i] - mean[i % 3]) / deviation[i % 3];
        now[1][i] = ((double)target[i] - mean[i % 3]) / deviation[i % 3];
    }
    for (int k = 0; k < VGG_CONVS; k++) {
        bool ends = k == 1 || k == 3 || k == 7 || k == 11 || k == 15;
        int count = side * side * vgg_channels[k + 1];
        double sum = 0;
        for (int image = 0; image < 2; image++) {
            vgg_conv(v, k, side, now[image], next[image]);
            double *made = next[image];
            next[image] = now[image];
            now[image] = made;
        }
        for (int i = 0; i < count; i++)
            sum += fabs(now[0][i] - now[1][i]) / count;
        if (ends) loss += (k < 4 ? 0.1 : 1) * sum;
        for (int image = 0; image < 2; image++)
            vgg_pass_on(now[image], side, vgg_channels[k + 1], ends);
        if (ends) side /= 2;
    }
    for (int image = 0; image < 2; image++) {
        free(now[image]);
        free(next[image]);
    }
    return loss;
}

static const double tap_weight[PERCEPTUAL_TAPS] = {0.1, 0.1, 1, 1, 1};

/* Of two patches, one after the other or (part 2) at once; grad NULL: not wanted. */
static double perceptual_of(const char *path, int side, int part, const float *out,
                            const float *target, float *grad)
{
    struct perceptual p = {.device = NULL};
    struct device *device;
    struct plan *plan = plan_create();
    double sums[PERCEPTUAL_TAPS][2][NN_LOSS_TERMS], loss = 0;
    size_t one = 3 * (size_t)side * (size_t)side;
    ck_assert_ptr_nonnull(plan);
    MUST(device_open(&device, "cpu", 2));
    MUST(perceptual_declare(&p, side, part, tap_weight, device, 3, plan));
    MUST(plan_commit(plan, device));
    perceptual_connect(&p);
    MUST(perceptual_load(&p, path));
    if (grad) memset(grad, 0, 2 * one * sizeof *grad);
    for (int i = 0; i < 2; i += part)
        MUST(perceptual_queue(&p, part, out + (size_t)i * one, target + (size_t)i * one,
                              grad ? grad + (size_t)i * one : NULL, 1, sums[0][i], 2));
    for (int t = 0; t < PERCEPTUAL_TAPS; t++)
        for (int i = 0; i < 2; i++)
            loss +=
                tap_weight[t] * sums[t][i][NN_LOSS_L1] / 2 / (double)perceptual_tap_count(&p, t);
    plan_free(plan);
    perceptual_close(&p);
    device_close(device);
    return loss;
}

START_TEST(perceptual_loss_is_its_definition)
{
    enum { SIDE = 19, ONE = 3 * SIDE * SIDE };
    static float out[2 * ONE], target[2 * ONE], grad[2 * ONE], again[2 * ONE], moved[2][2 * ONE];
    struct vgg vgg;
    const char *path = in_folder("vgg.safetensors");
    vgg_draw(&vgg, path, -1);
    MUST(perceptual_check(path));
    draw_pair(SIDE, out, target);
    draw_pair(SIDE, target + ONE, out + ONE);
    double loss = perceptual_of(path, SIDE, 1, out, target, grad), norm2 = 0;
    double right =
        (vgg_loss(&vgg, SIDE, out, target) + vgg_loss(&vgg, SIDE, out + ONE, target + ONE)) / 2;
    ck_assert_double_eq_tol(loss, right, 1e-5 * right);
    ck_assert_double_eq(perceptual_of(path, SIDE, 2, out, target, again), loss);
    ck_assert_mem_eq(grad, again, sizeof grad);
    ck_assert_double_eq(perceptual_of(path, SIDE, 2, out, target, NULL), loss);
    for (int i = 0; i < 2 * ONE; i++)
        norm2 += (double)grad[i] * (double)grad[i];
    for (int i = 0; i < 2 * ONE; i++) {
        float step = (float)(1e-3 / sqrt(norm2)) * grad[i];
        moved[0][i] = out[i] + step;
        moved[1][i] = out[i] - step;
    }
    double slope = 0;
    for (int k = 0; k < 2; k++)
        for (int n = 0; n < 2; n++)
            slope += (k ? -1 : 1) * vgg_loss(&vgg, SIDE, moved[k] + n * ONE, target + n * ONE) / 2 /
                     2e-3;
    ck_assert_double_eq_tol(slope, sqrt(norm2), 0.01 * slope);
    vgg_free(&vgg);
    vgg_draw(&vgg, path, 7);
    ck_assert_int_eq(perceptual_check(path), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "features.16.weight"));
    vgg_free(&vgg);
}
END_TEST

Suite *sr_losses_test_suite(void)
{
    Suite *suite = suite_create("sr_losses_test");
    TCase *cases = tcase_create("cases");
    tcase_add_test(cases, ms_ssim_is_that_of_the_metric);
    tcase_add_test(cases, bicubic_taps_are_those_of_matlab);
    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, set_up, folder_remove);
    tcase_add_test(files, perceptual_loss_is_its_definition);
    suite_add_tcase(suite, cases);
    suite_add_tcase(suite, files);
    return suite;
}
