/* Mixed precision: gradients of D and G stored in bf16 stay near those in fp32, no other choice
 * changes a bit of them, and the memory plan has half the bytes for what is stored so. */
#include "base/error.h"
#include "base/random.h"
#include "base/threads.h"
#include "device/device.h"
#include "gan/core.h"
#include "math/augment.h"
#include "memory/plan.h"
#include "nn/net_init.h"
#include "registry/devices.h"
#include "test/support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *gan_amp_suite(void);

enum { SIDE = 32, BATCH = 16, MICRO = 8 };

struct bench {
    struct device *device;
    struct plan *plan;
    struct gan_core core;
};

static const struct net_design design = {.stages = 4,
                                         .base_h = 4,
                                         .base_w = 4,
                                         .width = {32, 32, 16, 16},
                                         .blocks = {1, 1, 2, 1},
                                         .z = 16,
                                         .channels = 3};

static void bench_open(struct bench *b, const struct gan_mode *choices, int threads)
{
    MUST(device_open(&b->device, "cpu", threads));
    b->plan = plan_create();
    memset(&b->core, 0, sizeof b->core);
    MUST(gan_core_declare(&b->core, &design, choices, b->device, b->plan));
    MUST(plan_commit(b->plan, b->device));
    MUST(gan_core_connect(&b->core));
    MUST(gan_core_initialise(&b->core, 4));
    /* blocks end in zeros at the start: as if training had begun */
    struct trained_net *both[] = {&b->core.g, &b->core.d};
    for (int i = 0; i < 2; i++)
        for (size_t j = 0; j < both[i]->net.floats; j++)
            both[i]->parameters[j] += 0.05f * sinf((float)(j + 1));
}

static void bench_close(struct bench *b)
{
    plan_free(b->plan);
    gan_core_close(&b->core);
    device_close(b->device);
}

/* Waves of several lengths and colours. */
static int fill(void *context, enum gan_which which, struct gan_inputs *in)
{
    (void)context;
    uint8_t *to = in->pixels;
    for (int i = 0; i < in->n; i++) {
        uint64_t pair = (uint64_t)(in->first + i);
        struct philox4 draw = philox_draw(2, STREAM_TEST, which, pair);
        for (int p = 0; p < SIDE * SIDE; p++)
            for (int c = 0; c < 3; c++) {
                float x = (float)(p % SIDE) * philox_uniform(draw.v[c]);
                float y = (float)(p / SIDE) * philox_uniform(draw.v[3]);
                *to++ = (uint8_t)(128 + 100 * sinf(x + y + (float)c));
            }
        net_normal(in->z + (ptrdiff_t)i * in->z_stride, (size_t)in->z_count, 5, STREAM_GAN_LATENT,
                   which, pair * 16);
        in->real_draws[i] = augment_draw(3, which, 2 * pair, 0.3f, SIDE, SIDE);
        in->fake_draws[i] = augment_draw(3, which, 2 * pair + 1, 0.3f, SIDE, SIDE);
        in->labels[i] = in->flips[i] = 0;
    }
    return OK;
}

/* Cosine and ratio of the lengths of two gradients. */
struct distance {
    double cosine, ratio;
};

static struct distance distance_of(const float *a, const float *b, size_t count)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < count; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return (struct distance){ab / sqrt(aa * bb), sqrt(bb / aa)};
}

static void check_near(const struct trained_net *full, const struct trained_net *mixed)
{
    struct distance all = distance_of(full->gradients, mixed->gradients, full->net.floats);
    double cosine = 1, ratio = 0;
    for (int i = 0; i < full->net.parameter_count; i++) {
        const struct net_parameter *p = &full->net.parameters[i];
        struct distance d =
            distance_of(full->gradients + p->offset, mixed->gradients + p->offset, p->count);
        if (!(d.cosine >= cosine)) cosine = d.cosine;
        if (!(fabs(d.ratio - 1) <= ratio)) ratio = fabs(d.ratio - 1);
    }
    printf("mixed precision, %c: cosine %.6f, ratio of lengths %.5f; worst tensor: cosine %.5f, "
           "length off by %.4f\n",
           full->net.parameters[0].name[0], all.cosine, all.ratio, cosine, ratio);
    ck_assert(all.cosine >= 0.999 && fabs(all.ratio - 1) <= 0.01);
    ck_assert(cosine >= 0.99 && ratio <= 0.05);
    ck_assert_msg(all.cosine < 1, "nothing was rounded");
}

START_TEST(gradients_stay_near)
{
    struct gan_mode choices = {.batch = BATCH, .micro = BATCH};
    struct bench full, mixed;
    struct gan_report d, g, md, mg;
    bench_open(&full, &choices, 2);
    choices.amp = true;
    bench_open(&mixed, &choices, 2);
    MUST(gan_d_step(&full.core, fill, NULL, 2, &d));
    MUST(gan_d_step(&mixed.core, fill, NULL, 2, &md));
    check_near(&full.core.d, &mixed.core.d);
    MUST(gan_g_step(&full.core, fill, NULL, &g));
    MUST(gan_g_step(&mixed.core, fill, NULL, &mg));
    check_near(&full.core.g, &mixed.core.g);
    printf("penalty's identity: fp32 %.1e, mixed %.1e\n", d.invariant, md.invariant);
    ck_assert(d.invariant <= 1e-4 && md.invariant <= 3e-2 && md.invariant > d.invariant);
    ck_assert(fabs(d.loss - md.loss) <= 0.01 && fabs(g.loss - mg.loss) <= 0.01);
    bench_close(&full);
    bench_close(&mixed);
}
END_TEST

START_TEST(no_choice_changes_a_bit)
{
    struct gan_mode whole = {.batch = BATCH, .micro = BATCH, .amp = true};
    struct gan_mode parts = {
        .batch = BATCH, .micro = MICRO, .scheme = GAN_SCHEME_BLOCK, .amp = true};
    struct bench a, b;
    struct gan_report report;
    bench_open(&a, &whole, 2);
    bench_open(&b, &parts, 1);
    MUST(gan_d_step(&a.core, fill, NULL, 2, &report));
    MUST(gan_d_step(&b.core, fill, NULL, 2, &report));
    ck_assert_mem_eq(a.core.d.gradients, b.core.d.gradients, a.core.d.net.floats * sizeof(float));
    MUST(gan_g_step(&a.core, fill, NULL, &report));
    MUST(gan_g_step(&b.core, fill, NULL, &report));
    ck_assert_mem_eq(a.core.g.gradients, b.core.g.gradients, a.core.g.net.floats * sizeof(float));
    bench_close(&a);
    bench_close(&b);
}
END_TEST

/* Declared bytes of the outputs and gradients larger than 16 px that are no images. */
static size_t large_bytes(const struct bench *b)
{
    size_t sum = 0;
    for (int i = 0; i < plan_count(b->plan); i++) {
        const struct plan_entry *entry = plan_at(b->plan, i);
        const struct net *net = entry->name[0] == 'g' && strncmp(entry->name, "g.judge", 7)
                                    ? &b->core.g.net
                                    : &b->core.d.net;
        int layer = -1;
        if (!strncmp(entry->name, "d.make", 6)) net = &b->core.g.net;
        const char *what = strchr(entry->name + 2, '.');
        if (!what || sscanf(what, ".%*[a-z]%d", &layer) != 1) continue;
        if (!strncmp(what, ".mask", 5) || net->layers[layer].h <= 16) continue;
        if (net->layers[layer].c > 3) sum += entry->bytes;
    }
    return sum;
}

START_TEST(half_the_bytes)
{
    for (int scheme = GAN_SCHEME_NONE; scheme <= GAN_SCHEME_BLOCK; scheme++) {
        struct gan_mode choices = {.batch = BATCH, .micro = BATCH};
        struct bench full, mixed;
        choices.scheme = (enum gan_scheme)scheme;
        bench_open(&full, &choices, 1);
        choices.amp = true;
        bench_open(&mixed, &choices, 1);
        ck_assert_uint_gt(large_bytes(&full), 1 << 20);
        ck_assert_uint_eq(large_bytes(&full), 2 * large_bytes(&mixed));
        double full_bytes = (double)plan_kind_bytes(full.plan, PLAN_ACTIVATIONS);
        double ratio = (double)plan_kind_bytes(mixed.plan, PLAN_ACTIVATIONS) / full_bytes;
        printf("scheme %c: activations %.2f MB, %.3f of them in mixed precision\n", "AC"[scheme],
               full_bytes * 1e-6, ratio);
        ck_assert(ratio < 0.7);
        bench_close(&full);
        bench_close(&mixed);
    }
}
END_TEST

Suite *gan_amp_suite(void)
{
    Suite *suite = suite_create("gan_amp");
    TCase *tests = tcase_create("gan_amp");
    tcase_add_test(tests, gradients_stay_near);
    tcase_add_test(tests, no_choice_changes_a_bit);
    tcase_add_test(tests, half_the_bytes);
    suite_add_tcase(suite, tests);
    return suite;
}
