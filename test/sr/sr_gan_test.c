/* The discriminator in training: some steps of both networks against PyTorch's, memory modes that
 * change no bit, steps in which the generator rests, files. */
#include "base/random.h"
#include "device/device.h"
#include "memory/plan.h"
#include "registry/devices.h"
#include "sr/sr_core.h"
#include "store/safetensors.h"
#include "test/near.h"
#include "test/support.h"

#include <math.h>

Suite *sr_gan_test_suite(void);

/* ---- against scripts/reference/sr_gan_goldens.py, whose formulas these are ---- */

enum { BATCH = 3, SIDE = 8, SCALE = 2, LARGE = SIDE * SCALE, STEPS = 6 };

static const struct {
    const char *name;
    enum score_kind kind;
    bool features, skips;
} goldens[] = {{"vanilla", SCORE_VANILLA, true, true},
               {"lsgan", SCORE_LSGAN, false, true},
               {"hinge", SCORE_HINGE, true, false}};

static void wave(float *to, size_t count, int number, double low, double high)
{
    for (size_t i = 0; i < count; i++) {
        double x = sin((double)i * 12.9898 + number * 78.233) * 43758.5453;
        to[i] = (float)(low + (high - low) * (x - floor(x)));
    }
}

static void wave_weights(const struct net *net, float *to, int first)
{
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        double bound = p->dims > 1 ? 1 / sqrt((double)p->count / (double)p->shape[0]) : 0.1;
        wave(to + p->offset, p->count, first + i, -bound, bound);
    }
}

static void wave_vectors(const struct net *vectors, float *to)
{
    for (int i = 0; i < vectors->parameter_count; i += 2) {
        const struct net_parameter *u = &vectors->parameters[i];
        double squares = 0;
        wave(to + u->offset, u->count, 200 + i / 2, -1, 1);
        for (size_t k = u->offset; k < u->offset + u->count; k++)
            squares += (double)to[k] * (double)to[k];
        for (size_t k = u->offset; k < u->offset + u->count; k++)
            to[k] = (float)((double)to[k] / sqrt(squares));
    }
}

struct trial {
    struct device *device;
    struct plan *plan;
    struct sr_core core;
    int step;
};

static int wave_patches(void *context, int first, int n, float *lq, float *gt)
{
    static float all_lq[BATCH * SIDE * SIDE * 3], all_gt[BATCH * LARGE * LARGE * 3];
    const struct trial *t = context;
    size_t small = SIDE * SIDE * 3, large = LARGE * LARGE * 3;
    wave(all_lq, BATCH * small, 300 + t->step, 0, 1);
    wave(all_gt, BATCH * large, 400 + t->step, 0, 1);
    memcpy(lq, all_lq + (size_t)first * small, (size_t)n * small * sizeof *lq);
    memcpy(gt, all_gt + (size_t)first * large, (size_t)n * large * sizeof *gt);
    return OK;
}

static const struct sr_design tiny = {
    .network = SR_COMPACT, .scale = SCALE, .features = 8, .convs = 0};

static void trial_open(struct trial *t, const struct sr_loss_choices *losses,
                       const struct sr_mode *mode)
{
    *t = (struct trial){.plan = plan_create()};
    ck_assert_ptr_nonnull(t->plan);
    MUST(device_open(&t->device, "cpu", 2));
    MUST(sr_core_declare(&t->core, &tiny, losses, mode, t->device, t->plan));
    MUST(plan_commit(t->plan, t->device));
    sr_core_connect(&t->core);
    struct sr_gan *gan = &t->core.gan;
    wave_weights(&t->core.net.net, trained_net_view(&t->core.net, TRAINED_PARAMETERS), 0);
    wave_weights(&gan->net.net, trained_net_view(&gan->net, TRAINED_PARAMETERS), 100);
    wave_vectors(&gan->vectors_net, sr_gan_vectors_view(gan));
    MUST(sr_core_begin(&t->core));
}

static void trial_close(struct trial *t)
{
    plan_free(t->plan);
    sr_core_close(&t->core);
    device_close(t->device);
}

static const struct adam_rates adamw = {.lr = 1e-3, .b1 = 0.9, .b2 = 0.99, .decay = 0.01};

static void trial_step(struct trial *t, bool generator_rests, struct sr_report *report)
{
    const struct sr_rates rates = {
        .adam = adamw, .d = adamw, .ema = 0.5, .generator_rests = generator_rests};
    MUST(sr_train_step(&t->core, &rates, wave_patches, t));
    MUST(sr_core_report(&t->core, 0, report));
    t->step++;
}

static const float *golden_numbers(const struct store_file *file, const char *prefix,
                                   const char *name, size_t *count)
{
    char full[96];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct store_tensor *tensor = store_find(file, full);
    ck_assert_msg(tensor && tensor->type == TENSOR_F32, "no tensor %s", full);
    *count = 1;
    for (int i = 0; i < tensor->dims; i++)
        *count *= (size_t)tensor->shape[i];
    return tensor->data;
}

/* In units of the largest number of each tensor. */
static void compare_parameters(const struct store_file *file, const char *prefix,
                               const struct net *net, const float *got)
{
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        size_t count;
        const float *want = golden_numbers(file, prefix, p->name, &count);
        double error = relative_error(got + p->offset, want, count);
        ck_assert_uint_ge(p->count, count); /* of long ones their beginning */
        ck_assert_msg(error <= 1e-4, "%s%s: off by %g", prefix, p->name, error);
    }
}

START_TEST(steps_are_those_of_pytorch)
{
    char path[64];
    struct store_file *file;
    struct trial t;
    size_t count;
    snprintf(path, sizeof path, "test/golden/sr_gan_%s.safetensors", goldens[_i].name);
    MUST(store_open(&file, path));
    const struct sr_loss_choices losses = {.weight = {1},
                                           .gan = {.design = {8, goldens[_i].skips},
                                                   .kind = goldens[_i].kind,
                                                   .weight = 0.3,
                                                   .feature_weight = goldens[_i].features ? 0.2 : 0,
                                                   .every = 1}};
    trial_open(&t, &losses, &(struct sr_mode){.batch = BATCH, .micro = 2, .lq_size = SIDE});
    const float *loss = golden_numbers(file, "", "loss", &count);
    ck_assert_uint_eq(count, STEPS * 4);
    const float *scores = golden_numbers(file, "", "scores", &count);
    for (int step = 0; step < STEPS; step++, loss += 4, scores += 2) {
        struct sr_report r;
        trial_step(&t, false, &r);
        const double got[] = {r.term[SR_TERM_L1], r.gan.loss,       r.gan.feature,
                              r.gan.d_loss,       r.gan.score_real, r.gan.score_made};
        for (int k = 0; k < 6; k++) {
            double want = (double)(k < 4 ? loss[k] : scores[k - 4]);
            ck_assert_msg(fabs(got[k] - want) <= 2e-5 * fabs(want) + 2e-6,
                          "step %d, number %d: %.7g, not %.7g", step, k, got[k], want);
        }
    }
    const struct sr_gan *gan = &t.core.gan;
    compare_parameters(file, "g.", &t.core.net.net, t.core.net.parameters);
    compare_parameters(file, "d.", &gan->net.net, gan->net.parameters);
    compare_parameters(file, "d.", &gan->vectors_net, gan->vectors);
    trial_close(&t);
    store_close(file);
}
END_TEST

/* ---- memory ---- */

static const struct sr_loss_choices all_losses = {
    .weight = {1},
    .grad_clip = 0.5,
    .gan = {
        .design = {16, true}, .weight = 0.3, .feature_weight = 0.2, .every = 1, .grad_clip = 0.5}};

/* All that a run goes on with. Returns the plan's bytes. */
static size_t train_three_steps(const struct sr_mode *mode, float *state)
{
    struct trial t;
    struct sr_report report;
    trial_open(&t, &all_losses, mode);
    for (int step = 0; step < 3; step++)
        trial_step(&t, step == 0, &report);
    const struct trained_net *nets[] = {&t.core.net, &t.core.gan.net};
    for (int n = 0; n < 2; n++)
        for (int range = 0; range < TRAINED_RANGES; range++) {
            if (!nets[n]->has[range]) continue;
            size_t floats = nets[n]->net.floats;
            memcpy(state, trained_net_view(nets[n], (enum trained_range)range),
                   floats * sizeof *state);
            state += floats;
        }
    memcpy(state, t.core.gan.vectors, t.core.gan.vectors_net.floats * sizeof *state);
    size_t bytes = plan_device_bytes(t.plan);
    trial_close(&t);
    return bytes;
}

START_TEST(memory_modes_with_a_discriminator_change_no_bit)
{
    enum { ROOM = 1 << 20 };
    static const struct sr_mode modes[] = {
        {.batch = BATCH, .micro = 3, .lq_size = SIDE},
        {.batch = BATCH, .micro = 3, .lq_size = SIDE, .checkpointing = true},
        {.batch = BATCH, .micro = 2, .lq_size = SIDE},
        {.batch = BATCH, .micro = 1, .lq_size = SIDE, .checkpointing = true},
        {.batch = BATCH, .micro = 1, .lq_size = SIDE, .checkpointing = true, .offload = true},
    };
    float *want = calloc(ROOM, sizeof *want), *got = calloc(ROOM, sizeof *got);
    ck_assert(want && got);
    size_t whole = train_three_steps(&modes[0], want);
    for (size_t i = 1; i < sizeof modes / sizeof *modes; i++) {
        size_t bytes = train_three_steps(&modes[i], got);
        ck_assert_msg(memcmp(want, got, ROOM * sizeof *want) == 0, "mode %zu", i);
        ck_assert_uint_lt(bytes, whole);
    }
    free(want);
    free(got);
}
END_TEST

START_TEST(a_resting_generator_stays_while_the_discriminator_learns)
{
    struct trial t;
    struct sr_report report, first;
    trial_open(&t, &all_losses, &(struct sr_mode){.batch = BATCH, .micro = 3, .lq_size = SIDE});
    size_t g = t.core.net.net.floats * sizeof(float), d = t.core.gan.net.net.floats * sizeof(float);
    float *g_before = malloc(g), *d_before = malloc(d);
    ck_assert(g_before && d_before);
    memcpy(g_before, t.core.net.parameters, g);
    memcpy(d_before, t.core.gan.net.parameters, d);
    trial_step(&t, true, &first);
    ck_assert_int_eq(memcmp(g_before, t.core.net.parameters, g), 0);
    ck_assert_int_ne(memcmp(d_before, t.core.gan.net.parameters, d), 0);
    ck_assert_double_gt(first.term[SR_TERM_L1], 0); /* known all the same */
    ck_assert_double_eq(first.grad_norm, 0);
    for (int step = 0; step < 20; step++) {
        t.step = 0; /* the same patches */
        trial_step(&t, true, &report);
    }
    ck_assert_double_lt(report.gan.d_loss, 0.8 * first.gan.d_loss);
    ck_assert_double_gt(report.gan.score_real, report.gan.score_made);
    trial_step(&t, false, &report);
    ck_assert_int_ne(memcmp(g_before, t.core.net.parameters, g), 0);
    ck_assert_double_gt(report.grad_norm, 0);
    trial_step(&t, true, &report);
    ck_assert_double_eq(report.grad_norm, 0); /* not that of the step before */
    free(g_before);
    free(d_before);
    trial_close(&t);
}
END_TEST

START_TEST(the_generator_learns_in_the_steps_that_are_said)
{
    const struct sr_gan_choices none = {.weight = 0};
    const struct sr_gan_choices third = {.design = {8, true}, .every = 3, .from = 4};
    for (int step = 0; step < 12; step++) {
        ck_assert(sr_gan_generator_learns(&none, step));
        ck_assert_int_eq(sr_gan_generator_learns(&third, step),
                         step == 5 || step == 8 || step == 11);
    }
}
END_TEST

START_TEST(its_size_is_known)
{
    struct net net, vectors;
    int taps[SR_D_TAPS];
    MUST(sr_d_build(&net, &(struct sr_d_design){64, true}, 8, false, taps));
    MUST(sr_d_vectors(&vectors, &net));
    ck_assert_uint_eq(net.parameter_total, 4376897); /* as in BasicSR */
    ck_assert_int_eq(vectors.parameter_count, 2 * SR_D_NORMS);
    net_free(&net);
    net_free(&vectors);
    ck_assert_int_eq(sr_d_build(&net, &(struct sr_d_design){64, true}, 12, false, taps),
                     ERR_CONFIG);
}
END_TEST

Suite *sr_gan_test_suite(void)
{
    Suite *suite = suite_create("sr_gan_test");
    TCase *cases = tcase_create("sr_gan");
    tcase_add_loop_test(cases, steps_are_those_of_pytorch, 0, 3);
    tcase_add_test(cases, memory_modes_with_a_discriminator_change_no_bit);
    tcase_add_test(cases, a_resting_generator_stays_while_the_discriminator_learns);
    tcase_add_test(cases, the_generator_learns_in_the_steps_that_are_said);
    tcase_add_test(cases, its_size_is_known);
    suite_add_tcase(suite, cases);
    return suite;
}
