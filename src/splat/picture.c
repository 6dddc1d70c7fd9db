#include "splat/picture.h"

#include "base/error.h"
#include "base/file.h"
#include "device/device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows rendered at a time: the float picture is never held whole. */
enum { CHUNK_ROWS = 256 };

struct splat_window splat_window_whole(const struct splat_model *model)
{
    return (struct splat_window){model->width, model->height, 0, 0, model->width, model->height};
}

int splat_window_check(const struct splat_window *w)
{
    if (w->x < 0 || w->y < 0 || w->width < 1 || w->height < 1 || w->x > w->full_width - w->width ||
        w->y > w->full_height - w->height)
        return fail(ERR_USAGE, "%dx%d at %d,%d is not inside the picture of %dx%d", w->width,
                    w->height, w->x, w->y, w->full_width, w->full_height);
    return OK;
}

/* One pixel from what was fitted to what is shown. */
static void show_pixel(const struct splat_model *model, enum sample_type type, float *p)
{
    int colors = model->alpha ? model->channels - 1 : model->channels;
    if (model->alpha) {
        float alpha = p[colors];
        for (int c = 0; c < colors; c++) /* an invisible pixel has no colour: black */
            p[c] = alpha > 1.0f / 512.0f ? p[c] / alpha : 0.0f;
    }
    if (model->gamma < 1 || model->gamma > 1)
        for (int c = 0; c < colors; c++)
            p[c] = powf(p[c] > 0 ? p[c] : 0.0f, (float)(1 / model->gamma));
    if (type != SAMPLE_F32)
        for (int c = 0; c < model->channels; c++)
            p[c] = p[c] > 0 ? (p[c] < 1 ? p[c] : 1.0f) : 0.0f;
}

static void store_rows(const struct splat_model *model, float *rows, int64_t pixels, int64_t first,
                       struct image *out)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < pixels; i++) {
        float *p = rows + i * model->channels;
        show_pixel(model, out->type, p);
        for (int c = 0; c < model->channels; c++) {
            int64_t at = (first + i) * model->channels + c;
            if (out->type == SAMPLE_U8)
                ((uint8_t *)out->data)[at] = (uint8_t)(p[c] * 255.0f + 0.5f);
            else if (out->type == SAMPLE_U16)
                ((uint16_t *)out->data)[at] = (uint16_t)(p[c] * 65535.0f + 0.5f);
            else
                ((float *)out->data)[at] = p[c];
        }
    }
}

static int render_window(struct device *device, const struct splat_model *model,
                         float *const *groups, const struct splat_workspace *given,
                         const struct splat_window *w, enum sample_type type, struct image *out)
{
    const struct splat_ops *ops = device->splat;
    struct splat_view view = splat_model_view(model, groups);
    struct splat_workspace own = {.capacity = model->count, .storage.bands = true}, workspace;
    float *rows = NULL;
    int code = OK;
    TRY(image_create(out, w->width, w->height, model->channels, type));
    bool enough =
        given && ops->workspace_bytes(device, w->full_width, w->full_height, model->channels,
                                      given->capacity, &given->storage) <= given->bytes;
    if (!enough) {
        own.bytes = ops->workspace_bytes(device, w->full_width, w->full_height, model->channels,
                                         model->count, &own.storage);
        TRY_CLEANUP(device->alloc(device, own.bytes, &own.memory));
    }
    workspace = enough ? *given : own;
    rows = malloc((size_t)CHUNK_ROWS * (size_t)w->width * (size_t)model->channels * sizeof *rows);
    if (!rows) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory for a rendered picture"));
    for (int y = 0; y < w->height; y += CHUNK_ROWS) {
        int count = w->height - y < CHUNK_ROWS ? w->height - y : CHUNK_ROWS;
        TRY_CLEANUP(ops->render(device, &workspace, &view, &model->blend, w->full_width,
                                w->full_height, w->x, w->y + y, w->width, count, rows));
        store_rows(model, rows, (int64_t)count * w->width, (int64_t)y * w->width, out);
    }
cleanup:
    free(rows);
    if (own.memory) device->free(device, own.memory, own.bytes);
    if (code < 0) image_free(out);
    return code;
}

/* Samples a pixel and side that a reduced picture needs. */
static int samples_per_pixel(const struct splat_model *model, const struct splat_window *w)
{
    double x = (double)model->width / w->full_width, y = (double)model->height / w->full_height;
    int factor = (int)ceil((x > y ? x : y) - 1e-6);
    return factor < 1 ? 1 : factor;
}

int splat_picture_render(struct device *device, const struct splat_model *model,
                         float *const *groups, const struct splat_workspace *workspace,
                         const struct splat_window *window, enum sample_type type,
                         struct image *out)
{
    const struct splat_window *w = window;
    *out = (struct image){0};
    if (w->x < 0 || w->y < 0 || w->width < 1 || w->height < 1 || w->x > w->full_width - w->width ||
        w->y > w->full_height - w->height)
        return fail(ERR_USAGE, "%dx%d at %d,%d is not inside the picture of %dx%d", w->width,
                    w->height, w->x, w->y, w->full_width, w->full_height);
    int n = samples_per_pixel(model, w);
    if (n == 1) return render_window(device, model, groups, workspace, w, type, out);

    struct splat_window large = {w->full_width * n, w->full_height * n, w->x * n,
                                 w->y * n,          w->width * n,       w->height * n};
    struct image samples;
    TRY(render_window(device, model, groups, workspace, &large, type, &samples));
    int code = image_resize(out, &samples, w->width, w->height);
    image_free(&samples);
    return code;
}

static int shrink_to_fit(struct image *image, int max_side)
{
    int longest = image->width > image->height ? image->width : image->height;
    if (max_side <= 0 || longest <= max_side) return OK;
    double f = (double)max_side / longest;
    int width = (int)(image->width * f + 0.5), height = (int)(image->height * f + 0.5);
    struct image small;
    TRY(image_resize(&small, image, width < 1 ? 1 : width, height < 1 ? 1 : height));
    image_free(image);
    *image = small;
    return OK;
}

int splat_picture_preview(struct image *in, int max_side, struct image *out)
{
    struct image bytes = {0};
    int code = OK;
    *out = (struct image){0};
    TRY_CLEANUP(shrink_to_fit(in, max_side));
    TRY_CLEANUP(image_convert(&bytes, in, SAMPLE_U8));
    TRY_CLEANUP(image_create(out, bytes.width, bytes.height, 3, SAMPLE_U8));
    int channels = bytes.channels;
    bool alpha = image_has_alpha(&bytes);
    const uint8_t *from = bytes.data;
    uint8_t *to = out->data;
    for (int64_t i = 0; i < (int64_t)bytes.width * bytes.height; i++, from += channels, to += 3)
        for (int c = 0; c < 3; c++) {
            int value = from[channels < 3 ? 0 : c];
            to[c] = (uint8_t)(alpha ? (value * from[channels - 1] + 127) / 255 : value);
        }
cleanup:
    image_free(in);
    image_free(&bytes);
    return code;
}

int splat_picture_channels(const struct image *picture, int first, int count, struct image *out)
{
    size_t sample = sample_bytes(picture->type), pixel = sample * (size_t)picture->channels;
    TRY(image_create(out, picture->width, picture->height, count, picture->type));
    const uint8_t *from = (const uint8_t *)picture->data + sample * (size_t)first;
    uint8_t *to = out->data;
    size_t bytes = sample * (size_t)count;
    for (int64_t i = 0; i < (int64_t)picture->width * picture->height; i++)
        memcpy(to + (size_t)i * bytes, from + (size_t)i * pixel, bytes);
    return OK;
}

static int save_channels(const struct image *picture, int first, int count, const char *path)
{
    struct image part;
    TRY(splat_picture_channels(picture, first, count, &part));
    int code = image_save(&part, path);
    image_free(&part);
    return code;
}

int splat_picture_save_stack(const struct image *picture, const char *path)
{
    const char *dot = strrchr(path, '.'), *end = dot ? dot : path + strlen(path);
    for (int first = 0, number = 1; first < picture->channels; number++) {
        int left = picture->channels - first, count = left == 2 ? 1 : left < 3 ? left : 3;
        char *name = string_format("%.*s-%03d%s", (int)(end - path), path, number, end);
        if (!name) return ERR_SYSTEM;
        int code = save_channels(picture, first, count, name);
        free(name);
        if (code < 0) return code;
        first += count;
    }
    return OK;
}
