#include "sr/sr_feed.h"

#include "base/error.h"
#include "base/file.h"
#include "base/threads.h"
#include "config/config.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SHARPEN_SIDE = 51 }; /* of a target's unsharp masking: Real-ESRGAN's */

bool sr_perceptual_sharpens(const struct config *config)
{
    if (config->sr.percep_gt_usm == CONFIG_SR_PERCEP_GT_USM_AUTO) return config->sr.l1_gt_usm;
    return config->sr.percep_gt_usm == CONFIG_SR_PERCEP_GT_USM_TRUE;
}

bool sr_has_other_images(const struct config *config)
{
    bool l1 = config->sr.l1_gt_usm, gan = config->sr.discriminator && config->sr.gan_gt_usm != l1;
    return gan || (config->sr.perceptual_weight > 0 && sr_perceptual_sharpens(config) != l1);
}

int sr_feed_open(struct sr_feed *feed, const struct config *config, const struct crop_source *crops)
{
    bool degrades = config->sr.data_mode == CONFIG_SR_DATA_MODE_OTF;
    *feed = (struct sr_feed){.degrades = degrades,
                             .sharpens = config->sr.l1_gt_usm,
                             .other_sharpens = sr_has_other_images(config) && !config->sr.l1_gt_usm,
                             .seed = (uint64_t)config->seed,
                             .turns = (config->sr.flip ? CROP_MIRROR : 0u) |
                                      (config->sr.rot ? CROP_UPSIDE_DOWN | CROP_TRANSPOSE : 0u),
                             .scale = (int)config->sr.scale,
                             .crops = crops};
    TRY(degrade_choices_of(&feed->choices, config));
    if (config->sr.dataroot_lq_prob <= 0) return OK;
    if (!degrades) return fail(ERR_CONFIG, "dataroot_lq_prob is there for data_mode otf alone");
    if (!config->sr.dataroot_lq[0])
        return fail(ERR_CONFIG, "dataroot_lq_prob: dataroot_lq is not set");
    return OK;
}

static bool feed_is_plain(const struct sr_feed *feed)
{
    return !feed->degrades && !feed->sharpens && !feed->other_sharpens;
}

static size_t feed_window_floats(const struct sr_feed *feed, int side)
{
    size_t large = (size_t)(side + DEGRADE_AROUND) * (size_t)feed->scale;
    return large * large * 3;
}

size_t sr_feed_bytes(struct sr_feed *feed, int side, int n)
{
    int threads = threads_count(), around = side + DEGRADE_AROUND;
    if (feed_is_plain(feed)) return 0;
    feed->workers = n < threads ? n : threads;
    size_t bytes = feed->degrades ? degrade_window_bytes(&feed->choices, around, around) : 0;
    size_t sharpening = feed_window_floats(feed, side);
    sharpening += degrade_sharpen_floats(around * feed->scale, around * feed->scale, SHARPEN_SIDE);
    bool sharpens = feed->sharpens || feed->other_sharpens;
    if (sharpens && bytes < sharpening * sizeof(float)) bytes = sharpening * sizeof(float);
    feed->worker_bytes = (bytes + 63) / 64 * 64;
    return (size_t)feed->workers * feed->worker_bytes;
}

/* The patch of `side` pixels at (x, y) of a window. */
static void feed_cut(float *out, const float *window, int width, int x, int y, int side)
{
    for (int row = 0; row < side; row++)
        memcpy(out + (size_t)row * (size_t)side * 3,
               window + ((size_t)(y + row) * (size_t)width + (size_t)x) * 3,
               3 * (size_t)side * sizeof *out);
}

/* Whoever wants a target of this kind gets that patch of a window. */
static void feed_cut_targets(const struct sr_feed *feed, const struct sr_feed_out *out, bool sharp,
                             const float *window, int width, int x, int y, int side)
{
    if (feed->sharpens == sharp) feed_cut(out->gt, window, width, x, y, side);
    if (out->other && feed->other_sharpens == sharp)
        feed_cut(out->other, window, width, x, y, side);
}

/* What is cut out of `crop`, whose image is there. */
static int feed_make(const struct sr_feed *feed, const struct sr_feed_place *place,
                     const struct crop *crop, int side, const struct sr_feed_out *out,
                     struct degrade_recipe *recipe, void *memory)
{
    size_t large = (size_t)side * (size_t)side * (size_t)feed->scale * (size_t)feed->scale * 3;
    uint64_t index = (uint64_t)place->index;
    int margin = DEGRADE_MARGIN, s = feed->scale;
    *recipe = (struct degrade_recipe){.paired = true};
    if (feed->degrades)
        degrade_recipe_draw(recipe, &feed->choices, feed->seed, place->step, (uint32_t)index);
    if (!feed->degrades || recipe->paired) {
        crop_copy(feed->crops, crop, side, out->lq, out->gt);
        if (out->other) memcpy(out->other, out->gt, large * sizeof *out->gt);
    }
    if (feed_is_plain(feed)) return OK;
    if (!feed->sharpens && !feed->other_sharpens) margin = degrade_recipe_margin(recipe, s);
    int around = side + 2 * margin;
    int x = margin - DEGRADE_SHIFTS / 2 + recipe->x, y = margin - DEGRADE_SHIFTS / 2 + recipe->y;
    if (feed->sharpens || (out->other && feed->other_sharpens)) {
        crop_copy_around(feed->crops, crop, side, 2 * margin, x, y, memory);
        degrade_sharpen(memory, around * s, around * s, SHARPEN_SIDE,
                        (float *)memory + feed_window_floats(feed, side));
        feed_cut_targets(feed, out, true, memory, around * s, x * s, y * s, side * s);
    }
    if (!feed->degrades || recipe->paired) return OK;
    crop_copy_around(feed->crops, crop, side, 2 * margin, x, y, memory);
    feed_cut_targets(feed, out, false, memory, around * s, x * s, y * s, side * s);
    const float *degraded;
    TRY(degrade_window(&degraded, memory, around, around, &feed->choices, recipe));
    feed_cut(out->lq, degraded, around, x, y, side);
    return OK;
}

int sr_feed_patch(const struct sr_feed *feed, struct sr_feed_place *place, int side,
                  const struct sr_feed_out *out, struct degrade_recipe *recipe, void *memory)
{
    struct crop crop =
        crop_draw(feed->crops, feed->seed, place->step, (uint64_t)place->index, side, feed->turns);
    struct pair_view view;
    TRY(pair_view_open(&view, crop.pair));
    crop.pair = &view.pair;
    place->name = view.pair.name;
    int code = feed_make(feed, place, &crop, side, out, recipe, memory);
    pair_view_close(&view);
    return code;
}

/* ---- all patches of a call ---- */

struct feed_call {
    const struct sr_feed *feed;
    uint64_t step;
    int first, side;
    struct sr_feed_out out;
    atomic_int code; /* of the first that failed */
    char *fault;     /* its message, which belongs to the thread that failed */
};

static void feed_patches(void *context, int64_t from, int64_t to)
{
    struct feed_call *call = context;
    const struct sr_feed *feed = call->feed;
    size_t small = (size_t)call->side * (size_t)call->side * 3;
    size_t large = small * (size_t)feed->scale * (size_t)feed->scale;
    char *memory = feed->memory ? feed->memory + (size_t)threads_self() * feed->worker_bytes : NULL;
    struct degrade_recipe recipe;
    for (int64_t i = from; i < to; i++) {
        struct sr_feed_place place = {.step = call->step, .index = call->first + (int)i};
        int none = OK;
        struct sr_feed_out out = {.lq = call->out.lq + (size_t)i * small,
                                  .gt = call->out.gt + (size_t)i * large};
        if (call->out.other) out.other = call->out.other + (size_t)i * large;
        int code = sr_feed_patch(feed, &place, call->side, &out, &recipe, memory);
        if (code < 0 && atomic_compare_exchange_strong(&call->code, &none, code))
            call->fault = string_format("%s", error_message());
    }
}

int sr_feed_fill(const struct sr_feed *feed, uint64_t step, int first, int n, int side,
                 const struct sr_feed_out *out)
{
    struct feed_call call = {.feed = feed, .step = step, .first = first, .side = side, .out = *out};
    bool has_room = feed_is_plain(feed) || n <= feed->workers || threads_count() <= feed->workers;
    threads_for(n, has_room ? 1 : n, feed_patches, &call);
    int code = atomic_load(&call.code);
    if (code < 0) fail(code, "%s", call.fault ? call.fault : "out of memory");
    free(call.fault);
    return code;
}

enum { TIMED = 4 };

int sr_feed_time(const struct sr_feed *feed, int side, double *ms)
{
    struct sr_feed one = *feed; /* with memory of its own */
    size_t small = (size_t)side * (size_t)side * 3;
    size_t large = small * (size_t)feed->scale * (size_t)feed->scale;
    struct degrade_recipe recipe;
    struct timespec from, to;
    *ms = 0;
    if (!feed->degrades) return OK;
    void *memory = malloc(sr_feed_bytes(&one, side, 1));
    float *patches = malloc((small + large) * sizeof *patches);
    const struct sr_feed_out out = {.lq = patches, .gt = patches ? patches + small : NULL};
    int code = memory && patches ? OK : fail(ERR_SYSTEM, "out of memory");
    for (int i = -1; i < TIMED && code == OK; i++) { /* the first one makes tables */
        struct sr_feed_place place = {.index = i < 0 ? 0 : i};
        if (i == 0) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
        code = sr_feed_patch(&one, &place, side, &out, &recipe, memory);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    if (code == OK)
        *ms =
            (1e3 * (double)(to.tv_sec - from.tv_sec) + 1e-6 * (double)(to.tv_nsec - from.tv_nsec)) /
            TIMED;
    free(memory);
    free(patches);
    return code;
}
