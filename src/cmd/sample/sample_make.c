/* Images of a generator into files, a grid or a walk. */
#include "cmd/sample/sample_make.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/temporary.h"
#include "cmd/sample/latent_file.h"
#include "cmd/seed_list.h"
#include "gan/sample_seeds.h"
#include "gan/sampler.h"
#include "image/image.h"
#include "image/premultiplied.h"
#include "run/signals.h"
#include "video/video.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { WALK_SIDE = 256, QUALITY = 18 };

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcasecmp(text + length - tail, ending) == 0;
}

bool sample_is_video(const char *path)
{
    return ends_with(path, ".mp4");
}

bool sample_is_picture(const char *path)
{
    return ends_with(path, ".png") || ends_with(path, ".jpg") || ends_with(path, ".jpeg") ||
           ends_with(path, ".ppm") || ends_with(path, ".pnm");
}

void sample_paste(struct image *to, int x, int y, const uint8_t *pixels, int w, int h, int scale)
{
    size_t pixel = (size_t)to->channels;
    for (int row = 0; row < h * scale; row++) {
        uint8_t *out =
            (uint8_t *)to->data + ((size_t)(y + row) * (size_t)to->width + (size_t)x) * pixel;
        for (int column = 0; column < w * scale; column++, out += pixel)
            memcpy(out,
                   pixels + ((size_t)(row / scale) * (size_t)w + (size_t)(column / scale)) * pixel,
                   pixel);
    }
}

static int sample_check_size(const struct sampler *sampler, int columns, int rows, int64_t scale)
{
    int64_t w = sampler_width(sampler) * columns * scale, h = sampler_height(sampler);
    h *= rows * scale;
    if (w > IMAGE_MAX_SIDE || h > IMAGE_MAX_SIDE)
        return fail(ERR_USAGE, "an image of %" PRId64 "x%" PRId64 " pixels: at most %d a side", w,
                    h, IMAGE_MAX_SIDE);
    return OK;
}

int sample_list_count(const struct sample_list *list)
{
    return list->latents ? list->latents->count : list->seeds->count;
}

/* Everything that one run of the command has open. */
struct maker {
    const struct sample_options *options;
    const struct sample_list *list;
    struct sampler *sampler;
    int w, h, scale, batch;
    int channels;    /* of the generator, */
    int shown;       /* and of what is written: as many in PNG, else RGB */
    int *labels;     /* [batch] */
    float *latents;  /* [batch] */
    uint8_t *pixels; /* [batch] images as they are made; as they are written */
    uint8_t *written;
};

/* The first `count` of m->pixels into m->written. Frames of a film are over squares, a grid in a
 * format without alpha is over white. */
static void sample_make_show(struct maker *m, int count)
{
    size_t one = (size_t)m->w * (size_t)m->h;
    if (m->shown == m->channels) {
        memcpy(m->written, m->pixels, (size_t)count * one * (size_t)m->channels);
        premultiplied_divide(m->written, (size_t)count * one, m->channels);
    } else if (m->list->walk) {
        for (size_t i = 0; i < (size_t)count; i++)
            premultiplied_show_all(m->written + i * one * 3,
                                   m->pixels + i * one * (size_t)m->channels, m->channels, m->w,
                                   m->h);
    } else {
        premultiplied_over(m->written, m->pixels, (size_t)count * one, m->channels,
                           PREMULTIPLIED_WHITE);
    }
}

static const uint8_t *sample_make_at(const struct maker *m, int i)
{
    return m->written + (size_t)i * (size_t)m->w * (size_t)m->h * (size_t)m->shown;
}

/* What number `index` of the list is made from. */
static void list_latent(const struct maker *m, int index, float *latent)
{
    int z = sampler_z(m->sampler);
    if (m->list->latents)
        memcpy(latent, m->list->latents->values + (ptrdiff_t)index * z, (size_t)z * sizeof *latent);
    else
        sampler_latent(m->sampler, m->list->seeds->seeds[index], latent);
    seeds_truncate(latent, z, m->options->truncation);
    for (int i = 0; m->list->edit && i < z; i++)
        latent[i] += (float)m->options->strength * m->list->edit->values[i];
}

/* Its class: the one that is asked for, or classes take turns. */
static int list_class(const struct maker *m, int index)
{
    const struct sample_list *list = m->list;
    if (list->classes.count) return (int)list->classes.class[0];
    return seeds_class(m->sampler, list->latents ? (uint64_t)index : list->seeds->seeds[index]);
}

/* The next images of the list, at most a batch of them, into m->pixels. */
static int make_batch(struct maker *m, int first, int *count)
{
    int left = sample_list_count(m->list) - first, z = sampler_z(m->sampler);
    *count = left < m->batch ? left : m->batch;
    if (signals_stop_requested()) return fail(ERR_STOPPED, "stopped by %s", signals_stop_reason());
    for (int i = 0; i < *count; i++) {
        m->labels[i] = list_class(m, first + i);
        list_latent(m, first + i, m->latents + (ptrdiff_t)i * z);
    }
    TRY(seeds_draw(m->sampler, m->latents, m->labels, *count, m->pixels));
    sample_make_show(m, *count);
    return OK;
}

static int save_picture(const struct maker *m, const uint8_t *pixels, const char *name)
{
    struct image image;
    char *path = path_join(m->options->output, name);
    int code = path ? image_create(&image, m->w * m->scale, m->h * m->scale, m->shown, SAMPLE_U8)
                    : ERR_SYSTEM;
    if (code == OK) {
        sample_paste(&image, 0, 0, pixels, m->w, m->h, m->scale);
        code = image_save(&image, path);
        image_free(&image);
    }
    free(path);
    return code;
}

static int write_files(struct maker *m)
{
    int total = sample_list_count(m->list);
    TRY(file_make_dirs(m->options->output));
    temporary_clean(m->options->output, NULL);
    for (int first = 0, count; first < total; first += count) {
        TRY(make_batch(m, first, &count));
        for (int i = 0; i < count; i++) {
            char name[48];
            if (m->list->latents)
                snprintf(name, sizeof name, "latent-%05d.png", first + i);
            else
                snprintf(name, sizeof name, "seed-%05" PRIu64 ".png",
                         m->list->seeds->seeds[first + i]);
            TRY(save_picture(m, sample_make_at(m, i), name));
        }
    }
    log_info("%s: %d image%s of %dx%d", m->options->output, total, total == 1 ? "" : "s",
             m->w * m->scale, m->h * m->scale);
    return OK;
}

static int fill_grid(struct maker *m, struct image *grid)
{
    int columns = m->list->columns;
    for (int first = 0, count; first < sample_list_count(m->list); first += count) {
        TRY(make_batch(m, first, &count));
        for (int i = 0; i < count; i++)
            sample_paste(grid, (first + i) % columns * m->w * m->scale,
                         (first + i) / columns * m->h * m->scale, sample_make_at(m, i), m->w, m->h,
                         m->scale);
    }
    return OK;
}

static int write_grid(struct maker *m)
{
    struct image grid;
    TRY(image_create(&grid, m->list->columns * m->w * m->scale, m->list->rows * m->h * m->scale,
                     m->shown, SAMPLE_U8));
    int code = fill_grid(m, &grid);
    if (code == OK) temporary_clean_beside(m->options->output);
    if (code == OK) code = image_save(&grid, m->options->output);
    image_free(&grid);
    if (code == OK) log_info("%s: %d images", m->options->output, sample_list_count(m->list));
    return code;
}

/* ---- a walk ---- */

struct walk {
    struct video_encoder *encoder; /* NULL: images into a folder */
    float *ends;                   /* latents of the list */
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
    TRY(image_create(&image, m->w * m->scale, m->h * m->scale, m->shown, SAMPLE_U8));
    sample_paste(&image, 0, 0, pixels, m->w, m->h, m->scale);
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
            walk_latent(m, walk, first + i, m->latents + (size_t)i * z);
        TRY(seeds_draw(m->sampler, m->latents, m->labels, count, m->pixels));
        sample_make_show(m, count);
        for (int i = 0; i < count; i++)
            TRY(write_frame(m, walk, first + i, sample_make_at(m, i)));
    }
    return OK;
}

static int open_walk(struct maker *m, struct walk *walk)
{
    size_t z = (size_t)sampler_z(m->sampler);
    int count = sample_list_count(m->list);
    const char *output = m->options->output;
    int64_t frames = (int64_t)(count - 1) * m->options->frames + 1;
    if (frames > SEED_LIST_MOST) return fail(ERR_USAGE, "a walk of %" PRId64 " images", frames);
    walk->frames = (int)frames;
    walk->ends = malloc((size_t)count * z * sizeof *walk->ends);
    if (!walk->ends) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < count; i++)
        list_latent(m, i, walk->ends + (size_t)i * z);
    for (int i = 0; i < m->batch; i++) /* a walk stays within one class */
        m->labels[i] = list_class(m, 0);
    if (!sample_is_video(output)) {
        TRY(file_make_dirs(output));
        temporary_clean(output, NULL);
        return OK;
    }
    return video_encoder_open(&walk->encoder, NULL, output, m->w * m->scale, m->h * m->scale,
                              (int)m->options->fps, QUALITY);
}

static int write_walk(struct maker *m)
{
    struct walk walk = {0};
    int code = open_walk(m, &walk);
    if (code == OK) code = write_frames(m, &walk);
    if (walk.encoder) {
        int closed = video_encoder_close(walk.encoder, code == OK);
        if (code == OK) code = closed;
    }
    free(walk.ends);
    if (code == OK)
        log_info("%s: %d images of %dx%d", m->options->output, walk.frames, m->w * m->scale,
                 m->h * m->scale);
    return code;
}

/* ---- all of it ---- */

static int sample_check_latents(const struct sampler *sampler, const char *path,
                                const struct latent_file *latents)
{
    if (!latents || latents->z == sampler_z(sampler)) return OK;
    return fail(ERR_DATA, "%s: rows of %d numbers, but this model's latents have %d", path,
                latents->z, sampler_z(sampler));
}

/* Files in a folder are PNGs. */
static bool sample_is_png(const struct sample_list *list, const char *output)
{
    if (list->walk) return !sample_is_video(output);
    return list->columns == 0 || ends_with(output, ".png");
}

static int sample_make_prepare(struct maker *m, const struct sample_options *options)
{
    m->options = options;
    m->w = sampler_width(m->sampler);
    m->h = sampler_height(m->sampler);
    m->batch = (int)options->batch;
    m->scale = (int)options->scale;
    TRY(sample_check_latents(m->sampler, options->latents, m->list->latents));
    TRY(sample_check_latents(m->sampler, options->edit, m->list->edit));
    TRY(class_mix_apply(&m->list->classes, m->sampler));
    if (options->tags) TRY(sampler_tag(m->sampler, "--tags", options->tags));
    int side = m->w > m->h ? m->w : m->h;
    if (m->scale == 0) /* a video of 16 pixels is hard to look at */
        m->scale = m->list->walk && sample_is_video(options->output) && side < WALK_SIDE
                       ? (WALK_SIDE + side - 1) / side
                       : 1;
    m->labels = calloc((size_t)m->batch, sizeof *m->labels);
    m->latents = malloc((size_t)m->batch * (size_t)sampler_z(m->sampler) * sizeof *m->latents);
    size_t samples = (size_t)m->batch * (size_t)m->w * (size_t)m->h;
    m->channels = sampler_channels(m->sampler);
    m->shown = sample_is_png(m->list, options->output) ? m->channels : 3;
    m->pixels = malloc(samples * (size_t)m->channels);
    m->written = malloc(samples * (size_t)m->shown);
    return m->labels && m->latents && m->pixels && m->written ? OK
                                                              : fail(ERR_SYSTEM, "out of memory");
}

static int make_all(struct maker *m)
{
    int columns = m->list->columns, rows = m->list->rows;
    TRY(sample_check_size(m->sampler, columns ? columns : 1, rows ? rows : 1, m->scale));
    if (m->list->walk) return write_walk(m);
    return columns ? write_grid(m) : write_files(m);
}

int sample_make(struct sampler *sampler, const struct sample_options *options,
                const struct sample_list *list)
{
    struct maker m = {.sampler = sampler, .list = list};
    int code = sample_make_prepare(&m, options);
    if (code == OK) code = make_all(&m);
    free(m.labels);
    free(m.latents);
    free(m.pixels);
    free(m.written);
    return code;
}
