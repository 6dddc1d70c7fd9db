#include "splat/slices.h"

#include "base/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Whether Gaussian i may reach a row between `low` and `high` (0..1 of the picture's height), on
 * the safe side. Written so that a number that is not finite reaches everything. */
static bool slices_reaches(const struct splat_model *m, int64_t i, double low, double high)
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

/* The Gaussians that reach a slice, in their order: *part has arrays of its own. */
static int select_part(struct splat_model *part, const struct splat_model *model, double low,
                       double high)
{
    int64_t count = 0;
    for (int64_t i = 0; i < model->count; i++)
        count += slices_reaches(model, i, low, high);
    *part = *model;
    part->count = part->capacity = count;
    float *p = part->owned =
        malloc((size_t)(count + 1) * (size_t)(5 + model->channels) * sizeof *p);
    if (!p) return fail(ERR_SYSTEM, "out of memory for %lld Gaussians", (long long)count);
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        size_t columns = (size_t)splat_group_columns(model, g);
        part->group[g] = p;
        for (int64_t i = 0; i < model->count; i++) {
            if (!slices_reaches(model, i, low, high)) continue;
            memcpy(p, model->group[g] + (size_t)i * columns, columns * sizeof *p);
            p += columns;
        }
    }
    return OK;
}

/* A slice's rows, which are those from `first` on of the whole picture. */
struct shifted {
    const struct image_sink *to;
    int first;
};

static int put_shifted(void *argument, struct image *rows, int y)
{
    const struct shifted *shifted = argument;
    return shifted->to->put(shifted->to->argument, rows, shifted->first + y);
}

static int stream_slice(struct device *device, const struct splat_model *model,
                        const struct splat_window *slice, enum sample_type type,
                        struct shifted *shifted)
{
    struct splat_model part;
    const struct image_sink sink = {.put = put_shifted, .argument = shifted};
    double height = slice->full_height; /* a row more at both ends: filters are not in the way */
    int code =
        select_part(&part, model, (slice->y - 1) / height, (slice->y + slice->height + 1) / height);
    if (code == OK)
        code = splat_picture_stream(device, &part, NULL, NULL, slice, type, slice->width,
                                    slice->height, &sink);
    splat_model_close(&part);
    return code;
}

int splat_slices_stream(struct device *device, const struct splat_model *model,
                        const struct splat_window *window, enum sample_type type, int rows,
                        const struct image_sink *to)
{
    const struct splat_window *w = window;
    TRY(splat_window_check(w));
    if (rows >= w->height)
        return splat_picture_stream(device, model, NULL, NULL, w, type, w->width, w->height, to);
    struct image shape = {w->width, w->height, model->channels, type, NULL};
    if (to->begin) TRY(to->begin(to->argument, &shape));
    for (int y = 0; y < w->height; y += rows) {
        struct splat_window slice = *w;
        struct shifted shifted = {to, y};
        slice.y += y;
        slice.height = w->height - y < rows ? w->height - y : rows;
        TRY(stream_slice(device, model, &slice, type, &shifted));
    }
    return OK;
}
