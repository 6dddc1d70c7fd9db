#include "splat/shown/ellipses.h"

#include "base/error.h"
#include "math/gaussian_form.h"

#include <math.h>
#include <stdlib.h>

struct entry {
    float area; /* in units of sigma x sigma */
    int64_t index;
};

static int larger_first(const void *a, const void *b)
{
    const struct entry *p = a, *q = b;
    if (p->area > q->area || p->area < q->area) return p->area > q->area ? -1 : 1;
    return p->index < q->index ? -1 : p->index > q->index;
}

static float inverse_sigma(const struct splat_model *model, int64_t i, int axis)
{
    float s = model->group[SPLAT_SCALE][2 * i + axis];
    return model->sigma_scale ? 1.0f / s : s;
}

static uint8_t ellipses_shown(const struct splat_model *model, int64_t i, int c)
{
    int channel = model->channels < 3 ? 0 : c;
    float v = model->group[SPLAT_FEAT][i * model->channels + channel];
    return (uint8_t)((v > 0 ? (v < 1 ? v : 1.0f) : 0.0f) * 255.0f + 0.5f);
}

static void draw_one(const struct splat_model *model, int64_t i, const struct splat_window *w,
                     struct image *out)
{
    float fx = (float)w->full_width / (float)model->width;
    float fy = (float)w->full_height / (float)model->height;
    float ix = inverse_sigma(model, i, 0), iy = inverse_sigma(model, i, 1), a, b, d;
    float angle = model->group[SPLAT_ROT][i];
    gaussian_conic_f32(ix, iy, cosf(angle), sinf(angle), &a, &b, &d);
    float mx = model->group[SPLAT_XY][2 * i] * (float)w->full_width - (float)w->x;
    float my = model->group[SPLAT_XY][2 * i + 1] * (float)w->full_height - (float)w->y;
    float reach = 1 / (ix < iy ? ix : iy), reach_x = reach * fx + 1, reach_y = reach * fy + 1;
    if (mx + reach_x < 0 || my + reach_y < 0 || mx - reach_x > (float)w->width ||
        my - reach_y > (float)w->height)
        return;
    int x0 = (int)fmaxf(mx - reach_x, 0), x1 = (int)fminf(mx + reach_x, (float)w->width - 1);
    int y0 = (int)fmaxf(my - reach_y, 0), y1 = (int)fminf(my + reach_y, (float)w->height - 1);
    for (int y = y0; y <= y1; y++)
        for (int x = x0; x <= x1; x++) {
            float dx = ((float)x + 0.5f - mx) / fx, dy = ((float)y + 0.5f - my) / fy;
            float q = a * dx * dx + 2 * b * dx * dy + d * dy * dy;
            if (!(q <= 1)) continue;
            uint8_t *p = (uint8_t *)out->data + ((int64_t)y * w->width + x) * 3;
            for (int c = 0; c < 3; c++)
                p[c] = (uint8_t)(q > 0.8f ? ellipses_shown(model, i, c) * 5 / 8
                                          : ellipses_shown(model, i, c));
        }
}

static int draw_bands(const struct splat_model *model, const struct entry *order,
                      const struct splat_window *window, const struct image_sink *to)
{
    struct image shape = {window->width, window->height, 3, SAMPLE_U8, NULL};
    if (to->begin) TRY(to->begin(to->argument, &shape));
    int most = image_band_rows(&shape);
    for (int y = 0; y < window->height; y += most) {
        struct splat_window band = *window;
        struct image rows;
        band.y += y;
        band.height = window->height - y < most ? window->height - y : most;
        TRY(image_create(&rows, band.width, band.height, 3, SAMPLE_U8));
        for (int64_t k = 0; k < model->count; k++)
            draw_one(model, order[k].index, &band, &rows);
        int code = to->put(to->argument, &rows, y);
        image_free(&rows);
        TRY(code);
    }
    return OK;
}

int splat_ellipses_stream(const struct splat_model *model, const struct splat_window *window,
                          const struct image_sink *to)
{
    TRY(splat_window_check(window));
    struct entry *order = malloc(((size_t)model->count + 1) * sizeof *order);
    if (!order) return fail(ERR_SYSTEM, "out of memory for %lld ellipses", (long long)model->count);
    for (int64_t i = 0; i < model->count; i++)
        order[i] = (struct entry){1 / (inverse_sigma(model, i, 0) * inverse_sigma(model, i, 1)), i};
    qsort(order, (size_t)model->count, sizeof *order, larger_first);
    int code = draw_bands(model, order, window, to);
    free(order);
    return code;
}
