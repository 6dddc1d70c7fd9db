#include "splat/shown/splat_preview.h"

#include "base/error.h"
#include "base/file.h"
#include "splat/host_mirror.h"
#include "splat/render.h"
#include "splat/shown/ellipses.h"
#include "splat/shown/output.h"

#include <stdlib.h>

/* Renders at the size of the image that was read, then scales. */
static int splat_preview_stream(struct splat_fit *fit, enum sample_type type, int width, int height,
                                const struct image_sink *to)
{
    int w = fit->full.width, h = fit->full.height;
    struct splat_window window = {w, h, 0, 0, w, h};
    float *const *groups;
    TRY(splat_fit_groups(fit, &groups));
    const struct splat_workspace workspace = splat_fit_measuring(fit);
    return splat_render_stream(fit->device, &fit->model, groups, &workspace, &window, type, width,
                               height, to);
}

int splat_show_render(struct splat_fit *fit, int max_side, struct image *out)
{
    struct image scaled;
    const struct image_sink sink = image_collector(&scaled);
    int width, height;
    splat_render_fit_size(fit->full.width, fit->full.height, max_side, &width, &height);
    int code = splat_preview_stream(fit, SAMPLE_U8, width, height, &sink);
    if (code < 0) {
        image_free(&scaled);
        return code;
    }
    return splat_render_preview(&scaled, out);
}

/* ---- the target ---- */

struct scaling {
    struct image_scaler *scaler;
    struct image_sink to;
    int max_side;
};

static int scale_begin(void *argument, const struct image *shape)
{
    struct scaling *s = argument;
    int width, height;
    splat_render_fit_size(shape->width, shape->height, s->max_side, &width, &height);
    if (width == shape->width && height == shape->height) return s->to.begin(s->to.argument, shape);
    return image_scaler_open(&s->scaler, shape, width, height, &s->to);
}

static int scale_put(void *argument, struct image *rows, int y)
{
    struct scaling *s = argument;
    if (!s->scaler) return s->to.put(s->to.argument, rows, y);
    return image_scaler_put(s->scaler, rows);
}

int splat_show_target(const struct splat_fit *fit, int max_side, struct image *out)
{
    struct image scaled;
    struct scaling scaling = {.max_side = max_side, .to = image_collector(&scaled)};
    const struct image_sink sink = {scale_begin, scale_put, &scaling};
    int code = splat_source_stream(fit->source, fit->config, 0, &sink);
    image_scaler_close(scaling.scaler);
    if (code < 0) {
        image_free(&scaled);
        return code;
    }
    return splat_render_preview(&scaled, out);
}

/* ---- files ---- */

int splat_show_stream(struct splat_fit *fit, enum sample_type type, const struct image_sink *to)
{
    return splat_preview_stream(fit, type, fit->full.width, fit->full.height, to);
}

int splat_show_write(struct splat_fit *fit, const char *path)
{
    struct splat_output output = {.path = path, .also_first = true};
    const struct image_sink sink = splat_output_sink(&output);
    enum sample_type type = fit->model.sample_bits == 8 ? SAMPLE_U8 : SAMPLE_U16;
    int code = splat_show_stream(fit, type, &sink);
    if (code == OK) code = splat_output_commit(&output);
    splat_output_close(&output);
    return code;
}

/* The ellipses of the present Gaussians, the whole image shown at w x h. */
static int splat_preview_ellipses(struct splat_fit *fit, int w, int h, const struct image_sink *to)
{
    struct splat_model model = fit->model;
    TRY(splat_host_pull(fit, NULL));
    for (int g = 0; g < SPLAT_GROUPS; g++)
        model.group[g] = fit->host.group[g];
    struct splat_window window = {w, h, 0, 0, w, h};
    return splat_ellipses_stream(&model, &window, to);
}

int splat_show_ellipses(struct splat_fit *fit, int width, int height, struct image *out)
{
    *out = (struct image){0};
    const struct image_sink sink = image_collector(out);
    return splat_preview_ellipses(fit, width, height, &sink);
}

int splat_show_write_ellipses(struct splat_fit *fit, const char *path)
{
    struct splat_output output = {.path = path};
    const struct image_sink sink = splat_output_sink(&output);
    int code = splat_preview_ellipses(fit, fit->source->fit.width, fit->source->fit.height, &sink);
    if (code == OK) code = splat_output_commit(&output);
    splat_output_close(&output);
    return code;
}
