/* Wide images are compared in blocks of columns: the same image turned on its side, which is one
 * block, has the same loss, gradients and importances; any number of threads gives the same bits.
 */
#include "base/error.h"
#include "device/device.h"
#include "device/splat_ops.h"
#include "registry/devices.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 160, LONG = 1100, SHORT = 37, CHANNELS = 3 };

struct scene {
    float xy[2 * COUNT], scale[2 * COUNT], rot[COUNT], feat[CHANNELS * COUNT];
    float gradient[8 * COUNT];
    double importance[COUNT];
    struct splat_sums sums;
    uint8_t target[LONG * SHORT * CHANNELS], weights[LONG * SHORT];
};

/* Random numbers 0..1 by place. */
static float some(int at)
{
    uint32_t x = (uint32_t)at * 2654435761u;
    x = (x ^ x >> 15) * 2246822519u;
    return (float)(x >> 8) / 16777216;
}

/* turned: x and y change places. */
static void draw(struct scene *s, bool turned)
{
    for (int i = 0; i < COUNT; i++) {
        float at[2] = {some(7 * i), some(7 * i + 1)};
        float sigma[2] = {4 + 30 * some(7 * i + 2), 2 + 4 * some(7 * i + 3)};
        for (int k = 0; k < 2; k++) {
            s->xy[2 * i + k] = at[turned ? 1 - k : k];
            s->scale[2 * i + k] = 1 / sigma[turned ? 1 - k : k];
        }
        s->rot[i] = (turned ? -1 : 1) * (some(7 * i + 4) - 0.5f);
        for (int c = 0; c < CHANNELS; c++)
            s->feat[CHANNELS * i + c] = some(7 * i + 5 + 1000 * c);
    }
    int width = turned ? SHORT : LONG;
    for (int y = 0; y < SHORT; y++)
        for (int x = 0; x < LONG; x++) {
            int row = turned ? x : y, column = turned ? y : x;
            s->weights[row * width + column] = (uint8_t)(255 * some(90000 + y * LONG + x));
            for (int c = 0; c < CHANNELS; c++)
                s->target[(row * CHANNELS + c) * width + column] =
                    (uint8_t)(255 * (0.3f + 0.6f * some(y * LONG + x / 3 + 9999 * c)));
        }
}

static void run(struct scene *s, bool turned, bool weighted, int which, int threads)
{
    static const struct splat_blend blends[] = {{3, false}, {0, true}};
    const struct splat_loss loss = {.pixel = {0.5, 1}, .ssim = which == 2 ? 0 : 0.5};
    const struct splat_blend *blend = &blends[which % 2];
    int width = turned ? SHORT : LONG, height = turned ? LONG : SHORT;
    struct device *device;
    struct splat_workspace workspace = {.capacity = COUNT};
    struct splat_view view = {s->xy,    s->scale, s->rot, s->feat, COUNT,
                              CHANNELS, false,    width,  height,  NULL};
    struct splat_target target = {.width = width,
                                  .height = height,
                                  .channels = CHANNELS,
                                  .sample_bits = 8,
                                  .data = s->target,
                                  .weights = weighted ? s->weights : NULL,
                                  .unit = 2 / 255.0f,
                                  .inner_unit = 2.1f / 255.0f};
    struct splat_gradients gradients = {s->gradient, s->gradient + 2 * COUNT,
                                        s->gradient + 4 * COUNT, s->gradient + 5 * COUNT, NULL};
    struct splat_sums seen;
    draw(s, turned);
    ck_assert_int_eq(device_open(&device, "cpu", threads), OK);
    workspace.bytes =
        device->splat->workspace_bytes(device, width, height, CHANNELS, COUNT, &workspace.storage);
    workspace.memory = malloc(workspace.bytes);
    ck_assert_ptr_nonnull(workspace.memory);
    memset(workspace.memory, 0xff, workspace.bytes); /* NaN */
    ck_assert_msg(device->splat->step(device, &workspace, &view, blend, &target, &loss, &gradients,
                                      &s->sums) == OK,
                  "%s", error_message());
    ck_assert_int_eq(device->splat->evaluate(device, &workspace, &view, blend, &target, 1, &seen),
                     OK);
    s->sums.ssim_inner = seen.ssim_inner;
    ck_assert_int_eq(
        device->splat->importance(device, &workspace, &view, blend, &target, s->importance), OK);
    free(workspace.memory);
    device_close(device);
}

/* Numbers 2 i + k and, turned, 2 i + 1 - k. */
static void compare(const float *a, const float *b, int count, int columns, float sign)
{
    double most = 0;
    for (int i = 0; i < count * columns; i++)
        most = fmax(most, fabs((double)a[i]));
    ck_assert(most > 0);
    for (int i = 0; i < count * columns; i++) {
        int other = columns == 2 ? i ^ 1 : i;
        ck_assert_msg(!!(fabs((double)a[i] - (double)(sign * b[other])) <= 2e-4 * most),
                      "%d of %d: %g, turned %g (most %g)", i / columns, columns, (double)a[i],
                      (double)b[other], most);
    }
}

START_TEST(blocks_change_nothing)
{
    static struct scene wide, tall;
    bool weighted = _i >= 3;
    run(&wide, false, weighted, _i % 3, 2);
    run(&tall, true, weighted, _i % 3, 2);
    for (int k = 0; k < PIXEL_SUMS; k++)
        ck_assert_double_eq_tol(wide.sums.pixel[k], tall.sums.pixel[k], 1e-6);
    if (_i % 3 != 2) ck_assert_double_eq_tol(wide.sums.ssim, tall.sums.ssim, 1e-6);
    ck_assert_double_eq_tol(wide.sums.ssim_inner, tall.sums.ssim_inner, 1e-6);
    compare(wide.gradient, tall.gradient, COUNT, 2, 1);
    compare(wide.gradient + 2 * COUNT, tall.gradient + 2 * COUNT, COUNT, 2, 1);
    compare(wide.gradient + 4 * COUNT, tall.gradient + 4 * COUNT, COUNT, 1, -1);
    compare(wide.gradient + 5 * COUNT, tall.gradient + 5 * COUNT, COUNT, CHANNELS, 1);
    for (int i = 0; i < COUNT; i++)
        ck_assert_msg(!!(fabs(wide.importance[i] - tall.importance[i]) <=
                         1e-3 * fabs(tall.importance[i]) + 1e-3),
                      "%d: importance %g, turned %g", i, wide.importance[i], tall.importance[i]);
}
END_TEST

START_TEST(threads_change_no_bit)
{
    static const int threads[] = {2, 7};
    static struct scene one, many;
    run(&one, false, _i >= 3, _i % 3, 1);
    for (int k = 0; k < 2; k++) {
        run(&many, false, _i >= 3, _i % 3, threads[k]);
        ck_assert_msg(memcmp(&one, &many, sizeof one) == 0, "%d threads", threads[k]);
    }
}
END_TEST

Suite *splat_blocks_suite(void);
Suite *splat_blocks_suite(void)
{
    Suite *suite = suite_create("splat_blocks");
    TCase *tests = tcase_create("blocks");
    tcase_add_loop_test(tests, blocks_change_nothing, 0, 6);
    tcase_add_loop_test(tests, threads_change_no_bit, 0, 6);
    suite_add_tcase(suite, tests);
    return suite;
}
