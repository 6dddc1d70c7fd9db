#include "sr/upscale/upscale.h"

#include "base/error.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "image/rows.h"
#include "sr/enlarger.h"
#include "sr/upscale/alpha_bleed.h"
#include "sr/upscale/enlarged_out.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t BAND_BYTES = (size_t)512 << 20; /* more makes nothing faster */
enum { HIGHEST_BAND = 512, LOWEST_BAND = 4, NARROWEST = 16 };

/* A way to cut the image, and the network at work on such tiles. */
struct upscale_cut {
    struct sr_tile_ways ways;
    struct sr_enlarger *enlarger;
    int w, h; /* pixels of a tile; h rows are made at a time */
    size_t bytes;
};

struct upscale {
    struct device *device;
    const struct store_file *model;
    const char *in, *out;
    const struct sr_upscale_options *options;
    struct sr_design design;
    struct upscale_cut cut, exact; /* exact: where seams are looked for */
    struct enlarged_out *result_file;
    struct sr_upscale_report report;
    struct image shape; /* of the input */
    bool has_alpha;     /* in the result */
    bool alpha;         /* enlarged by the network */
    int margin;         /* rows that a band reads beyond its own on each side */
    int first, rows;    /* of the input that are there: [first, first + rows) */
    int room, done;     /* rows that there is room for; that are made */
    float *colour, *opacity, *result, *result_alpha, *result_exact;
    struct image alpha_rows; /* of the input, that are resampled */
};

/* ---- which tiles ---- */

static size_t upscale_budget(const struct upscale *u)
{
    int64_t available = u->device->free_bytes(u->device);
    size_t budget = u->options->limit ? u->options->limit : BAND_BYTES;
    if (available >= 0 && (size_t)available < budget) budget = (size_t)available;
    return budget;
}

/* The network that the image before has left, where it will do; else its memory is given back. */
static struct sr_enlarger *upscale_take_kept(struct upscale *u, const struct upscale_cut *cut,
                                             int h, int w)
{
    struct sr_enlarger **kept = u->options->kept, *taken = kept ? *kept : NULL;
    if (!taken) return NULL;
    *kept = NULL;
    if (sr_enlarger_fits(taken, u->device, &cut->ways, h, w)) return taken;
    sr_enlarger_close(taken);
    return NULL;
}

/* Opens the enlarger for tiles of w x h and what is around them. ERR_DEVICE_MEMORY. */
static int upscale_try(struct upscale *u, struct upscale_cut *cut, int w, int h)
{
    int margin = sr_tiles_margin(&cut->ways), read_w = w + 2 * margin, read_h = h + 2 * margin;
    if (read_w > u->shape.width) read_w = u->shape.width;
    if (read_h > u->shape.height) read_h = u->shape.height;
    if ((int64_t)read_w * read_h > INT32_MAX / (u->design.scale * u->design.scale))
        return fail(ERR_DEVICE_MEMORY,
                    "%s: a tile of %dx%d has more than 2^31 pixels of the result", u->in, read_w,
                    read_h); /* operations count an image's pixels in an int */
    TRY(sr_enlarger_bytes(&u->design, &cut->ways, u->device, read_h, read_w, &cut->bytes));
    cut->enlarger = upscale_take_kept(u, cut, read_h, read_w);
    if (!cut->enlarger && !u->options->tile && cut->bytes > upscale_budget(u))
        return fail(ERR_DEVICE_MEMORY, "%s: a tile of %dx%d takes %zu bytes, there are %zu", u->in,
                    read_w, read_h, cut->bytes, upscale_budget(u));
    if (!cut->enlarger)
        TRY(sr_enlarger_open(&cut->enlarger, u->device, u->model, &cut->ways, read_h, read_w));
    cut->w = w < u->shape.width ? w : u->shape.width;
    cut->h = h < u->shape.height ? h : u->shape.height;
    return OK;
}

/* Bands of full width first: one direction of overlap less. Then squares. */
static int upscale_choose(struct upscale *u, struct upscale_cut *cut)
{
    int tile = u->options->tile, code = ERR_DEVICE_MEMORY;
    if (tile) return upscale_try(u, cut, tile, tile);
    for (int h = HIGHEST_BAND; code == ERR_DEVICE_MEMORY && h >= LOWEST_BAND; h /= 2)
        code = upscale_try(u, cut, u->shape.width, h);
    for (int w = HIGHEST_BAND; code == ERR_DEVICE_MEMORY && w >= NARROWEST; w /= 2)
        code = upscale_try(u, cut, w, w);
    return code;
}

static int upscale_choose_all(struct upscale *u)
{
    TRY(upscale_choose(u, &u->cut));
    u->margin = sr_tiles_margin(&u->cut.ways);
    u->report.tile_width = u->cut.w;
    u->report.tile_height = u->cut.h;
    u->report.overlap = u->cut.ways.overlap;
    u->report.bytes = u->cut.bytes;
    if (!u->options->check_seams) return OK;
    TRY(upscale_choose(u, &u->exact));
    if (sr_tiles_margin(&u->exact.ways) > u->margin) u->margin = sr_tiles_margin(&u->exact.ways);
    return OK;
}

static void upscale_plan_cuts(struct upscale *u)
{
    int overlap = u->options->overlap, exact = sr_tiles_exact_overlap(&u->design);
    if (overlap == SR_OVERLAP_AUTO) overlap = sr_tiles_overlap(&u->design);
    if (overlap == SR_OVERLAP_EXACT || overlap > exact) overlap = exact;
    overlap = (overlap + SR_TILE_ALIGNMENT - 1) / SR_TILE_ALIGNMENT * SR_TILE_ALIGNMENT;
    u->cut.ways = (struct sr_tile_ways){
        .overlap = overlap,
        .turns = u->options->turns,
        .mixed = u->options->mixed && u->device->nn->bf16,
    };
    u->exact.ways = u->cut.ways;
    u->exact.ways.overlap = exact;
}

/* ---- rows in ---- */

static double upscale_scale(const struct upscale *u)
{
    return u->options->scale > 0 ? u->options->scale : u->design.scale;
}

static int upscale_check_sides(const struct upscale *u)
{
    double scale = upscale_scale(u), longest = scale > u->design.scale ? scale : u->design.scale;
    int w = u->shape.width, h = u->shape.height;
    if (u->shape.channels > 4) return fail(ERR_DATA, "%s: %d channels", u->in, u->shape.channels);
    if (w * longest > IMAGE_MAX_SIDE || h * longest > IMAGE_MAX_SIDE)
        return fail(ERR_DATA, "%s: %dx%d enlarged %g times has sides of more than %d pixels", u->in,
                    w, h, longest, IMAGE_MAX_SIDE);
    return OK;
}

static int upscale_allocate(struct upscale *u)
{
    size_t s = (size_t)u->design.scale, w = (size_t)u->shape.width;
    u->room = u->cut.h + 2 * u->margin;
    size_t in = (size_t)u->room * w * 3, out = (size_t)u->cut.h * s * w * s * 3;
    const struct {
        float **buffer;
        size_t count;
        bool wanted;
    } buffers[] = {
        {&u->colour, in, true},
        {&u->result, out, true},
        {&u->opacity, in, u->alpha},
        {&u->result_alpha, out, u->alpha},
        {&u->result_exact, out, u->options->check_seams},
    };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) {
        if (!buffers[i].wanted) continue;
        *buffers[i].buffer = malloc(buffers[i].count * sizeof(float));
        if (!*buffers[i].buffer) return fail(ERR_SYSTEM, "%s: out of memory", u->in);
    }
    return OK;
}

static int upscale_begin(void *argument, const struct image *shape)
{
    struct upscale *u = argument;
    u->shape = *shape;
    u->shape.data = NULL;
    TRY(upscale_check_sides(u));
    u->has_alpha = image_has_alpha(shape) && u->options->alpha != SR_ALPHA_NONE;
    u->alpha = u->has_alpha && u->options->alpha == SR_ALPHA_MODEL;
    TRY(upscale_choose_all(u));
    TRY(upscale_allocate(u));
    struct enlarged_shape large = {
        .path = u->out,
        .lq = u->shape,
        .channels = shape->channels - (image_has_alpha(shape) && !u->has_alpha),
        .network = u->design.scale,
        .scale = upscale_scale(u),
        .own_alpha = u->has_alpha && !u->alpha,
    };
    TRY(enlarged_out_open(&u->result_file, &large));
    u->report.width = enlarged_out_width(u->result_file);
    u->report.height = enlarged_out_height(u->result_file);
    if (!large.own_alpha) return OK;
    return image_create(&u->alpha_rows, shape->width, u->room, 1, SAMPLE_F32);
}

/* Some rows' alpha goes past the network. */
static int upscale_pass_alpha(struct upscale *u, const struct image *rows, int from, int count)
{
    if (!u->alpha_rows.data) return OK;
    size_t w = (size_t)rows->width, channels = (size_t)rows->channels, at = (size_t)from * w;
    float *to = u->alpha_rows.data;
    for (size_t i = 0; i < (size_t)count * w; i++)
        to[i] = image_sample(rows, (at + i + 1) * channels - 1);
    struct image some = u->alpha_rows;
    some.height = count;
    return enlarged_out_put_alpha(u->result_file, &some);
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

/* How far a band of the result is from what tiles cannot change. */
static int upscale_look_for_seams(struct upscale *u, const struct sr_rows *rows, int h)
{
    size_t s = (size_t)u->design.scale, w = (size_t)u->shape.width * s;
    if (!u->options->check_seams) return OK;
    TRY(sr_enlarger_run(u->exact.enlarger, rows, 0, u->done, u->shape.width, h, u->result_exact,
                        u->options->stop_requested));
    for (size_t i = 0; i < (size_t)h * s * w * 3; i++) {
        double seam = 255 * fabs((double)u->result[i] - (double)u->result_exact[i]);
        if (seam <= u->report.seam) continue;
        u->report.seam = seam;
        u->report.seam_x = (int)(i / 3 % w);
        u->report.seam_y = (int)(i / 3 / w) + u->done * (int)s;
    }
    return OK;
}

static int upscale_make_band(struct upscale *u)
{
    int h = u->shape.height - u->done < u->cut.h ? u->shape.height - u->done : u->cut.h;
    int w = u->shape.width;
    struct sr_rows rows = {u->colour, w, u->shape.height, u->first, u->rows};
    TRY(sr_enlarger_run(u->cut.enlarger, &rows, 0, u->done, w, h, u->result,
                        u->options->stop_requested));
    TRY(upscale_look_for_seams(u, &rows, h));
    rows.pixels = u->opacity;
    if (u->alpha)
        TRY(sr_enlarger_run(u->cut.enlarger, &rows, 0, u->done, w, h, u->result_alpha,
                            u->options->stop_requested));
    TRY(enlarged_out_put(u->result_file, u->result, u->result_alpha, h * u->design.scale));
    u->done += h;
    if (u->options->rows_done) u->options->rows_done(u->options->context, u->done, u->shape.height);
    return OK;
}

/* Forgets the rows that no further band reads. */
static void upscale_drop_rows(struct upscale *u)
{
    int needed = u->done - u->margin, dropped = needed - u->first;
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
    int end = u->done + u->cut.h + u->margin;
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
        TRY(upscale_pass_alpha(u, rows, from, count));
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
                    const char *out, const struct sr_upscale_options *options,
                    struct sr_upscale_report *report)
{
    struct upscale u = {.device = device, .model = model, .in = in, .out = out, .options = options};
    TRY(sr_enlarger_design(&u.design, model));
    upscale_plan_cuts(&u);
    int code = upscale_stream(&u);
    if (code == OK) code = enlarged_out_commit(u.result_file);
    enlarged_out_close(u.result_file);
    if (code == OK && options->kept) {
        *options->kept = u.cut.enlarger;
        u.cut.enlarger = NULL;
    }
    sr_enlarger_close(u.cut.enlarger);
    sr_enlarger_close(u.exact.enlarger);
    image_free(&u.alpha_rows);
    free(u.colour);
    free(u.opacity);
    free(u.result);
    free(u.result_alpha);
    free(u.result_exact);
    *report = u.report;
    return code;
}
