/* imgtrain bench: how long a training step takes on this machine. */
#include "base/clock.h"
#include "base/error.h"
#include "base/philox.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "config/config.h"
#include "device/device.h"
#include "splat/init.h"
#include "splat/splat.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_STEPS = 1000 };

struct bench {
    int64_t size, gaussians, steps, threads;
    double sigma;
    const char *device;
    bool json;
};

/* One way to train: what is blended, what the loss is. */
struct workload {
    const char *name;
    struct splat_blend blend;
    struct splat_loss loss;
};

static const struct workload workloads[] = {
    {"topk 10, L1 + SSIM", {10, false}, {1, 0, 0.1f}},
    {"topk 10, L1", {10, false}, {1, 0, 0}},
    {"additive, L1", {0, true}, {1, 0, 0}},
};

static int by_value(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

/* A smooth picture with edges, and round Gaussians anywhere on it. */
static void fill_scene(struct splat_fit *fit, struct image *picture, const struct bench *bench)
{
    for (int y = 0; y < picture->height; y++)
        for (int x = 0; x < picture->width; x++)
            for (int c = 0; c < 3; c++) {
                double u = x / (double)picture->width, v = y / (double)picture->height;
                bool disc = (u - 0.4) * (u - 0.4) + (v - 0.6) * (v - 0.6) < 0.05;
                double wave = 0.5 + 0.25 * sin(40 * u + 9 * v * v + c) + (disc ? 0.2 : 0);
                ((uint8_t *)picture->data)[((int64_t)y * picture->width + x) * 3 + c] =
                    (uint8_t)(wave * 255);
            }
    for (int64_t i = 0; i < bench->gaussians; i++) {
        struct philox4 r = philox_draw(1, STREAM_TEST, 0, (uint64_t)i);
        struct philox4 s = philox_draw(1, STREAM_TEST, 1, (uint64_t)i);
        for (int k = 0; k < 2; k++) {
            fit->model.group[SPLAT_XY][2 * i + k] = philox_uniform(r.v[k]);
            fit->model.group[SPLAT_SCALE][2 * i + k] = (float)(1 / bench->sigma);
        }
        fit->model.group[SPLAT_ROT][i] = 0;
        for (int c = 0; c < 3; c++)
            fit->model.group[SPLAT_FEAT][3 * i + c] = philox_uniform(s.v[c]);
    }
    fit->model.count = bench->gaussians;
}

/* The fit takes its loss from `config`. */
static int measure(struct splat_fit *fit, struct config *config, const struct workload *work,
                   const struct bench *bench, double *times)
{
    struct config_splat *c = &config->splat;
    c->l1_loss_ratio = (double)work->loss.l1;
    c->ssim_loss_ratio = (double)work->loss.ssim;
    fit->model.blend = work->blend;
    for (int k = -2; k < (int)bench->steps; k++) { /* two to warm up */
        double loss, start = clock_seconds();
        TRY(splat_fit_step(fit, k + 2, true, &loss));
        if (k >= 0) times[k] = 1e3 * (clock_seconds() - start);
    }
    qsort(times, (size_t)bench->steps, sizeof *times, by_value);
    return OK;
}

static void report(const struct workload *work, const struct bench *bench, const double *times,
                   double pairs, bool first)
{
    double median = times[bench->steps / 2];
    if (bench->json)
        printf("%s\n {\"name\": \"%s\", \"ms\": %.3f, \"best_ms\": %.3f, \"gpairs_per_s\": %.3f}",
               first ? "[" : ",", work->name, median, times[0], pairs / median / 1e6);
    else
        printf("%-20s median %7.2f ms/step, best %7.2f   %6.2f Gpairs/s\n", work->name, median,
               times[0], pairs / median / 1e6);
    fflush(stdout);
}

static int run_workloads(struct splat_fit *fit, struct config *config, const struct bench *bench)
{
    struct splat_source source = {.sample_bits = 8};
    double times[MAX_STEPS];
    int side = (int)bench->size, code = OK;
    TRY_CLEANUP(image_create(&source.fit, side, side, 3, SAMPLE_U8));
    TRY_CLEANUP(splat_fit_declare(fit, &source, bench->gaussians));
    TRY_CLEANUP(plan_commit(fit->plan, fit->device));
    splat_schedule_init(&fit->schedule);
    if (!bench->json)
        printf("%s\n%dx%d, %lld Gaussians of %g px, %.0f MB\n", fit->device->name, side, side,
               (long long)bench->gaussians, bench->sigma,
               (double)plan_device_bytes(fit->plan) / 1e6);
    for (size_t w = 0; w < sizeof workloads / sizeof workloads[0]; w++) {
        fill_scene(fit, &source.fit, bench);
        splat_fit_load_target(fit, &source);
        struct splat_view view = splat_model_view(&fit->model, NULL);
        double pairs =
            (double)fit->device->splat->count_pairs(fit->device, &view, &workloads[w].blend);
        TRY_CLEANUP(measure(fit, config, &workloads[w], bench, times));
        report(&workloads[w], bench, times, pairs, w == 0);
    }
    if (bench->json) printf("\n]\n");
cleanup:
    splat_source_free(&source);
    return code;
}

static int bench_splat(const struct bench *bench)
{
    struct config *config = NULL;
    struct splat_fit fit = {.grown_at = 0};
    int code;
    TRY(config_load_text(&config, "bench", "", 0, 0, NULL));
    TRY_CLEANUP(device_open(&fit.device, bench->device, (int)bench->threads));
    fit.config = config;
    fit.plan = plan_create();
    if (!fit.plan) TRY_CLEANUP(ERR_SYSTEM);
    code = run_workloads(&fit, config, bench);
cleanup:
    plan_free(fit.plan);
    device_close(fit.device);
    config_free(config);
    return code;
}

int cmd_bench(int argc, char **argv)
{
    struct bench bench = {
        .size = 2048, .gaussians = 10000, .steps = 21, .sigma = 5, .device = "auto"};
    const struct option_row rows[] = {
        {.name = "size", .argument = "N", .integer = &bench.size, .help = "side of the picture"},
        {.name = "gaussians", .argument = "N", .integer = &bench.gaussians, .help = "how many"},
        {.name = "sigma", .argument = "PX", .number = &bench.sigma, .help = "of each, in pixels"},
        {.name = "steps", .argument = "N", .integer = &bench.steps, .help = "steps to time"},
        {.name = "threads", .argument = "N", .integer = &bench.threads, .help = "0 = all"},
        {.name = "device", .argument = "NAME", .text = &bench.device, .help = "as in train"},
        {.name = "json", .flag = &bench.json, .help = "print JSON"},
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain bench [--size N] [--gaussians N] [--sigma PX] [--steps N] [--json]",
        .about = "Times training steps of Gaussian splats: milliseconds a step (median) and\n"
                 "billions of (Gaussian, pixel) pairs a second.",
        .options = rows,
        .examples = "imgtrain bench\n"
                    "imgtrain bench --size 512 --gaussians 5000 --sigma 3\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    if (bench.size < 1 || bench.size > IMAGE_MAX_SIDE || bench.gaussians < 1 ||
        bench.gaussians > 100000000 || bench.steps < 1 || bench.steps > MAX_STEPS ||
        !(bench.sigma > 0.1 && bench.sigma < 1e4) || bench.threads < 0 || bench.threads > 4096)
        return fail(ERR_USAGE, "size 1..%d, gaussians 1..100000000, steps 1..%d, sigma 0.1..10000",
                    IMAGE_MAX_SIDE, MAX_STEPS);
    return bench_splat(&bench);
}
