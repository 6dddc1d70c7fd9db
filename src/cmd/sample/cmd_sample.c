/* imgtrain sample: images of a trained generator, one by one, as a grid or as a walk between. */
#include "base/error.h"
#include "base/file.h"
#include "base/parse_number.h"
#include "cmd/cmd.h"
#include "cmd/fallback.h"
#include "cmd/info/info_model.h"
#include "cmd/options.h"
#include "cmd/sample/latent_file.h"
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
    const struct sample_list *list;
};

static int cmd_sample_attempt(void *context, struct device *device, int at_once)
{
    const struct attempt *a = context;
    struct sampler *sampler;
    int code = sampler_open(&sampler, device, a->file, at_once);
    if (code == ERR_DATA) return code; /* names the file */
    if (code < 0) return fail_within(code, "%s", store_path(a->file));
    code = sample_make(sampler, a->options, a->list);
    sampler_close(sampler);
    return code;
}

static int sample_model(const char *model, const struct sample_options *options,
                        const struct sample_list *list)
{
    struct store_file *file = NULL;
    int code;
    TRY_CLEANUP(checkpoint_open(model, &file));
    TRY_CLEANUP(checkpoint_expect(file, "gan", NULL));
    signals_install();
    struct attempt what = {file, options, list};
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
    bool walk = options->interpolate || options->video;
    if (options->grid && walk)
        return fail(ERR_USAGE, "--grid and %s exclude each other",
                    options->video ? "--video" : "--interpolate");
    if ((options->seeds || options->latents) && options->interpolate)
        return fail(ERR_USAGE,
                    "--interpolate names the seeds itself: leave --%s out, or say --video",
                    options->seeds ? "seeds" : "latents");
    if (options->class && options->tags)
        return fail(ERR_USAGE, "--class and --tags exclude each other");
    if (options->seeds && options->latents)
        return fail(ERR_USAGE, "--seeds and --latents exclude each other");
    if (options->grid && !sample_is_picture(output))
        return fail(ERR_USAGE, "-o %s: a grid is one image, .png, .jpg or .ppm", output);
    if (!options->grid && sample_is_picture(output))
        return fail(ERR_USAGE, "-o %s: a folder is needed (or --grid 8x8 for one image)", output);
    if (!walk && sample_is_video(output))
        return fail(ERR_USAGE, "-o %s: a video needs --interpolate SEEDS or --video", output);
    return OK;
}

/* The latents or seeds to make, and the grid's shape. */
static int choose_samples(const struct sample_options *options, struct sample_list *list,
                          struct seed_list *seeds, struct latent_file *latents,
                          struct latent_file *edit)
{
    int *columns = &list->columns, *rows = &list->rows;
    *list = (struct sample_list){.seeds = seeds, .walk = options->interpolate || options->video};
    if (options->class) TRY(class_mix_parse(&list->classes, "--class", options->class));
    if (options->grid && (!number_parse_size(options->grid, columns, rows) || *columns < 1 ||
                          *rows < 1 || *columns > 10000 || *rows > 10000))
        return fail(ERR_USAGE, "--grid %s: COLUMNSxROWS is needed", options->grid);
    if (options->interpolate) TRY(seed_list_parse(seeds, "--interpolate", options->interpolate));
    if (options->seeds) TRY(seed_list_parse(seeds, "--seeds", options->seeds));
    if (options->latents) {
        TRY(latent_file_read(latents, options->latents));
        list->latents = latents;
    }
    if (options->edit) {
        TRY(latent_file_read(edit, options->edit));
        if (edit->count != 1)
            return fail(ERR_DATA, "%s: %d rows, but a direction is one", options->edit,
                        edit->count);
        list->edit = edit;
    }
    int wanted = options->grid ? *columns * *rows : 64;
    for (int i = 0; !options->seeds && !options->interpolate && !options->latents && i < wanted;
         i++)
        TRY(seed_list_add(seeds, (uint64_t)i));
    int count = sample_list_count(list);
    if (options->interpolate && count < 2)
        return fail(ERR_USAGE, "--interpolate %s: two seeds at least", options->interpolate);
    if (list->walk && count < 2) return fail(ERR_USAGE, "--video: two samples at least");
    if (options->grid && count > wanted)
        return fail(ERR_USAGE, "--grid %s holds %d images, not %d", options->grid, wanted, count);
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
    struct class_mix mix = {0};
    if (options->grid || options->interpolate || options->video || options->latents ||
        options->tags)
        return fail(ERR_USAGE,
                    "--grid, --interpolate, --video, --latents and --tags are of GANs, and %s is "
                    "a diffusion model",
                    model);
    if (options->class) TRY(class_mix_parse(&mix, "--class", options->class));
    if (mix.count > 1)
        return fail(ERR_USAGE, "--class %s: a mixture is of GANs, and %s is a diffusion model",
                    options->class, model);
    options_without_effect("scale truncation edit strength", "with a diffusion model");
    snprintf(class, sizeof class, "%" PRId64, mix.class[0]);
    char *words[] = {(char[]){"generate"},
                     model,
                     (char[]){"--label"},
                     mix.count == 0 ? (char[]){"none"} : class,
                     (char[]){"--seed"},
                     (char *)(options->seeds ? options->seeds : "0-63"),
                     (char[]){"--output"},
                     (char *)options->output,
                     (char[]){"--device"},
                     (char *)options->device,
                     NULL};
    return cmd_generate((int)(sizeof words / sizeof *words) - 1, words);
}

static int sample_generator(const char *model, const struct sample_options *options)
{
    struct seed_list seeds = {0};
    struct latent_file latents = {0}, edit = {0};
    struct sample_list list;
    if (!options->edit) options_without_effect("strength", "without --edit");
    int code = choose_samples(options, &list, &seeds, &latents, &edit);
    if (!list.walk) options_without_effect("frames fps", "without --interpolate or --video");
    if (list.walk && !sample_is_video(options->output))
        options_without_effect("fps", "where images are made, not a video");
    if (code == OK) code = sample_model(model, options, &list);
    seed_list_free(&seeds);
    latent_file_free(&latents);
    latent_file_free(&edit);
    return code;
}

int cmd_sample(int argc, char **argv)
{
    struct sample_options options = {
        .device = "auto", .frames = 60, .fps = 30, .batch = BATCH, .truncation = 1, .strength = 1};
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
         .text = &options.interpolate,
         .help = "a walk from seed to seed"},
        {.name = "latents",
         .argument = "FILE",
         .text = &options.latents,
         .help = "samples of these latents: .npy, or lines of numbers"},
        {.name = "video",
         .flag = &options.video,
         .help = "a walk through the samples of --seeds or --latents"},
        {.name = "truncation",
         .argument = "T",
         .number = &options.truncation,
         .low = 0,
         .high = 2,
         .help = "latents towards the mean: 1 as they are, 0 the mean"},
        {.name = "edit",
         .argument = "FILE",
         .text = &options.edit,
         .help = "a direction that is added to the latents (imgtrain project --towards)"},
        {.name = "strength",
         .argument = "S",
         .number = &options.strength,
         .low = -100,
         .high = 100,
         .help = "how many times (1)"},
        {.name = "class",
         .argument = "K[:W,K:W]",
         .text = &options.class,
         .help = "samples of class K, from 0, or of a mixture of classes with weights; without it\n"
                 "classes take turns"},
        {.name = "tags",
         .argument = "LIST",
         .text = &options.tags,
         .may_be_empty = true,
         .help =
             "samples with these tags, of a model with `labels: tags`: \"red, round\"; without\n"
             "it the sets of tags of the training take turns"},
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
        .usage = "imgtrain sample MODEL -o PATH [--seeds LIST | --latents FILE] [--grid WxH | "
                 "--interpolate LIST | --video]",
        .about = "Makes images with a trained generator (a model, a checkpoint or a run): files "
                 "seed-00000.png\nand so on, one grid, or the walk between samples. A sample "
                 "depends on its seed (and class, or tags) alone.",
        .options = rows,
        .min_operands = 1,
        .max_operands = 1,
        .examples =
            "imgtrain sample runs/photos-001 --seeds 0-63 -o out/\n"
            "imgtrain sample model.safetensors --grid 8x8 -o grid.png\n"
            "imgtrain sample model.safetensors --interpolate 0,1,2,3 -o walk.mp4\n"
            "imgtrain sample runs/icons-001 --tags \"red, round\" --grid 8x8 -o grid.png\n"
            "imgtrain sample model.safetensors --latents mine.npy --truncation 0.8 -o out/\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    TRY(cmd_sample_check_options(&options));
    return is_diffusion(argv[1]) ? sample_diffusion(argv[1], &options)
                                 : sample_generator(argv[1], &options);
}
