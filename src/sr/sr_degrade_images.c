#include "sr/sr_degrade_images.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "config/config.h"
#include "data/flatten.h"
#include "image/image.h"
#include "sr/sr_data.h"
#include "sr/sr_feed.h"
#include "task/task.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct degrade_images {
    const struct config *config;
    const char *folder;
    struct sr_feed feed;
    struct sr_data data;
    struct task_input *input;
    float *lq, *gt;
    void *memory;
    int count;
};

/* ---- files ---- */

/* FOLDER/000012_lq.png. malloc. */
static char *degrade_file(const struct degrade_images *d, int index, const char *ending)
{
    return string_format("%s/%06d%s", d->folder, index + 1, ending);
}

static int save_samples(const struct degrade_images *d, int index, const char *ending,
                        float *samples, int w, int h)
{
    struct image image = {w, h, 3, SAMPLE_F32, samples};
    char *path = degrade_file(d, index, ending);
    int code = path ? image_save(&image, path) : ERR_SYSTEM;
    free(path);
    return code;
}

static int save_recipe(const struct degrade_images *d, int index, const char *name, int64_t step,
                       int patch, const struct degrade_recipe *recipe)
{
    char *path = degrade_file(d, index, ".json");
    FILE *to = path ? fopen(path, "w") : NULL;
    int code = to ? OK : fail_errno(ERR_OUTPUT, "%s", path ? path : d->folder);
    if (to) {
        fputs("{\"image\": ", to);
        json_write_string(to, name);
        fprintf(to, ", \"step\": %lld, \"patch\": %d,\n \"draws\": ", (long long)step, patch);
        degrade_recipe_write(to, recipe);
        fputs("}\n", to);
        bool failed = ferror(to);
        if (fclose(to) != 0 || failed) code = fail_errno(ERR_IO, "write %s", path);
    }
    free(path);
    return code;
}

static int check_files(const struct degrade_images *d)
{
    static const char *const endings[] = {"_lq.png", "_gt.png", ".json"};
    for (int i = 0; i < d->count; i++)
        for (int k = 0; k < 3; k++) {
            char *path = degrade_file(d, i, endings[k]);
            if (!path) return ERR_SYSTEM;
            int code = file_exists(path) ? fail(ERR_OUTPUT, "%s: is there already", path) : OK;
            free(path);
            TRY(code);
        }
    return file_make_dirs(d->folder);
}

/* ---- patches as they are trained ---- */

static int degrade_patches(struct degrade_images *d, bool (*stop_requested)(void))
{
    int side = (int)d->config->sr.lq_size, batch = (int)d->config->sr.batch;
    int large = side * (int)d->config->sr.scale;
    d->lq = malloc((size_t)side * (size_t)side * 3 * sizeof *d->lq);
    d->gt = malloc((size_t)large * (size_t)large * 3 * sizeof *d->gt);
    d->memory = malloc(sr_feed_bytes(&d->feed, side, 1));
    if (!d->lq || !d->gt || !d->memory) return fail(ERR_SYSTEM, "out of memory");
    const struct sr_feed_out out = {.lq = d->lq, .gt = d->gt};
    for (int i = 0; i < d->count; i++) {
        struct degrade_recipe recipe;
        struct sr_feed_place place = {.step = (uint64_t)(i / batch), .index = i % batch};
        if (stop_requested()) return fail(ERR_STOPPED, "stopped");
        TRY(sr_feed_patch(&d->feed, &place, side, &out, &recipe, d->memory));
        TRY(save_samples(d, i, "_lq.png", d->lq, side, side));
        TRY(save_samples(d, i, "_gt.png", d->gt, large, large));
        TRY(save_recipe(d, i, place.name, i / batch, i % batch, &recipe));
    }
    return OK;
}

/* ---- one image ---- */

static int degrade_one(struct degrade_images *d, const struct image *rgb, const char *path,
                       bool (*stop_requested)(void))
{
    int scale = d->feed.scale, batch = (int)d->config->sr.batch;
    int w = rgb->width / scale, h = rgb->height / scale;
    if (w < 1 || h < 1) return fail(ERR_DATA, "%s: smaller than %d pixels", path, scale);
    size_t row = (size_t)w * (size_t)scale * 3;
    d->memory = malloc(degrade_window_bytes(&d->feed.choices, w, h));
    if (!d->memory) return fail(ERR_SYSTEM, "%s: out of memory", path);
    for (int i = 0; i < d->count; i++) {
        struct degrade_recipe recipe;
        const float *lq;
        float *gt = d->memory;
        if (stop_requested()) return fail(ERR_STOPPED, "stopped");
        for (size_t y = 0; y < (size_t)(h * scale); y++)
            for (size_t k = 0; k < row; k++)
                gt[y * row + k] = image_sample(rgb, y * (size_t)rgb->width * 3 + k);
        TRY(save_samples(d, i, "_gt.png", gt, w * scale, h * scale));
        degrade_recipe_draw(&recipe, &d->feed.choices, d->feed.seed, (uint64_t)(i / batch),
                            (uint32_t)(i % batch));
        recipe.paired = false;
        TRY(degrade_window(&lq, d->memory, w, h, &d->feed.choices, &recipe));
        TRY(save_samples(d, i, "_lq.png", (float *)d->memory + (lq - (float *)d->memory), w, h));
        TRY(save_recipe(d, i, path, i / batch, i % batch, &recipe));
    }
    return OK;
}

static int degrade_file_whole(struct degrade_images *d, const char *path,
                              bool (*stop_requested)(void))
{
    struct image image = {0}, rgb = {0};
    int code = image_load(&image, path);
    TRY_CLEANUP(code);
    enum sample_type type = image.type == SAMPLE_U8 ? SAMPLE_U8 : SAMPLE_U16;
    TRY_CLEANUP(image_create(&rgb, image.width, image.height, 3, type));
    flatten_rgb(rgb.data, type, &image);
    TRY_CLEANUP(degrade_one(d, &rgb, path, stop_requested));
cleanup:
    image_free(&image);
    image_free(&rgb);
    return code;
}

int sr_degrade_images(const struct config *config, const char *image, const char *folder, int count,
                      bool (*stop_requested)(void))
{
    struct degrade_images d = {.config = config, .folder = folder, .count = count};
    const struct task_setup setup = {
        .config = config, .forecast_only = true, .stop_requested = stop_requested};
    int code = sr_feed_open(&d.feed, config, &d.data.crops);
    TRY_CLEANUP(code);
    if (!image) TRY_CLEANUP(sr_data_open(&d.data, &d.input, &setup, &d.feed.choices));
    TRY_CLEANUP(check_files(&d));
    TRY_CLEANUP(image ? degrade_file_whole(&d, image, stop_requested)
                      : degrade_patches(&d, stop_requested));
cleanup:
    free(d.lq);
    free(d.gt);
    free(d.memory);
    sr_data_close(&d.data);
    sr_free_input(d.input);
    return code;
}
