#include "sr/sr_bench.h"

#include "base/bench.h"
#include "base/error.h"
#include "base/format.h"
#include "base/option_row.h"
#include "base/random.h"
#include "device/device.h"
#include "memory/plan.h"
#include "sr/sr_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static struct {
    const char *network;
    int64_t patches, features, convs, blocks, scale;
} asked = {
    .network = "compact", .patches = 16, .features = 64, .convs = 16, .blocks = 23, .scale = 2};

const struct option_row sr_bench_options[] = {
    {.name = "patches",
     .argument = "N",
     .integer = &asked.patches,
     .low = 1,
     .high = 65536,
     .help = "sr: patches of a step (--size: their lq_size)"},
    {.name = "network",
     .argument = "NAME",
     .text = &asked.network,
     .help = "sr: compact, span or esrgan"},
    {.name = "features",
     .argument = "N",
     .integer = &asked.features,
     .low = 1,
     .high = SR_FEATURES_MOST,
     .help = "sr: channels inside"},
    {.name = "convs",
     .argument = "N",
     .integer = &asked.convs,
     .low = 1,
     .high = SR_CONVS_MOST,
     .help = "sr: of compact: convolutions between the first and the last"},
    {.name = "blocks",
     .argument = "N",
     .integer = &asked.blocks,
     .low = 1,
     .high = SR_BLOCKS_MOST,
     .help = "sr: of esrgan: blocks of three dense blocks"},
    {.name = "enlarge",
     .argument = "N",
     .integer = &asked.scale,
     .low = 1,
     .high = SR_SCALE_MOST,
     .help = "sr: by how much"},
    {0},
};

struct sr_bench {
    struct device *device;
    struct plan *plan;
    struct sr_core core;
    struct sr_report report;
};

/* Noise: what the numbers are makes no step slower. */
static int sr_bench_fill(void *context, int first, int n, float *lq, float *gt)
{
    const struct sr_bench *b = context;
    size_t side = (size_t)b->core.mode.lq_size, scale = (size_t)b->core.design.scale;
    for (size_t i = 0; i < (size_t)n * side * side * 3; i++)
        lq[i] = philox_uniform(philox_draw(1, STREAM_TEST, (uint64_t)first, i).v[0]);
    for (size_t i = 0; i < (size_t)n * side * side * scale * scale * 3; i++)
        gt[i] = lq[i / scale / scale];
    return OK;
}

/* The patches of the first step are there in all others. */
static int sr_bench_keep(void *context, int first, int n, float *lq, float *gt)
{
    (void)context, (void)first, (void)n, (void)lq, (void)gt;
    return OK;
}

static int sr_bench_steps(void *context, int k)
{
    const struct sr_rates rates = {.adam = {.lr = 2e-4, .b1 = 0.9, .b2 = 0.99}, .ema = 0.999};
    struct sr_bench *b = context;
    int count = bench_at_once(b->device->is_host);
    for (int i = 1; i <= count; i++) {
        TRY(sr_train_step(&b->core, &rates, k < 0 ? sr_bench_fill : sr_bench_keep, b));
        TRY(sr_core_report(&b->core, i < count, &b->report));
    }
    return OK;
}

static void sr_bench_print(struct bench *bench, const struct sr_bench *b,
                           const struct bench_times *times)
{
    const struct sr_mode *mode = &b->core.mode;
    double macs = 3 * net_macs(&b->core.net.net) * mode->batch;
    size_t all = plan_device_bytes(b->plan);
    if (bench->json) {
        bench_json_begin(bench, "sr", times);
        printf(", \"batch\": %d, \"lq_size\": %d, \"gflops\": %.2f, \"plan_bytes\": %zu}",
               mode->batch, mode->lq_size, 2e-6 * macs / times->median, all);
    } else {
        printf("%s\nsr, %s %dx, %d patches of %d: median %.2f ms, mean %.2f, best %.2f, CPU %.2f, "
               "%.1f GFLOP/s, %s\n",
               b->device->name, sr_design_text(&b->core.design).text, b->core.design.scale,
               mode->batch, mode->lq_size, times->median, times->mean, times->best, times->cpu,
               2e-6 * macs / times->median, format_bytes((int64_t)all).text);
    }
    fflush(stdout);
}

/* The network of this name. */
static int sr_bench_network(enum sr_network *network)
{
    for (int i = 0; i < SR_NETWORKS; i++) {
        *network = (enum sr_network)i;
        if (strcasecmp(asked.network, sr_network_name(*network)) == 0) return OK;
    }
    return fail(ERR_USAGE, "--network: there is no network %s", asked.network);
}

int sr_bench(struct bench *bench)
{
    struct sr_design design = {
        .scale = (int)asked.scale, .features = (int)asked.features, .convs = (int)asked.convs};
    TRY(sr_bench_network(&design.network));
    if (design.network == SR_ESRGAN) {
        design.blocks = (int)asked.blocks;
        design.growth = 32;
        if (design.scale < 4) design.unshuffle = 4 / design.scale;
    }
    struct sr_bench *b = calloc(1, sizeof *b);
    const struct sr_mode mode = {.batch = (int)asked.patches,
                                 .micro = (int)asked.patches,
                                 .lq_size = bench->size ? (int)bench->size : 64};
    const struct sr_loss_choices losses = {.weight[SR_TERM_L1] = 1};
    struct bench_times times;
    int code = OK;
    if (!b) return fail(ERR_SYSTEM, "out of memory");
    TRY_CLEANUP(bench->open(bench, &b->device));
    b->plan = plan_create();
    if (!b->plan) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    TRY_CLEANUP(sr_core_declare(&b->core, &design, &losses, &mode, b->device, b->plan));
    TRY_CLEANUP(plan_commit(b->plan, b->device));
    sr_core_connect(&b->core);
    TRY_CLEANUP(sr_core_initialise(&b->core, 1));
    TRY_CLEANUP(sr_core_begin(&b->core));
    TRY_CLEANUP(bench_measure(bench, sr_bench_steps, b, bench_at_once(b->device->is_host), &times));
    sr_bench_print(bench, b, &times);
cleanup:
    if (b->core.device) stepper_rest(&b->core.stepper);
    plan_free(b->plan);
    sr_core_close(&b->core);
    if (b->device) device_close(b->device);
    free(b);
    return code;
}
