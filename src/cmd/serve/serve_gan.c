/* Samples of generators over HTTP: as `imgtrain sample` makes them. */
#include "base/error.h"
#include "base/parse_number.h"
#include "base/threads.h"
#include "cmd/sample/sample_make.h"
#include "cmd/serve/serve_models.h"
#include "data/tags.h"
#include "gan/gan.h"
#include "gan/sample_seeds.h"
#include "gan/sampler.h"
#include "image/image.h"
#include "image/premultiplied.h"
#include "store/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 16 };

/* Images of all jobs, one after the other. */
struct gan_work {
    struct sampler *sampler;
    struct serve_job *const *jobs;
    int count, images;
    uint64_t *seeds; /* [images] */
    int *labels;
    uint8_t *pixels; /* [images][h][w][channels] */
    int *made;       /* [images]: error codes of encoding; 1: part of a grid, so not encoded */
    struct serve_image *encoded;
};

/* ---- what is asked for ---- */

static int gan_check_size(const struct sampler *sampler, const char *size)
{
    int w, h, own_w = sampler_width(sampler), own_h = sampler_height(sampler);
    if (!size || strcmp(size, "auto") == 0) return OK;
    if (number_parse_sides(size, &w, &h) && w == own_w && h == own_h) return OK;
    return fail(ERR_USAGE, "size %.40s: this model makes images of %dx%d", size, own_w, own_h);
}

/* The label that is the set of tags which a prompt lists; -1: none. */
static int gan_find_set(const struct sampler *sampler, const char *prompt, int64_t *label)
{
    char *set;
    *label = -1;
    TRY(tags_of_picture(&set, "", prompt));
    for (int i = 0; i < sampler_classes(sampler) && *label < 0; i++)
        if (strcmp(sampler_set(sampler, i), set) == 0) *label = i;
    free(set);
    return OK;
}

/* A class by its number, or by its tags where it is a set of them. A prompt that names none has no
 * effect on a GAN. */
static int gan_label(const struct sampler *sampler, struct serve_job *job, int *label)
{
    int64_t number = -1;
    *label = -1;
    if (job->ask.label && !number_parse_int(job->ask.label, &number))
        return fail(ERR_USAGE, "class %.40s: a number is needed", job->ask.label);
    if (job->ask.label && number < 0)
        return fail(ERR_USAGE, "class %.40s: numbers begin at 0", job->ask.label);
    if (!job->ask.label && job->ask.prompt) {
        bool names = number_parse_int(job->ask.prompt, &number) && number >= 0 &&
                     number < sampler_classes(sampler);
        if (!names) number = -1;
        if (!names && sampler_has_tags(sampler))
            TRY(gan_find_set(sampler, job->ask.prompt, &number));
        if (number < 0) serve_ask_ignore(&job->ask, "prompt");
    }
    TRY(class_mix_check(sampler_classes(sampler), number));
    *label = (int)number;
    return OK;
}

static int gan_check(const struct serve_model *model, const struct sampler *sampler,
                     struct serve_job *job, int *label)
{
    const struct serve_ask *ask = &job->ask;
    TRY(gan_check_size(sampler, ask->size));
    TRY(serve_model_check_pixels(model, sampler_width(sampler), sampler_height(sampler), ask->n));
    if (ask->negative) serve_ask_ignore(&job->ask, "negative_prompt");
    if (ask->steps) serve_ask_ignore(&job->ask, "steps");
    if (ask->guidance) serve_ask_ignore(&job->ask, "guidance");
    TRY(gan_label(sampler, job, label));
    return serve_model_seed(job);
}

/* Jobs that cannot be are failed by themselves. */
static int gan_gather(struct gan_work *w, struct serve_model *model)
{
    int room = 0;
    for (int j = 0; j < w->count; j++)
        room += w->jobs[j]->ask.n;
    w->seeds = calloc((size_t)room, sizeof *w->seeds);
    w->labels = calloc((size_t)room, sizeof *w->labels);
    w->made = calloc((size_t)room, sizeof *w->made);
    w->encoded = calloc((size_t)room, sizeof *w->encoded);
    if (!w->seeds || !w->labels || !w->made || !w->encoded)
        return fail(ERR_SYSTEM, "out of memory");
    for (int j = 0; j < w->count; j++) {
        struct serve_job *job = w->jobs[j];
        int label, code = gan_check(model, w->sampler, job, &label);
        if (code < 0) serve_model_fail(model, job, code);
        for (int i = 0; code == OK && i < job->ask.n; i++) {
            uint64_t seed = job->ask.seed + (uint64_t)i;
            w->made[w->images] = job->ask.columns > 0;
            w->seeds[w->images] = seed;
            w->labels[w->images++] = label >= 0 ? label : seeds_class(w->sampler, seed);
        }
    }
    return OK;
}

/* ---- making them ---- */

static size_t gan_image_bytes(const struct gan_work *w)
{
    return (size_t)sampler_width(w->sampler) * (size_t)sampler_height(w->sampler) *
           (size_t)sampler_channels(w->sampler);
}

static int gan_make(struct gan_work *w, const struct serve_model *model, int at_once)
{
    w->pixels = malloc((size_t)w->images * gan_image_bytes(w) + 1);
    if (!w->pixels) return fail(ERR_SYSTEM, "out of memory for %d images", w->images);
    for (int first = 0; first < w->images; first += at_once) {
        int n = w->images - first < at_once ? w->images - first : at_once;
        TRY(serve_model_check_time(model));
        TRY(seeds_make(w->sampler, w->seeds + first, w->labels + first, n,
                       w->pixels + (size_t)first * gan_image_bytes(w)));
    }
    int channels = sampler_channels(w->sampler);
    premultiplied_divide(w->pixels, (size_t)w->images * gan_image_bytes(w) / (size_t)channels,
                         channels);
    return OK;
}

static void gan_encode(void *context, int64_t from, int64_t to)
{
    struct gan_work *w = context;
    for (int64_t i = from; i < to; i++) {
        if (w->made[i]) continue;
        struct image image = {sampler_width(w->sampler), sampler_height(w->sampler),
                              sampler_channels(w->sampler), SAMPLE_U8,
                              w->pixels + (size_t)i * gan_image_bytes(w)};
        struct serve_image *to_image = &w->encoded[i];
        to_image->seed = w->seeds[i];
        w->made[i] = image_encode_png(&image, &to_image->png, &to_image->bytes);
    }
}

static int gan_add_grid(struct gan_work *w, struct serve_job *job, int first)
{
    int width = sampler_width(w->sampler), height = sampler_height(w->sampler);
    struct image grid;
    TRY(image_create(&grid, job->ask.columns * width, job->ask.rows * height,
                     sampler_channels(w->sampler), SAMPLE_U8));
    for (int i = 0; i < job->ask.n; i++)
        sample_paste(&grid, i % job->ask.columns * width, i / job->ask.columns * height,
                     w->pixels + (size_t)(first + i) * gan_image_bytes(w), width, height, 1);
    int code = serve_model_add(job, &grid, job->ask.seed);
    image_free(&grid);
    return code;
}

static int gan_hand_out(struct gan_work *w)
{
    threads_for(w->images, 1, gan_encode, w);
    for (int j = 0, first = 0; j < w->count; j++) {
        struct serve_job *job = w->jobs[j];
        if (job->status) continue;
        if (job->ask.columns) TRY(gan_add_grid(w, job, first));
        for (int i = 0; !job->ask.columns && i < job->ask.n; i++) {
            struct serve_image *image = &w->encoded[first + i];
            if (w->made[first + i] < 0) return fail(w->made[first + i], "an image as PNG");
            serve_job_add_image(job, image->png, image->bytes, image->seed);
            image->png = NULL;
        }
        first += job->ask.n;
    }
    return OK;
}

static int gan_work(struct gan_work *w, struct serve_model *model, int at_once)
{
    TRY(gan_gather(w, model));
    if (w->images == 0) return OK;
    TRY(gan_make(w, model, at_once));
    return gan_hand_out(w);
}

/* ---- the model ---- */

static int gan_load(struct serve_model *model, struct device *device, int at_once)
{
    struct store_file *file = NULL;
    struct sampler *sampler = NULL;
    if (model->state) return OK;
    TRY(checkpoint_open(model->path, &file));
    int code = checkpoint_expect(file, "gan", NULL);
    if (code == OK) code = sampler_open(&sampler, device, file, at_once);
    store_close(file);
    model->state = sampler;
    return code;
}

static void gan_unload(struct serve_model *model)
{
    sampler_close(model->state);
    model->state = NULL;
}

static int gan_run(struct serve_model *model, struct device *device, int at_once,
                   struct serve_job *const *jobs, int count)
{
    struct gan_work w = {.jobs = jobs, .count = count};
    int code = gan_load(model, device, at_once);
    w.sampler = model->state;
    if (code == OK) code = gan_work(&w, model, at_once);
    for (int i = 0; w.encoded && i < w.images; i++)
        free(w.encoded[i].png);
    free(w.encoded);
    free(w.made);
    free(w.seeds);
    free(w.labels);
    free(w.pixels);
    if (code < 0) gan_unload(model);
    return code;
}

const struct serve_kind serve_kind_gan = {.task = &task_gan,
                                          .endpoints = 1u << SERVE_GENERATIONS | 1u << SERVE_SAMPLE,
                                          .unit = "images",
                                          .whole = BATCH,
                                          .least = 1,
                                          .run = gan_run,
                                          .unload = gan_unload,
                                          .joins = true};
