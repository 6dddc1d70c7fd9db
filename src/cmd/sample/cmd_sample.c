/* imgtrain sample: images of a trained generator, one by one, as a grid or as a walk between. */
#include "base/error.h"
#include "base/file.h"
#include "base/parse_number.h"
#include "cmd/cmd.h"
#include "cmd/fallback.h"
#include "cmd/info/info_model.h"
#include "cmd/options.h"
#include "cmd/sample/sample_make.h"
#include "cmd/seed_list.h"
#include "gan/gan.h"
#include "gan/sampler.h"
#include "run/signals.h"
#include "store/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 16, BATCH_MOST = 4096 };

/* One attempt, which begins anew: each image depends on its seed alone. */
struct attempt {
    const struct store_file *file;
    const struct sample_options *options;
    const struct seed_list *list;
    int columns, rows;
};

static int cmd_sample_attempt(void *context, struct device *device, int at_once)
{
    const struct attempt *a = context;
    struct sampler *sampler;
    int code = sampler_open(&sampler, device, a->file, at_once);
    if (code == ERR_DATA) return code; /* names the file */
    if (code < 0) return fail_within(code, "%s", store_path(a->file));
    code = sample_make(sampler, a->options, a->list, a->columns, a->rows);
    sampler_close(sampler);
    return code;
}

static int sample_model(const char *model, const struct sample_options *options,
                        const struct seed_list *list, int columns, int rows)
{
    struct store_file *file = NULL;
    int code;
    TRY_CLEANUP(checkpoint_open(model, &file));
    TRY_CLEANUP(checkpoint_expect(file, "gan", NULL));
    signals_install();
    struct attempt what = {file, options, list, columns, rows};
    struct fallback fallback = {.task = &task_gan,
                                .whole = (int)options->batch,
                                .least = 1,
                                .unit = "images",
                                .attempt = cmd_sample_attempt,
                                .context = &what};
    code = fallback_run(&fallback, options->device, options->memory_limit);
cleanup:
    store_close(file);
    return code;
}

static int cmd_sample_check_options(const struct sample_options *options)
{
    const char *output = options->output;
    if (!output) return fail(ERR_USAGE, "no output: add -o FOLDER or -o FILE");
    if (options->grid && options->walk)
        return fail(ERR_USAGE, "--grid and --interpolate exclude each other");
    if (options->seeds && options->walk)
        return fail(ERR_USAGE, "--interpolate names the seeds itself: leave --seeds out");
    if (options->grid && !sample_is_picture(output))
        return fail(ERR_USAGE, "-o %s: a grid is one image, .png, .jpg or .ppm", output);
    if (!options->grid && sample_is_picture(output))
        return fail(ERR_USAGE, "-o %s: a folder is needed (or --grid 8x8 for one image)", output);
    if (!options->walk && sample_is_video(output))
        return fail(ERR_USAGE, "-o %s: a video needs --interpolate SEEDS", output);
    return OK;
}

/* The seeds to make, and the grid's shape (0: none). */
static int choose_seeds(const struct sample_options *options, struct seed_list *list, int *columns,
                        int *rows)
{
    if (options->grid && (!number_parse_size(options->grid, columns, rows) || *columns < 1 ||
                          *rows < 1 || *columns > 10000 || *rows > 10000))
        return fail(ERR_USAGE, "--grid %s: COLUMNSxROWS is needed", options->grid);
    if (options->walk) TRY(seed_list_parse(list, "--interpolate", options->walk));
    if (options->seeds) TRY(seed_list_parse(list, "--seeds", options->seeds));
    if (options->walk && list->count < 2)
        return fail(ERR_USAGE, "--interpolate %s: two seeds at least", options->walk);
    int wanted = options->grid ? *columns * *rows : 64;
    for (int i = 0; !options->seeds && !options->walk && i < wanted; i++)
        TRY(seed_list_add(list, (uint64_t)i));
    if (options->grid && list->count > wanted)
        return fail(ERR_USAGE, "--grid %s holds %d images, not %d", options->grid, wanted,
                    list->count);
    return OK;
}

/* Whether `model` is a run or a folder of a diffusion model. */
static bool is_diffusion(const char *model)
{
    char *inside = path_join(model, "model");
    bool is = info_is_model(model) || (inside && info_is_model(inside));
    free(inside);
    return is;
}

/* Images of a diffusion model are what `generate` makes. */
static int sample_diffusion(char *model, const struct sample_options *options)
{
    char class[24];
    if (options->grid || options->walk)
        return fail(ERR_USAGE, "--grid and --interpolate are of GANs, and %s is a diffusion model",
                    model);
    options_without_effect("scale", "with a diffusion model");
    snprintf(class, sizeof class, "%" PRId64, options->label);
    char *words[] = {(char[]){"generate"},
                     model,
                     (char[]){"--label"},
                     options->label < 0 ? (char[]){"none"} : class,
                     (char[]){"--seed"},
                     (char *)(options->seeds ? options->seeds : "0-63"),
                     (char[]){"--output"},
                     (char *)options->output,
                     (char[]){"--device"},
                     (char *)options->device,
                     NULL};
    return cmd_generate((int)(sizeof words / sizeof *words) - 1, words);
}

int cmd_sample(int argc, char **argv)
{
    struct sample_options options = {
        .device = "auto", .label = -1, .frames = 60, .fps = 30, .batch = BATCH};
    const struct option_row rows[] = {
        {.letter = 'o',
         .name = "output",
         .argument = "PATH",
         .text = &options.output,
         .help = "a folder; with --grid an image; with --interpolate a video or folder"},
        {.name = "seeds",
         .aliases = "seed",
         .argument = "LIST",
         .text = &options.seeds,
         .help = "which samples: 0-63 (default), 3,5,100-199"},
        {.name = "grid",
         .argument = "WxH",
         .text = &options.grid,
         .help = "one image of W columns and H rows"},
        {.name = "interpolate",
         .argument = "LIST",
         .text = &options.walk,
         .help = "a walk from seed to seed"},
        {.name = "class",
         .argument = "K",
         .integer = &options.label,
         .low = -1,
         .high = 1 << 20,
         .help = "samples of class K, from 0; without it seeds take turns"},
        {.name = "frames",
         .argument = "N",
         .integer = &options.frames,
         .low = 1,
         .high = 100000,
         .help = "images from one seed to the next (60)"},
        {.name = "fps",
         .argument = "N",
         .integer = &options.fps,
         .low = 1,
         .high = 240,
         .help = "frames a second (30)"},
        {.name = "scale",
         .argument = "N",
         .integer = &options.scale,
         .low = 0,
         .high = 64,
         .help = "enlarge pixels N times (1; small videos to 256 pixels)"},
        {.name = "batch",
         .argument = "N",
         .integer = &options.batch,
         .low = 1,
         .high = BATCH_MOST,
         .help = "images at a time (16); changes no image"},
        OPTION_DEVICE(&options.device),
        OPTION_MEMORY_LIMIT(
            &options.memory_limit,
            "most device memory to use: 512MB, 2GB; below it fewer images at a time"),
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain sample MODEL -o PATH [--seeds LIST] [--grid WxH | --interpolate LIST]",
        .about = "Makes images with a trained generator (a model, a checkpoint or a run): files "
                 "seed-00000.png\nand so on, one grid, or the walk between samples. A sample "
                 "depends on its seed (and class) alone.",
        .options = rows,
        .min_operands = 1,
        .max_operands = 1,
        .examples = "imgtrain sample runs/photos-001 --seeds 0-63 -o out/\n"
                    "imgtrain sample model.safetensors --grid 8x8 -o grid.png\n"
                    "imgtrain sample model.safetensors --interpolate 0,1,2,3 -o walk.mp4\n",
    };
    struct seed_list list = {0};
    int operands, columns = 0, grid_rows = 0;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    TRY(cmd_sample_check_options(&options));
    if (is_diffusion(argv[1])) return sample_diffusion(argv[1], &options);
    if (!options.walk) options_without_effect("frames fps", "without --interpolate");
    if (options.walk && !sample_is_video(options.output))
        options_without_effect("fps", "where images are made, not a video");
    int code = choose_seeds(&options, &list, &columns, &grid_rows);
    if (code == OK) code = sample_model(argv[1], &options, &list, columns, grid_rows);
    seed_list_free(&list);
    return code;
}
