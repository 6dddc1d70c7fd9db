/* Makes one video of the frames of a run. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "video/frame_list.h"
#include "video/layout.h"
#include "video/video.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct film {
    const struct video_options *options;
    struct frame_list list;
    struct layout layout;
    struct image reference; /* data NULL: none */
    struct image canvas;    /* the frame as it is encoded */
    struct video_encoder *encoder;
    int shown;       /* frames of the run that are in the video */
    int last_repeat; /* how long the last one was shown */
    int64_t length;  /* frames of the video so far */
    bool alone;      /* the reference is not on the canvas now */
};

static int check_stop(const struct film *film)
{
    bool (*stop_requested)(void) = film->options->stop_requested;
    return stop_requested && stop_requested() ? fail(ERR_STOPPED, "stopped; no video was made")
                                              : OK;
}

/* ---- images ---- */

/* Any image as u8 RGB: grey is repeated, alpha over black, of a texture stack the first three. */
static int to_rgb(struct image *image)
{
    if (image->type == SAMPLE_U8 && image->channels == 3) return OK;
    struct image bytes = {0}, rgb = {0};
    int code = image_convert(&bytes, image, SAMPLE_U8);
    if (code == OK) code = image_create(&rgb, image->width, image->height, 3, SAMPLE_U8);
    size_t pixels = (size_t)image->width * (size_t)image->height;
    int channels = image->channels, colours = channels < 3 ? 1 : 3;
    for (size_t i = 0; code == OK && i < pixels; i++) {
        const uint8_t *in = (const uint8_t *)bytes.data + i * (size_t)channels;
        int alpha = image_has_alpha(image) ? in[channels - 1] : 255;
        for (int c = 0; c < 3; c++)
            ((uint8_t *)rgb.data)[3 * i + (size_t)c] =
                (uint8_t)((in[colours == 3 ? c : 0] * alpha + 127) / 255);
    }
    image_free(&bytes);
    if (code != OK) return image_free(&rgb), code;
    image_free(image);
    *image = rgb;
    return OK;
}

static int load_rgb(struct image *image, const char *path)
{
    TRY(image_load(image, path));
    int code = to_rgb(image);
    if (code < 0) image_free(image);
    return code;
}

/* Loads the reference; a run without one, or with one that cannot be read, has a video without. */
static int load_reference(struct film *film, const char *run_dir)
{
    bool wanted = false;
    for (size_t i = 0; i < film->list.count; i++)
        wanted = wanted || film->list.entries[i].reference;
    if (!film->options->reference || !wanted) return OK;
    char *path = path_join(run_dir, "reference.png");
    if (!path) return ERR_SYSTEM;
    int code = file_exists(path) ? load_rgb(&film->reference, path) : OK;
    if (code < 0 && code != ERR_SYSTEM) {
        log_warning("%s; the video is made without it", error_message());
        code = OK;
    }
    free(path);
    return code;
}

/* ---- preparation ---- */

static int compute_layout(struct film *film)
{
    const struct frame_list *list = &film->list;
    const char **captions = calloc(list->count, sizeof *captions);
    if (!captions) return fail(ERR_SYSTEM, "video: out of memory");
    int count = 0;
    for (size_t i = 0; i < list->count && film->options->captions; i++)
        if (list->entries[i].caption[0]) captions[count++] = list->entries[i].caption;
    layout_compute(&film->layout, list->width, list->height, film->reference.data != NULL,
                   list->column_count, film->options->max_size, captions, count);
    free(captions);
    return OK;
}

static int open_film(struct film *film, const char *path)
{
    const struct layout *layout = &film->layout;
    TRY(image_create(&film->canvas, layout->width, layout->height, 3, SAMPLE_U8));
    layout_clear(&film->canvas);
    if (film->reference.data)
        TRY(layout_draw_image(&film->canvas, &layout->reference, &film->reference));
    const struct video_options *o = film->options;
    return o->encoder ? video_encoder_open_named(&film->encoder, o->encoder, path, layout->width,
                                                 layout->height, o->fps, o->quality)
                      : video_encoder_open(&film->encoder, o->preferred, path, layout->width,
                                           layout->height, o->fps, o->quality);
}

/* ---- the frames ---- */

/* How many frames of the video the run's frame number `index` of `count` takes: at least a second
 * and a half for all of them, and most is to be seen at the start, which is shown slowly. */
static int frame_repeat(int index, int count, int fps)
{
    enum { SLOWEST = 4, SLOW_FRAMES = 10 };
    int base = (3 * fps + 2 * count - 1) / (2 * count);
    int limit = fps / 2 > 1 ? fps / 2 : 1;
    if (base > limit) base = limit;
    int slow = count / 4 < SLOW_FRAMES ? count / 4 : SLOW_FRAMES;
    if (slow == 0) return base;
    int later = index < slow ? 0 : (index - slow) / 2 + 1;
    return base * (later < SLOWEST ? SLOWEST - later : 1);
}

/* Shows the canvas `repeat` times, in portions between which a stop is heeded. */
static int assemble_show(struct film *film, int64_t repeat)
{
    enum { PORTION = 8 };
    while (repeat > 0) {
        int portion = repeat < PORTION ? (int)repeat : PORTION;
        TRY(check_stop(film));
        TRY(video_encoder_add(film->encoder, &film->canvas, portion));
        film->length += portion;
        repeat -= portion;
    }
    return OK;
}

/* Frames with the reference and frames without may alternate. */
static int draw_images(struct film *film, bool alone, const struct image *image)
{
    const struct layout *layout = &film->layout;
    const struct rectangle *cell = alone ? &layout->all : &layout->render;
    if (film->alone && !alone) {
        layout_clear(&film->canvas);
        TRY(layout_draw_image(&film->canvas, &layout->reference, &film->reference));
    }
    film->alone = alone;
    return layout_draw_image(&film->canvas, cell, image);
}

static int assemble_add_frame(struct film *film, const struct frame_entry *entry)
{
    struct image image = {0};
    int code = load_rgb(&image, entry->path);
    if (code < 0 && code != ERR_SYSTEM) {
        frame_list_skip(&film->list);
        return OK;
    }
    TRY(code);
    const struct frame_list *list = &film->list;
    int64_t end = list->entries[list->count - 1].number;
    double progress = end > 0 ? (double)entry->number / (double)end : 1;
    code = draw_images(film, film->reference.data && !entry->reference, &image);
    image_free(&image);
    TRY(code);
    layout_draw_strip(&film->canvas, &film->layout, entry->caption,
                      film->layout.columns ? list->columns
                      : film->alone        ? NULL
                                           : list->labels,
                      progress);
    film->last_repeat = frame_repeat(film->shown++, (int)list->count, film->options->fps);
    return assemble_show(film, film->last_repeat);
}

static int add_frames(struct film *film)
{
    for (size_t i = 0; i < film->list.count; i++) {
        TRY(check_stop(film));
        TRY(assemble_add_frame(film, &film->list.entries[i]));
    }
    if (film->shown == 0)
        return fail(ERR_DATA, "video: none of the %d frames can be read", film->list.skipped);
    return assemble_show(film, (int64_t)lround(film->options->hold * film->options->fps) -
                                   film->last_repeat);
}

static int make_film(struct film *film, const char *run_dir, const char *path)
{
    TRY(frame_list_load(&film->list, run_dir, film->options->stop_requested));
    TRY(load_reference(film, run_dir));
    TRY(compute_layout(film));
    TRY(open_film(film, path));
    int code = add_frames(film);
    frame_list_sum_up(&film->list);
    char encoder[32];
    snprintf(encoder, sizeof encoder, "%s", video_encoder_name(film->encoder));
    int width, height;
    video_encoder_size(film->encoder, &width, &height);
    int closed = video_encoder_close(film->encoder, code == OK);
    film->encoder = NULL;
    TRY(code);
    TRY(closed);
    log_info("video: %d frames, %dx%d, %.1f s, %s", film->shown, width, height,
             (double)film->length / film->options->fps, encoder);
    return OK;
}

static int assemble_check_options(const struct video_options *options)
{
    if (options->max_size < 16 || options->max_size > IMAGE_MAX_SIDE || options->fps < 1 ||
        options->fps > 240 || !(options->hold >= 0 && options->hold <= 3600))
        return fail(ERR_USAGE, "video: max_size %d, fps %d or hold %g is out of range",
                    options->max_size, options->fps, options->hold);
    return OK;
}

int video_assemble(const char *run_dir, const struct video_options *options)
{
    TRY(assemble_check_options(options));
    struct film film = {.options = options};
    char *path =
        options->output ? string_format("%s", options->output) : path_join(run_dir, "video.mp4");
    int code = path ? make_film(&film, run_dir, path) : ERR_SYSTEM;
    frame_list_free(&film.list);
    image_free(&film.reference);
    image_free(&film.canvas);
    free(path);
    return code;
}
