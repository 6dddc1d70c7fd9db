/* imgtrain render: the image of a model at any size. */
#include "base/error.h"
#include "base/parse_number.h"
#include "cmd/cmd.h"
#include "cmd/cmd_load.h"
#include "cmd/fallback.h"
#include "cmd/options.h"
#include "cmd/render_window.h"
#include "image/image.h"
#include "run/progress.h"
#include "splat/render.h"
#include "splat/shown/ellipses.h"
#include "splat/shown/output.h"
#include "splat/splat.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LEAST_ROWS = 16 }; /* at a time */

struct render_options {
    const char *output, *size, *crop, *device;
    double scale;
    uint64_t memory_limit;
    bool gaussians;
};

struct attempt {
    const struct splat_model *model;
    struct splat_window window;
    enum sample_type type;
    struct image_sink sink;
};

/* A sink that shows how far the rows are which it hands on. */
struct watched_sink {
    struct image_sink to;
    struct progress *progress;
};

static int begin_watched(void *argument, const struct image *shape)
{
    const struct watched_sink *watched = argument;
    return watched->to.begin ? watched->to.begin(watched->to.argument, shape) : OK;
}

static int put_watched(void *argument, struct image *rows, int y)
{
    const struct watched_sink *watched = argument;
    int done = y + rows->height;
    TRY(watched->to.put(watched->to.argument, rows, y));
    progress_rows(watched->progress, done);
    return OK;
}

/* A further attempt begins the file anew. */
static int cmd_render_attempt(void *context, struct device *device, int at_once)
{
    const struct attempt *a = context;
    return splat_render_bands(device, a->model, &a->window, a->type, at_once, &a->sink);
}

static int render_window(const struct render_options *options, struct attempt *a)
{
    struct fallback fallback = {.task = &task_splat,
                                .whole = a->window.height,
                                .least = LEAST_ROWS,
                                .unit = "rows",
                                .attempt = cmd_render_attempt,
                                .context = a};
    return fallback_run(&fallback, options->device, options->memory_limit);
}

static int render_model(const struct render_options *options, const struct splat_model *model)
{
    struct splat_output output = {.path = options->output};
    struct watched_sink watched = {.to = splat_output_sink(&output)};
    struct attempt a = {.model = model,
                        .type = render_window_type(options->output, model),
                        .sink = {begin_watched, put_watched, &watched}};
    TRY(render_window_read(&a.window, model, options->size, options->scale, options->crop));
    const struct progress_options shown = {
        .total = a.window.height, .rows = true, .every_step = load_is_testing()};
    watched.progress = progress_open(&shown);
    int code = options->gaussians ? splat_ellipses_stream(model, &a.window, &a.sink)
                                  : render_window(options, &a);
    if (code == OK) code = splat_output_commit(&output);
    progress_close(watched.progress);
    splat_output_close(&output);
    return code;
}

int cmd_render(int argc, char **argv)
{
    struct render_options options = {.device = "auto", .scale = (double)NAN};
    const struct option_row rows[] = {
        {.letter = 'o',
         .name = "output",
         .argument = "FILE",
         .text = &options.output,
         .help = "the image to write: .png .jpg .ppm .pgm .pfm"},
        {.name = "size", .argument = "WxH", .text = &options.size, .help = "size in pixels"},
        {.name = "scale",
         .argument = "S",
         .number = &options.scale,
         .help = "size as a multiple of the fitted image's"},
        {.name = "crop",
         .argument = "X,Y,W,H",
         .text = &options.crop,
         .help = "only this part, in pixels of the enlarged image"},
        {.name = "gaussians",
         .flag = &options.gaussians,
         .help = "draw the Gaussians as ellipses of one sigma"},
        OPTION_DEVICE(&options.device),
        OPTION_MEMORY_LIMIT(&options.memory_limit,
                            "most device memory to use: 512MB, 2GB; below it some rows at a time"),
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain render MODEL -o FILE [--size WxH | --scale S] [--crop X,Y,W,H]",
        .about = "Renders a model, a checkpoint or a run's result at any size. Pixel centres stay\n"
                 "half-pixel correct; a smaller image is averaged, not sampled. A texture stack\n"
                 "of more than 4 channels is written as FILE-001, FILE-002, ... of 3 channels.",
        .options = rows,
        .min_operands = 1,
        .max_operands = 1,
        .examples = "imgtrain render runs/photo-001 -o large.png --scale 2\n"
                    "imgtrain render model.safetensors -o part.png --size 8000x6000 "
                    "--crop 100,200,640,480\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    if (!options.output) return fail(ERR_USAGE, "no output: add -o FILE");
    if (!isnan(options.scale) && !(options.scale > 0 && isfinite(options.scale)))
        return fail(ERR_USAGE, "--scale must be above 0");
    if (options.gaussians)
        options_without_effect("device memory-limit",
                               "with --gaussians, which are drawn by the CPU");
    struct splat_model model;
    TRY(splat_model_open(&model, argv[1]));
    int code = render_model(&options, &model);
    splat_model_close(&model);
    return code;
}
