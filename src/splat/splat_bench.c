/* The splat workloads of `imgtrain bench`. */
#include "base/bench.h"
#include "base/error.h"
#include "base/option_row.h"
#include "base/random.h"
#include "config/config.h"
#include "device/device.h"
#include "splat/host_mirror.h"
#include "splat/init.h"
#include "splat/relocate.h"
#include "splat/shown/splat_preview.h"
#include "splat/splat.h"
#include "splat/splat_step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    int64_t gaussians, width, height;
    double sigma;
    const char *photograph;
} asked = {.gaussians = 10000};

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
     .help = "splats: of each Gaussian; all cover the image once"},
    {.name = "width",
     .argument = "N",
     .integer = &asked.width,
     .low = 1,
     .high = IMAGE_MAX_SIDE,
     .help = "splats: in place of --size"},
    {.name = "height",
     .argument = "N",
     .integer = &asked.height,
     .low = 1,
     .high = IMAGE_MAX_SIDE,
     .help = "splats: likewise; as wide as high without it"},
    {.name = "photograph",
     .argument = "FILE",
     .text = &asked.photograph,
     .help = "splats: also a step on this image, scaled to the size"},
    {0},
};

/* One workload: how Gaussians are blended, and the loss. */
struct workload {
    const char *name;
    struct splat_blend blend;
    struct splat_loss loss;
};

static const struct workload workloads[] = {
    {"topk 10, L1 + SSIM", {10, false}, {.pixel = {1, 0}, .ssim = 0.1}},
    {"topk 10, L1", {10, false}, {.pixel = {1, 0}}},
    {"additive, L1", {0, true}, {.pixel = {1, 0}}},
};

/* Draws a smooth image with edges. */
static int draw_image(struct splat_source *source, int width, int height)
{
    struct image image;
    TRY(image_create(&image, width, height, 3, SAMPLE_U8));
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++) {
                double u = x / (double)width, v = y / (double)height;
                bool disc = (u - 0.4) * (u - 0.4) + (v - 0.6) * (v - 0.6) < 0.05;
                double wave = 0.5 + 0.25 * sin(40 * u + 9 * v * v + c) + (disc ? 0.2 : 0);
                ((uint8_t *)image.data)[((int64_t)y * width + x) * 3 + c] = (uint8_t)(wave * 255);
            }
    int code = splat_source_take(source, &image);
    image_free(&image);
    return code;
}

static double splat_bench_sigma(const struct splat_fit *fit)
{
    return asked.sigma > 0 ? asked.sigma : splat_covering_sigma(fit);
}

/* Places round Gaussians anywhere on it. */
static int place_gaussians(struct splat_fit *fit)
{
    double sigma = splat_bench_sigma(fit);
    fit->model.count = asked.gaussians;
    TRY(splat_host_pull(fit, NULL));
    for (int64_t i = 0; i < asked.gaussians; i++) {
        struct philox4 r = philox_draw(1, STREAM_TEST, 0, (uint64_t)i);
        struct philox4 s = philox_draw(1, STREAM_TEST, 1, (uint64_t)i);
        for (int k = 0; k < 2; k++) {
            fit->host.group[SPLAT_XY][2 * i + k] = philox_uniform(r.v[k]);
            fit->host.group[SPLAT_SCALE][2 * i + k] = (float)(1 / sigma);
        }
        fit->host.group[SPLAT_ROT][i] = 0;
        if (fit->model.weighted) fit->host.group[SPLAT_WEIGHT][i] = 0;
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

/* Between steps of a fit: the least important Gaussians begin again. */
static int splat_bench_relocate(void *context, int k)
{
    struct splat_fit *fit = context;
    TRY(splat_relocate(fit, k + 3)); /* steps count from 1 */
    return fit->device->is_host ? OK : fit->device->synchronize(fit->device);
}

/* Likewise: an image as large as a run's frames. */
static int splat_bench_frame(void *context, int k)
{
    struct splat_fit *fit = context;
    struct image frame = {0};
    (void)k;
    int code = splat_show_render(fit, (int)fit->config->frames.max_size, &frame);
    image_free(&frame);
    return code;
}

/* Steps alone; the fit takes its loss from `config`. */
static int splat_bench_measure(struct splat_fit *fit, struct config *config,
                               const struct workload *work, const struct bench *bench,
                               struct bench_times *times)
{
    struct config_splat *c = &config->splat;
    c->relocate_every = 0;
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
        printf("%-20s median %7.2f ms/step, mean %7.2f, best %7.2f   %6.2f Gpairs/s\n", work->name,
               times->median, times->mean, times->best, rate);
    }
    fflush(stdout);
}

/* What comes between steps, with the Gaussians of the first workload. */
static int splat_bench_between(struct splat_fit *fit, struct config *config, struct bench *bench)
{
    static const struct {
        const char *name;
        bench_step *run;
    } works[] = {{"relocation", splat_bench_relocate}, {"frame", splat_bench_frame}};
    struct bench few = *bench;
    struct bench_times times;
    few.steps = bench->steps < 3 ? bench->steps : 3;
    fit->model.blend = workloads[0].blend;
    config->splat.relocate_every = 1;
    config->splat.relocate_until = 1;
    for (size_t w = 0; w < sizeof works / sizeof works[0]; w++) {
        TRY(place_gaussians(fit));
        bench->kernel_times(bench, fit->device, true);
        TRY(bench_measure(&few, works[w].run, fit, 1, &times));
        if (bench->json) {
            bench_json_begin(bench, works[w].name, &times);
            printf("}");
        } else {
            printf("%-20s median %7.2f ms each, mean %7.2f, best %7.2f\n", works[w].name,
                   times.median, times.mean, times.best);
        }
        fflush(stdout);
        bench->kernel_times(bench, fit->device, false);
    }
    return OK;
}

static int splat_bench_height(const struct bench *bench)
{
    int64_t side = bench->size ? bench->size : 2048;
    return (int)(asked.height ? asked.height : asked.width ? asked.width : side);
}

static int splat_bench_width(const struct bench *bench)
{
    return (int)(asked.width ? asked.width : splat_bench_height(bench));
}

/* The photograph, scaled to the workloads' size. */
static int read_photograph(struct splat_source *source, struct config *config,
                           const struct bench *bench)
{
    struct splat_source file = {0};
    char *path = strdup(asked.photograph);
    if (!path) return fail(ERR_SYSTEM, "out of memory");
    char *before = config->splat.input_path;
    config->splat.input_path = path;
    int code = splat_source_load(&file, config, NULL, 0);
    config->splat.input_path = before;
    free(path);
    if (code < 0) return code;
    *source = (struct splat_source){.sample_bits = file.sample_bits, .alpha = file.alpha};
    code = splat_target_scale(&source->fit, &source->fit_bytes, &file.fit, splat_bench_width(bench),
                              splat_bench_height(bench), NULL);
    source->full = source->fit;
    splat_source_free(&file);
    return code;
}

/* A step where Gaussians cluster as in a fit of a photograph: placed as there, and fitted for some
 * steps. */
static int run_photograph(struct device *device, struct config *config, struct bench *bench)
{
    enum { FITTED = 50 };
    const struct workload work = {"photograph: topk 10, L1 + SSIM", workloads[0].blend,
                                  workloads[0].loss};
    struct splat_source source = {0};
    struct splat_fit fit = {.device = device, .config = config, .mode = {.amp = bench->amp}};
    struct bench_times times;
    double loss;
    int64_t pairs;
    int code = read_photograph(&source, config, bench);
    if (code < 0) return code;
    fit.plan = plan_create();
    if (!fit.plan) TRY_CLEANUP(ERR_SYSTEM);
    config->splat.disable_prog_optim = true;
    splat_fit_describe(&fit, &source, asked.gaussians);
    TRY_CLEANUP(splat_fit_declare(&fit, fit.plan, &fit.mode));
    TRY_CLEANUP(plan_commit(fit.plan, device));
    TRY_CLEANUP(splat_fit_load_target(&fit));
    splat_schedule_init(&fit.schedule);
    splat_growth_plan(&fit, config->splat.max_steps);
    TRY_CLEANUP(splat_init(&fit));
    fit.model.blend = work.blend;
    for (int k = 1; k <= FITTED; k++)
        TRY_CLEANUP(splat_fit_step(&fit, k, true, &loss));
    TRY_CLEANUP(splat_bench_measure(&fit, config, &work, bench, &times));
    struct splat_view view = splat_model_view(&fit.model, NULL);
    TRY_CLEANUP(device->splat->count_pairs(device, &view, &work.blend, &pairs));
    splat_bench_report(&work, bench, &times, (double)pairs);
cleanup:
    plan_free(fit.plan);
    splat_source_free(&source);
    return code;
}

static int run_workloads(struct splat_fit *fit, struct config *config, struct bench *bench)
{
    struct splat_source source = {0};
    struct bench_times times;
    int height = splat_bench_height(bench), width = splat_bench_width(bench), code = OK;
    TRY_CLEANUP(draw_image(&source, width, height));
    fit->mode.amp = bench->amp;
    splat_fit_describe(fit, &source, asked.gaussians);
    TRY_CLEANUP(splat_fit_declare(fit, fit->plan, &fit->mode));
    TRY_CLEANUP(plan_commit(fit->plan, fit->device));
    TRY_CLEANUP(splat_fit_load_target(fit));
    splat_schedule_init(&fit->schedule);
    if (!bench->json)
        printf("%s\nsplats: %dx%d, %lld Gaussians of %.3g px, %.0f MB\n", fit->device->name, width,
               height, (long long)asked.gaussians, splat_bench_sigma(fit),
               (double)plan_device_bytes(fit->plan) / 1e6);
    for (size_t w = 0; w < sizeof workloads / sizeof workloads[0]; w++) {
        TRY_CLEANUP(place_gaussians(fit));
        struct splat_view view = splat_model_view(&fit->model, NULL);
        int64_t pairs;
        TRY_CLEANUP(
            fit->device->splat->count_pairs(fit->device, &view, &workloads[w].blend, &pairs));
        bench->kernel_times(bench, fit->device, true);
        TRY_CLEANUP(splat_bench_measure(fit, config, &workloads[w], bench, &times));
        splat_bench_report(&workloads[w], bench, &times, (double)pairs);
        bench->kernel_times(bench, fit->device, false);
    }
    TRY_CLEANUP(splat_bench_between(fit, config, bench));
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
    if (code == OK && asked.photograph) code = run_photograph(fit.device, config, bench);
cleanup:
    plan_free(fit.plan);
    device_close(fit.device);
    config_free(config);
    return code;
}
