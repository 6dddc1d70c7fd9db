#include "cpu/splat/splat_pass.h"

#include "base/error.h"
#include "base/threads.h"
#include "cpu/splat/splat_mask.h"
#include "cpu/splat/splat_ssim.h"
#include "math/ssim_window.h"

#include <math.h>
#include <string.h>

/* ---- which Gaussians reach a band ---- */

/* Gaussians that are still active when a strip begins sum into the strip's carry records: so each
 * record is written by one strip only. */
static void begin_strip(struct splat_scene *scene, struct splat_thread *thread, int strip)
{
    size_t floats = (size_t)splat_record_floats(scene);
    for (int k = 0; k < thread->active_count; k++) {
        thread->active_record[k] = ~k;
        scene->carry_id[strip][k] = thread->active_id[k];
    }
    if (thread->columns.first > 0) return; /* the block before has begun it: the same Gaussians */
    scene->carry_count[strip] = thread->active_count;
    memset(scene->carry[strip], 0, floats * sizeof(float) * (size_t)thread->active_count);
}

/* Makes the active list that of `band`, in the order (first band, number), whatever band came
 * before. own: its gradients are summed here, so a strip that begins with it begins now.
 * Returns the strip that the band belongs to. */
static int splat_pass_activate(struct splat_scene *scene, struct splat_thread *thread, int band,
                               bool first, bool own)
{
    int kept = 0, strip = 0;
    while (strip + 1 < scene->strips && splat_strip_start(scene, strip + 1) <= band)
        strip++;
    if (first) {
        thread->active_count = 0;
        for (int k = 0; k < scene->band_start[band]; k++)
            if (scene->projected[scene->order[k]].band1 >= band)
                thread->active_id[thread->active_count++] = scene->order[k];
        for (int k = 0; k < thread->active_count; k++)
            thread->active_record[k] = thread->active_id[k];
    } else {
        for (int k = 0; k < thread->active_count; k++)
            if (scene->projected[thread->active_id[k]].band1 >= band) {
                thread->active_id[kept] = thread->active_id[k];
                thread->active_record[kept++] = thread->active_record[k];
            }
        thread->active_count = kept;
    }
    if (own && strip > 0 && splat_strip_start(scene, strip) == band)
        begin_strip(scene, thread, strip);
    for (int k = scene->band_start[band]; k < scene->band_start[band + 1]; k++) {
        thread->active_id[thread->active_count] = scene->order[k];
        thread->active_record[thread->active_count++] = scene->order[k];
    }
    return strip;
}

/* ---- render ---- */

/* Sorts a band's items by their first tile, so that both ways over them stay in the cache; items of
 * a tile keep their order. Tile t's are then tile_start[t].. tile_start[t + 1] - 1. */
static void sort_by_tile(struct splat_thread *thread, struct splat_item *items, int count)
{
    int32_t *start = thread->tile_start, *from = thread->tile_order;
    int tile = thread->columns.left / TILE, end = (thread->columns.right - 1) / TILE + 1;
    memset(start + tile, 0, ((size_t)(end - tile) + 2) * sizeof *start);
    for (int k = 0; k < count; k++)
        start[items[k].left / TILE + 2]++;
    for (int t = tile + 2; t < end + 2; t++)
        start[t] += start[t - 1];
    for (int k = 0; k < count; k++)
        from[start[items[k].left / TILE + 1]++] = k;
    for (int k = 0; k < count; k++) { /* in place: along each cycle, whose places are then -1 */
        struct splat_item first = items[k];
        int to = k, next = from[k];
        for (; next >= 0 && next != k; to = next, next = from[to]) {
            items[to] = items[next];
            from[to] = -1;
        }
        if (next == k) items[to] = first;
        from[to] = -1;
    }
}

static void render_band(const struct splat_pass *pass, struct splat_thread *thread, int band)
{
    struct splat_scene *scene = pass->scene;
    const struct splat_columns *columns = &thread->columns;
    int y0 = band * TILE, slot = band & 1, left = columns->left;
    struct splat_item *items = thread->items[slot];
    int count = 0;
    for (int k = 0; k < thread->active_count; k++) {
        const struct splat_projected *g = &scene->projected[thread->active_id[k]];
        if (g->right < (float)left || g->left > (float)columns->right) continue;
        items[count].id = thread->active_id[k];
        items[count++].record = thread->active_record[k];
    }
    count = scene->kernels->spans(scene->projected, scene->cut_power, y0, left, columns->right,
                                  items, count);
    thread->item_count[slot] = count;
    sort_by_tile(thread, items, count);

    float *color[SPLAT_MAX_CHANNELS * TILE], *threshold[TILE], *inverse[TILE];
    for (int r = 0; r < TILE; r++) {
        threshold[r] = splat_ring_row(scene, thread->threshold, 0, y0 + r);
        inverse[r] = splat_ring_row(scene, thread->inverse, 0, y0 + r);
        for (int c = 0; c < scene->channels; c++)
            color[c * TILE + r] = splat_ring_row(scene, thread->color, c, y0 + r);
    }
    const int32_t *start = thread->tile_start; /* of the block's tiles */
    int reaching = 0;
    for (int tile = left / TILE; tile * TILE < columns->right; tile++) {
        int kept = 0;
        for (int k = 0; k < reaching; k++)
            if (items[thread->tile_items[k]].right / TILE >= tile)
                thread->tile_items[kept++] = thread->tile_items[k];
        reaching = kept;
        for (int k = start[tile]; k < start[tile + 1]; k++)
            thread->tile_items[reaching++] = k;
        scene->kernels->render_tile(scene->projected, items, thread->tile_items, reaching,
                                    scene->feat, scene->channels, &pass->blend, scene->cut_power,
                                    y0, tile, left, thread->tile_workspace, color, threshold,
                                    inverse);
    }
}

/* ---- the target ---- */

/* Begins to load the band below: in a wide image each of its rows lies on pages of its own. */
static void prefetch_target_band(const struct splat_pass *pass, const struct splat_thread *thread,
                                 int band)
{
    enum { LINE = 64 };
    const struct splat_scene *scene = pass->scene;
    int bytes = pass->target->sample_bits / 8;
    int from = thread->columns.left * bytes, to = thread->columns.right * bytes;
    for (int y = band * TILE; y < (band + 1) * TILE && y < scene->height; y++)
        for (int c = 0; c < scene->channels; c++) {
            const char *row = splat_target_row(pass->target, y, c);
            for (int at = from; at < to; at += LINE)
                __builtin_prefetch(row + at);
        }
}

static void load_target_band(const struct splat_pass *pass, struct splat_thread *thread, int band)
{
    struct splat_scene *scene = pass->scene;
    const struct splat_columns *columns = &thread->columns;
    int64_t skipped = (int64_t)columns->left * (pass->target->sample_bits / 8);
    for (int y = band * TILE; y < (band + 1) * TILE && y < scene->height; y++)
        for (int c = 0; c < scene->channels; c++)
            scene->kernels->load_row((const char *)splat_target_row(pass->target, y, c) + skipped,
                                     pass->target->sample_bits, columns->right - columns->left,
                                     splat_ring_row(scene, thread->target, c, y));
}

static void show_row(float *row, int width, float power)
{
    for (int x = 0; x < width; x++) {
        float v = row[x] > 0 ? (row[x] < 1 ? row[x] : 1) : 0;
        row[x] = power == 1 ? v : powf(v, power);
    }
}

/* Makes the band's samples what a viewer would see. */
static void show_band(const struct splat_pass *pass, struct splat_thread *thread, int band)
{
    struct splat_scene *scene = pass->scene;
    int width = thread->columns.right - thread->columns.left;
    for (int y = band * TILE; y < (band + 1) * TILE && y < scene->height; y++)
        for (int c = 0; c < scene->channels; c++) {
            show_row(splat_ring_row(scene, thread->color, c, y), width, pass->power);
            show_row(splat_ring_row(scene, thread->target, c, y), width, pass->power);
        }
}

/* ---- comparison and gradients ---- */

static float *splat_gradient_row(const struct splat_scene *scene, struct splat_thread *thread,
                                 int r, int c)
{
    return thread->gradient + ((int64_t)r * scene->channels + c) * scene->pitch;
}

static void compare_row(const struct splat_pass *pass, struct splat_thread *thread, int y, int r)
{
    struct splat_scene *scene = pass->scene;
    const struct splat_columns *columns = &thread->columns;
    int skipped = columns->first - columns->left, width = columns->end - columns->first;
    double n = splat_scene_samples(scene);
    const float *inverse = NULL;
    float factor[PIXEL_LOSSES] = {0}, *blended = NULL;
    bool ssim = pass->gradients && pass->loss->ssim > 0;
    if (pass->gradients)
        for (int k = 0; k < PIXEL_LOSSES; k++)
            factor[k] = splat_loss_factor(pass->loss->pixel[k], n);
    if (pass->gradients && !pass->blend.additive) {
        inverse = splat_ring_row(scene, thread->inverse, 0, y) + skipped;
        blended = thread->blended + r * scene->pitch + skipped;
        memset(blended, 0, sizeof(float) * (size_t)width);
    }
    for (int c = 0; c < scene->channels; c++) {
        const float *x = splat_ring_row(scene, thread->color, c, y) + skipped;
        const float *t = splat_ring_row(scene, thread->target, c, y) + skipped;
        float *g = pass->gradients ? splat_gradient_row(scene, thread, r, c) + skipped : NULL;
        const float *from_ssim = NULL;
        if (ssim)
            from_ssim = thread->ssim_gradient +
                        ((int64_t)c * SSIM_BLOCK + r % SSIM_BLOCK) * scene->pitch + skipped;
        const uint8_t *weights = pass->target->weights;
        if (weights)
            splat_mask_loss_row(
                x, t, from_ssim, inverse, weights + (int64_t)y * scene->width + columns->first,
                pass->target->unit, width, factor, g, blended, scene->row_sums[y].pixel);
        else
            scene->kernels->loss_row(x, t, from_ssim, inverse, width, factor, g, blended,
                                     scene->row_sums[y].pixel);
    }
}

/* Rows below the image pull at no Gaussian. */
static void clear_slopes(const struct splat_scene *scene, struct splat_thread *thread, int r)
{
    size_t row = sizeof(float) * (size_t)scene->pitch;
    memset(splat_gradient_row(scene, thread, r, 0), 0, row * (size_t)scene->channels);
    memset(thread->blended + r * scene->pitch, 0, row);
}

/* The item's part in the columns that are compared; false: none. */
static bool splat_pass_own(const struct splat_columns *columns, const struct splat_item *item,
                           struct splat_item *own)
{
    *own = *item;
    if (own->left < columns->first) own->left = columns->first;
    if (own->right >= columns->end) own->right = columns->end - 1;
    return own->left <= own->right;
}

/* Adds up the gradient of every Gaussian in a band. */
static void backward_band(const struct splat_pass *pass, struct splat_thread *thread, int band,
                          int strip)
{
    struct splat_scene *scene = pass->scene;
    int slot = band & 1, floats = splat_record_floats(scene);
    bool limited = !pass->blend.additive && pass->blend.topk > 0;
    const struct splat_slopes slopes = {
        .gradient = thread->gradient,
        .blended = thread->blended,
        .threshold = limited ? splat_ring_row(scene, thread->threshold, 0, band * TILE) : NULL,
        .pitch = scene->pitch,
        .left = thread->columns.left};
    for (int k = 0; k < thread->item_count[slot]; k++) {
        struct splat_item item;
        if (!splat_pass_own(&thread->columns, &thread->items[slot][k], &item)) continue;
        float *record = item.record >= 0 ? scene->record + (int64_t)item.record * floats
                                         : scene->carry[strip] + (int64_t)~item.record * floats;
        scene->kernels->backward_item(scene->projected, &item, scene->feat, scene->channels,
                                      pass->blend.additive, scene->cut_power, band * TILE, &slopes,
                                      record);
    }
}

/* Rows that SSIM's windows lie around: what is measured is of all. */
static enum splat_ssim_rows ssim_rows(const struct splat_pass *pass)
{
    return pass->gradients ? pass->loss->ssim_rows : SPLAT_SSIM_ALL;
}

static double ssim_windows(const struct splat_pass *pass)
{
    const struct splat_scene *scene = pass->scene;
    return (double)scene->width * scene->channels *
           splat_ssim_row_count(ssim_rows(pass), scene->height);
}

/* Compares a band's rows with the target and differentiates. */
static void finish_band(const struct splat_pass *pass, struct splat_thread *thread, int band,
                        int strip)
{
    struct splat_scene *scene = pass->scene;
    for (int r = 0; r < TILE; r++) {
        int y = band * TILE + r, left = scene->height - y;
        if (left <= 0) {
            if (pass->gradients) clear_slopes(scene, thread, r);
            continue;
        }
        if (r % SSIM_BLOCK == 0 && pass->gradients && pass->loss->ssim > 0)
            splat_ssim_gradient(scene, thread, y, left < SSIM_BLOCK ? left : SSIM_BLOCK,
                                pass->loss->ssim_rows,
                                -splat_loss_factor(pass->loss->ssim, ssim_windows(pass)));
        compare_row(pass, thread, y, r);
    }
    if (pass->gradients) backward_band(pass, thread, band, strip);
}

/* By how much each pixel of row r counts, 0 behind the columns. */
static const float *counts_row(const struct splat_pass *pass, struct splat_thread *thread, int y,
                               int r)
{
    const struct splat_columns *columns = &thread->columns;
    float *row = thread->blended + r * pass->scene->pitch;
    for (int x = columns->first; x < columns->end; x++)
        row[x - columns->left] = splat_target_weight(pass->target, y, x);
    return row;
}

/* Adds what each Gaussian is worth in a band. */
static void share_band(const struct splat_pass *pass, struct splat_thread *thread, int band)
{
    struct splat_scene *scene = pass->scene;
    int y0 = band * TILE, slot = band & 1, channels = scene->channels;
    const float *color[TILE * SPLAT_MAX_CHANNELS], *target[TILE * SPLAT_MAX_CHANNELS];
    const float *threshold[TILE], *inverse[TILE], *counts[TILE];
    struct splat_shown shown = {color, target, threshold, inverse, counts, thread->columns.left};
    if (pass->blend.additive || pass->blend.topk == 0) shown.threshold = NULL;
    for (int r = 0; r < TILE; r++) {
        int y = y0 + r;
        bool inside = y < scene->height;
        threshold[r] = splat_ring_row(scene, thread->threshold, 0, y);
        inverse[r] = splat_ring_row(scene, thread->inverse, 0, y);
        counts[r] = inside ? counts_row(pass, thread, y, r) : thread->zero_row;
        for (int c = 0; c < channels; c++) {
            color[r * channels + c] = splat_ring_row(scene, thread->color, c, y);
            target[r * channels + c] =
                inside ? splat_ring_row(scene, thread->target, c, y) : thread->zero_row;
        }
    }
    for (int k = 0; k < thread->item_count[slot]; k++) {
        const struct splat_item *item = &thread->items[slot][k];
        float share =
            scene->kernels->share_item(scene->projected, item, scene->feat, channels,
                                       pass->blend.additive, scene->cut_power, y0, &shown);
        __atomic_fetch_add(&pass->shares[item->id], (int64_t)((double)share / SPLAT_SHARE_UNIT),
                           __ATOMIC_RELAXED);
    }
}

static void emit_band(const struct splat_pass *pass, struct splat_thread *thread, int band)
{
    struct splat_scene *scene = pass->scene;
    for (int y = band * TILE; y < (band + 1) * TILE && y < scene->height; y++) {
        if (y < pass->first_row || y > pass->last_row) continue;
        const float *color[SPLAT_MAX_CHANNELS];
        for (int c = 0; c < scene->channels; c++)
            color[c] = splat_ring_row(scene, thread->color, c, y);
        pass->row(pass->argument, y, color);
    }
}

/* ---- bands in order, strips over threads ---- */

/* Once a thread has seen the request to stop, all leave their bands out. */
static bool splat_pass_is_stopped(const struct splat_pass *pass)
{
    if (!pass->stop_requested) return false;
    if (!__atomic_load_n(pass->stopped, __ATOMIC_RELAXED) && pass->stop_requested())
        __atomic_store_n(pass->stopped, true, __ATOMIC_RELAXED);
    return __atomic_load_n(pass->stopped, __ATOMIC_RELAXED);
}

/* Renders bands without a target: from *next on the next one that no thread has taken yet, up to
 * end - 1. */
static void render_bands(const struct splat_pass *pass, struct splat_thread *thread, int *next,
                         int end)
{
    thread->columns = (struct splat_columns){0, pass->scene->width, 0, pass->scene->width};
    for (int active = -1; !splat_pass_is_stopped(pass);) {
        int band = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
        if (band >= end) return;
        bool first = active < 0;
        for (active = first ? band : active + 1; active < band; active++)
            splat_pass_activate(pass->scene, thread, active, false, false);
        splat_pass_activate(pass->scene, thread, band, first, false);
        render_band(pass, thread, band);
        emit_band(pass, thread, band);
    }
}

/* SSIM's maps for those of the rows [row, end) that have windows, counted in the sums within bands
 * from..to-1. Returns `end`: the row that is next. */
static int splat_pass_map_rows(const struct splat_pass *pass, struct splat_thread *thread, int row,
                               int end, int from, int to)
{
    const struct ssim_wanted wanted = {from * TILE, to * TILE, pass->inner_ssim, pass->gradients,
                                       ssim_rows(pass)};
    int step = splat_ssim_step(wanted.rows);
    while (!splat_ssim_has_row(wanted.rows, row))
        row++;
    while (row < end) {
        int rows = (end - row + step - 1) / step;
        if (rows > SSIM_BLOCK) rows = SSIM_BLOCK;
        splat_ssim_maps(pass->scene, pass->target, thread, row, rows, &wanted);
        row += rows * step;
    }
    return row > end ? end : row;
}

static bool splat_pass_has_windows(const struct splat_pass *pass)
{
    return pass->inner_ssim || (pass->gradients && pass->loss->ssim > 0);
}

/* A block's bands from..to-1 with a target. With SSIM, one band more is rendered on either side,
 * and each band is finished once the band below it is there. */
static void compare_block(const struct splat_pass *pass, struct splat_thread *thread, int from,
                          int to)
{
    struct splat_scene *scene = pass->scene;
    bool ssim = splat_pass_has_windows(pass);
    int lag = ssim ? 1 : 0, strip = 0, previous_strip = 0;
    int first = from - lag > 0 ? from - lag : 0;
    int last = to - 1 + lag < scene->bands ? to - 1 + lag : scene->bands - 1;
    int next_map = from * TILE - SSIM_RADIUS > 0 ? from * TILE - SSIM_RADIUS : 0;
    for (int band = first; band <= last && !splat_pass_is_stopped(pass); band++) {
        previous_strip = strip;
        strip = splat_pass_activate(scene, thread, band, band == first,
                                    pass->gradients && band >= from && band < to);
        render_band(pass, thread, band);
        load_target_band(pass, thread, band);
        prefetch_target_band(pass, thread, band + 1);
        if (pass->power > 0) show_band(pass, thread, band);
        if (pass->shares) {
            share_band(pass, thread, band);
            continue;
        }
        if (!ssim) {
            finish_band(pass, thread, band, strip);
            continue;
        }
        bool end = band == scene->bands - 1;
        /* The rings hold the maps of RING_ROWS rows. The band above still needs those of the
         * SSIM_RADIUS rows before it: rows further down would overwrite them. */
        int complete = (band + 1) * TILE - SSIM_RADIUS;
        if (complete > scene->height) complete = scene->height;
        next_map = splat_pass_map_rows(pass, thread, next_map, complete, from, to);
        if (band - 1 >= from) finish_band(pass, thread, band - 1, previous_strip);
        if (end && to == scene->bands) {
            splat_pass_map_rows(pass, thread, next_map, scene->height, from, to);
            finish_band(pass, thread, band, strip);
        }
    }
}

/* Vectors read up to PITCH_PAD columns behind a row: finite numbers must lie there, and slopes that
 * are 0. */
static void clear_padding(const struct splat_scene *scene, struct splat_thread *thread)
{
    const struct splat_columns *columns = &thread->columns;
    int rendered = columns->right - columns->left, compared = columns->end - columns->left;
    struct {
        float *rows;
        int count;
        int from;
    } const buffers[] = {{thread->threshold, scene->ring_rows, rendered},
                         {thread->inverse, scene->ring_rows, rendered},
                         {thread->target, scene->ring_rows * scene->channels, rendered},
                         {thread->gradient, TILE * scene->channels, compared},
                         {thread->blended, TILE, compared}};
    for (size_t b = 0; b < sizeof buffers / sizeof buffers[0]; b++)
        for (int r = 0; buffers[b].rows && r < buffers[b].count; r++)
            memset(buffers[b].rows + (int64_t)r * scene->pitch + buffers[b].from, 0,
                   sizeof(float) * (size_t)(scene->pitch - buffers[b].from));
    memset(thread->zero_row, 0, sizeof(float) * (size_t)scene->pitch);
}

/* Bands from..to-1 with a target, block by block. */
static void compare_range(const struct splat_pass *pass, struct splat_thread *thread, int from,
                          int to)
{
    for (int b = 0; b < splat_block_count(pass->scene); b++) {
        thread->columns = splat_block_columns(pass->scene, b, splat_pass_has_windows(pass));
        clear_padding(pass->scene, thread);
        compare_block(pass, thread, from, to);
    }
}

/* One part for each thread's buffers; whoever is free does them. With a target each has its share
 * of the strips; without, nothing is summed: any bands will do. */
struct pass_work {
    const struct splat_pass *pass;
    int parts;
    int next_band; /* to be rendered without a target */
};

static void run_parts(void *context, int64_t from, int64_t to)
{
    struct pass_work *work = context;
    const struct splat_pass *pass = work->pass;
    struct splat_scene *scene = pass->scene;
    int n = work->parts;
    for (int t = (int)from; t < (int)to; t++) {
        struct splat_thread *thread = &scene->threads[t];
        if (!pass->target) {
            render_bands(pass, thread, &work->next_band, pass->last_row / TILE + 1);
            continue;
        }
        int begin = splat_strip_start(scene, scene->strips * t / n);
        int end = splat_strip_start(scene, scene->strips * (t + 1) / n);
        if (begin < end) compare_range(pass, thread, begin, end);
    }
}

int splat_pass_run(const struct splat_pass *asked)
{
    bool stopped = false;
    struct splat_pass own = *asked;
    const struct splat_pass *pass = &own;
    struct splat_scene *scene = pass->scene;
    own.stopped = &stopped;
    splat_scene_set_rows(scene, pass->target != NULL);
    if (pass->gradients)
        memset(scene->record, 0,
               sizeof(float) * (size_t)splat_record_floats(scene) * (size_t)scene->count);
    for (int s = 0; s < scene->strips; s++)
        scene->carry_count[s] = 0;
    if (pass->target) memset(scene->row_sums, 0, sizeof *scene->row_sums * (size_t)scene->height);
    struct pass_work work = {
        pass, scene->thread_count < scene->strips ? scene->thread_count : scene->strips,
        pass->first_row / TILE};
    threads_for(work.parts, 1, run_parts, &work);
    return stopped ? fail(ERR_STOPPED, "stopped within a pass over the image") : OK;
}

void splat_pass_sums(const struct splat_pass *pass, struct splat_sums *sums)
{
    const struct splat_scene *scene = pass->scene;
    struct splat_row_sums total = {0};
    for (int y = 0; y < scene->height; y++) {
        for (int k = 0; k < PIXEL_SUMS; k++)
            total.pixel[k] += scene->row_sums[y].pixel[k];
        total.ssim += scene->row_sums[y].ssim;
        total.ssim_inner += scene->row_sums[y].ssim_inner;
    }
    double n = splat_scene_samples(scene);
    bool small = scene->width < SSIM_TAPS || scene->height < SSIM_TAPS;
    double inner = small ? n
                         : (double)(scene->width - SSIM_TAPS + 1) *
                               (scene->height - SSIM_TAPS + 1) * scene->channels;
    for (int k = 0; k < PIXEL_SUMS; k++)
        sums->pixel[k] = total.pixel[k] / n;
    sums->ssim = total.ssim / ssim_windows(pass);
    sums->ssim_inner = total.ssim_inner / inner;
}
