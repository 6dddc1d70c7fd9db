/* What is seen of a network in training: measurements on held-out images, and frames, in which each
 * row is a part of one: LQ, the result, GT. */
#include "base/error.h"
#include "base/random.h"
#include "config/config.h"
#include "device/device.h"
#include "image/contact_sheet.h"
#include "image/image.h"
#include "memory/plan.h"
#include "sr/sr_schedule.h"
#include "sr/sr_task.h"
#include "task/task.h"

#include <math.h>
#include <string.h>

/* Of equal images it would be infinite, and so would every mean. */
static const double PSNR_MOST = 100;
enum { SHOWN_SIDE = 160, CANDIDATES = 16 }; /* pixels of a part of GT; places that it may be at */

/* ---- which parts are shown ---- */

static const struct pair *sr_held(const struct task_state *s, int index)
{
    if (s->data.held_count) return s->data.held[index];
    return s->data.degraded.count ? &s->data.degraded.pairs[index] : s->data.train[index];
}

static int sr_held_count(const struct task_state *s)
{
    return s->data.held_count ? s->data.held_count : s->data.train_count ? 1 : 0;
}

/* How much there is to see: the sum of steps between neighbours along rows. */
static double sr_detail(const struct pair *pair, int x, int y, int side)
{
    double sum = 0;
    for (int row = 0; row < side; row++) {
        float line[3 * SHOWN_SIDE];
        crop_read(pair, false, 1, x, y + row, side, 1, line);
        for (int i = 3; i < 3 * side; i++)
            sum += fabs((double)line[i] - (double)line[i - 3]);
    }
    return sum;
}

static int sr_choose_part(const struct task_state *s, int index, struct sr_shown *best)
{
    const struct pair *pair = sr_held(s, index);
    struct pair_view view;
    double most = -1;
    int side = s->shown_side;
    *best = (struct sr_shown){.pair = pair};
    TRY(pair_view_open(&view, pair));
    bool is_there = view.pair.lq; /* a forecast has none to look at */
    for (uint64_t k = 0; is_there && k < CANDIDATES; k++) {
        struct philox4 draw =
            philox_draw((uint64_t)s->config->seed, STREAM_SR_SHOWN, (uint64_t)index, k);
        int x = (int)(draw.v[0] % (uint32_t)(pair->w - side + 1));
        int y = (int)(draw.v[1] % (uint32_t)(pair->h - side + 1));
        x -= x % SR_TILE_ALIGNMENT;
        y -= y % SR_TILE_ALIGNMENT;
        double detail = sr_detail(&view.pair, x, y, side);
        if (!(detail > most)) continue;
        most = detail;
        best->x = x;
        best->y = y;
    }
    pair_view_close(&view);
    return OK;
}

int sr_choose_shown(struct task_state *s)
{
    int count = sr_held_count(s);
    s->shown_count = count < SR_SHOWN ? count : SR_SHOWN;
    s->shown_side = SHOWN_SIDE / s->design.scale;
    for (int i = 0; i < s->shown_count; i++) {
        const struct pair *pair = sr_held(s, i);
        if (pair->w < s->shown_side) s->shown_side = pair->w;
        if (pair->h < s->shown_side) s->shown_side = pair->h;
    }
    for (int i = 0; i < s->shown_count; i++)
        TRY(sr_choose_part(s, i, &s->shown[i]));
    return OK;
}

/* ---- frames ---- */

/* A part of LQ with what the result depends on around it; the result of one part; all rows. */
static size_t sr_around_floats(const struct task_state *s)
{
    size_t side = (size_t)(s->shown_side + 2 * sr_tiles_overlap(&s->design));
    return side * side * 3;
}

static size_t sr_part_floats(const struct task_state *s)
{
    size_t side = (size_t)(s->shown_side * s->design.scale);
    return side * side * 3;
}

size_t sr_show_floats(const struct task_state *s)
{
    return sr_around_floats(s) + sr_part_floats(s) * (size_t)(1 + 3 * s->shown_count);
}

/* Pixels 0..1 of a square as those of a contact sheet, -1..1, each `factor` times larger. */
static void sr_place(float *row, int place, const float *square, int side, int factor)
{
    int large = side * factor;
    for (int y = 0; y < large; y++)
        for (int x = 0; x < large; x++)
            for (int c = 0; c < 3; c++)
                row[((size_t)y * 3 * (size_t)large + (size_t)(place * large + x)) * 3 + (size_t)c] =
                    square[((size_t)(y / factor) * (size_t)side + (size_t)(x / factor)) * 3 +
                           (size_t)c] *
                        (255.0f / 128) -
                    1;
}

static int sr_show_parts(struct task_state *s, const struct sr_shown *shown,
                         const struct pair *pair, float *row)
{
    int side = s->shown_side, scale = s->design.scale, overlap = sr_tiles_overlap(&s->design);
    float *around = s->show, *part = around + sr_around_floats(s);
    int x0 = shown->x > overlap ? shown->x - overlap : 0, x1 = shown->x + side + overlap;
    int y0 = shown->y > overlap ? shown->y - overlap : 0, y1 = shown->y + side + overlap;
    if (x1 > pair->w) x1 = pair->w;
    if (y1 > pair->h) y1 = pair->h;
    crop_read(pair, false, scale, shown->x, shown->y, side, side, part);
    sr_place(row, 0, part, side, scale);
    crop_read(pair, false, scale, x0, y0, x1 - x0, y1 - y0, around);
    const struct sr_rows rows = {around, x1 - x0, y1 - y0, 0, y1 - y0};
    TRY(sr_core_enlarge(s->core, &rows, shown->x - x0, shown->y - y0, side, side, part, NULL));
    sr_place(row, 1, part, side * scale, 1);
    crop_read(pair, true, scale, shown->x * scale, shown->y * scale, side * scale, side * scale,
              part);
    sr_place(row, 2, part, side * scale, 1);
    return OK;
}

static int sr_show_row(struct task_state *s, const struct sr_shown *shown, float *row)
{
    struct pair_view view;
    TRY(pair_view_open(&view, shown->pair));
    int code = sr_show_parts(s, shown, &view.pair, row);
    pair_view_close(&view);
    return code;
}

int sr_frame(struct task_state *s, int max_side, struct image *image)
{
    size_t part = sr_part_floats(s);
    float *rows = s->show + sr_around_floats(s) + part;
    int side = s->shown_side * s->design.scale;
    TRY(s->device->synchronize(s->device));
    for (int i = 0; i < s->shown_count; i++)
        TRY(sr_show_row(s, &s->shown[i], rows + (size_t)i * 3 * part));
    return contact_sheet_draw(image, rows, s->shown_count, 3 * side, side, 3, max_side);
}

/* It stands in the frame itself. */
int sr_reference(struct task_state *s, int max_side, struct image *image)
{
    (void)s, (void)max_side, (void)image;
    return fail(ERR_USAGE, "frames show LQ, the result and GT side by side");
}

int sr_write_final(struct task_state *s, const char *path)
{
    struct image image = {0};
    int code = sr_frame(s, 0, &image);
    if (code == OK) code = image_save(&image, path);
    image_free(&image);
    return code;
}

int sr_image_size(const struct task_state *s, int max_side, int *width, int *height)
{
    int side = s->shown_side * s->design.scale;
    contact_sheet_size(s->shown_count > 0 ? s->shown_count : 1, 3 * side, side, max_side, width,
                       height);
    return OK;
}

/* Of each image in a row of the sheet. */
int sr_columns(const struct task_state *s, const char *names[TASK_MAX_COLUMNS])
{
    static const char *const parts[] = {"LQ", "result", "GT"};
    int side = s->shown_side * s->design.scale;
    int count = 3 * contact_sheet_columns(s->shown_count > 0 ? s->shown_count : 1, 3 * side, side);
    if (count > TASK_MAX_COLUMNS) return 0;
    for (int i = 0; i < count; i++)
        names[i] = parts[i % 3];
    return count;
}

/* ---- measurements ---- */

size_t sr_measuring_floats(const struct task_state *s)
{
    size_t most = 0;
    for (int i = 0; i < s->data.held_count; i++) {
        const struct pair *pair = s->data.held[i];
        size_t floats = sr_measure_floats(pair->w, pair->h, s->design.scale);
        if (floats > most) most = floats;
    }
    return most;
}

bool sr_measure_is_due(const struct task_state *s, int64_t steps_done)
{
    return s->data.held_count > 0 &&
           (steps_done % sr_val_every(s->config) == 0 || steps_done == s->config->sr.max_steps);
}

static int sr_preview_enlarge(void *context, const struct sr_rows *in, int x, int y, int w, int h,
                              float *out)
{
    struct task_state *s = context;
    return sr_core_enlarge(s->core, in, x, y, w, h, out, s->stop_requested);
}

/* Means over the held-out images; enlarge NULL: of bicubic. */
static int sr_mean_scores(struct task_state *s, sr_enlarge *enlarge, struct sr_scores *mean)
{
    struct sr_scores sum = {0}, one;
    int count = s->data.held_count;
    for (int i = 0; i < count; i++) {
        if (s->stop_requested && s->stop_requested())
            return fail(ERR_STOPPED, "stopped while measuring");
        TRY(sr_measure(&one, s->data.held[i], s->design.scale, sr_crop_border(s->config), enlarge,
                       s, s->measuring));
        one.psnr = fmin(one.psnr, PSNR_MOST);
        one.psnr_y = fmin(one.psnr_y, PSNR_MOST);
        sr_scores_add(&sum, &one, count);
    }
    *mean = sum;
    return OK;
}

int sr_measure_all(struct task_state *s, int64_t steps_done)
{
    int code = OK;
    TRY(s->device->synchronize(s->device));
    if (isnan(s->bicubic.psnr_y)) code = sr_mean_scores(s, NULL, &s->bicubic);
    if (code == OK) code = sr_mean_scores(s, sr_preview_enlarge, &s->best.scores);
    s->best.pending = code == ERR_STOPPED ? steps_done : 0;
    if (code == ERR_STOPPED) return OK;
    TRY(code);
    bool better = isnan(s->best.psnr_y) || s->best.scores.psnr_y > s->best.psnr_y;
    if (!better && !sr_core_has_gan(s->core)) return OK; /* PSNR does not tell who fools D best */
    s->best.psnr_y = s->best.scores.psnr_y;
    s->best.step = steps_done;
    return device_fetch(s->device, s->best.ema, s->core->net.ema,
                        s->core->net.net.floats * sizeof(float));
}

int sr_complete(struct task_state *s, struct task_report *report)
{
    TRY(sr_measure_all(s, s->steps_done));
    sr_fill_report(s, s->steps_done - 1, report);
    return OK;
}
