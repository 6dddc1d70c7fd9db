#include "splat/render.h"

#include "base/error.h"
#include "base/file.h"
#include "base/threads.h"
#include "device/device.h"
#include "math/shown_sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of float rows that are rendered at a time, and what threads can share at least: the float
 * image is never held whole. */
enum { CHUNK_BYTES = 8 << 20, CHUNK_ROWS = 64, MOST_CHUNK_ROWS = 256 };

/* Samples a pixel and side at most. Below a 16th of an image's size not every pixel of it is seen,
 * but 256 places of each pixel that is shown: its work is that of the small image, however large
 * the other one claims to be. */
enum { MOST_SAMPLES = 16 };

struct splat_window splat_window_whole(const struct splat_model *model)
{
    return (struct splat_window){model->width, model->height, 0, 0, model->width, model->height};
}

int splat_window_check(const struct splat_window *w)
{
    if (w->x < 0 || w->y < 0 || w->width < 1 || w->height < 1 || w->x > w->full_width - w->width ||
        w->y > w->full_height - w->height)
        return fail(ERR_USAGE, "%dx%d at %d,%d is not inside the image of %dx%d", w->width,
                    w->height, w->x, w->y, w->full_width, w->full_height);
    return OK;
}

/* What colours are raised to; negative: they stay as they are. */
static float show_power(const struct splat_model *model)
{
    return model->gamma < 1 || model->gamma > 1 ? (float)(1 / model->gamma) : -1.0f;
}

/* Turns the fitted values of one pixel into shown ones. */
static void show_pixel(const struct splat_model *model, float *p)
{
    int colors = model->alpha ? model->channels - 1 : model->channels;
    float power = show_power(model);
    for (int c = 0; c < colors; c++)
        p[c] = shown_color(p[c], model->alpha ? p + colors : NULL, power);
}

struct storing {
    const struct splat_model *model;
    float *rows;
    struct image *out;
};

static void store_pixels(void *context, int64_t from, int64_t to)
{
    const struct storing *s = context;
    const struct splat_model *model = s->model;
    struct image *out = s->out;
    for (int64_t i = from; i < to; i++) {
        float *p = s->rows + i * model->channels;
        show_pixel(model, p);
        for (int c = 0; c < model->channels; c++) {
            int64_t at = i * model->channels + c;
            if (out->type == SAMPLE_U8)
                ((uint8_t *)out->data)[at] = (uint8_t)shown_level(p[c], 255.0f);
            else if (out->type == SAMPLE_U16)
                ((uint16_t *)out->data)[at] = (uint16_t)shown_level(p[c], 65535.0f);
            else
                ((float *)out->data)[at] = p[c];
        }
    }
}

/* Makes the pixels of `out` from rendered ones, which are changed. */
static void store_rows(const struct splat_model *model, float *rows, struct image *out)
{
    struct storing storing = {model, rows, out};
    threads_for((int64_t)out->width * out->height, threads_grain(4 * model->channels), store_pixels,
                &storing);
}

static int chunk_rows(const struct splat_window *w, int channels)
{
    size_t row = (size_t)w->width * (size_t)channels * sizeof(float);
    size_t rows = CHUNK_BYTES / row;
    if (rows < CHUNK_ROWS) rows = CHUNK_ROWS;
    if (rows > MOST_CHUNK_ROWS) rows = MOST_CHUNK_ROWS;
    return rows < (size_t)w->height ? (int)rows : w->height;
}

/* Where a device's rows go. */
struct shown_rows {
    struct image shape;
    const struct image_sink *to;
};

static int put_shown(void *argument, const void *data, int y, int count)
{
    const struct shown_rows *shown = argument;
    const struct image *shape = &shown->shape;
    struct image rows;
    TRY(image_create(&rows, shape->width, count, shape->channels, shape->type));
    memcpy(rows.data, data, image_bytes(&rows));
    int code = shown->to->put(shown->to->argument, &rows, y);
    image_free(&rows);
    return code;
}

/* Renders the window as width x height on a device that makes of it what is shown. */
static int stream_shown(struct device *device, const struct splat_model *model,
                        float *const *groups, const struct splat_workspace *workspace,
                        const struct splat_window *w, enum sample_type type, int width, int height,
                        const struct image_sink *to)
{
    struct splat_view view = splat_model_view(model, groups);
    struct shown_rows shown = {{width, height, model->channels, type, NULL}, to};
    bool scaled = width != w->width || height != w->height;
    const struct splat_display display = {width,
                                          height,
                                          8 * (int)sample_bytes(type),
                                          model->alpha,
                                          scaled && image_has_alpha(&shown.shape),
                                          show_power(model)};
    const struct splat_receiver receiver = {put_shown, &shown};
    if (to->begin) TRY(to->begin(to->argument, &shown.shape));
    return device->splat->show(device, workspace, &view, &model->blend, w, &display, &receiver);
}

/* Renders the window at one sample a pixel. */
static int stream_window(struct device *device, const struct splat_model *model,
                         float *const *groups, const struct splat_workspace *workspace,
                         const struct splat_window *w, enum sample_type type,
                         const struct image_sink *to)
{
    const struct splat_ops *ops = device->splat;
    if (ops->show)
        return stream_shown(device, model, groups, workspace, w, type, w->width, w->height, to);
    struct splat_view view = splat_model_view(model, groups);
    struct image shape = {w->width, w->height, model->channels, type, NULL}, rows = {0};
    int code = OK, most = chunk_rows(w, model->channels);
    /* what most images are: bytes of colours as they are */
    bool bytes = ops->render_bytes && type == SAMPLE_U8 && !model->alpha && show_power(model) < 0;
    size_t samples = bytes ? 0 : (size_t)most * (size_t)w->width * (size_t)model->channels;
    float *rendered = bytes ? NULL : malloc(samples * sizeof *rendered);
    if (!rendered && !bytes) return fail(ERR_SYSTEM, "out of memory for a rendered image");
    if (to->begin) TRY_CLEANUP(to->begin(to->argument, &shape));
    for (int y = 0; y < w->height; y += most) {
        int count = w->height - y < most ? w->height - y : most;
        if (!rows.data) TRY_CLEANUP(image_create(&rows, w->width, most, model->channels, type));
        rows.height = count;
        struct splat_window chunk = *w;
        chunk.y += y;
        chunk.height = count;
        if (bytes) {
            TRY_CLEANUP(
                ops->render_bytes(device, workspace, &view, &model->blend, &chunk, rows.data));
        } else {
            TRY_CLEANUP(ops->render(device, workspace, &view, &model->blend, &chunk, rendered));
            store_rows(model, rendered, &rows);
        }
        TRY_CLEANUP(to->put(to->argument, &rows, y));
    }
cleanup:
    free(rendered);
    image_free(&rows);
    return code;
}

/* Samples a pixel and side of a reduced image: one for each pixel of the model's, or enough. */
static int samples_per_pixel(const struct splat_model *model, const struct splat_window *w)
{
    double x = (double)model->width / w->full_width, y = (double)model->height / w->full_height;
    int factor = (int)ceil((x > y ? x : y) - 1e-6);
    return factor < 1 ? 1 : factor < MOST_SAMPLES ? factor : MOST_SAMPLES;
}

static int image_put_scaled(void *scaler, struct image *rows, int y)
{
    (void)y;
    return image_scaler_put(scaler, rows);
}

/* Whether the device scales, too. */
static bool shows_scaled(const struct device *device, const struct splat_window *in, int width,
                         int height)
{
    return device->splat->show && width <= in->width && height <= in->height &&
           in->width / SPLAT_MAX_SHRINK < width && in->height / SPLAT_MAX_SHRINK < height;
}

/* Renders `in` and scales the result to width x height. */
static int stream_scaled(struct device *device, const struct splat_model *model,
                         float *const *groups, const struct splat_workspace *workspace,
                         const struct splat_window *in, enum sample_type type, int width,
                         int height, const struct image_sink *to)
{
    if (width == in->width && height == in->height)
        return stream_window(device, model, groups, workspace, in, type, to);
    if (shows_scaled(device, in, width, height))
        return stream_shown(device, model, groups, workspace, in, type, width, height, to);
    struct image shape = {in->width, in->height, model->channels, type, NULL};
    struct image_scaler *scaler;
    TRY(image_scaler_open(&scaler, &shape, width, height, to));
    const struct image_sink scaling = {.put = image_put_scaled, .argument = scaler};
    int code = stream_window(device, model, groups, workspace, in, type, &scaling);
    image_scaler_close(scaler);
    return code;
}

int splat_render_stream(struct device *device, const struct splat_model *model,
                        float *const *groups, const struct splat_workspace *given,
                        const struct splat_window *window, enum sample_type type, int width,
                        int height, const struct image_sink *to)
{
    const struct splat_ops *ops = device->splat;
    struct splat_workspace own = {.capacity = model->count,
                                  .storage = {.bands = true, .forward = true}};
    const struct splat_window *w = window;
    TRY(splat_window_check(w));
    if (given) {
        own.staging = given->staging;
        own.staging_bytes = given->staging_bytes;
    }
    int n = samples_per_pixel(model, w);
    struct splat_window large = {w->full_width * n, w->full_height * n, w->x * n,
                                 w->y * n,          w->width * n,       w->height * n};
    own.storage.rows = chunk_rows(&large, model->channels);
    bool enough =
        given && ops->workspace_bytes(device, large.full_width, large.full_height, model->channels,
                                      given->capacity, &given->storage) <= given->bytes;
    float *uploaded[SPLAT_GROUPS];
    void *memory = NULL;
    size_t bytes = 0;
    if (!groups) {
        TRY(splat_model_upload(model, device, uploaded, &memory, &bytes));
        groups = uploaded;
    }
    int code = OK;
    if (!enough) {
        own.bytes = ops->workspace_bytes(device, large.full_width, large.full_height,
                                         model->channels, model->count, &own.storage);
        code = device->alloc(device, own.bytes, &own.memory);
    }
    if (code == OK)
        code = stream_scaled(device, model, groups, enough ? given : &own, &large, type, width,
                             height, to);
    if (memory) device->free(device, memory, bytes);
    if (own.memory) device->free(device, own.memory, own.bytes);
    return code;
}

/* ---- bands, each with its own Gaussians ---- */

/* Whether Gaussian i may reach a row between `low` and `high` (0..1 of the image's height), on
 * the safe side. Written so that a number that is not finite reaches everything. */
static bool reaches_rows(const struct splat_model *m, int64_t i, double low, double high)
{
    double sx = (double)m->group[SPLAT_SCALE][2 * i], sy = (double)m->group[SPLAT_SCALE][2 * i + 1];
    double angle = (double)m->group[SPLAT_ROT][i], y = (double)m->group[SPLAT_XY][2 * i + 1];
    if (!m->sigma_scale) {
        sx = 1 / sx;
        sy = 1 / sy;
    }
    double sigma = hypot(sx * sin(angle), sy * cos(angle)); /* of its shadow on the y axis */
    double reach = ((double)splat_cut(&m->blend) * sigma * 1.01 + 0.1) / m->height;
    return !(y + reach < low) && !(y - reach > high);
}

/* The Gaussians that reach a band of rows, in their order: *part has arrays of its own. */
static int select_part(struct splat_model *part, const struct splat_model *model, double low,
                       double high)
{
    int64_t count = 0;
    for (int64_t i = 0; i < model->count; i++)
        count += reaches_rows(model, i, low, high);
    *part = *model;
    part->count = part->capacity = count;
    float *p = part->owned =
        malloc((size_t)(count + 1) * (size_t)splat_model_columns(model) * sizeof *p);
    if (!p) return fail(ERR_SYSTEM, "out of memory for %lld Gaussians", (long long)count);
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        size_t columns = (size_t)splat_group_columns(model, g);
        part->group[g] = p;
        for (int64_t i = 0; i < model->count; i++) {
            if (!reaches_rows(model, i, low, high)) continue;
            memcpy(p, model->group[g] + (size_t)i * columns, columns * sizeof *p);
            p += columns;
        }
    }
    return OK;
}

/* Where a band's rows go: they are those from `first` on of the whole image. */
struct shifted {
    const struct image_sink *to;
    int first;
};

static int put_shifted(void *argument, struct image *rows, int y)
{
    const struct shifted *shifted = argument;
    return shifted->to->put(shifted->to->argument, rows, shifted->first + y);
}

static int stream_band(struct device *device, const struct splat_model *model,
                       const struct splat_workspace *staging, const struct splat_window *band,
                       enum sample_type type, struct shifted *shifted)
{
    struct splat_model part;
    const struct image_sink sink = {.put = put_shifted, .argument = shifted};
    double height = band->full_height; /* a row more at both ends: filters are not in the way */
    int code =
        select_part(&part, model, (band->y - 1) / height, (band->y + band->height + 1) / height);
    if (code == OK)
        code = splat_render_stream(device, &part, NULL, staging, band, type, band->width,
                                   band->height, &sink);
    splat_model_close(&part);
    return code;
}

/* A workspace of staging memory alone, for all bands of so many rows: pinned memory is slow to take
 * and to give back. */
static int take_staging(struct splat_workspace *staging, struct device *device, int width, int rows,
                        int channels)
{
    const struct splat_ops *ops = device->splat;
    *staging = (struct splat_workspace){0};
    if (!ops->staging_bytes) return OK;
    staging->staging_bytes = ops->staging_bytes(device, width, rows, channels, &staging->storage);
    return device->alloc_host(device, staging->staging_bytes, &staging->staging);
}

int splat_render_bands(struct device *device, const struct splat_model *model,
                       const struct splat_window *window, enum sample_type type, int rows,
                       const struct image_sink *to)
{
    const struct splat_window *w = window;
    TRY(splat_window_check(w));
    if (rows >= w->height)
        return splat_render_stream(device, model, NULL, NULL, w, type, w->width, w->height, to);
    struct image shape = {w->width, w->height, model->channels, type, NULL};
    struct splat_workspace staging;
    if (to->begin) TRY(to->begin(to->argument, &shape));
    TRY(take_staging(&staging, device, w->width, rows, model->channels));
    int code = OK;
    for (int y = 0; code == OK && y < w->height; y += rows) {
        struct splat_window band = *w;
        struct shifted shifted = {to, y};
        band.y += y;
        band.height = w->height - y < rows ? w->height - y : rows;
        code = stream_band(device, model, &staging, &band, type, &shifted);
    }
    if (staging.staging) device->free_host(device, staging.staging);
    return code;
}

/* ---- whole images ---- */

int splat_render_image(struct device *device, const struct splat_model *model, float *const *groups,
                       const struct splat_workspace *workspace, const struct splat_window *window,
                       enum sample_type type, struct image *out)
{
    const struct image_sink sink = image_collector(out);
    int code = splat_render_stream(device, model, groups, workspace, window, type, window->width,
                                   window->height, &sink);
    if (code < 0) image_free(out);
    return code;
}

void splat_render_fit_size(int width, int height, int max_side, int *to_width, int *to_height)
{
    int longest = width > height ? width : height;
    double f = max_side > 0 && longest > max_side ? (double)max_side / longest : 1;
    *to_width = (int)(width * f + 0.5);
    *to_height = (int)(height * f + 0.5);
    if (*to_width < 1) *to_width = 1;
    if (*to_height < 1) *to_height = 1;
}

int splat_render_preview(struct image *in, struct image *out)
{
    struct image bytes = {0};
    int code = OK;
    if (in->type == SAMPLE_U8 && in->channels == 3) { /* it is one already */
        *out = *in;
        *in = (struct image){0};
        return OK;
    }
    *out = (struct image){0};
    if (in->type != SAMPLE_U8) {
        TRY_CLEANUP(image_convert(&bytes, in, SAMPLE_U8));
        image_free(in);
        *in = bytes;
    }
    TRY_CLEANUP(image_create(out, in->width, in->height, 3, SAMPLE_U8));
    int channels = in->channels;
    bool alpha = image_has_alpha(in);
    const uint8_t *from = in->data;
    uint8_t *to = out->data;
    for (int64_t i = 0; i < (int64_t)in->width * in->height; i++, from += channels, to += 3)
        for (int c = 0; c < 3; c++) {
            int value = from[channels < 3 ? 0 : c];
            to[c] = (uint8_t)(alpha ? (value * from[channels - 1] + 127) / 255 : value);
        }
cleanup:
    image_free(in);
    return code;
}
