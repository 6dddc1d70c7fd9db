#include "splat/shown/splat_panes.h"

#include "base/error.h"
#include "config/config.h"
#include "image/rows.h"
#include "splat/render.h"
#include "splat/shown/splat_preview.h"

#include <string.h>

enum { ERROR_GAIN = 8 }; /* an eighth of the range is shown as the largest error */

bool splat_panes_wanted(const struct splat_fit *fit)
{
    return fit->config->splat.panes.count > 0;
}

int splat_panes_names(const struct splat_fit *fit, const char **names)
{
    static const char *const words[] = {
        [CONFIG_SPLAT_PANES_ERROR] = "error", [CONFIG_SPLAT_PANES_GAUSSIANS] = "shapes"};
    const struct config_words *wanted = &fit->config->splat.panes;
    bool once[2] = {false, false};
    int count = 0;
    if (!wanted->count) return 0;
    if (fit->config->video.reference) names[count++] = "target";
    names[count++] = "render";
    for (int i = 0; i < wanted->count; i++) {
        if (once[wanted->values[i]]) continue;
        once[wanted->values[i]] = true;
        names[count++] = words[wanted->values[i]];
    }
    return count;
}

/* The size of one pane, the longest side of all in a row being max_side at most (0: any). */
static int panes_one_size(const struct splat_fit *fit, int max_side, int *width, int *height)
{
    const char *names[4];
    if (max_side < 1 || max_side > IMAGE_MAX_SIDE) max_side = IMAGE_MAX_SIDE;
    int count = splat_panes_names(fit, names), side = max_side / count;
    int w = fit->full.width, h = fit->full.height;
    if (w < h) side = (int)((int64_t)max_side * h / ((int64_t)count * w));
    if (side > max_side) side = max_side;
    splat_render_fit_size(w, h, side < 1 ? 1 : side, width, height);
    return count;
}

void splat_panes_size(const struct splat_fit *fit, int max_side, int *width, int *height)
{
    *width *= panes_one_size(fit, max_side, width, height);
}

/* ---- the error, of what is shown ---- */

struct error_map {
    struct splat_fit *fit;
    struct image_scaler *scaler; /* NULL: the rows are the map's */
    struct image levels;         /* the map: grey, 0..255 */
    struct image_sink to;
    int row;
};

static int panes_stream_render(void *argument, const struct image_sink *sink)
{
    return splat_show_stream(argument, SAMPLE_U8, sink);
}

static int panes_stream_target(void *argument, const struct image_sink *sink)
{
    const struct splat_fit *fit = argument;
    return splat_source_stream(fit->source, fit->config, 0, sink);
}

static int panes_error_begin(void *argument, const struct image *a, const struct image *b)
{
    struct error_map *map = argument;
    int width = map->levels.width, height = map->levels.height;
    if (a->width != b->width || a->height != b->height || a->channels != b->channels)
        return fail(ERR_INTERNAL, "the target has another size than the render");
    struct image shape = {a->width, a->height, 1, SAMPLE_U8, NULL};
    map->levels = (struct image){0};
    map->to = image_collector(&map->levels);
    if (width == a->width && height == a->height) return map->to.begin(map->to.argument, &shape);
    return image_scaler_open(&map->scaler, &shape, width, height, &map->to);
}

/* The mean over colours of |render - target|, an eighth of the range as 255. */
static void panes_error_levels(struct image *levels, const struct image *a, const struct image *b)
{
    const uint8_t *p = a->data, *q = b->data;
    uint8_t *out = levels->data;
    int64_t pixels = (int64_t)a->width * a->height;
    int channels = a->channels;
    for (int64_t i = 0; i < pixels; i++, p += channels, q += channels) {
        int sum = 0;
        for (int c = 0; c < channels; c++)
            sum += p[c] > q[c] ? p[c] - q[c] : q[c] - p[c];
        int level = (sum * ERROR_GAIN + channels / 2) / channels;
        out[i] = (uint8_t)(level < 255 ? level : 255);
    }
}

static int panes_error_put(void *argument, const struct image *a, const struct image *b)
{
    struct error_map *map = argument;
    struct image levels = {0}, target = {0};
    int code = image_create(&levels, a->width, a->height, 1, SAMPLE_U8);
    if (code == OK) code = image_convert(&target, b, SAMPLE_U8);
    if (code == OK) {
        panes_error_levels(&levels, a, &target);
        code = map->scaler ? image_scaler_put(map->scaler, &levels)
                           : map->to.put(map->to.argument, &levels, map->row);
        map->row += a->height;
    }
    image_free(&levels);
    image_free(&target);
    return code;
}

/* Black, red, yellow, white. */
static void panes_heat(uint8_t level, uint8_t rgb[3])
{
    for (int c = 0; c < 3; c++) {
        int v = 3 * level - 255 * c;
        rgb[c] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}

static int panes_draw_error(struct splat_fit *fit, int width, int height, struct image *out)
{
    struct error_map map = {.fit = fit, .levels = {.width = width, .height = height}};
    const struct image_source render = {panes_stream_render, fit};
    const struct image_source target = {panes_stream_target, fit};
    const struct image_pair_sink sink = {panes_error_begin, panes_error_put, &map};
    int code = image_stream_pair(&render, &target, &sink);
    image_scaler_close(map.scaler);
    if (code == OK && !map.levels.data) code = fail(ERR_INTERNAL, "no error map");
    if (code == OK) code = image_create(out, width, height, 3, SAMPLE_U8);
    for (int64_t i = 0; code == OK && i < (int64_t)width * height; i++)
        panes_heat(((const uint8_t *)map.levels.data)[i], (uint8_t *)out->data + 3 * i);
    if (map.levels.data) image_free(&map.levels);
    return code;
}

/* ---- the frame ---- */

static int panes_draw_one(struct splat_fit *fit, const char *name, int width, int height,
                          struct image *out)
{
    int side = width > height ? width : height;
    if (strcmp(name, "target") == 0) return splat_show_target(fit, side, out);
    if (strcmp(name, "render") == 0) return splat_show_render(fit, side, out);
    if (strcmp(name, "error") == 0) return panes_draw_error(fit, width, height, out);
    return splat_show_ellipses(fit, width, height, out);
}

static int panes_place(struct image *row, const struct image *pane, int x)
{
    if (pane->height != row->height || pane->channels != 3 || pane->type != SAMPLE_U8 ||
        x + pane->width > row->width)
        return fail(ERR_INTERNAL, "a pane of another size");
    for (int y = 0; y < row->height; y++)
        memcpy((uint8_t *)row->data + ((int64_t)y * row->width + x) * 3,
               (const uint8_t *)pane->data + (int64_t)y * pane->width * 3, (size_t)pane->width * 3);
    return OK;
}

int splat_panes_draw(struct splat_fit *fit, int max_side, struct image *out)
{
    const char *names[4];
    int width, height, count = splat_panes_names(fit, names);
    panes_one_size(fit, max_side, &width, &height);
    TRY(image_create(out, count * width, height, 3, SAMPLE_U8));
    int code = OK;
    for (int i = 0; i < count && code == OK; i++) {
        struct image pane = {0};
        code = panes_draw_one(fit, names[i], width, height, &pane);
        if (code == OK) code = panes_place(out, &pane, i * width);
        if (pane.data) image_free(&pane);
    }
    if (code < 0) image_free(out);
    return code;
}
