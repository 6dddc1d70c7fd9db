/* The importance of a Gaussian, against the error of images without it; choosing the least. */
#include "base/error.h"
#include "base/threads.h"
#include "device/device.h"
#include "device/splat_ops.h"
#include "registry/devices.h"
#include "splat/least_important.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 14, WIDTH = 45, HEIGHT = 37, CHANNELS = 3 };

struct scene {
    float xy[2 * COUNT], scale[2 * COUNT], rot[COUNT], feat[CHANNELS * COUNT], weight[COUNT];
    uint8_t target[HEIGHT * CHANNELS * WIDTH], mask[HEIGHT * WIDTH];
    struct splat_view view;
    struct splat_target picture;
};

static void draw(struct scene *s, bool sigma_scale)
{
    for (int i = 0; i < COUNT; i++) {
        float sigma[2] = {2 + (float)(i % 5), 1.5f + (float)(i % 3)};
        s->xy[2 * i] = (float)(i * 37 % 101) / 101;
        s->xy[2 * i + 1] = (float)(i * 53 % 97) / 97;
        for (int k = 0; k < 2; k++)
            s->scale[2 * i + k] = sigma_scale ? sigma[k] : 1 / sigma[k];
        s->rot[i] = (float)i;
        s->weight[i] = (float)(i % 4) / 2;
        for (int c = 0; c < CHANNELS; c++)
            s->feat[CHANNELS * i + c] = 1.2f * (float)((i * 29 + c * 17) % 23) / 23 - 0.1f;
    }
    for (int p = 0; p < HEIGHT * CHANNELS * WIDTH; p++)
        s->target[p] = (uint8_t)(p * 7 % 251);
    for (int p = 0; p < HEIGHT * WIDTH; p++)
        s->mask[p] = (uint8_t)(p % WIDTH < 9 ? 0 : p * 11 % 256);
    s->view = (struct splat_view){s->xy,    s->scale,    s->rot, s->feat, COUNT,
                                  CHANNELS, sigma_scale, WIDTH,  HEIGHT,  s->weight};
    s->picture = (struct splat_target){.width = WIDTH,
                                       .height = HEIGHT,
                                       .channels = CHANNELS,
                                       .sample_bits = 8,
                                       .data = s->target,
                                       .unit = 1 / 255.0f};
}

static struct splat_workspace take_workspace(struct device *device)
{
    struct splat_workspace workspace = {.capacity = COUNT};
    workspace.bytes =
        device->splat->workspace_bytes(device, WIDTH, HEIGHT, CHANNELS, COUNT, &workspace.storage);
    workspace.memory = calloc(1, workspace.bytes);
    ck_assert(workspace.memory != NULL);
    return workspace;
}

/* Squared error of the image, of each pixel by its weight, as the device's step tells it. */
static double squared_error(struct device *device, const struct scene *s,
                            const struct splat_blend *blend)
{
    struct splat_workspace workspace = take_workspace(device);
    const struct splat_loss loss = {.pixel = {0, 1}};
    float gradient[9 * COUNT];
    struct splat_gradients gradients = {gradient, gradient + 2 * COUNT, gradient + 4 * COUNT,
                                        gradient + 5 * COUNT, gradient + 8 * COUNT};
    struct splat_sums sums;
    ck_assert_msg(device->splat->step(device, &workspace, &s->view, blend, &s->picture, &loss,
                                      &gradients, &sums) == 0,
                  "%s", error_message());
    free(workspace.memory);
    return sums.pixel[PIXEL_L2] * WIDTH * HEIGHT * CHANNELS;
}

/* The same scene without Gaussian i. */
static void leave_out(struct scene *to, const struct scene *from, int i)
{
    const int columns[SPLAT_GROUPS] = {2, 2, 1, CHANNELS, 1};
    *to = *from;
    float *arrays[SPLAT_GROUPS] = {to->xy, to->scale, to->rot, to->feat, to->weight};
    for (int g = 0; g < SPLAT_GROUPS; g++)
        memmove(arrays[g] + i * columns[g], arrays[g] + (i + 1) * columns[g],
                sizeof(float) * (size_t)((COUNT - 1 - i) * columns[g]));
    to->view = (struct splat_view){
        to->xy, to->scale, to->rot,   to->feat, COUNT - 1, CHANNELS, from->view.sigma_scale,
        WIDTH,  HEIGHT,    to->weight};
    to->picture.data = to->target;
}

static void importances(struct device *device, const struct scene *s,
                        const struct splat_blend *blend, double *importance)
{
    struct splat_workspace workspace = take_workspace(device);
    ck_assert_msg(device->splat->importance(device, &workspace, &s->view, blend, &s->picture,
                                            importance) == OK,
                  "%s", error_message());
    free(workspace.memory);
}

static const struct splat_blend blends[] = {{0, false}, {COUNT, false}, {0, true}};

START_TEST(is_the_error_without_it)
{
    struct device *device;
    static struct scene scene, less;
    const struct splat_blend *blend = &blends[_i % 3];
    double importance[COUNT];
    ck_assert_int_eq(device_open(&device, "cpu", 1), 0);
    draw(&scene, _i >= 3);
    if (_i >= 6) scene.picture.weights = scene.mask;
    importances(device, &scene, blend, importance);
    double all = squared_error(device, &scene, blend);
    for (int i = 0; i < COUNT; i++) {
        leave_out(&less, &scene, i);
        double expected = squared_error(device, &less, blend) - all;
        ck_assert_msg(!!(fabs(importance[i] - expected) <= 1e-3 * fabs(expected) + 0.01),
                      "blend %d, Gaussian %d: %g, expected %g", _i, i, importance[i], expected);
    }
    device_close(device);
}
END_TEST

/* Two lie below a third, larger everywhere: without them nothing changes. */
START_TEST(beyond_the_largest_it_is_worth_nothing)
{
    static struct scene scene;
    const struct splat_blend blend = {1, false};
    struct device *device;
    double importance[COUNT];
    ck_assert_int_eq(device_open(&device, "cpu", 1), 0);
    draw(&scene, false);
    scene.view.weight = NULL; /* the third one's alphas are larger */
    for (int k = 0; k < 2; k++) {
        memcpy(scene.xy + 2 * k, scene.xy + 2 * 3, sizeof(float[2]));
        scene.scale[2 * k] = scene.scale[2 * k + 1] = 1 / (1.0f - 0.1f * (float)k);
    }
    importances(device, &scene, &blend, importance);
    device_close(device);
    ck_assert(fabs(importance[3]) > 1);
    ck_assert_msg(!(fabs(importance[0]) > 0) && !(fabs(importance[1]) > 0), "%g %g", importance[0],
                  importance[1]);
}
END_TEST

START_TEST(threads_change_no_bit)
{
    static struct scene scene;
    struct device *device;
    double one[COUNT], many[COUNT];
    ck_assert_int_eq(device_open(&device, "cpu", 1), 0);
    int threads = threads_count();
    draw(&scene, false);
    threads_set(1);
    importances(device, &scene, &blends[_i], one);
    threads_set(5);
    importances(device, &scene, &blends[_i], many);
    threads_set(threads);
    device_close(device);
    ck_assert(memcmp(one, many, sizeof one) == 0);
}
END_TEST

static int candidate_order(const void *a, const void *b)
{
    const struct splat_candidate *p = a, *q = b;
    if (p->importance < q->importance || p->importance > q->importance)
        return p->importance < q->importance ? -1 : 1;
    return p->row < q->row ? -1 : p->row > q->row;
}

/* The same candidates in the same places as sorting all of them gives: random ones, sorted ones,
 * falling ones, many alike, and a shape that splits badly. */
START_TEST(the_least_are_those_of_a_sort)
{
    enum { MOST = 3000 };
    static const int64_t counts[] = {0, 1, 2, 3, 4, 5, 31, 200, MOST};
    static struct splat_candidate sorted[MOST], chosen[MOST];
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        int64_t n = counts[c];
        for (int64_t i = 0; i < n; i++) {
            const double shapes[] = {
                (double)(i * 7919 % 3001),       (double)i, (double)(n - i), (double)(i % 3),
                (double)(i < n / 2 ? i : n - i), 0};
            sorted[i] = (struct splat_candidate){shapes[_i] - 5, i};
        }
        const int64_t wanted[] = {0, n / 20, n / 2, n > 0 ? n - 1 : 0, n};
        for (size_t w = 0; w < sizeof wanted / sizeof *wanted; w++) {
            memcpy(chosen, sorted, sizeof sorted);
            splat_least_important(chosen, n, wanted[w]);
            struct splat_candidate all[MOST];
            memcpy(all, sorted, sizeof sorted);
            qsort(all, (size_t)n, sizeof *all, candidate_order);
            for (int64_t i = 0; i < wanted[w]; i++)
                ck_assert_msg(chosen[i].row == all[i].row,
                              "%lld of %lld: %lld is row %lld, not %lld", (long long)wanted[w],
                              (long long)n, (long long)i, (long long)chosen[i].row,
                              (long long)all[i].row);
        }
    }
}
END_TEST

Suite *splat_importance_suite(void);
Suite *splat_importance_suite(void)
{
    Suite *suite = suite_create("splat_importance");
    TCase *importance = tcase_create("importance");
    tcase_add_loop_test(importance, is_the_error_without_it, 0, 9);
    tcase_add_test(importance, beyond_the_largest_it_is_worth_nothing);
    tcase_add_loop_test(importance, threads_change_no_bit, 0, 3);
    tcase_add_loop_test(importance, the_least_are_those_of_a_sort, 0, 6);
    suite_add_tcase(suite, importance);
    return suite;
}
