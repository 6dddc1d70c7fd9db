/* The latents that draw images: gradients against finite differences, and what a step depends on.
 */
#include "base/error.h"
#include "device/device.h"
#include "gan/gan_checkpoint.h"
#include "gan/projection.h"
#include "gan/sampler.h"
#include "nn/net_init.h"
#include "nn/weights_file.h"
#include "registry/devices.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "test/support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *projection_test_suite(void);

enum { N = 3, Z = 6, SIDE = 16, MOST = SIDE * SIDE * 4 };

static struct net_design design = {.stages = 2,
                                   .base_h = 8,
                                   .base_w = 8,
                                   .width = {16, 8},
                                   .blocks = {1, 1},
                                   .z = Z,
                                   .classes = 2,
                                   .embedding = 3,
                                   .channels = 3};

static struct store_file *file;
static struct device *device;
static float latents[N * Z], targets[N * MOST];
static int labels[N] = {0, 1, 1};

/* A model of random weights, all of them, and random images. */
static void enter_with(int channels)
{
    set_up();
    design.channels = channels;
    char path[256];
    struct net net = {0};
    snprintf(path, sizeof path, "%s", in_folder("g.safetensors"));
    MUST(net_generator(&net, &design, false));
    float *weights = malloc(net.floats * sizeof *weights);
    net_normal(weights, net.floats, 1, 1, 0, 0);
    for (size_t i = 0; i < net.floats; i++)
        weights[i] *= 0.3f;
    struct store_writer *writer = store_writer_create();
    MUST(checkpoint_describe(writer, "model", "gan", 1, ""));
    MUST(weights_store(writer, "", &net, weights));
    MUST(gan_store_design(&design, writer));
    MUST(store_write(writer, path, false));
    store_writer_free(writer);
    free(weights);
    net_free(&net);
    MUST(store_open(&file, path));
    MUST(device_open(&device, "cpu", 2));
    net_normal(latents, N * Z, 2, 1, 0, 0);
    net_normal(targets, N * MOST, 3, 1, 0, 0);
}

static void enter(void)
{
    enter_with(3);
}

static void leave(void)
{
    store_close(file);
    device_close(device);
    folder_remove();
}

static struct projection *open_at(int n, int first, bool tunes)
{
    struct projection *p;
    MUST(projection_open(&p, device, file, n, tunes));
    MUST(projection_begin(p, n, latents + first * Z, labels + first,
                          targets + first * SIDE * SIDE * design.channels));
    return p;
}

static double error_at(struct projection *p, const float *z, int image)
{
    double errors[N];
    MUST(projection_begin(p, N, z, labels, targets));
    MUST(projection_step(p, 0, 0, NULL, errors));
    return errors[image];
}

/* The error is a square of what is linear between kinks, so differences are right but for kinks and
 * rounding. */
START_TEST(gradient_is_that_of_finite_differences)
{
    static const int channels[] = {1, 3, 4};
    leave();
    enter_with(channels[_i]);
    struct projection *p = open_at(N, 0, false);
    float gradient[N * Z], moved[N * Z];
    double errors[N], worst = 0, largest = 0;
    MUST(projection_step(p, 1e-9, 0, NULL, errors));
    memcpy(gradient, projection_gradient(p), sizeof gradient);
    for (int i = 0; i < N * Z; i++) {
        const float step = 1.0f / 8192;
        memcpy(moved, latents, sizeof moved);
        moved[i] = latents[i] + step;
        double above = error_at(p, moved, i / Z);
        moved[i] = latents[i] - step;
        double below = error_at(p, moved, i / Z);
        double slope = (above - below) / (2 * (double)step);
        if (fabs(slope) > largest) largest = fabs(slope);
        if (fabs(slope - (double)gradient[i]) > worst) worst = fabs(slope - (double)gradient[i]);
    }
    projection_close(p);
    ck_assert_msg(largest > 0.01 && worst <= 0.003 * largest, "off by %g of %g", worst, largest);
}
END_TEST

/* Whatever else is projected beside it. */
START_TEST(image_depends_on_itself_alone)
{
    double errors[N], own[1];
    struct projection *all = open_at(N, 0, false);
    for (int step = 0; step < 5; step++)
        MUST(projection_step(all, 0.1, 0, NULL, errors));
    for (int i = 0; i < N; i++) {
        struct projection *one = open_at(1, i, false);
        for (int step = 0; step < 5; step++)
            MUST(projection_step(one, 0.1, 0, NULL, own));
        ck_assert(own[0] == errors[i]);
        ck_assert_mem_eq(projection_latents(one), projection_latents(all) + i * Z,
                         Z * sizeof(float));
        projection_close(one);
    }
    projection_close(all);
}
END_TEST

START_TEST(steps_lessen_the_error)
{
    double first[N], latent[N], tuned[N];
    struct projection *p = open_at(N, 0, true);
    MUST(projection_step(p, 0.05, 0, NULL, first));
    for (int step = 0; step < 60; step++)
        MUST(projection_step(p, 0.05, 0, NULL, latent));
    float z[N * Z];
    memcpy(z, projection_latents(p), sizeof z);
    for (int step = 0; step < 60; step++)
        MUST(projection_step(p, 0, 0.01, NULL, tuned));
    ck_assert_mem_eq(z, projection_latents(p), sizeof z);
    for (int i = 0; i < N; i++)
        ck_assert_msg(latent[i] < first[i] && tuned[i] < latent[i], "%g %g %g", first[i], latent[i],
                      tuned[i]);
    projection_close(p);
}
END_TEST

Suite *projection_test_suite(void)
{
    Suite *s = suite_create("projection_test");
    TCase *c = tcase_create("projection");
    tcase_add_checked_fixture(c, enter, leave);
    tcase_set_timeout(c, 600);
    tcase_add_loop_test(c, gradient_is_that_of_finite_differences, 0, 3);
    tcase_add_test(c, image_depends_on_itself_alone);
    tcase_add_test(c, steps_lessen_the_error);
    suite_add_tcase(s, c);
    return s;
}
