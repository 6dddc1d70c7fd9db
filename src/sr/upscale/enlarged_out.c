#include "sr/upscale/enlarged_out.h"

#include "base/error.h"
#include "image/rows.h"
#include "math/shown_sample.h"

#include <stdlib.h>
#include <string.h>

struct enlarged_out {
    struct enlarged_shape shape;
    struct image joined; /* rows of the network's size as f32: [room], the first is row `done` */
    int room;
    int colour, alpha, done; /* rows whose colour is there; whose alpha is; that are on their way */
    struct image_scaler *scaler, *alpha_scaler;
    struct image file; /* shape of the file, and room for some of its rows */
    int file_height;
    struct image_writer *writer;
};

/* ---- into the file ---- */

static void enlarged_put_sample(struct image *image, size_t at, float value)
{
    switch (image->type) {
    case SAMPLE_U8: ((uint8_t *)image->data)[at] = (uint8_t)shown_level(value, 255.0f); break;
    case SAMPLE_U16: ((uint16_t *)image->data)[at] = (uint16_t)shown_level(value, 65535.0f); break;
    case SAMPLE_F32: ((float *)image->data)[at] = value; break;
    }
}

static int enlarged_begin_file(void *argument, const struct image *shape)
{
    struct enlarged_out *o = argument;
    struct image file = {shape->width, shape->height, o->shape.channels, o->shape.lq.type, NULL};
    o->file_height = file.height;
    TRY(image_writer_open(&o->writer, o->shape.path, &file));
    return image_create(&o->file, file.width, image_band_rows(&file), file.channels, file.type);
}

static int enlarged_write(void *argument, struct image *rows, int y)
{
    struct enlarged_out *o = argument;
    size_t row = (size_t)rows->width * (size_t)rows->channels;
    const float *from = rows->data;
    int most = o->file.height, code = OK;
    (void)y;
    for (int first = 0; first < rows->height && code == OK; first += most) {
        int count = rows->height - first < most ? rows->height - first : most;
        for (size_t i = 0; i < (size_t)count * row; i++)
            enlarged_put_sample(&o->file, i, from[(size_t)first * row + i]);
        o->file.height = count;
        code = image_writer_put(o->writer, &o->file);
        o->file.height = most;
    }
    return code;
}

/* ---- rows joined ---- */

static size_t enlarged_row(const struct enlarged_out *o)
{
    return (size_t)o->joined.width * (size_t)o->joined.channels;
}

static int enlarged_reserve(struct enlarged_out *o, int rows)
{
    if (rows - o->done <= o->room) return OK;
    void *more =
        realloc(o->joined.data, (size_t)(rows - o->done) * enlarged_row(o) * sizeof(float));
    if (!more) return fail(ERR_SYSTEM, "%s: out of memory", o->shape.path);
    o->joined.data = more;
    o->room = rows - o->done;
    return OK;
}

/* Sends on what has both colour and alpha. */
static int enlarged_drain(struct enlarged_out *o)
{
    int ready = o->shape.own_alpha && o->alpha < o->colour ? o->alpha : o->colour;
    int rows = ready - o->done, last = o->alpha > o->colour ? o->alpha : o->colour;
    if (rows <= 0) return OK;
    struct image joined = o->joined;
    joined.height = rows;
    TRY(o->scaler ? image_scaler_put(o->scaler, &joined) : enlarged_write(o, &joined, o->done));
    float *data = o->joined.data;
    o->done += rows;
    memmove(data, data + (size_t)rows * enlarged_row(o),
            (size_t)(last - o->done) * enlarged_row(o) * sizeof *data);
    return OK;
}

static float enlarged_mean(const float *rgb)
{
    return (rgb[0] + rgb[1] + rgb[2]) * (1.0f / 3);
}

int enlarged_out_put(struct enlarged_out *o, const float *rgb, const float *alpha, int rows)
{
    TRY(enlarged_reserve(o, o->colour + rows));
    size_t channels = (size_t)o->joined.channels, pixels = (size_t)rows * (size_t)o->joined.width;
    size_t colours = channels < 3 ? 1 : 3;
    float *to = (float *)o->joined.data + (size_t)(o->colour - o->done) * enlarged_row(o);
    for (size_t i = 0; i < pixels; i++, to += channels, rgb += 3) {
        if (colours == 1)
            to[0] = enlarged_mean(rgb);
        else
            memcpy(to, rgb, 3 * sizeof *to);
        if (alpha) to[colours] = enlarged_mean(alpha + 3 * i);
    }
    o->colour += rows;
    return enlarged_drain(o);
}

static int enlarged_take_alpha(void *argument, struct image *rows, int y)
{
    struct enlarged_out *o = argument;
    (void)y;
    TRY(enlarged_reserve(o, o->alpha + rows->height));
    size_t channels = (size_t)o->joined.channels;
    size_t pixels = (size_t)rows->height * (size_t)rows->width;
    float *to = (float *)o->joined.data + (size_t)(o->alpha - o->done) * enlarged_row(o);
    for (size_t i = 0; i < pixels; i++)
        to[(i + 1) * channels - 1] = ((const float *)rows->data)[i];
    o->alpha += rows->height;
    return enlarged_drain(o);
}

int enlarged_out_put_alpha(struct enlarged_out *o, const struct image *rows)
{
    return image_scaler_put(o->alpha_scaler, rows);
}

/* ---- all of it ---- */

int enlarged_out_open(struct enlarged_out **out, const struct enlarged_shape *shape)
{
    struct enlarged_out *o = calloc(1, sizeof *o);
    *out = o;
    if (!o) return fail(ERR_SYSTEM, "out of memory");
    o->shape = *shape;
    struct image large = {shape->lq.width * shape->network, shape->lq.height * shape->network,
                          shape->channels, SAMPLE_F32, NULL};
    struct image_sink file = {enlarged_begin_file, enlarged_write, o};
    o->joined = large;
    if (shape->scale == shape->network)
        TRY(enlarged_begin_file(o, &large));
    else
        TRY(image_scaler_open_bicubic(&o->scaler, &large, shape->scale / shape->network, &file));
    if (!shape->own_alpha) return OK;
    struct image small = {shape->lq.width, shape->lq.height, 1, SAMPLE_F32, NULL};
    struct image_sink alpha = {NULL, enlarged_take_alpha, o};
    return image_scaler_open_bicubic(&o->alpha_scaler, &small, shape->network, &alpha);
}

int enlarged_out_commit(struct enlarged_out *o)
{
    return image_writer_commit(o->writer);
}

void enlarged_out_close(struct enlarged_out *o)
{
    if (!o) return;
    image_scaler_close(o->scaler);
    image_scaler_close(o->alpha_scaler);
    image_writer_close(o->writer);
    free(o->joined.data);
    image_free(&o->file);
    free(o);
}

int enlarged_out_width(const struct enlarged_out *o)
{
    return o->file.width;
}

int enlarged_out_height(const struct enlarged_out *o)
{
    return o->file_height;
}
