/* imgtrain upscale: images and folders of them, enlarged by a trained network. */
#include "cmd/cmd_upscale.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/parse_number.h"
#include "cmd/cmd.h"
#include "cmd/cmd_load.h"
#include "cmd/fallback.h"
#include "cmd/options.h"
#include "data/scan.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "image/image.h"
#include "registry/devices.h"
#include "run/progress.h"
#include "run/signals.h"
#include "sr/enlarger.h"
#include "sr/pretrained.h"
#include "sr/sr.h"
#include "sr/upscale/upscale.h"
#include "store/checkpoint.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { LISTED = 10, TILE_STEP = 4 };
static const double LEAST_SCALE = 0.0625, MOST_SCALE = 64;

struct upscale_request {
    const char *output, *scale, *tile, *overlap, *suffix, *format, *alpha, *device;
    uint64_t memory_limit;
    bool skip, overwrite, turns, amp, check_seams, json;
};

/* One image. */
struct upscale_job {
    char *in, *out; /* owned */
    char *error;    /* why there is no result; owned */
    bool skipped, done;
    double seconds;
    struct sr_upscale_report report;
};

struct upscale_batch {
    const struct upscale_request *request;
    struct store_file *model;
    struct sr_upscale_options options;
    struct upscale_job *jobs;
    int count, room, at; /* at: the next one */
    int failed, skipped;
    struct progress *progress;
};

/* ---- which files ---- */

static const char *name_ending(const char *name)
{
    const char *slash = strrchr(name, '/'), *dot = strrchr(name, '.');
    return dot && dot > (slash ? slash + 1 : name) ? dot : name + strlen(name);
}

/* FOLDER/NAME with the suffix and the ending that were asked for. malloc. */
static char *output_name(const struct upscale_request *request, const char *name)
{
    const char *ending = name_ending(name), *suffix = request->suffix ? request->suffix : "";
    char *stem = string_format("%s/%.*s%s", request->output, (int)(ending - name), name, suffix);
    if (!stem) return NULL;
    char *path = request->format ? string_format("%s.%s", stem, request->format)
                                 : string_format("%s%s", stem,
                                                 image_name_is_writable(ending) ? ending : ".png");
    free(stem);
    return path;
}

/* Takes both strings over. */
static int add_job(struct upscale_batch *batch, char *in, char *out)
{
    if (batch->count == batch->room && in && out) {
        int room = batch->room ? 2 * batch->room : 64;
        struct upscale_job *jobs = realloc(batch->jobs, (size_t)room * sizeof *jobs);
        if (jobs) {
            batch->jobs = jobs;
            batch->room = room;
        }
    }
    if (!in || !out || batch->count == batch->room) {
        free(in);
        free(out);
        return fail(ERR_SYSTEM, "out of memory");
    }
    batch->jobs[batch->count++] = (struct upscale_job){.in = in, .out = out};
    return OK;
}

/* A batch must not find its own results the next time. */
static int check_not_inside(const char *folder, const char *output)
{
    char in[PATH_MAX], out[PATH_MAX];
    char *parent = file_existing_parent(output);
    if (!parent) return ERR_SYSTEM;
    bool known = realpath(folder, in) && realpath(parent, out);
    free(parent);
    size_t length = known ? strlen(in) : 0;
    if (!known || strncmp(in, out, length) != 0 || (out[length] && out[length] != '/')) return OK;
    return fail(ERR_USAGE, "-o %s lies within %s: the results would be inputs of the next time",
                output, folder);
}

static int add_folder(struct upscale_batch *batch, const char *folder)
{
    struct scan scan;
    TRY(check_not_inside(folder, batch->request->output));
    int code = scan_folder(&scan, folder, SCAN_LABELS_NONE, signals_stop_requested);
    for (int i = 0; code == OK && i < scan.count; i++)
        code = add_job(batch, path_join(folder, scan.files[i].name),
                       output_name(batch->request, scan.files[i].name));
    scan_free(&scan);
    return code;
}

static int list_jobs(struct upscale_batch *batch, int count, char **inputs)
{
    const struct upscale_request *request = batch->request;
    size_t length = strlen(request->output);
    bool to_folder = count > 1 || file_is_dir(request->output) || file_is_dir(inputs[0]) ||
                     (length && request->output[length - 1] == '/');
    if (!to_folder) {
        if (!image_name_is_writable(request->output))
            return fail(
                ERR_USAGE,
                "-o %s: .png .jpg .ppm .pgm .pfm are written, or a folder with / at its end",
                request->output);
        return add_job(batch, string_format("%s", inputs[0]), string_format("%s", request->output));
    }
    for (int i = 0; i < count; i++) {
        const char *slash = strrchr(inputs[i], '/');
        if (file_is_dir(inputs[i]))
            TRY(add_folder(batch, inputs[i]));
        else
            TRY(add_job(batch, string_format("%s", inputs[i]),
                        output_name(request, slash ? slash + 1 : inputs[i])));
    }
    return OK;
}

static int compare_outputs(const void *a, const void *b)
{
    return strcmp(((const struct upscale_job *)a)->out, ((const struct upscale_job *)b)->out);
}

/* Two inputs of one output would overwrite one another; results that are there stay. */
static int check_outputs(struct upscale_batch *batch)
{
    int existing = 0;
    struct upscale_job *sorted = malloc((size_t)batch->count * sizeof *sorted);
    if (!sorted) return fail(ERR_SYSTEM, "out of memory");
    memcpy(sorted, batch->jobs, (size_t)batch->count * sizeof *sorted);
    qsort(sorted, (size_t)batch->count, sizeof *sorted, compare_outputs);
    int code = OK;
    for (int i = 1; i < batch->count && code == OK; i++)
        if (strcmp(sorted[i].out, sorted[i - 1].out) == 0)
            code = fail(ERR_USAGE, "%s and %s would both become %s", sorted[i - 1].in, sorted[i].in,
                        sorted[i].out);
    free(sorted);
    TRY(code);
    if (batch->request->skip || batch->request->overwrite) return OK;
    for (int i = 0; i < batch->count; i++)
        if (file_exists(batch->jobs[i].out) && ++existing <= LISTED && batch->count > 1)
            log_warning("%s: is there already", batch->jobs[i].out);
    if (existing == 0) return OK;
    if (batch->count == 1)
        return fail(ERR_OUTPUT, "%s: is there already; --overwrite replaces it",
                    batch->jobs[0].out);
    return fail(ERR_OUTPUT,
                "%d of %d results are there already; --overwrite replaces, --skip-existing keeps "
                "them",
                existing, batch->count);
}

/* ---- the work ---- */

static void upscale_show(void *context, int done, int total)
{
    const struct upscale_batch *batch = context;
    if (batch->count == 1 && total > 0) progress_rows(batch->progress, done);
}

static int upscale_one(struct upscale_batch *batch, struct device *device, struct upscale_job *job)
{
    if (batch->request->skip && file_exists(job->out)) {
        batch->skipped++;
        job->skipped = true;
        return OK;
    }
    char *slash = strrchr(job->out, '/');
    if (slash && slash > job->out) {
        *slash = '\0';
        int made = file_make_dirs(job->out);
        *slash = '/';
        TRY(made);
    }
    double start = clock_seconds();
    TRY(sr_upscale_file(device, batch->model, job->in, job->out, &batch->options, &job->report));
    job->seconds = clock_seconds() - start;
    job->done = true;
    return OK;
}

/* What is wrong with one image alone. */
static bool is_of_one_file(int code)
{
    return code == ERR_DATA || code == ERR_INPUT || code == ERR_ACCESS;
}

static void upscale_say(const struct upscale_batch *batch, const struct upscale_job *job)
{
    const struct sr_upscale_report *r = &job->report;
    if (batch->count > 1 || !batch->progress) log_info("%s", job->out);
    if (!batch->request->check_seams) return;
    log_info("%s: with tiles of %dx%d that overlap by %d pixels the largest difference from what "
             "tiles cannot change is %.3g levels of 255, at (%d, %d) of the network's result",
             job->out, r->tile_width, r->tile_height, r->overlap, r->seam, r->seam_x, r->seam_y);
}

static int upscale_rest(struct upscale_batch *batch, struct device *device)
{
    for (; batch->at < batch->count; batch->at++) {
        if (signals_stop_requested()) return fail(ERR_STOPPED, "stopped");
        struct upscale_job *job = &batch->jobs[batch->at];
        int code = upscale_one(batch, device, job);
        if (code == OK) {
            if (!job->skipped) upscale_say(batch, job);
            continue;
        }
        if (batch->count == 1 || !is_of_one_file(code)) return code;
        log_warning("%s: left out", error_message());
        job->error = string_format("%s", error_message());
        batch->failed++;
    }
    return OK;
}

/* Goes on where an attempt with more memory has ended. */
static int upscale_attempt(void *context, struct device *device, int at_once)
{
    struct upscale_batch *batch = context;
    struct sr_enlarger *network = NULL;
    (void)at_once;
    if (batch->options.mixed && !device->nn->bf16)
        log_info("--amp: fp32, as %s has no bf16", device->name);
    batch->options.kept = &network;
    int code = upscale_rest(batch, device);
    sr_enlarger_close(network);
    return code;
}

static int upscale_all(struct upscale_batch *batch)
{
    struct fallback fallback = {.task = &task_sr,
                                .whole = 1,
                                .least = 1,
                                .unit = "tiles",
                                .attempt = upscale_attempt,
                                .context = batch};
    const struct progress_options shown = {
        .total = 100, .rows = true, .every_step = load_is_testing()};
    int w, h, channels;
    enum sample_type type;
    struct progress_options rows = shown;
    if (batch->count == 1 && image_probe(batch->jobs[0].in, &w, &h, &channels, &type) == OK) {
        rows.total = h;
        batch->progress = progress_open(&rows);
    }
    int code = fallback_run(&fallback, batch->request->device, batch->request->memory_limit);
    progress_close(batch->progress);
    TRY(code);
    if (batch->skipped) log_info("%d results were there already", batch->skipped);
    if (batch->failed == 0) return OK;
    return fail(ERR_DATA, "%d of %d images could not be enlarged", batch->failed, batch->count);
}

static void upscale_print_job(const struct upscale_batch *batch, const struct upscale_job *job)
{
    const struct sr_upscale_report *r = &job->report;
    fputs("{\"in\": ", stdout);
    json_write_string(stdout, job->in);
    fputs(", \"out\": ", stdout);
    json_write_string(stdout, job->out);
    if (job->error) {
        fputs(", \"error\": ", stdout);
        json_write_string(stdout, job->error);
    }
    if (job->skipped) fputs(", \"skipped\": true", stdout);
    if (job->done) {
        printf(", \"width\": %d, \"height\": %d, \"tile\": [%d, %d], \"overlap\": %d, "
               "\"device_bytes\": %zu, \"seconds\": ",
               r->width, r->height, r->tile_width, r->tile_height, r->overlap, r->bytes);
        json_write_number(stdout, job->seconds);
    }
    if (job->done && batch->request->check_seams) {
        fputs(", \"seam\": ", stdout);
        json_write_number(stdout, r->seam);
        printf(", \"seam_at\": [%d, %d]", r->seam_x, r->seam_y);
    }
    putchar('}');
}

/* Also of a batch that has ended early: what is not there was not made. */
static void upscale_print_json(const struct upscale_batch *batch)
{
    struct sr_design design;
    if (sr_enlarger_design(&design, batch->model) < 0) return;
    printf("{\"network\": \"%s\", \"scale\": %d, \"images\": [", sr_design_text(&design).text,
           design.scale);
    for (int i = 0; i < batch->count; i++) {
        if (i) fputs(", ", stdout);
        upscale_print_job(batch, &batch->jobs[i]);
    }
    printf("], \"failed\": %d}\n", batch->failed);
}

/* Pixels of the image that is enlarged: `word`, or a number from `least` on. */
static int parse_pixels(const char *option, const char *word, const char *text, int least,
                        int *pixels)
{
    int64_t value;
    if (strcmp(text, word) == 0) return OK;
    if (!number_parse_int(text, &value) || value < least || value > IMAGE_MAX_SIDE)
        return fail(ERR_USAGE, "%s %s: %s, or pixels of the image that is enlarged", option, text,
                    word);
    *pixels = (int)value;
    return OK;
}

int upscale_read_scale(const char *text, double *scale)
{
    if (!text) return OK;
    if (number_parse_double(text, scale) && *scale >= LEAST_SCALE && *scale <= MOST_SCALE)
        return OK;
    return fail(ERR_USAGE, "--scale %s: a number from %g to %g", text, LEAST_SCALE, MOST_SCALE);
}

int upscale_read_alpha(const char *text, enum sr_alpha *alpha)
{
    static const char *const names[] = {"model", "bicubic", "none"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(text, names[i]) == 0) {
            *alpha = (enum sr_alpha)i;
            return OK;
        }
    return fail(ERR_USAGE, "--alpha %s is none of model, bicubic and none", text);
}

static int parse_request(const struct upscale_request *request, struct upscale_batch *batch)
{
    if (!request->output) return fail(ERR_USAGE, "no output: add -o FILE or -o FOLDER");
    if (request->skip && request->overwrite)
        return fail(ERR_USAGE, "--skip-existing and --overwrite exclude each other");
    TRY(parse_pixels("--tile", "auto", request->tile, 1, &batch->options.tile));
    batch->options.tile = (batch->options.tile + TILE_STEP - 1) / TILE_STEP * TILE_STEP;
    batch->options.overlap = request->overlap ? SR_OVERLAP_EXACT : SR_OVERLAP_AUTO;
    if (request->overlap)
        TRY(parse_pixels("--overlap", "exact", request->overlap, 0, &batch->options.overlap));
    TRY(upscale_read_scale(request->scale, &batch->options.scale));
    TRY(upscale_read_alpha(request->alpha, &batch->options.alpha));
    batch->options.turns = request->turns;
    batch->options.mixed = request->amp;
    batch->options.check_seams = request->check_seams;
    if (request->format) {
        char *ending = string_format(".%s", request->format);
        bool known = ending && image_name_is_writable(ending);
        free(ending);
        if (!known)
            return fail(ERR_USAGE, "--format %s: png, jpg, ppm and pfm are written",
                        request->format);
    }
    return OK;
}

static int upscale_images(const struct upscale_request *request, const char *model, int count,
                          char **inputs)
{
    struct upscale_batch batch = {.request = request};
    int code = OK;
    batch.options = (struct sr_upscale_options){.limit = (size_t)request->memory_limit,
                                                .rows_done = upscale_show,
                                                .context = &batch,
                                                .stop_requested = signals_stop_requested};
    TRY(parse_request(request, &batch));
    signals_install();
    TRY_CLEANUP(list_jobs(&batch, count, inputs));
    TRY_CLEANUP(check_outputs(&batch));
    TRY_CLEANUP(sr_pretrained_open(&batch.model, model));
    code = upscale_all(&batch);
    if (request->json) upscale_print_json(&batch);
cleanup:
    store_close(batch.model);
    for (int i = 0; i < batch.count; i++) {
        free(batch.jobs[i].in);
        free(batch.jobs[i].out);
        free(batch.jobs[i].error);
    }
    free(batch.jobs);
    return code;
}

int cmd_upscale(int argc, char **argv)
{
    struct upscale_request request = {.device = "auto", .tile = "auto", .alpha = "model"};
    const struct option_row rows[] = {
        {.letter = 'o',
         .name = "output",
         .argument = "PATH",
         .text = &request.output,
         .help = "an image, or a folder: .png .jpg .ppm .pgm .pfm"},
        {.name = "scale",
         .argument = "S",
         .text = &request.scale,
         .help = "of the result: where the network has another, bicubic does the rest"},
        {.name = "tile",
         .argument = "auto|N",
         .text = &request.tile,
         .help = "pixels at a time, squared; auto: bands as memory allows; changes no bit"},
        {.name = "overlap",
         .argument = "exact|N",
         .text = &request.overlap,
         .help = "pixels that tiles see around themselves; else exact, or 64 where that is more"},
        {.name = "check-seams",
         .flag = &request.check_seams,
         .help = "say how far tiles are from the exact result: makes it as well"},
        {.name = "tta",
         .flag = &request.turns,
         .help = "the mean of all eight turns of the image: eight times the work"},
        {.name = "amp",
         .flag = &request.amp,
         .help = "keep values in between as bf16, where the device has it: half the memory"},
        {.name = "alpha",
         .argument = "model|bicubic|none",
         .text = &request.alpha,
         .help = "enlarge alpha like a colour, by bicubic, or leave it out"},
        {.name = "suffix",
         .argument = "T",
         .text = &request.suffix,
         .help = "into a folder: names end with it"},
        {.name = "format",
         .argument = "NAME",
         .text = &request.format,
         .help = "into a folder: png, jpg, ppm or pfm; else as each was, or png"},
        {.name = "skip-existing",
         .flag = &request.skip,
         .help = "results that are there stay: goes on with a batch that was stopped"},
        {.name = "overwrite", .flag = &request.overwrite, .help = "results that are there go"},
        {.name = "json", .flag = &request.json, .help = "what became of each image, as JSON"},
        OPTION_DEVICE(&request.device),
        OPTION_MEMORY_LIMIT(&request.memory_limit,
                            "most device memory to use: 512MB, 2GB; below it smaller tiles"),
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain upscale MODEL IMAGE|FOLDER... -o FILE|FOLDER [--scale S]",
        .about =
            "Enlarges images with a trained network: a run, a checkpoint, a model, or a\n"
            ".safetensors file of another program (compact, span, esrgan). Grey stays grey,\n"
            "8 and 16 bits stay what they are. Tiles overlap by what a pixel depends on: their\n"
            "size changes no bit (where that is more than 64 pixels, 64 do: see\n"
            "--check-seams). One image that cannot be read does not end a batch.",
        .options = rows,
        .min_operands = 2,
        .max_operands = -1,
        .examples = "imgtrain upscale runs/sr-x2-tiny-001 photo.png -o large.png\n"
                    "imgtrain upscale model.safetensors photos/ -o large/ --skip-existing\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    return upscale_images(&request, argv[1], operands - 1, argv + 2);
}
