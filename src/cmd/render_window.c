#include "cmd/render_window.h"

#include "base/error.h"
#include "base/parse_number.h"
#include "splat/render.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int render_window_scale(struct splat_window *w, const struct splat_model *model,
                               double scale)
{
    double width = round(model->width * scale), height = round(model->height * scale);
    if (!(width <= IMAGE_MAX_SIDE) || !(height <= IMAGE_MAX_SIDE))
        return fail(ERR_USAGE, "--scale %g makes a side longer than %d pixels", scale,
                    IMAGE_MAX_SIDE);
    w->full_width = width < 1 ? 1 : (int)width;
    w->full_height = height < 1 ? 1 : (int)height;
    return OK;
}

int render_window_read(struct splat_window *w, const struct splat_model *model, const char *size,
                       double scale, const char *crop)
{
    char end;
    *w = splat_window_whole(model);
    if (size && !isnan(scale)) return fail(ERR_USAGE, "--size and --scale exclude each other");
    if (size && (!number_parse_size(size, &w->full_width, &w->full_height) || w->full_width < 1 ||
                 w->full_height < 1))
        return fail(ERR_USAGE, "--size %.40s: WIDTHxHEIGHT in pixels is needed", size);
    if (!isnan(scale)) TRY(render_window_scale(w, model, scale));
    if (w->full_width > IMAGE_MAX_SIDE || w->full_height > IMAGE_MAX_SIDE)
        return fail(ERR_USAGE, "a side is longer than %d pixels", IMAGE_MAX_SIDE);
    w->width = w->full_width;
    w->height = w->full_height;
    if (crop && sscanf(crop, "%9d,%9d,%9d,%9d%c", &w->x, &w->y, &w->width, &w->height, &end) != 4)
        return fail(ERR_USAGE, "--crop %.60s: X,Y,WIDTH,HEIGHT in pixels are needed", crop);
    return OK;
}

enum sample_type render_window_type(const char *name, const struct splat_model *model)
{
    const char *dot = strrchr(name, '.');
    if (dot && strcasecmp(dot, ".pfm") == 0) return SAMPLE_F32;
    if (dot && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0)) return SAMPLE_U8;
    return model->sample_bits == 8 ? SAMPLE_U8 : SAMPLE_U16;
}
