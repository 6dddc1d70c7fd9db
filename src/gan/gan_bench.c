/* The GAN workloads of `imgtrain bench`: whole steps of both networks, and the memory they take. */
#include "gan/gan_bench.h"

#include "base/bench.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/option_row.h"
#include "base/random.h"
#include "config/config.h"
#include "device/conv_library.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "gan/core.h"
#include "gan/gan_schedule.h"
#include "math/augment.h"
#include "memory/plan.h"
#include "nn/net_init.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    int64_t batch, micro;
    const char *scheme, *conv;
    double learn;
} asked = {.batch = 16, .scheme = "none", .conv = "native", .learn = 120};

static double gan_bench_learn_until; /* by clock_seconds() */

const struct option_row gan_bench_options[] = {
    {.name = "batch",
     .argument = "N",
     .integer = &asked.batch,
     .low = 1,
     .high = 65536,
     .help = "GANs: images of a step"},
    {.name = "micro",
     .argument = "N",
     .integer = &asked.micro,
     .low = 0,
     .high = 65536,
     .help = "GANs: images at a time; 0 = all"},
    {.name = "scheme",
     .argument = "none|block",
     .text = &asked.scheme,
     .help = "GANs: activation checkpointing, as gan.scheme"},
    {.name = "conv",
     .argument = "auto|native|cudnn",
     .text = &asked.conv,
     .help = "GANs: whose convolutions, as gan.conv"},
    {.name = "learn",
     .argument = "SECONDS",
     .seconds = &asked.learn,
     .help = "GANs: how long cuDNN's engines may be tried"},
    {0},
};

/* a and c are what older versions called them. */
static bool gan_bench_is_scheme(const char *name, const char *older_name)
{
    return strcmp(asked.scheme, name) == 0 || strcmp(asked.scheme, older_name) == 0;
}

static const char *const gan_bench_conv[] = {
    [CONV_AUTO] = "auto", [CONV_ALWAYS] = "cudnn", [CONV_NEVER] = "native"};

/* Of asked.conv; -1 for none. */
static int gan_bench_conv_use(void)
{
    for (int use = 0; use < (int)(sizeof gan_bench_conv / sizeof *gan_bench_conv); use++)
        if (strcmp(asked.conv, gan_bench_conv[use]) == 0) return use;
    return -1;
}

int gan_bench_check(void)
{
    if (gan_bench_conv_use() < 0)
        return fail(ERR_USAGE, "--conv %s is none of auto, native, cudnn", asked.conv);
    if (!gan_bench_is_scheme("none", "a") && !gan_bench_is_scheme("block", "c"))
        return fail(ERR_USAGE, "--scheme %s is neither none nor block", asked.scheme);
    if (asked.micro > asked.batch)
        return fail(ERR_USAGE, "--micro %" PRId64 ": at most --batch (%" PRId64 ")", asked.micro,
                    asked.batch);
    return OK;
}

struct gan_bench {
    struct device *device;
    struct plan *plan;
    struct gan_core core;
    uint8_t *picture;       /* shown as every real */
    struct gan_report d, g; /* of the last step */
    int step;
};

/* Bytes of a line of /proc/self/status: "VmRSS:" now, "VmHWM:" at most; -1 if unknown. */
static int64_t process_bytes(const char *key)
{
    char line[128];
    int64_t kib = -1;
    FILE *file = fopen("/proc/self/status", "re");
    if (!file) return -1;
    while (kib < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0) kib = atoll(line + strlen(key));
    fclose(file);
    return kib < 0 ? -1 : kib * 1024;
}

/* So that "VmHWM:" counts from now on; where the kernel cannot, earlier workloads show in it. */
static void forget_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "we");
    if (!file) return;
    fputs("5", file);
    fclose(file);
}

/* A batch as in the middle of a training: every augmentation is on. */
static int gan_bench_fill(void *context, enum gan_which which, struct gan_inputs *in)
{
    struct gan_bench *b = context;
    const struct gan_core *core = &b->core;
    const struct nn_augment draws = {.brightness = 0.1f,
                                     .saturation = 1.2f,
                                     .contrast = 0.9f,
                                     .dy = 1,
                                     .dx = -1,
                                     .y1 = core->shape.h / 2,
                                     .x1 = core->shape.w / 2};
    uint64_t words = (uint64_t)(in->z_count + 3) / 4;
    size_t one = (size_t)(core->shape.h * core->shape.w * core->shape.c);
    for (int i = 0; i < in->n; i++) {
        uint64_t pair = (uint64_t)(in->first + i);
        net_normal(in->z + (ptrdiff_t)i * in->z_stride, (size_t)in->z_count, 1, STREAM_GAN_LATENT,
                   2 * (uint64_t)b->step + (uint64_t)which, pair * words);
        memcpy(in->pixels + (size_t)i * one, b->picture, one);
        in->flips[i] = 0;
        in->real_draws[i] = in->fake_draws[i] = draws;
        in->labels[i] = 0;
    }
    return OK;
}

/* As in a training, the report of a step is read while the next one is done. */
static int gan_bench_steps(void *context, int k)
{
    const struct gan_rates rates = {.gamma = 1, .adam = {.lr = 2e-4, .b2 = 0.9}, .ema = 0.999};
    struct gan_bench *b = context;
    int count = bench_at_once(b->device->is_host);
    for (int i = 1; i <= count; i++) {
        b->step = (k + 2) * count + i - 1;
        TRY(gan_train_step(&b->core, &rates, gan_bench_fill, b));
        TRY(gan_report(&b->core, i < count, &b->d, &b->g));
    }
    return OK;
}

/* The networks that cfgs/gan-SIZE.yaml trains, and the workspace that cuDNN may have. */
static int gan_bench_preset(struct net_design *design, size_t *workspace, int size)
{
    struct config *config;
    char text[48];
    snprintf(text, sizeof text, "task: gan\nsize: %d\n", size);
    TRY(config_load_text(&config, "bench", text, strlen(text), 0, NULL));
    int code = gan_design(design, config, 0, 3);
    *workspace = (size_t)config->memory.workspace;
    config_free(config);
    return code;
}

static int gan_bench_open_library(struct device *device, bool *used)
{
    enum conv_use use = (enum conv_use)gan_bench_conv_use();
    return conv_library_open(device, use, false, "--conv cudnn", used);
}

static bool gan_bench_learnt(void)
{
    return clock_seconds() > gan_bench_learn_until;
}

static int gan_bench_set_up(struct gan_bench *b, const struct bench *bench, int size)
{
    struct net_design design;
    struct gan_mode choices = {.batch = (int)asked.batch};
    int chunk = gan_chunk(size, size), micro = (int)(asked.micro ? asked.micro : asked.batch);
    micro = (micro + chunk - 1) / chunk * chunk;
    choices.micro = micro < choices.batch ? micro : choices.batch;
    choices.amp = bench->amp;
    choices.scheme = gan_bench_is_scheme("none", "a") ? GAN_SCHEME_NONE : GAN_SCHEME_BLOCK;
    TRY(gan_bench_preset(&design, &choices.workspace_cap, size));
    TRY(bench->open(bench, &b->device));
    TRY(gan_bench_open_library(b->device, &choices.conv_library));
    b->plan = plan_create();
    b->picture = malloc((size_t)(size * size * 3));
    if (!b->plan || !b->picture) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < size * size * 3; i++)
        b->picture[i] = (uint8_t)philox_draw(1, STREAM_TEST, 0, (uint64_t)i).v[0];
    TRY(gan_core_declare(&b->core, &design, &choices, b->device, b->plan));
    TRY(plan_commit(b->plan, b->device));
    TRY(gan_core_connect(&b->core));
    TRY(gan_core_initialise(&b->core, 1));
    gan_bench_learn_until = clock_seconds() + asked.learn;
    return gan_core_autotune(&b->core, NULL, gan_bench_learnt);
}

static void gan_bench_report(struct bench *bench, const struct gan_bench *b,
                             const struct bench_times *times, int64_t grown)
{
    const struct gan_mode *c = &b->core.mode;
    double rate = 1e3 * c->batch / times->median;
    size_t kept = plan_kind_bytes(b->plan, PLAN_ACTIVATIONS), all = plan_device_bytes(b->plan);
    if (bench->json) {
        char name[32];
        snprintf(name, sizeof name, "gan %d", b->core.shape.w);
        bench_json_begin(bench, name, times);
        printf(", \"batch\": %d, \"micro\": %d, \"scheme\": \"%s\", \"amp\": %s, \"images_per_s\": "
               "%.2f, "
               "\"units_d\": %.3f, \"units_g\": %.3f, \"activation_bytes\": %zu, "
               "\"plan_bytes\": %zu, \"peak_bytes\": %zu, \"grown_bytes\": %" PRId64 "}",
               c->batch, c->micro, asked.scheme, c->amp ? "true" : "false", rate, b->d.units,
               b->g.units, kept, all, b->device->peak_bytes, grown);
    } else {
        printf("%dx%-4d median %7.2f ms, mean %7.2f, best %7.2f, CPU %7.2f  %7.1f images/s  %.2f + "
               "%.2f units, "
               "%s\n",
               b->core.shape.w, b->core.shape.h, times->median, times->mean, times->best,
               times->cpu, rate, b->d.units, b->g.units, format_bytes((int64_t)all).text);
    }
    fflush(stdout);
}

static int run_size(struct bench *bench, int size, bool first)
{
    struct gan_bench *b = calloc(1, sizeof *b);
    struct bench_times times;
    int code = OK;
    if (!b) return fail(ERR_SYSTEM, "out of memory");
    forget_peak();
    int64_t before = process_bytes("VmRSS:");
    TRY_CLEANUP(gan_bench_set_up(b, bench, size));
    if (first && !bench->json)
        printf("%s\nGAN, D step and G step: batch %" PRId64 ", scheme %s, conv %s%s\n",
               b->device->name, asked.batch, asked.scheme, asked.conv, bench->amp ? ", bf16" : "");
    bench->kernel_times(bench, b->device, true);
    TRY_CLEANUP(
        bench_measure(bench, gan_bench_steps, b, bench_at_once(b->device->is_host), &times));
    gan_bench_report(bench, b, &times, process_bytes("VmHWM:") - before);
    bench->kernel_times(bench, b->device, false);
cleanup:
    stepper_rest(&b->core.stepper);
    plan_free(b->plan);
    gan_core_close(&b->core);
    device_close(b->device);
    free(b->picture);
    free(b);
    return code;
}

int gan_bench(struct bench *bench)
{
    static const int sizes[] = {16, 32, 64};
    if (bench->size) return run_size(bench, (int)bench->size, true);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        TRY(run_size(bench, sizes[i], i == 0));
    return OK;
}
