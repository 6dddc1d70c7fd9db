/* The splat workloads of `imgtrain bench`. */
#include "base/bench.h"
#include "base/error.h"
#include "base/option_row.h"
#include "base/random.h"
#include "config/config.h"
#include "device/device.h"
#include "splat/host_mirror.h"
#include "splat/init.h"
#include "splat/splat.h"
#include "splat/splat_step.h"

#include <math.h>
#include <stdio.h>

static struct {
    int64_t gaussians;
    double sigma;
} asked = {.gaussians = 10000, .sigma = 5};

const struct option_row splat_bench_options[] = {
    {.name = "gaussians",
     .argument = "N",
     .integer = &asked.gaussians,
     .low = 1,
     .high = 100000000,
     .help = "splats: how many"},
    {.name = "sigma",
     .argument = "PX",
     .number = &asked.sigma,
     .low = 0.1,
     .high = 1e4,
     .help = "splats: of each Gaussian, in pixels"},
    {0},
};

/* One workload: how Gaussians are blended, and the loss. */
struct workload {
    const char *name;
    struct splat_blend blend;
    struct splat_loss loss;
};

static const struct workload workloads[] = {
    {"topk 10, L1 + SSIM", {10, false}, {{1, 0}, 0.1}},
    {"topk 10, L1", {10, false}, {{1, 0}, 0}},
    {"additive, L1", {0, true}, {{1, 0}, 0}},
};

/* Draws a smooth image with edges. */
static int draw_image(struct splat_source *source, int side)
{
    struct image image;
    TRY(image_create(&image, side, side, 3, SAMPLE_U8));
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            for (int c = 0; c < 3; c++) {
                double u = x / (double)side, v = y / (double)side;
                bool disc = (u - 0.4) * (u - 0.4) + (v - 0.6) * (v - 0.6) < 0.05;
                double wave = 0.5 + 0.25 * sin(40 * u + 9 * v * v + c) + (disc ? 0.2 : 0);
                ((uint8_t *)image.data)[((int64_t)y * side + x) * 3 + c] = (uint8_t)(wave * 255);
            }
    int code = splat_source_take(source, &image);
    image_free(&image);
    return code;
}

/* Places round Gaussians anywhere on it. */
static int place_gaussians(struct splat_fit *fit)
{
    fit->model.count = asked.gaussians;
    TRY(splat_host_pull(fit, NULL));
    for (int64_t i = 0; i < asked.gaussians; i++) {
        struct philox4 r = philox_draw(1, STREAM_TEST, 0, (uint64_t)i);
        struct philox4 s = philox_draw(1, STREAM_TEST, 1, (uint64_t)i);
        for (int k = 0; k < 2; k++) {
            fit->host.group[SPLAT_XY][2 * i + k] = philox_uniform(r.v[k]);
            fit->host.group[SPLAT_SCALE][2 * i + k] = (float)(1 / asked.sigma);
        }
        fit->host.group[SPLAT_ROT][i] = 0;
        for (int c = 0; c < 3; c++)
            fit->host.group[SPLAT_FEAT][3 * i + c] = philox_uniform(s.v[c]);
    }
    return splat_host_push(fit, 0, asked.gaussians);
}

static int splat_bench_steps(void *context, int k)
{
    double loss;
    struct splat_fit *fit = context;
    int count = bench_at_once(fit->device->is_host);
    for (int i = 1; i <= count; i++)
        TRY(splat_fit_step(fit, (k + 2) * count + i - 1, i == count, &loss));
    return OK;
}

/* Measures steps; the fit takes its loss from `config`. */
static int splat_bench_measure(struct splat_fit *fit, struct config *config,
                               const struct workload *work, const struct bench *bench,
                               struct bench_times *times)
{
    struct config_splat *c = &config->splat;
    c->l1_loss_ratio = work->loss.pixel[PIXEL_L1];
    c->l2_loss_ratio = work->loss.pixel[PIXEL_L2];
    c->ssim_loss_ratio = work->loss.ssim;
    fit->model.blend = work->blend;
    return bench_measure(bench, splat_bench_steps, fit, bench_at_once(fit->device->is_host), times);
}

static void splat_bench_report(const struct workload *work, struct bench *bench,
                               const struct bench_times *times, double pairs)
{
    double rate = pairs / times->median / 1e6;
    if (bench->json) {
        bench_json_begin(bench, work->name, times);
        printf(", \"gpairs_per_s\": %.3f}", rate);
    } else {
        printf("%-20s median %7.2f ms/step, best %7.2f   %6.2f Gpairs/s\n", work->name,
               times->median, times->best, rate);
    }
    fflush(stdout);
}

static int run_workloads(struct splat_fit *fit, struct config *config, struct bench *bench)
{
    struct splat_source source = {0};
    struct bench_times times;
    int side = bench->size ? (int)bench->size : 2048, code = OK;
    TRY_CLEANUP(draw_image(&source, side));
    fit->mode.amp = bench->amp;
    splat_fit_describe(fit, &source, asked.gaussians);
    TRY_CLEANUP(splat_fit_declare(fit, fit->plan, &fit->mode));
    TRY_CLEANUP(plan_commit(fit->plan, fit->device));
    TRY_CLEANUP(splat_fit_load_target(fit));
    splat_schedule_init(&fit->schedule);
    if (!bench->json)
        printf("%s\nsplats: %dx%d, %lld Gaussians of %g px, %.0f MB\n", fit->device->name, side,
               side, (long long)asked.gaussians, asked.sigma,
               (double)plan_device_bytes(fit->plan) / 1e6);
    for (size_t w = 0; w < sizeof workloads / sizeof workloads[0]; w++) {
        TRY_CLEANUP(place_gaussians(fit));
        struct splat_view view = splat_model_view(&fit->model, NULL);
        int64_t pairs;
        TRY_CLEANUP(
            fit->device->splat->count_pairs(fit->device, &view, &workloads[w].blend, &pairs));
        TRY_CLEANUP(splat_bench_measure(fit, config, &workloads[w], bench, &times));
        splat_bench_report(&workloads[w], bench, &times, (double)pairs);
    }
cleanup:
    splat_source_free(&source);
    return code;
}

int splat_bench(struct bench *bench)
{
    struct config *config = NULL;
    struct splat_fit fit = {.grown_at = 0};
    int code;
    TRY(config_load_text(&config, "bench", "", 0, 0, NULL));
    TRY_CLEANUP(bench->open(bench, &fit.device));
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
