/* imgtrain generate: images of a diffusion model, of a class, of a text, or of an image. */
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/json.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/generate/generate_dump.h"
#include "cmd/generate/generate_request.h"
#include "cmd/options.h"
#include "device/device.h"
#include "device/token_ops.h"
#include "diffusion/diffusion.h"
#include "placement/placement_print.h"
#include "registry/devices.h"
#include "run/signals.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { PATH_DIGITS = 5, LEAST_PRESET = 512, PRESET_STEP = 256 };

static const double SECONDS_BETWEEN_LINES = 10.0;

/* One call: what is made, and how far it is. */
struct generation {
    struct generate_options *options;
    struct generate_job job;
    struct device *device;
    struct pipeline *pipeline;
    struct generate_dump *dump;
    float sigmas[SIGMAS_MOST_STEPS + 1];
    int first;       /* step */
    int done;        /* images that are written */
    float **images;  /* [at_once] */
    char **paths;    /* [seeds] */
    double *seconds; /* [seeds]: of each image's batch */
    double said;     /* when a line of progress was written last */
};

/* ---- progress and tensors on the way ---- */

static void show_step(void *context, int done, int total)
{
    struct generation *g = context;
    double now = clock_seconds(), wait = g->options->testing ? 1.0 : SECONDS_BETWEEN_LINES;
    if (now - g->said < wait) return;
    g->said = now;
    log_info("image %d of %d: step %d of %d", g->done + 1, g->job.seeds.count, done, total);
}

static int keep_tensor(void *context, int index, const char *name, int dims, const int64_t *shape,
                       const float *data)
{
    struct generation *g = context;
    return g->dump ? generate_dump_add(g->dump, g->done + index, name, dims, shape, data) : OK;
}

static int dump_request(struct generation *g)
{
    const struct pipeline_request *r = &g->job.request;
    const int64_t levels = r->steps + 1, count = r->row_count;
    const int64_t text[2] = {count, g->job.model.network.text_dim};
    float ids[TEXT_MOST_ROWS];
    for (int i = 0; i < r->row_count; i++)
        ids[i] = (float)r->rows[i];
    TRY(generate_dump_add(g->dump, -1, "sigmas", 1, &levels, g->sigmas));
    TRY(generate_dump_add(g->dump, -1, "ids", 1, &count, ids));
    TRY(generate_dump_add(g->dump, -1, "text", 2, text, pipeline_features(g->pipeline)));
    const int64_t pooled = g->job.model.network.pooled_dim;
    if (pooled == 0) return OK;
    return generate_dump_add(g->dump, -1, "pooled", 1, &pooled, pipeline_pooled(g->pipeline));
}

/* ---- where images go ---- */

static bool names_picture(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && !strchr(dot, '/') && image_name_is_readable(path);
}

static int name_outputs(struct generation *g)
{
    const char *output = g->options->output ? g->options->output : "generated";
    int count = g->job.seeds.count;
    g->paths = calloc((size_t)count, sizeof *g->paths);
    g->seconds = calloc((size_t)count, sizeof *g->seconds);
    if (!g->paths || !g->seconds) return fail(ERR_SYSTEM, "out of memory");
    if (names_picture(output) && !file_is_dir(output)) {
        const char *dot = strrchr(output, '.');
        if (!image_name_is_writable(output))
            return fail(ERR_USAGE, "-o %s: .png .jpg .ppm .pgm .pfm are written", output);
        if (count > 1) return fail(ERR_USAGE, "-o %s: %d images need a folder", output, count);
        if (strcasecmp(dot, ".png") != 0)
            log_info("-o %s: only a PNG holds what --like repeats", output);
        g->paths[0] = string_format("%s", output);
        return g->paths[0] ? OK : ERR_SYSTEM;
    }
    for (int i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "seed-%0*" PRIu64 ".png", PATH_DIGITS, g->job.seeds.seeds[i]);
        g->paths[i] = path_join(output, name);
        if (!g->paths[i]) return ERR_SYSTEM;
    }
    return OK;
}

static int write_png(const struct generation *g, int index, const struct image *picture)
{
    uint8_t *data;
    size_t bytes;
    TRY(generate_encode_png(&g->job, g->options, g->job.seeds.seeds[index], picture, &data,
                            &bytes));
    int code = file_atomic_write_whole(g->paths[index], data, bytes, false);
    free(data);
    return code;
}

static int write_image(struct generation *g, int index, const float *pixels)
{
    const struct pipeline_request *r = &g->job.request;
    const char *path = g->paths[index], *dot = strrchr(path, '.');
    struct image picture = {0};
    int code = generate_to_picture(pixels, model_image_channels(&g->job.model), r->width, r->height,
                                   &picture);
    if (code == OK)
        code = strcasecmp(dot, ".png") == 0 ? write_png(g, index, &picture)
                                            : image_save(&picture, path);
    image_free(&picture);
    return code;
}

/* ---- making them ---- */

static int open_device(struct generation *g)
{
    const struct device_use use = {
        .task = &task_diffusion, .spec = g->options->device, .limit = g->options->memory_limit};
    TRY(device_open_for(&g->device, &use));
    if (token_check_device(g->device) == OK) return OK;
    if (strcmp(g->options->device, "auto") != 0) return ERR_USAGE;
    log_warning("%s: going on with the CPU", error_message());
    device_close(g->device);
    return device_open(&g->device, "cpu", 0);
}

/* --preset auto: the next smaller size. */
static bool generation_shrink(struct generation *g)
{
    struct pipeline_request *r = &g->job.request;
    const char *preset = g->options->preset;
    if (!preset || strcmp(preset, "auto") != 0 || r->init || r->width <= LEAST_PRESET) return false;
    r->width = r->height = r->width - PRESET_STEP;
    log_info("%s: going on with %dx%d", error_message(), r->width, r->height);
    return true;
}

/* All ways, where none is possible: what the user may ask for instead. */
static int generation_prepare(struct generation *g)
{
    int stages, code;
    do {
        code = pipeline_prepare(g->pipeline, &g->job.request, g->sigmas, &g->first);
    } while (code == ERR_DEVICE_MEMORY && generation_shrink(g));
    if (code != ERR_DEVICE_MEMORY) return code;
    char said[512];
    snprintf(said, sizeof said, "%s", error_message());
    const struct placement_stage *list = pipeline_stages(g->pipeline, &stages);
    placement_print_ways(pipeline_placement(g->pipeline), list, stages, false, stderr);
    return fail(code, "%s", said);
}

static void say_start(const struct generation *g)
{
    const struct pipeline_request *r = &g->job.request;
    log_info("%dx%d, %d steps of %d%s", r->width, r->height, r->steps - g->first, r->steps,
             g->device->is_host ? "" : " on the device");
    if (r->init)
        log_info("strength %g: begins at sigma %.5g with step %d", r->strength,
                 (double)g->sigmas[g->first], g->first + 1);
}

static int make_images(struct generation *g)
{
    const struct pipeline_watch watch = {.step = show_step,
                                         .tensor = keep_tensor,
                                         .stop_requested = signals_stop_requested,
                                         .context = g};
    int at_once = g->job.request.at_once, count = g->job.seeds.count;
    while (g->done < count) {
        int now = count - g->done < at_once ? count - g->done : at_once;
        double began = clock_seconds();
        TRY(pipeline_run(g->pipeline, g->job.seeds.seeds + g->done, now, g->images, &watch));
        for (int i = 0; i < now; i++) {
            if (g->job.composite) generate_composite(&g->job, g->images[i]);
            TRY(write_image(g, g->done, g->images[i]));
            g->seconds[g->done] = clock_seconds() - began;
            if (!g->options->json) printf("%s\n", g->paths[g->done]);
            g->done++;
        }
    }
    return OK;
}

static int allocate_images(struct generation *g)
{
    const struct pipeline_request *r = &g->job.request;
    size_t floats =
        (size_t)model_image_channels(&g->job.model) * (size_t)r->width * (size_t)r->height;
    g->images = calloc((size_t)r->at_once, sizeof *g->images);
    for (int i = 0; g->images && i < r->at_once; i++)
        if (!(g->images[i] = malloc(floats * sizeof **g->images)))
            return fail(ERR_SYSTEM, "out of memory");
    return g->images ? OK : fail(ERR_SYSTEM, "out of memory");
}

static void print_json(const struct generation *g)
{
    const struct pipeline_request *r = &g->job.request;
    fputs("{\"model\": ", stdout);
    json_write_string(stdout, g->job.model.path);
    printf(", \"model_hash\": \"%016" PRIx64 "\", \"width\": %d, \"height\": %d, \"steps\": %d, "
           "\"first_step\": %d, \"guidance\": ",
           g->job.model.checksum, r->width, r->height, r->steps, g->first);
    json_write_number(stdout, r->guidance);
    fputs(", \"sigmas\": [", stdout);
    for (int i = g->first; i <= r->steps; i++) {
        fputs(i > g->first ? ", " : "", stdout);
        json_write_number(stdout, (double)g->sigmas[i]);
    }
    fputs("], \"images\": [", stdout);
    for (int i = 0; i < g->done; i++) {
        printf("%s{\"seed\": %" PRIu64 ", \"path\": ", i ? ", " : "", g->job.seeds.seeds[i]);
        json_write_string(stdout, g->paths[i]);
        fputs(", \"seconds\": ", stdout);
        json_write_number(stdout, g->seconds[i]);
        putchar('}');
    }
    fputs("], \"stages\": ", stdout);
    placement_print_reports(pipeline_placement(g->pipeline), true, stdout);
    puts("}");
}

/* Makes the folder of a file that is written in the end. */
static int prepare_output(const char *path)
{
    TRY(file_atomic_check(path));
    if (file_is_dir(path)) return fail(ERR_OUTPUT, "create %s: a folder", path);
    char *folder = string_format("%s", path), *slash = folder ? strrchr(folder, '/') : NULL;
    int code = folder ? OK : ERR_SYSTEM;
    if (slash && slash > folder) {
        *slash = 0;
        code = file_make_dirs(folder);
    }
    /* Not after minutes of work. */
    const char *into = slash == folder ? "/" : slash ? folder : ".";
    if (code == OK && access(into, W_OK | X_OK) != 0) code = fail_errno(ERR_OUTPUT, "%s", into);
    free(folder);
    return code;
}

static int generate_on_device(struct generation *g)
{
    TRY(open_device(g));
    generate_settle_weights(&g->job, g->device);
    TRY(pipeline_open(&g->pipeline, &g->job.model, g->device, &g->job.placement, g->job.weights));
    TRY(generation_prepare(g));
    TRY(name_outputs(g));
    TRY(allocate_images(g));
    if (g->options->dump && !(g->dump = generate_dump_open())) return ERR_SYSTEM;
    TRY(prepare_output(g->paths[0]));
    if (g->dump) TRY(prepare_output(g->options->dump));
    say_start(g);
    int code = make_images(g);
    if (g->options->json) print_json(g);
    if (code == OK && (g->options->offload || g->options->memory_limit) && !g->options->json)
        placement_print_reports(pipeline_placement(g->pipeline), false, stderr);
    if (code == OK && g->dump) code = dump_request(g);
    if (code == OK && g->dump) code = generate_dump_write(g->dump, g->options->dump);
    return code;
}

static void generation_free(struct generation *g)
{
    generate_dump_close(g->dump);
    pipeline_close(g->pipeline);
    device_close(g->device);
    for (int i = 0; g->images && i < g->job.request.at_once; i++)
        free(g->images[i]);
    free(g->images);
    for (int i = 0; g->paths && i < g->job.seeds.count; i++)
        free(g->paths[i]);
    free(g->paths);
    free(g->seconds);
    generate_job_free(&g->job);
}

static int generate_all(struct generate_options *options)
{
    struct generation *g = calloc(1, sizeof *g);
    if (!g) return fail(ERR_SYSTEM, "out of memory");
    g->options = options;
    g->said = clock_seconds();
    signals_install();
    int code = generate_resolve(&g->job, options);
    if (code == OK) code = generate_on_device(g);
    generation_free(g);
    free(g);
    return code;
}

int cmd_generate(int argc, char **argv)
{
    struct generate_options o;
    OPTIONS_TRY(generate_read_options(&o, argc, argv));
    return generate_all(&o);
}
