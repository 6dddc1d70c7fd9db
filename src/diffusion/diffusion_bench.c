#include "diffusion/diffusion_bench.h"

#include "base/bench.h"
#include "base/error.h"
#include "base/format.h"
#include "base/random.h"
#include "device/device.h"
#include "diffusion/diffusion_core.h"
#include "memory/plan.h"

#include <stdio.h>
#include <stdlib.h>

enum { BENCH_SIZE = 16, BENCH_TEXT = 32 }; /* pixels; width of a condition */

static struct {
    int64_t images, dim, layers, refiners, heads;
} diffusion_asked = {.images = 48, .dim = 64, .layers = 3, .refiners = 1, .heads = 2};

const struct option_row diffusion_bench_options[] = {
    {.name = "images",
     .argument = "N",
     .integer = &diffusion_asked.images,
     .low = 1,
     .high = 65536,
     .help = "diffusion: images of a step"},
    {.name = "dim",
     .argument = "N",
     .integer = &diffusion_asked.dim,
     .low = 8,
     .high = 4096,
     .help = "diffusion: width of a token"},
    {.name = "layers",
     .argument = "N",
     .integer = &diffusion_asked.layers,
     .low = 1,
     .high = 128,
     .help = "diffusion: blocks on image and condition"},
    {.name = "refiners",
     .argument = "N",
     .integer = &diffusion_asked.refiners,
     .low = 1,
     .high = 32,
     .help = "diffusion: blocks on each of them alone"},
    {.name = "heads",
     .argument = "N",
     .integer = &diffusion_asked.heads,
     .low = 1,
     .high = 128,
     .help = "diffusion: of attention, each a multiple of 8 wide"},
    {0},
};

struct diffusion_bench {
    struct device *device;
    struct plan *plan;
    struct diffusion_core core;
    struct diffusion_report report;
};

/* Noise: what the numbers are makes no step slower. */
static int diffusion_bench_fill(void *context, int first, int n,
                                const struct diffusion_samples *out)
{
    const struct diffusion_bench *b = context;
    const struct diffusion_design *design = &b->core.design;
    size_t image = diffusion_image_floats(design);
    for (size_t i = 0; i < (size_t)n * image; i++) {
        out->noisy[i] = philox_uniform(philox_draw(1, STREAM_TEST, (uint64_t)first, i).v[0]);
        out->target[i] = out->noisy[i] - 0.5f;
    }
    for (int i = 0; i < n; i++) {
        out->time[i] = ((float)i + 0.5f) / (float)n;
        diffusion_condition_set(&design->conditions, 0, NULL, out->condition + i, out->length + i);
    }
    return OK;
}

/* The images of the first step are there in all others. */
static int diffusion_bench_keep(void *context, int first, int n,
                                const struct diffusion_samples *out)
{
    (void)context, (void)first, (void)n, (void)out;
    return OK;
}

static int diffusion_bench_steps(void *context, int k)
{
    const struct diffusion_rates rates = {
        .adam = {.lr = 1e-4, .b1 = 0.9, .b2 = 0.95, .decay = 0.01}, .ema = 0.999};
    struct diffusion_bench *b = context;
    int count = bench_at_once(b->device->is_host);
    for (int i = 1; i <= count; i++) {
        TRY(diffusion_train_step(&b->core, &rates,
                                 k < 0 ? diffusion_bench_fill : diffusion_bench_keep, b));
        TRY(diffusion_core_report(&b->core, i < count, &b->report));
    }
    return OK;
}

static void diffusion_bench_print(struct bench *bench, const struct diffusion_bench *b,
                                  const struct bench_times *times)
{
    int batch = b->core.mode.batch;
    double macs = 3 * diffusion_network_macs(&b->core.network) * batch;
    size_t all = plan_device_bytes(b->plan), weights = b->core.net.net.parameter_total;
    if (bench->json) {
        bench_json_begin(bench, "diffusion", times);
        printf(", \"images\": %d, \"parameters\": %zu, \"gflops\": %.2f, \"plan_bytes\": %zu}",
               batch, weights, 2e-6 * macs / times->median, all);
    } else {
        printf("%s\ndiffusion, %zu parameters, %d images of %d: median %.2f ms, mean %.2f, best "
               "%.2f, CPU %.2f, %.1f images/s, %.1f GFLOP/s, %s\n",
               b->device->name, weights, batch, b->core.design.width, times->median, times->mean,
               times->best, times->cpu, 1e3 * batch / times->median, 2e-6 * macs / times->median,
               format_bytes((int64_t)all).text);
    }
    fflush(stdout);
}

static int diffusion_bench_design(struct diffusion_design *design, int side)
{
    int dim = (int)diffusion_asked.dim, heads = (int)diffusion_asked.heads, width = dim / heads;
    if (dim % heads || width % 8)
        return fail(ERR_USAGE, "--dim %d: no multiple of 8 for each of --heads %d", dim, heads);
    if (side % 4) return fail(ERR_USAGE, "--size %d: no multiple of 4", side);
    *design = (struct diffusion_design){
        .dit = {.dim = dim,
                .layers = (int)diffusion_asked.layers,
                .refiner_layers = (int)diffusion_asked.refiners,
                .heads = heads,
                .text_dim = BENCH_TEXT,
                .axes = {width / 2, width / 4, width / 4}},
        .width = side,
        .height = side,
        .conditions = {.count = 5, .rows_most = 1},
    };
    diffusion_design_complete(design);
    return OK;
}

int diffusion_bench(struct bench *bench)
{
    struct diffusion_design design;
    struct bench_times times;
    const struct diffusion_mode mode = {.batch = (int)diffusion_asked.images,
                                        .micro = (int)diffusion_asked.images};
    TRY(diffusion_bench_design(&design, bench->size ? (int)bench->size : BENCH_SIZE));
    struct diffusion_bench *b = calloc(1, sizeof *b);
    int code = OK;
    if (!b) return fail(ERR_SYSTEM, "out of memory");
    TRY_CLEANUP(bench->open(bench, &b->device));
    b->plan = plan_create();
    if (!b->plan) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    TRY_CLEANUP(diffusion_core_declare(&b->core, &design, &mode, 1, b->device, b->plan));
    TRY_CLEANUP(plan_commit(b->plan, b->device));
    TRY_CLEANUP(diffusion_core_connect(&b->core));
    TRY_CLEANUP(diffusion_core_initialise(&b->core, 1));
    TRY_CLEANUP(
        bench_measure(bench, diffusion_bench_steps, b, bench_at_once(b->device->is_host), &times));
    diffusion_bench_print(bench, b, &times);
cleanup:
    if (b->core.device) stepper_rest(&b->core.stepper);
    plan_free(b->plan);
    diffusion_core_close(&b->core);
    if (b->device) device_close(b->device);
    free(b);
    return code;
}
