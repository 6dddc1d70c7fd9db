/* The gate that learns: 500 images of 4 shapes in 6 colours at 16 x 16, 5000 of them shown; then
 * 480 samples against 960 fresh images. With TEST_SLOW (make test-slow) also the long lesson of
 * 36,000, after which most is learned. GAN_LEARNS="seed gamma lr lr_end batch images" tries others.
 */
#include "base/error.h"
#include "base/threads.h"
#include "device/device.h"
#include "gan/core.h"
#include "gan/gan_checkpoint.h"
#include "math/augment.h"
#include "memory/plan.h"
#include "nn/net_init.h"
#include "registry/devices.h"
#include "test/gan/gan_shapes.h"
#include "test/support.h"

#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *gan_learns_suite(void);

enum { SIDE = 16, VALUES = SIDE * SIDE * 3, TRAIN = 500, REALS = 960, FAKES = 480 };
enum { NEAR = 5 };

struct lesson {
    unsigned seed;
    double gamma, lr, lr_end;
    int batch, images;
};

struct result {
    int modes;
    double coverage;
};

struct school {
    struct lesson lesson;
    uint8_t pictures[TRAIN][VALUES];
    int64_t step;
};

static int fill(void *context, enum gan_which which, struct gan_inputs *in)
{
    const struct school *s = context;
    uint64_t call = 2 * (uint64_t)s->step + (uint64_t)which, batch = (uint64_t)s->lesson.batch;
    for (int i = 0; i < in->n; i++) {
        uint64_t pair = (uint64_t)(in->first + i);
        struct philox4 draw = philox_draw(s->lesson.seed, STREAM_TEST, 9, call * batch + pair);
        memcpy(in->pixels + i * VALUES, s->pictures[draw.v[0] % TRAIN], VALUES);
        in->flips[i] = 0;
        net_normal(in->z + (ptrdiff_t)i * in->z_stride, (size_t)in->z_count, s->lesson.seed,
                   STREAM_GAN_LATENT, call, pair * 64);
        in->real_draws[i] = in->fake_draws[i] = augment_none();
        in->labels[i] = 0;
    }
    return OK;
}

static double distance(const float *a, const float *b)
{
    float sum = 0;
    for (int i = 0; i < VALUES; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return (double)sum;
}

struct coverage {
    const float *reals, *fakes;
    int covered;
};

static void cover(void *context, int64_t from, int64_t to)
{
    struct coverage *c = context;
    for (int i = (int)from; i < (int)to; i++) {
        const float *own = c->reals + i * VALUES;
        double near[NEAR + 1]; /* rising */
        for (int k = 0; k <= NEAR; k++)
            near[k] = (double)INFINITY;
        for (int j = 0; j < REALS; j++) {
            double d = j == i ? (double)INFINITY : distance(own, c->reals + j * VALUES);
            int k = NEAR - 1;
            for (; k >= 0 && near[k] > d; k--)
                near[k + 1] = near[k];
            near[k + 1] = d;
        }
        for (int j = 0; j < FAKES; j++)
            if (distance(own, c->fakes + j * VALUES) < near[NEAR - 1]) {
                __atomic_fetch_add(&c->covered, 1, __ATOMIC_RELAXED);
                break;
            }
    }
}

/* Coverage (Naeem et al. 2020): share of the reals with a fake nearer than their NEAR-th real. A
 * mode counts when it is that of the nearest real of at least 2 fakes. */
static struct result examine(const float *fakes)
{
    float *reals = malloc(sizeof(float) * REALS * VALUES);
    static int mode[REALS];
    int hits[SHAPE_MODES] = {0};
    struct result result = {0};
    ck_assert_ptr_nonnull(reals);
    for (int i = 0; i < REALS; i++) {
        uint8_t bytes[VALUES];
        mode[i] = shape_draw(bytes, SIDE, 2, (uint64_t)i);
        for (int j = 0; j < VALUES; j++)
            reals[i * VALUES + j] = (float)(bytes[j] - 128) / 128;
    }
    struct coverage coverage = {reals, fakes, 0};
    threads_for(REALS, 1, cover, &coverage);
    for (int j = 0; j < FAKES; j++) {
        int best = 0;
        double least = (double)INFINITY;
        for (int i = 0; i < REALS; i++) {
            double d = distance(reals + i * VALUES, fakes + j * VALUES);
            if (d < least) least = d, best = i;
        }
        hits[mode[best]]++;
    }
    for (int m = 0; m < SHAPE_MODES; m++)
        result.modes += hits[m] >= 2;
    result.coverage = (double)coverage.covered / REALS;
    free(reals);
    return result;
}

static void train(struct gan_core *core, struct school *school)
{
    const struct lesson *l = &school->lesson;
    int64_t steps = l->images / l->batch;
    for (school->step = 0; school->step < steps; school->step++) {
        double t = (double)school->step / (double)steps, half = 0.5 * (1 + cos(3.14159265 * t));
        double life = 0.025 * l->images * (1 - half);
        const struct gan_rates rates = {
            .gamma = l->gamma * (0.1 + 0.9 * half),
            .adam.lr = l->lr_end + (l->lr - l->lr_end) * half,
            .adam.b2 = 0.99 - 0.09 * half,
            .ema = life > 0 ? pow(0.5, l->batch / life) : 0,
        };
        ck_assert_int_ge(gan_train_step(core, &rates, fill, school), 0);
    }
}

static struct result learn(const struct lesson *lesson)
{
    struct school *school = calloc(1, sizeof *school);
    struct gan_core *core = calloc(1, sizeof *core);
    float *fakes = malloc(sizeof(float) * FAKES * VALUES), latents[FAKES * 64];
    struct net_design design = {.stages = 3, .base_h = 4, .base_w = 4, .z = 64, .channels = 3};
    struct gan_mode choices = {.batch = lesson->batch, .micro = lesson->batch};
    struct device *device;
    struct plan *plan = plan_create();
    ck_assert(school && core && fakes && plan);
    for (int s = 0; s < design.stages; s++) {
        design.width[s] = 128 >> s;
        design.blocks[s] = 1;
    }
    school->lesson = *lesson;
    for (uint64_t i = 0; i < TRAIN; i++)
        shape_draw(school->pictures[i], SIDE, 1, i);
    ck_assert_int_ge(device_open(&device, "cpu", 0), 0);
    ck_assert_int_ge(gan_core_declare(core, &design, &choices, device, plan), 0);
    ck_assert_int_ge(plan_commit(plan, device), 0);
    MUST(gan_core_connect(core));
    ck_assert_int_ge(gan_core_initialise(core, lesson->seed), 0);
    train(core, school);
    for (uint64_t i = 0; i < FAKES; i++)
        gan_latent(latents + i * 64, 64, i);
    ck_assert_int_ge(gan_generate(core, core->g.ema, latents, NULL, FAKES, fakes), 0);
    struct result result = examine(fakes);
    plan_free(plan);
    gan_core_close(core);
    device_close(device);
    free(school), free(core), free(fakes);
    return result;
}

static void print(const struct lesson *l, const struct result *r)
{
    printf("seed %u gamma %g lr %g..%g batch %d images %d: %d of %d modes, coverage %.3f\n",
           l->seed, l->gamma, l->lr, l->lr_end, l->batch, l->images, r->modes, SHAPE_MODES,
           r->coverage);
}

static const struct lesson standard = {
    .seed = 1, .gamma = 3, .lr = 2e-3, .lr_end = 5e-4, .batch = 8, .images = 36000};

enum { SHORT = 5000 };

static struct result learn_images(double gamma, int images)
{
    struct lesson lesson = standard;
    lesson.gamma = gamma;
    lesson.images = images;
    struct result result = learn(&lesson);
    print(&lesson, &result);
    return result;
}

START_TEST(learns_as_told)
{
    struct lesson lesson = standard;
    sscanf(getenv("GAN_LEARNS"), "%u %lf %lf %lf %d %d", &lesson.seed, &lesson.gamma, &lesson.lr,
           &lesson.lr_end, &lesson.batch, &lesson.images);
    struct result result = learn(&lesson);
    print(&lesson, &result);
}
END_TEST

/* Coverage of two seeds on three instruction sets: 0.27 to 0.42; without the penalty 0.05 to 0.06.
 */
START_TEST(begins_to_learn)
{
    struct result result = learn_images(standard.gamma, SHORT);
    ck_assert_int_ge(result.modes, 20);
    ck_assert_msg(result.coverage >= 0.15, "coverage %.3f", result.coverage);
}
END_TEST

/* The gate can tell: the penalty is what makes it pass. */
START_TEST(begins_nothing_without_penalty)
{
    struct result result = learn_images(0, SHORT);
    ck_assert_msg(result.coverage < 0.12, "coverage %.3f", result.coverage);
}
END_TEST

START_TEST(learns_the_shapes)
{
    struct result result = learn_images(standard.gamma, standard.images);
    ck_assert_int_ge(result.modes, 22);
    ck_assert_msg(result.coverage >= 0.5, "coverage %.3f", result.coverage);
}
END_TEST

START_TEST(learns_nothing_without_penalty)
{
    struct result result = learn_images(0, 9000);
    ck_assert_msg(result.coverage < 0.4, "coverage %.3f", result.coverage);
}
END_TEST

Suite *gan_learns_suite(void)
{
    Suite *suite = suite_create("gan_learns");
    TCase *quick = tcase_create("quick"), *slow = tcase_create("slow");
    tcase_set_timeout(slow, 3600);
    if (getenv("GAN_LEARNS")) {
        tcase_add_test(slow, learns_as_told);
    } else if (getenv("SKIP_SLOW")) {
        test_skip("gan_learns", "SKIP_SLOW is set; it takes minutes under a sanitizer");
    } else {
        tcase_add_test(quick, begins_to_learn);
        tcase_add_test(quick, begins_nothing_without_penalty);
    }
    if (getenv("TEST_SLOW")) {
        tcase_add_test(slow, learns_the_shapes);
        tcase_add_test(slow, learns_nothing_without_penalty);
    }
    suite_add_tcase(suite, quick);
    suite_add_tcase(suite, slow);
    return suite;
}
