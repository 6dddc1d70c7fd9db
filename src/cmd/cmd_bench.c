/* imgtrain bench: how long a training step takes on this machine. */
#include "cmd/cmd_bench.h"

#include "base/clock.h"
#include "base/error.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "device/device.h"
#include "image/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int by_value(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int bench_at_once(const struct device *device)
{
    return device->is_host ? 1 : 16;
}

int bench_measure(const struct bench *bench, bench_step *step, void *context, int at_once,
                  struct bench_times *times)
{
    double each[BENCH_MAX_STEPS], cpu = 0;
    int steps = (int)bench->steps;
    for (int k = -2; k < steps; k++) {
        if (k == 0) cpu = cpu_seconds();
        double start = clock_seconds();
        TRY(step(context, k));
        if (k >= 0) each[k] = 1e3 * (clock_seconds() - start) / at_once;
    }
    times->cpu = 1e3 * (cpu_seconds() - cpu) / steps / at_once;
    qsort(each, (size_t)steps, sizeof *each, by_value);
    times->median = each[steps / 2];
    times->best = each[0];
    return OK;
}

void bench_json_begin(struct bench *bench, const char *name, const struct bench_times *times)
{
    printf("%s\n {\"name\": \"%s\", \"ms\": %.3f, \"best_ms\": %.3f, \"cpu_ms\": %.3f",
           bench->reported++ ? "," : "[", name, times->median, times->best, times->cpu);
}

static int cmd_bench_check(const struct bench *b)
{
    bool all = strcmp(b->task, "all") == 0;
    if (!all && strcmp(b->task, "gan") != 0 && strcmp(b->task, "splat") != 0)
        return fail(ERR_USAGE, "--task %s is none of gan, splat, all", b->task);
    if (all && b->size) return fail(ERR_USAGE, "--size needs --task gan or --task splat");
    if (strcmp(b->scheme, "a") != 0 && strcmp(b->scheme, "c") != 0)
        return fail(ERR_USAGE, "--scheme %s is neither a nor c", b->scheme);
    if (b->size < 0 || b->size > IMAGE_MAX_SIDE || b->gaussians < 1 || b->gaussians > 100000000 ||
        b->steps < 1 || b->steps > BENCH_MAX_STEPS || !(b->sigma > 0.1 && b->sigma < 1e4) ||
        b->threads < 0 || b->threads > 4096)
        return fail(ERR_USAGE, "size 1..%d, gaussians 1..100000000, steps 1..%d, sigma 0.1..10000",
                    IMAGE_MAX_SIDE, BENCH_MAX_STEPS);
    if (b->batch < 1 || b->batch > 65536 || b->micro < 0 || b->micro > b->batch)
        return fail(ERR_USAGE, "batch 1..65536, micro 0..batch");
    return OK;
}

int cmd_bench(int argc, char **argv)
{
    struct bench b = {.task = "all",
                      .gaussians = 10000,
                      .steps = 21,
                      .sigma = 5,
                      .device = "auto",
                      .batch = 16,
                      .scheme = "a"};
    const struct option_row rows[] = {
        {.name = "task", .argument = "NAME", .text = &b.task, .help = "gan, splat or all"},
        {.name = "size", .argument = "N", .integer = &b.size, .help = "side of the pictures"},
        {.name = "steps", .argument = "N", .integer = &b.steps, .help = "steps to time"},
        {.name = "threads", .argument = "N", .integer = &b.threads, .help = "0 = all"},
        {.name = "device", .argument = "NAME", .text = &b.device, .help = "as in train"},
        {.name = "gaussians", .argument = "N", .integer = &b.gaussians, .help = "how many"},
        {.name = "sigma", .argument = "PX", .number = &b.sigma, .help = "of each, in pixels"},
        {.name = "batch", .argument = "N", .integer = &b.batch, .help = "pictures of a GAN's step"},
        {.name = "micro", .argument = "N", .integer = &b.micro, .help = "at a time; 0 = all"},
        {.name = "scheme", .argument = "a|c", .text = &b.scheme, .help = "as gan.scheme"},
        {.name = "amp", .flag = &b.amp, .help = "use_amp: bf16, or halves"},
        {.name = "json", .flag = &b.json, .help = "print JSON"},
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain bench [--task gan|splat|all] [--size N] [--steps N] [--json] ...",
        .about = "Times training steps on made-up pictures. Splats (2048 px): milliseconds a step\n"
                 "(median) and billions of (Gaussian, pixel) pairs a second. GAN (16, 32, 64 px,\n"
                 "networks as in cfgs/gan-*.yaml): a D step and a G step with both updates, and\n"
                 "the memory that they take.",
        .options = rows,
        .examples = "imgtrain bench\n"
                    "imgtrain bench --task splat --size 512 --gaussians 5000 --sigma 3\n"
                    "imgtrain bench --task gan --size 128 --batch 32 --scheme c\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    TRY(cmd_bench_check(&b));
    if (strcmp(b.task, "gan") == 0) options_without_effect("gaussians sigma", "with --task gan");
    if (strcmp(b.task, "splat") == 0)
        options_without_effect("batch micro scheme", "with --task splat");
    if (strcmp(b.task, "gan") != 0) TRY(bench_splat(&b));
    if (strcmp(b.task, "splat") != 0) TRY(bench_gan(&b));
    if (b.json) printf("\n]\n");
    return OK;
}
