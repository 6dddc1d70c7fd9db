#include "sr/upscale.h"

#include "base/error.h"
#include "device/device.h"
#include "image/rows.h"
#include "sr/alpha_bleed.h"
#include "sr/enlarger.h"

#include <stdlib.h>
#include <string.h>

static const size_t BAND_BYTES = (size_t)512 << 20; /* more makes nothing faster */
enum { HIGHEST_BAND = 512, LOWEST_BAND = 4, NARROWEST = 16 };

struct upscale {
    struct device *device;
    const struct store_file *model;
    const char *in, *out;
    const struct sr_upscale_options *options;
    struct sr_design design;
    struct sr_enlarger *enlarger;
    struct image_writer *writer;
    struct image shape; /* of the input */
    bool alpha;         /* enlarged too */
    int overlap, band;  /* rows that are made at a time */
    int first, rows;    /* of the input that are there: [first, first + rows) */
    int room, done;     /* rows that there is room for; that are written */
    float *colour, *opacity, *result, *result_alpha;
    struct image band_out;
};

/* ---- which tiles ---- */

static size_t upscale_budget(const struct upscale *u)
{
    int64_t available = u->device->free_bytes(u->device);
    size_t budget = u->options->limit ? u->options->limit : BAND_BYTES;
    if (available >= 0 && (size_t)available < budget) budget = (size_t)available;
    return budget;
}

/* Opens the enlarger for tiles of w x h and what is around them. ERR_DEVICE_MEMORY. */
static int upscale_try(struct upscale *u, int w, int h)
{
    size_t bytes;
    int read_w = w + 2 * u->overlap, read_h = h + 2 * u->overlap;
    if (read_w > u->shape.width) read_w = u->shape.width;
    if (read_h > u->shape.height) read_h = u->shape.height;
    if ((int64_t)read_w * read_h > INT32_MAX / (u->design.scale * u->design.scale))
        return fail(ERR_DEVICE_MEMORY,
                    "%s: a tile of %dx%d has more than 2^31 pixels of the result", u->in, read_w,
                    read_h); /* operations count an image's pixels in an int */
    TRY(sr_enlarger_bytes(&u->design, u->device, read_h, read_w, &bytes));
    if (!u->options->tile && bytes > upscale_budget(u))
        return fail(ERR_DEVICE_MEMORY, "%s: a tile of %dx%d takes %zu bytes, there are %zu", u->in,
                    read_w, read_h, bytes, upscale_budget(u));
    TRY(sr_enlarger_open(&u->enlarger, u->device, u->model, read_h, read_w));
    u->band = h;
    return OK;
}

/* Bands of full width first: one direction of overlap less. Then squares. */
static int upscale_choose(struct upscale *u)
{
    int tile = u->options->tile, code = ERR_DEVICE_MEMORY;
    if (tile) return upscale_try(u, tile, tile);
    for (int h = HIGHEST_BAND; code == ERR_DEVICE_MEMORY && h >= LOWEST_BAND; h /= 2)
        code = upscale_try(u, u->shape.width, h);
    for (int w = HIGHEST_BAND; code == ERR_DEVICE_MEMORY && w >= NARROWEST; w /= 2)
        code = upscale_try(u, w, w);
    return code;
}

/* ---- rows in ---- */

static int upscale_begin(void *argument, const struct image *shape)
{
    struct upscale *u = argument;
    size_t s = (size_t)u->design.scale, w = (size_t)shape->width;
    struct image large = *shape;
    u->shape = *shape;
    if (shape->channels > 4) return fail(ERR_DATA, "%s: %d channels", u->in, shape->channels);
    u->alpha = image_has_alpha(shape) && u->options->alpha == SR_ALPHA_MODEL;
    if ((int64_t)shape->width * u->design.scale > IMAGE_MAX_SIDE ||
        (int64_t)shape->height * u->design.scale > IMAGE_MAX_SIDE)
        return fail(ERR_DATA, "%s: %dx%d enlarged %d times has sides of more than %d pixels", u->in,
                    shape->width, shape->height, u->design.scale, IMAGE_MAX_SIDE);
    TRY(upscale_choose(u));
    if (u->band > shape->height) u->band = shape->height;
    u->room = u->band + 2 * u->overlap;
    if (image_has_alpha(shape) && !u->alpha) large.channels--;
    large.width *= u->design.scale;
    large.height *= u->design.scale;
    size_t in = (size_t)u->room * w * 3, out = (size_t)u->band * s * w * s * 3;
    u->colour = malloc(in * sizeof *u->colour);
    u->result = malloc(out * sizeof *u->result);
    u->opacity = u->alpha ? malloc(in * sizeof *u->opacity) : NULL;
    u->result_alpha = u->alpha ? malloc(out * sizeof *u->result_alpha) : NULL;
    if (!u->colour || !u->result || (u->alpha && (!u->opacity || !u->result_alpha)))
        return fail(ERR_SYSTEM, "%s: out of memory", u->in);
    TRY(image_create(&u->band_out, large.width, u->band * u->design.scale, large.channels,
                     large.type));
    return image_writer_open(&u->writer, u->out, &large);
}

/* Rows of an image as those that the network reads: RGB, and alpha three times. */
static void upscale_take_rows(struct upscale *u, const struct image *rows, int from, int count)
{
    size_t w = (size_t)rows->width, channels = (size_t)rows->channels;
    bool grey = channels < 3;
    size_t to = (size_t)u->rows * w * 3, at = (size_t)from * w;
    for (size_t i = 0; i < (size_t)count * w; i++)
        for (size_t c = 0; c < 3; c++) {
            u->colour[to + 3 * i + c] = image_sample(rows, (at + i) * channels + (grey ? 0 : c));
            if (u->alpha)
                u->opacity[to + 3 * i + c] = image_sample(rows, (at + i + 1) * channels - 1);
        }
    u->rows += count;
}

/* ---- bands out ---- */

static void upscale_put_sample(struct image *image, size_t at, float value)
{
    float v = value > 0 ? (value < 1 ? value : 1.0f) : 0.0f;
    switch (image->type) {
    case SAMPLE_U8: ((uint8_t *)image->data)[at] = (uint8_t)(v * 255.0f + 0.5f); break;
    case SAMPLE_U16: ((uint16_t *)image->data)[at] = (uint16_t)(v * 65535.0f + 0.5f); break;
    case SAMPLE_F32: ((float *)image->data)[at] = value; break;
    }
}

static float upscale_mean(const float *rgb)
{
    return (rgb[0] + rgb[1] + rgb[2]) * (1.0f / 3);
}

static void upscale_fill_band(struct upscale *u, size_t pixels)
{
    struct image *out = &u->band_out;
    size_t channels = (size_t)out->channels;
    bool grey = channels < 3;
    for (size_t i = 0; i < pixels; i++) {
        const float *rgb = u->result + 3 * i;
        for (size_t c = 0; c < (grey ? 1 : 3); c++)
            upscale_put_sample(out, i * channels + c, grey ? upscale_mean(rgb) : rgb[c]);
        if (u->alpha)
            upscale_put_sample(out, (i + 1) * channels - 1, upscale_mean(u->result_alpha + 3 * i));
    }
}

static int upscale_make_band(struct upscale *u)
{
    int h = u->shape.height - u->done < u->band ? u->shape.height - u->done : u->band;
    int w = u->shape.width, s = u->design.scale;
    struct sr_rows rows = {u->colour, w, u->shape.height, u->first, u->rows};
    TRY(sr_enlarger_run(u->enlarger, &rows, 0, u->done, w, h, u->result,
                        u->options->stop_requested));
    rows.pixels = u->opacity;
    if (u->alpha)
        TRY(sr_enlarger_run(u->enlarger, &rows, 0, u->done, w, h, u->result_alpha,
                            u->options->stop_requested));
    upscale_fill_band(u, (size_t)w * (size_t)s * (size_t)h * (size_t)s);
    struct image band = u->band_out;
    band.height = h * s;
    TRY(image_writer_put(u->writer, &band));
    u->done += h;
    if (u->options->rows_done) u->options->rows_done(u->options->context, u->done, u->shape.height);
    return OK;
}

/* Forgets the rows that no further band reads. */
static void upscale_drop_rows(struct upscale *u)
{
    int needed = u->done - u->overlap, dropped = needed - u->first;
    size_t row = (size_t)u->shape.width * 3;
    if (dropped <= 0) return;
    u->rows -= dropped;
    u->first = needed;
    memmove(u->colour, u->colour + (size_t)dropped * row,
            (size_t)u->rows * row * sizeof *u->colour);
    if (u->alpha)
        memmove(u->opacity, u->opacity + (size_t)dropped * row,
                (size_t)u->rows * row * sizeof *u->opacity);
}

static bool upscale_has_band(const struct upscale *u)
{
    int end = u->done + u->band + u->overlap;
    if (end > u->shape.height) end = u->shape.height;
    return u->done < u->shape.height && u->first + u->rows >= end;
}

static int upscale_put(void *argument, struct image *rows, int y)
{
    struct upscale *u = argument;
    (void)y;
    for (int from = 0; from < rows->height;) {
        int count = u->room - u->rows;
        if (count > rows->height - from) count = rows->height - from;
        upscale_take_rows(u, rows, from, count);
        from += count;
        while (upscale_has_band(u)) {
            TRY(upscale_make_band(u));
            upscale_drop_rows(u);
        }
    }
    return OK;
}

/* ---- all of it ---- */

/* Alpha wants colours bled, which looks at the whole image. */
static int upscale_stream(struct upscale *u)
{
    const struct image_sink sink = {upscale_begin, upscale_put, u};
    enum sample_type type;
    int w, h, channels;
    TRY(image_probe(u->in, &w, &h, &channels, &type));
    if (channels % 2 || u->options->alpha == SR_ALPHA_NONE) return image_stream(u->in, 0, &sink);
    struct image whole = {0};
    TRY(image_load(&whole, u->in));
    int code = alpha_bleed(&whole, sr_network_radius(&u->design) + 1);
    if (code == OK) code = image_stream_whole(&whole, &sink);
    image_free(&whole);
    return code;
}

int sr_upscale_file(struct device *device, const struct store_file *model, const char *in,
                    const char *out, const struct sr_upscale_options *options)
{
    struct upscale u = {.device = device, .model = model, .in = in, .out = out, .options = options};
    TRY(sr_enlarger_design(&u.design, model));
    u.overlap = sr_tiles_overlap(&u.design);
    int code = upscale_stream(&u);
    if (code == OK) code = image_writer_commit(u.writer);
    image_writer_close(u.writer);
    sr_enlarger_close(u.enlarger);
    image_free(&u.band_out);
    free(u.colour);
    free(u.opacity);
    free(u.result);
    free(u.result_alpha);
    return code;
}
