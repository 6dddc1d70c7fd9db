/* imgtrain sample: pictures of a trained generator, one by one, as a grid or as a walk between. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/seed_list.h"
#include "device/device.h"
#include "gan/sampler.h"
#include "gan/seeds.h"
#include "image/image.h"
#include "run/signals.h"
#include "store/checkpoint.h"
#include "video/video.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BATCH = 16, BATCH_MOST = 4096, WALK_SIDE = 256, QUALITY = 18 };

struct sample_options {
    const char *seeds, *output, *grid, *walk, *device;
    int64_t label, frames, fps, scale, batch;
};

/* ---- pictures and files ---- */

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcasecmp(text + length - tail, ending) == 0;
}

static bool is_picture_name(const char *path)
{
    return ends_with(path, ".png") || ends_with(path, ".jpg") || ends_with(path, ".jpeg") ||
           ends_with(path, ".ppm") || ends_with(path, ".pnm");
}

/* Copies a picture to (x, y) of a larger one, each pixel `scale` times wide and high. */
static void paste(struct image *to, int x, int y, const uint8_t *pixels, int w, int h, int scale)
{
    for (int row = 0; row < h * scale; row++) {
        uint8_t *out =
            (uint8_t *)to->data + ((size_t)(y + row) * (size_t)to->width + (size_t)x) * 3;
        for (int column = 0; column < w * scale; column++, out += 3)
            memcpy(out, pixels + ((size_t)(row / scale) * (size_t)w + (size_t)(column / scale)) * 3,
                   3);
    }
}

static int check_size(const struct sampler *sampler, int columns, int rows, int64_t scale)
{
    int64_t w = sampler_width(sampler) * columns * scale, h = sampler_height(sampler);
    h *= rows * scale;
    if (w > IMAGE_MAX_SIDE || h > IMAGE_MAX_SIDE)
        return fail(ERR_USAGE, "a picture of %" PRId64 "x%" PRId64 " pixels: at most %d a side", w,
                    h, IMAGE_MAX_SIDE);
    return OK;
}

/* Everything that one run of the command has open. */
struct maker {
    const struct sample_options *options;
    struct sampler *sampler;
    int w, h, scale, batch;
    int label;       /* -1: by the seed */
    int *labels;     /* [batch] */
    uint8_t *pixels; /* [batch] pictures */
};

static size_t picture_bytes(const struct maker *m)
{
    return (size_t)m->w * (size_t)m->h * 3;
}

/* The next pictures of the list, at most a batch of them, into m->pixels. */
static int make_batch(struct maker *m, const struct seed_list *list, int first, int *count)
{
    *count = list->count - first < m->batch ? list->count - first : m->batch;
    if (signals_stop_requested()) return fail(ERR_STOPPED, "stopped by %s", signals_stop_reason());
    for (int i = 0; i < *count; i++)
        m->labels[i] = m->label >= 0 ? m->label : seeds_class(m->sampler, list->seeds[first + i]);
    return seeds_make(m->sampler, list->seeds + first, m->labels, *count, m->pixels);
}

static int save_picture(const struct maker *m, const uint8_t *pixels, const char *name)
{
    struct image image;
    char *path = path_join(m->options->output, name);
    int code =
        path ? image_create(&image, m->w * m->scale, m->h * m->scale, 3, SAMPLE_U8) : ERR_SYSTEM;
    if (code == OK) {
        paste(&image, 0, 0, pixels, m->w, m->h, m->scale);
        code = image_save(&image, path);
        image_free(&image);
    }
    free(path);
    return code;
}

static int write_files(struct maker *m, const struct seed_list *list)
{
    TRY(file_make_dirs(m->options->output));
    for (int first = 0, count; first < list->count; first += count) {
        TRY(make_batch(m, list, first, &count));
        for (int i = 0; i < count; i++) {
            char name[48];
            snprintf(name, sizeof name, "seed-%05" PRIu64 ".png", list->seeds[first + i]);
            TRY(save_picture(m, m->pixels + (size_t)i * picture_bytes(m), name));
        }
    }
    log_info("%s: %d picture%s of %dx%d", m->options->output, list->count,
             list->count == 1 ? "" : "s", m->w * m->scale, m->h * m->scale);
    return OK;
}

static int fill_grid(struct maker *m, const struct seed_list *list, int columns, struct image *grid)
{
    for (int first = 0, count; first < list->count; first += count) {
        TRY(make_batch(m, list, first, &count));
        for (int i = 0; i < count; i++)
            paste(grid, (first + i) % columns * m->w * m->scale,
                  (first + i) / columns * m->h * m->scale, m->pixels + (size_t)i * picture_bytes(m),
                  m->w, m->h, m->scale);
    }
    return OK;
}

static int write_grid(struct maker *m, const struct seed_list *list, int columns, int rows)
{
    struct image grid;
    TRY(image_create(&grid, columns * m->w * m->scale, rows * m->h * m->scale, 3, SAMPLE_U8));
    int code = fill_grid(m, list, columns, &grid);
    if (code == OK) code = image_save(&grid, m->options->output);
    image_free(&grid);
    if (code == OK) log_info("%s: %d pictures", m->options->output, list->count);
    return code;
}

/* ---- a walk ---- */

struct walk {
    struct video_encoder *encoder; /* NULL: pictures into a folder */
    float *ends;                   /* [list->count] latents of the seeds */
    float *latents;                /* [batch] */
    int frames;                    /* in all */
};

/* The latent of frame `frame`: `options->frames` of them from each seed to the next. */
static void walk_latent(const struct maker *m, const struct walk *walk, int frame, float *latent)
{
    int z = sampler_z(m->sampler), each = (int)m->options->frames, leg = frame / each;
    const float *from = walk->ends + (ptrdiff_t)leg * z;
    if (frame % each == 0)
        memcpy(latent, from, (size_t)z * sizeof *latent);
    else
        seeds_between(latent, from, from + z, z, (double)(frame % each) / each);
}

static int write_frame(const struct maker *m, struct walk *walk, int frame, const uint8_t *pixels)
{
    struct image image;
    char name[32];
    if (!walk->encoder) {
        snprintf(name, sizeof name, "frame-%05d.png", frame);
        return save_picture(m, pixels, name);
    }
    TRY(image_create(&image, m->w * m->scale, m->h * m->scale, 3, SAMPLE_U8));
    paste(&image, 0, 0, pixels, m->w, m->h, m->scale);
    int code = video_encoder_add(walk->encoder, &image, 1);
    image_free(&image);
    return code;
}

static int write_frames(struct maker *m, struct walk *walk)
{
    size_t z = (size_t)sampler_z(m->sampler);
    for (int first = 0, count; first < walk->frames; first += count) {
        count = walk->frames - first < m->batch ? walk->frames - first : m->batch;
        if (signals_stop_requested())
            return fail(ERR_STOPPED, "stopped by %s", signals_stop_reason());
        for (int i = 0; i < count; i++)
            walk_latent(m, walk, first + i, walk->latents + (size_t)i * z);
        TRY(seeds_draw(m->sampler, walk->latents, m->labels, count, m->pixels));
        for (int i = 0; i < count; i++)
            TRY(write_frame(m, walk, first + i, m->pixels + (size_t)i * picture_bytes(m)));
    }
    return OK;
}

static int open_walk(struct maker *m, struct walk *walk, const struct seed_list *list)
{
    size_t z = (size_t)sampler_z(m->sampler);
    const char *output = m->options->output;
    int64_t frames = (int64_t)(list->count - 1) * m->options->frames + 1;
    if (frames > SEED_LIST_MOST) return fail(ERR_USAGE, "a walk of %" PRId64 " pictures", frames);
    walk->frames = (int)frames;
    walk->ends = malloc((size_t)list->count * z * sizeof *walk->ends);
    walk->latents = malloc((size_t)m->batch * z * sizeof *walk->latents);
    if (!walk->ends || !walk->latents) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < list->count; i++)
        sampler_latent(m->sampler, list->seeds[i], walk->ends + (size_t)i * z);
    for (int i = 0; i < m->batch; i++) /* a walk stays within one class */
        m->labels[i] = m->label >= 0 ? m->label : seeds_class(m->sampler, list->seeds[0]);
    if (!ends_with(output, ".mp4")) return file_make_dirs(output);
    return video_encoder_open(&walk->encoder, output, m->w * m->scale, m->h * m->scale,
                              (int)m->options->fps, QUALITY);
}

static int write_walk(struct maker *m, const struct seed_list *list)
{
    struct walk walk = {0};
    int code = open_walk(m, &walk, list);
    if (code == OK) code = write_frames(m, &walk);
    if (walk.encoder) {
        int closed = video_encoder_close(walk.encoder, code == OK);
        if (code == OK) code = closed;
    }
    free(walk.ends);
    free(walk.latents);
    if (code == OK)
        log_info("%s: %d pictures of %dx%d", m->options->output, walk.frames, m->w * m->scale,
                 m->h * m->scale);
    return code;
}

/* ---- the command ---- */

static int prepare(struct maker *m, const struct sample_options *options)
{
    int classes = sampler_classes(m->sampler);
    m->options = options;
    m->w = sampler_width(m->sampler);
    m->h = sampler_height(m->sampler);
    m->batch = (int)options->batch;
    m->label = (int)options->label;
    m->scale = (int)options->scale;
    if (m->label >= 0 && classes == 0)
        return fail(ERR_USAGE, "--class %d: this model has no classes", m->label);
    if (m->label >= classes && classes > 0)
        return fail(ERR_USAGE, "--class %d: this model has %d classes, 0 to %d", m->label, classes,
                    classes - 1);
    int side = m->w > m->h ? m->w : m->h;
    if (m->scale == 0) /* a video of 16 pixels is hard to look at */
        m->scale = options->walk && ends_with(options->output, ".mp4") && side < WALK_SIDE
                       ? (WALK_SIDE + side - 1) / side
                       : 1;
    m->labels = calloc((size_t)m->batch, sizeof *m->labels);
    m->pixels = malloc((size_t)m->batch * picture_bytes(m));
    return m->labels && m->pixels ? OK : fail(ERR_SYSTEM, "out of memory");
}

static int make_all(struct maker *m, const struct seed_list *list, int columns, int rows)
{
    const struct sample_options *options = m->options;
    TRY(check_size(m->sampler, columns ? columns : 1, rows ? rows : 1, m->scale));
    if (options->walk) return write_walk(m, list);
    return columns ? write_grid(m, list, columns, rows) : write_files(m, list);
}

static int sample_model(const char *model, const struct sample_options *options,
                        const struct seed_list *list, int columns, int rows)
{
    struct store_file *file = NULL;
    struct device *device = NULL;
    struct maker m = {0};
    int code;
    TRY_CLEANUP(checkpoint_open(model, &file));
    TRY_CLEANUP(checkpoint_expect(file, "gan", NULL));
    TRY_CLEANUP(device_open(&device, options->device, 0));
    code = sampler_open(&m.sampler, device, file, (int)options->batch);
    if (code < 0) TRY_CLEANUP(fail_within(code, "%s", store_path(file)));
    TRY_CLEANUP(prepare(&m, options));
    signals_install();
    code = make_all(&m, list, columns, rows);
cleanup:
    free(m.labels);
    free(m.pixels);
    sampler_close(m.sampler);
    device_close(device);
    store_close(file);
    return code;
}

static int check_range(const char *option, int64_t value, int64_t low, int64_t high)
{
    if (value >= low && value <= high) return OK;
    return fail(ERR_USAGE, "%s %" PRId64 ": it must be %" PRId64 " to %" PRId64, option, value, low,
                high);
}

static int check_options(const struct sample_options *options)
{
    const char *output = options->output;
    if (!output) return fail(ERR_USAGE, "no output: add -o FOLDER or -o FILE");
    if (options->grid && options->walk)
        return fail(ERR_USAGE, "--grid and --interpolate exclude each other");
    if (options->seeds && options->walk)
        return fail(ERR_USAGE, "--interpolate names the seeds itself: leave --seeds out");
    if (options->grid && !is_picture_name(output))
        return fail(ERR_USAGE, "-o %s: a grid is one picture, .png, .jpg or .ppm", output);
    if (!options->grid && is_picture_name(output))
        return fail(ERR_USAGE, "-o %s: a folder is needed (or --grid 8x8 for one picture)", output);
    if (!options->walk && ends_with(output, ".mp4"))
        return fail(ERR_USAGE, "-o %s: a video needs --interpolate SEEDS", output);
    TRY(check_range("--class", options->label, -1, 1 << 20));
    TRY(check_range("--frames", options->frames, 1, 100000));
    TRY(check_range("--fps", options->fps, 1, 240));
    TRY(check_range("--scale", options->scale, 0, 64));
    return check_range("--batch", options->batch, 1, BATCH_MOST);
}

/* The seeds to make, and the grid's shape (0: none). */
static int choose_seeds(const struct sample_options *options, struct seed_list *list, int *columns,
                        int *rows)
{
    char end;
    if (options->grid && (sscanf(options->grid, "%dx%d%c", columns, rows, &end) != 2 ||
                          *columns < 1 || *rows < 1 || *columns > 10000 || *rows > 10000))
        return fail(ERR_USAGE, "--grid %s: COLUMNSxROWS is needed", options->grid);
    if (options->walk) TRY(seed_list_parse(list, "--interpolate", options->walk));
    if (options->seeds) TRY(seed_list_parse(list, "--seeds", options->seeds));
    if (options->walk && list->count < 2)
        return fail(ERR_USAGE, "--interpolate %s: two seeds at least", options->walk);
    int wanted = options->grid ? *columns * *rows : 64;
    for (int i = 0; !options->seeds && !options->walk && i < wanted; i++)
        TRY(seed_list_add(list, (uint64_t)i));
    if (options->grid && list->count > wanted)
        return fail(ERR_USAGE, "--grid %s holds %d pictures, not %d", options->grid, wanted,
                    list->count);
    return OK;
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
         .help = "a folder; with --grid a picture; with --interpolate a video or folder"},
        {.name = "seeds",
         .argument = "LIST",
         .text = &options.seeds,
         .help = "which samples: 0-63 (default), 3,5,100-199"},
        {.name = "grid",
         .argument = "WxH",
         .text = &options.grid,
         .help = "one picture of W columns and H rows"},
        {.name = "interpolate",
         .argument = "LIST",
         .text = &options.walk,
         .help = "a walk from seed to seed"},
        {.name = "class",
         .argument = "K",
         .integer = &options.label,
         .help = "samples of class K, from 0; without it seeds take turns"},
        {.name = "frames",
         .argument = "N",
         .integer = &options.frames,
         .help = "pictures from one seed to the next (60)"},
        {.name = "fps", .argument = "N", .integer = &options.fps, .help = "frames a second (30)"},
        {.name = "scale",
         .argument = "N",
         .integer = &options.scale,
         .help = "enlarge pixels N times (1; small videos to 256 pixels)"},
        {.name = "batch",
         .argument = "N",
         .integer = &options.batch,
         .help = "pictures at a time (16); changes no picture"},
        {.name = "device",
         .argument = "NAME",
         .text = &options.device,
         .help = "auto, cpu, cuda or cuda:N"},
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain sample MODEL -o PATH [--seeds LIST] [--grid WxH | --interpolate LIST]",
        .about = "Makes pictures with a trained generator (a model, a checkpoint or a run): files "
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
    TRY(check_options(&options));
    int code = choose_seeds(&options, &list, &columns, &grid_rows);
    if (code == OK) code = sample_model(argv[1], &options, &list, columns, grid_rows);
    seed_list_free(&list);
    return code;
}
