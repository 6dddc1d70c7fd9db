#include "splat/target.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/threads.h"
#include "config/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t splat_target_bytes(const struct splat_target *target)
{
    return (size_t)target->width * (size_t)target->height * (size_t)target->channels *
           (size_t)(target->sample_bits / 8);
}

static struct splat_target target_describe(const struct image *shape)
{
    return (struct splat_target){.width = shape->width,
                                 .height = shape->height,
                                 .channels = shape->channels,
                                 .sample_bits = (int)sample_bytes(shape->type) * 8};
}

static enum sample_type target_type_of(const struct splat_target *t)
{
    return t->sample_bits == 8 ? SAMPLE_U8 : t->sample_bits == 16 ? SAMPLE_U16 : SAMPLE_F32;
}

static bool is_curved(const struct config *config)
{
    return config->splat.gamma < 1 || config->splat.gamma > 1;
}

static int target_reduced(int side, double ratio)
{
    int small = (int)lround(side / ratio);
    return small < 1 ? 1 : small;
}

/* ---- rows on their way: prepared, then laid out by channels ---- */

/* Receives interleaved rows as they are fitted and writes them to where they are kept. */
struct layer {
    struct spill *bytes;
    struct image rows; /* [row][channel][column] */
};

struct intake {
    const struct config *config;
    struct splat_source *source;
    const char *spill_dir;
    struct layer full, fit; /* fit: only of a reduced image */
    struct image_scaler *scaler;
    struct image wide; /* rows at 16 bits, where 8 are not enough */
    struct sample_extent extent;
    bool stack;
};

/* Moves one row between [column][channel] and [channel][column]: sample (x, c) stands at
 * x * in_x + c * in_c and goes to x * out_x + c * out_c. */
#define DEFINE_MOVE_ROW(name, type)                                                                \
    static void name(void *to, size_t out_x, size_t out_c, const void *from, size_t in_x,          \
                     size_t in_c, size_t width, size_t channels)                                   \
    {                                                                                              \
        const type *in = from;                                                                     \
        type *out = to;                                                                            \
        for (size_t c = 0; c < channels; c++)                                                      \
            for (size_t x = 0; x < width; x++)                                                     \
                out[x * out_x + c * out_c] = in[x * in_x + c * in_c];                              \
    }
DEFINE_MOVE_ROW(move_row_8, uint8_t)
DEFINE_MOVE_ROW(move_row_16, uint16_t)
DEFINE_MOVE_ROW(move_row_32, uint32_t)

static void move_row(enum sample_type type, void *to, const void *from, size_t width,
                     size_t channels, bool separate)
{
    size_t in_x = separate ? channels : 1, in_c = separate ? 1 : width;
    size_t out_x = separate ? 1 : channels, out_c = separate ? width : 1;
    switch (type) {
    case SAMPLE_U8: move_row_8(to, out_x, out_c, from, in_x, in_c, width, channels); break;
    case SAMPLE_U16: move_row_16(to, out_x, out_c, from, in_x, in_c, width, channels); break;
    case SAMPLE_F32: move_row_32(to, out_x, out_c, from, in_x, in_c, width, channels); break;
    }
}

struct separation {
    void *to;
    const struct image *from;
};

static void separate_range(void *context, int64_t first, int64_t end)
{
    const struct separation *s = context;
    const struct image *from = s->from;
    size_t row = image_bytes(from) / (size_t)from->height;
    for (int64_t y = first; y < end; y++)
        move_row(from->type, (char *)s->to + (size_t)y * row,
                 (const char *)from->data + (size_t)y * row, (size_t)from->width,
                 (size_t)from->channels, true);
}

static int layer_put(void *argument, struct image *rows, int y)
{
    struct layer *layer = argument;
    (void)y;
    if (layer->rows.height < rows->height) {
        image_free(&layer->rows);
        TRY(image_create(&layer->rows, rows->width, rows->height, rows->channels, rows->type));
    }
    struct separation separation = {layer->rows.data, rows}; /* to [height][channels][width] */
    threads_for(rows->height, threads_grain((int64_t)rows->width * rows->channels), separate_range,
                &separation);
    return spill_write(layer->bytes, layer->rows.data, image_bytes(rows));
}

struct preparation {
    struct image *rows;
    double gamma;
    bool curved, alpha;
};

/* Raises colours to gamma and multiplies them by alpha, for which 8 bits are too few. */
static void prepare_pixels(void *context, int64_t from, int64_t to)
{
    const struct preparation *p = context;
    struct image *rows = p->rows;
    int colors = p->alpha ? rows->channels - 1 : rows->channels;
    bool is_float = rows->type == SAMPLE_F32;
    for (int64_t i = from; i < to; i++) {
        size_t at = (size_t)i * (size_t)rows->channels;
        float opacity = p->alpha ? image_sample(rows, at + (size_t)colors) : 1.0f;
        for (int c = 0; c < colors; c++) {
            float v = image_sample(rows, at + (size_t)c);
            if (p->curved) v = powf(v > 0 ? v : 0.0f, (float)p->gamma);
            v *= opacity;
            if (is_float)
                ((float *)rows->data)[at + (size_t)c] = v;
            else
                ((uint16_t *)rows->data)[at + (size_t)c] = (uint16_t)(v * 65535.0f + 0.5f);
        }
    }
}

static void target_prepare(struct image *rows, double gamma, bool curved, bool alpha)
{
    struct preparation preparation = {rows, gamma, curved, alpha};
    threads_for((int64_t)rows->width * rows->height, threads_grain(8 * rows->channels),
                prepare_pixels, &preparation);
}

static int put_prepared(struct intake *intake, struct image *rows, int y)
{
    TRY(layer_put(&intake->full, rows, y));
    return intake->scaler ? image_scaler_put(intake->scaler, rows) : OK;
}

static int put_band(struct intake *intake, struct image *rows, int y)
{
    bool curved = is_curved(intake->config), alpha = intake->source->alpha;
    sample_extent_add(&intake->extent, rows, 0.0f, 1.0f);
    if (!curved && !alpha) return put_prepared(intake, rows, y);
    if (rows->type != SAMPLE_U8) {
        target_prepare(rows, intake->config->splat.gamma, curved, alpha);
        return put_prepared(intake, rows, y);
    }
    image_free(&intake->wide);
    TRY(image_convert(&intake->wide, rows, SAMPLE_U16));
    target_prepare(&intake->wide, intake->config->splat.gamma, curved, alpha);
    return put_prepared(intake, &intake->wide, y);
}

/* Hashes row by row: the same number however many rows come at a time. */
static void hash_rows(struct splat_source *source, const struct image *rows)
{
    size_t bytes = image_bytes(rows) / (size_t)rows->height;
    for (int y = 0; y < rows->height; y++)
        source->samples =
            hash_bytes(source->samples, (const char *)rows->data + (size_t)y * bytes, bytes);
}

/* Images that were decoded whole go on in bands, too, so that copies of them stay small. */
static int intake_put(void *argument, struct image *rows, int y)
{
    int most = image_band_rows(rows);
    size_t row = image_bytes(rows) / (size_t)rows->height;
    for (int from = 0; from < rows->height; from += most) {
        struct image band = *rows;
        band.height = rows->height - from < most ? rows->height - from : most;
        band.data = (uint8_t *)rows->data + (size_t)from * row;
        hash_rows(((struct intake *)argument)->source, &band);
        TRY(put_band(argument, &band, y + from));
    }
    return OK;
}

/* Describes the source that an image of this shape becomes; *shape becomes that of the rows as they
 * are fitted. */
static int describe_source(struct splat_source *source, const struct config *config,
                           struct image *shape, bool stack)
{
    double ratio = config->splat.downsample_ratio;
    if (shape->channels > SPLAT_MAX_CHANNELS)
        return fail(ERR_DATA, "%d channels, at most %d can be fitted", shape->channels,
                    SPLAT_MAX_CHANNELS);
    *source = (struct splat_source){.alpha = !stack && image_has_alpha(shape),
                                    .sample_bits = (int)sample_bytes(shape->type) * 8,
                                    .reduced = config->splat.downsample};
    if (shape->type == SAMPLE_U8 && (source->alpha || is_curved(config))) shape->type = SAMPLE_U16;
    source->fit = source->full = target_describe(shape);
    if (source->reduced) {
        source->fit.width = target_reduced(shape->width, ratio);
        source->fit.height = target_reduced(shape->height, ratio);
    }
    return OK;
}

static int open_reduced(struct intake *intake, const struct image *shape)
{
    struct splat_source *source = intake->source;
    intake->fit.bytes = &source->fit_bytes;
    TRY(spill_open(&source->fit_bytes, intake->spill_dir, splat_target_bytes(&source->fit)));
    const struct image_sink sink = {.put = layer_put, .argument = &intake->fit};
    return image_scaler_open(&intake->scaler, shape, source->fit.width, source->fit.height, &sink);
}

static int intake_begin(void *argument, const struct image *given)
{
    struct intake *intake = argument;
    struct splat_source *source = intake->source;
    struct image shape = *given;
    TRY(describe_source(source, intake->config, &shape, intake->stack));
    intake->full.bytes = source->reduced ? &source->full_bytes : &source->fit_bytes;
    TRY(spill_open(intake->full.bytes, intake->spill_dir, splat_target_bytes(&source->full)));
    return source->reduced ? open_reduced(intake, &shape) : OK;
}

static void intake_free(struct intake *intake)
{
    image_scaler_close(intake->scaler);
    image_free(&intake->full.rows);
    image_free(&intake->fit.rows);
    image_free(&intake->wide);
}

/* ---- loading ---- */

static char *source_path(const struct config *config)
{
    const char *root = config->splat.data_root, *path = config->splat.input_path;
    return *root && *path != '/' ? path_join(root, path) : string_format("%s", path);
}

static int stream_path(const char *path, size_t whole_limit, const struct image_sink *to)
{
    return file_is_dir(path) ? image_stream_stack(path, whole_limit, to)
                             : image_stream(path, whole_limit, to);
}

static int target_finish(struct splat_source *source)
{
    TRY(spill_end(&source->fit_bytes));
    if (source->reduced) TRY(spill_end(&source->full_bytes));
    source->fit.data = source->full.data = source->fit_bytes.data;
    if (source->reduced) source->full.data = source->full_bytes.data;
    return OK;
}

/* An image of high dynamic range is fitted, but what is shown and measured as it is on a display
 * is not all of it. */
static void say_extent(const char *path, const struct sample_extent *extent)
{
    if (extent->outside == 0) return;
    log_warning(
        "%s: %lld of %lld samples lie outside 0..1 (%g to %g): they are fitted as they are, "
        "but PSNR, SSIM, frames and final.png cut them to 0..1. `imgtrain render RUN -o "
        "out.pfm` and `imgtrain eval --range LO:HI` do not",
        path, (long long)extent->outside, (long long)extent->samples, (double)extent->low,
        (double)extent->high);
}

int splat_source_load(struct splat_source *source, const struct config *config,
                      const char *spill_dir, size_t whole_limit)
{
    *source = (struct splat_source){0};
    if (!*config->splat.input_path) return fail(ERR_CONFIG, "no image to fit: set input_path=FILE");
    char *path = source_path(config);
    if (!path) return ERR_SYSTEM;
    struct intake intake = {
        .config = config, .source = source, .spill_dir = spill_dir, .stack = file_is_dir(path)};
    const struct image_sink sink = {intake_begin, intake_put, &intake};
    int code = stream_path(path, whole_limit, &sink);
    if (code == OK) code = target_finish(source);
    if (code == OK) say_extent(path, &intake.extent);
    if (code == OK && intake.stack) code = image_stack_names(path, &source->maps);
    intake_free(&intake);
    if (code < 0) splat_source_free(source);
    free(path);
    return code;
}

int splat_source_probe(struct splat_source *source, const struct config *config)
{
    struct image shape = {.width = 0};
    char *path = source_path(config);
    if (!path) return ERR_SYSTEM;
    bool stack = file_is_dir(path);
    int code = stack ? image_probe_stack(path, &shape)
                     : image_probe(path, &shape.width, &shape.height, &shape.channels, &shape.type);
    free(path);
    return code < 0 ? code : describe_source(source, config, &shape, stack);
}

void splat_source_assume(struct splat_source *source, const struct config *config, int width,
                         int height, int channels)
{
    struct image shape = {width, height, channels ? channels : 3, SAMPLE_U8, NULL};
    if (shape.channels > SPLAT_MAX_CHANNELS) shape.channels = SPLAT_MAX_CHANNELS;
    describe_source(source, config, &shape, true); /* cannot fail: not too many channels */
}

int splat_source_take(struct splat_source *source, const struct image *image)
{
    struct layer layer = {.bytes = &source->fit_bytes};
    struct image rows = *image;
    *source = (struct splat_source){.fit = target_describe(image)};
    source->full = source->fit;
    source->sample_bits = source->fit.sample_bits;
    int code = spill_open(&source->fit_bytes, NULL, splat_target_bytes(&source->fit));
    if (code == OK) code = layer_put(&layer, &rows, 0);
    if (code == OK) code = target_finish(source);
    image_free(&layer.rows);
    if (code < 0) splat_source_free(source);
    return code;
}

void splat_source_free(struct splat_source *source)
{
    spill_free(&source->fit_bytes);
    spill_free(&source->full_bytes);
    spill_free(&source->weight_bytes);
    free(source->maps);
    source->maps = NULL;
}

/* ---- back again ---- */

static void join_rows(struct image *to, const struct splat_target *from, int y)
{
    size_t row = image_bytes(to) / (size_t)to->height;
    for (int r = 0; r < to->height; r++)
        move_row(to->type, (char *)to->data + (size_t)r * row, splat_target_row(from, y + r, 0),
                 (size_t)to->width, (size_t)to->channels, false);
}

static int stream_target(const struct splat_target *t, const struct image_sink *to)
{
    struct image shape = {t->width, t->height, t->channels, target_type_of(t), NULL};
    if (to->begin) TRY(to->begin(to->argument, &shape));
    int most = image_band_rows(&shape);
    for (int y = 0; y < t->height; y += most) {
        struct image rows;
        int height = t->height - y < most ? t->height - y : most;
        TRY(image_create(&rows, t->width, height, t->channels, shape.type));
        join_rows(&rows, t, y);
        int code = to->put(to->argument, &rows, y);
        image_free(&rows);
        TRY(code);
    }
    return OK;
}

static int target_put_scaled(void *scaler, struct image *rows, int y)
{
    (void)y;
    return image_scaler_put(scaler, rows);
}

int splat_target_scale(struct splat_target *to, struct spill *bytes,
                       const struct splat_target *from, int width, int height,
                       const char *spill_dir)
{
    const struct image shape = {from->width, from->height, from->channels, target_type_of(from),
                                NULL};
    struct layer layer = {.bytes = bytes};
    const struct image_sink sink = {.put = layer_put, .argument = &layer};
    struct image_scaler *scaler = NULL;
    *to = *from;
    to->width = width;
    to->height = height;
    int code = spill_open(bytes, spill_dir, splat_target_bytes(to));
    if (code == OK) code = image_scaler_open(&scaler, &shape, width, height, &sink);
    const struct image_sink scaling = {.put = target_put_scaled, .argument = scaler};
    if (code == OK) code = stream_target(from, &scaling);
    if (code == OK) code = spill_end(bytes);
    image_scaler_close(scaler);
    image_free(&layer.rows);
    if (code < 0) spill_free(bytes);
    to->data = bytes->data;
    return code;
}

int splat_source_stream(const struct splat_source *source, const struct config *config,
                        size_t whole_limit, const struct image_sink *to)
{
    if (source->full.data && !source->alpha && !is_curved(config))
        return stream_target(&source->full, to);
    char *path = source_path(config);
    int code = path ? stream_path(path, whole_limit, to) : ERR_SYSTEM;
    free(path);
    return code;
}
