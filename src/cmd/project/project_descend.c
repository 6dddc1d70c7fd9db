/* From images to latents: the nearest of many samples, then gradient descent from there. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/project/project.h"
#include "gan/projection.h"
#include "gan/sample_seeds.h"
#include "gan/sampler.h"
#include "image/contact_sheet.h"
#include "image/image.h"
#include "image/premultiplied.h"
#include "math/cosine.h"
#include "run/signals.h"
#include "store/checkpoint.h"
#include "video/video.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PROJECT_BATCH = 16, VIDEO_FRAMES = 150, VIDEO_FPS = 30, VIDEO_QUALITY = 18 };

static int project_check_stop(void)
{
    return signals_stop_requested() ? fail(ERR_STOPPED, "stopped by %s", signals_stop_reason())
                                    : OK;
}

double project_psnr(const struct project *p, const uint8_t *a, const uint8_t *b)
{
    int64_t sum = 0;
    int bytes = project_image_bytes(p);
    for (int i = 0; i < bytes; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum ? 10 * log10(255.0 * 255.0 * bytes / (double)sum) : 99;
}

/* ---- the nearest sample ---- */

static void project_compare(struct project *p, const uint8_t *drawn, uint64_t seed, int label)
{
    for (int i = 0; i < p->count; i++) {
        struct project_image *image = &p->images[i];
        double psnr = project_psnr(p, image->target, drawn);
        if (seed > 0 && psnr <= image->nearest) continue;
        image->nearest = psnr;
        image->seed = seed;
        p->labels[i] = label;
    }
}

static int project_search_with(struct project *p, struct sampler *sampler)
{
    int bytes = project_image_bytes(p), total = (int)p->options->candidates, labels[PROJECT_BATCH];
    uint64_t seeds[PROJECT_BATCH];
    uint8_t *drawn = malloc((size_t)PROJECT_BATCH * (size_t)bytes);
    int code = drawn ? OK : fail(ERR_SYSTEM, "out of memory");
    for (int first = 0; code == OK && first < total; first += PROJECT_BATCH) {
        int n = total - first < PROJECT_BATCH ? total - first : PROJECT_BATCH;
        for (int i = 0; i < n; i++) {
            seeds[i] = (uint64_t)(first + i);
            labels[i] =
                p->options->label >= 0 ? (int)p->options->label : seeds_class(sampler, seeds[i]);
        }
        code = project_check_stop();
        if (code == OK) code = seeds_make(sampler, seeds, labels, n, drawn);
        for (int i = 0; code == OK && i < n; i++)
            project_compare(p, drawn + (ptrdiff_t)i * bytes, seeds[i], labels[i]);
    }
    for (int i = 0; code == OK && i < p->count; i++)
        sampler_latent(sampler, p->images[i].seed, p->latents + (ptrdiff_t)i * p->z);
    free(drawn);
    return code;
}

static int project_search(struct project *p, struct device *device)
{
    struct sampler *sampler;
    TRY(sampler_open(&sampler, device, p->file, PROJECT_BATCH));
    int code = project_search_with(p, sampler);
    sampler_close(sampler);
    return code;
}

/* ---- descent ---- */

/* A group of images, side by side. */
struct group {
    struct project *project;
    struct projection *projection;
    struct video_encoder *video;    /* NULL: none */
    int first, n, at_once, columns; /* columns: how many of them the video has */
    float *images;                  /* [at_once] */
    uint8_t *bytes;
    double *errors;
};

static int group_show(struct group *g, int step)
{
    struct project *p = g->project;
    int total = project_steps(p), every = total / VIDEO_FRAMES + 1, one = project_image_bytes(p);
    struct image sheet;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)g->n * one; i++)
        g->bytes[i] = contact_sheet_byte(g->images[i]);
    premultiplied_clamp(g->bytes, (size_t)g->n * (size_t)p->w * (size_t)p->h, p->channels);
    for (int i = 0; i < g->n; i++)
        p->images[g->first + i].psnr[step] =
            project_psnr(p, p->images[g->first + i].target, g->bytes + (ptrdiff_t)i * one);
    if (!g->video || (step % every && step < total)) return OK;
    int shown = g->n < g->columns ? g->n : g->columns;
    TRY(project_sheet(p, g->first, shown, g->columns, g->bytes, &sheet));
    int code = video_encoder_add(g->video, &sheet, step == total ? VIDEO_FPS : 1);
    image_free(&sheet);
    return code;
}

/* Rates fall to 0 along half a cosine, in each of the two parts. */
static int group_step(struct group *g, int step)
{
    const struct project_options *o = g->project->options;
    bool tunes = step >= o->steps;
    double z = 0, tune = 0;
    if (!tunes)
        z = cosine_between(o->lr, 0, (double)step / (double)o->steps);
    else if (step < o->steps + o->tune)
        tune = cosine_between(o->tune_lr, 0, (double)(step - o->steps) / (double)o->tune);
    TRY(projection_step(g->projection, z, tune, g->images, g->errors));
    return group_show(g, step);
}

static int group_targets(struct group *g)
{
    struct project *p = g->project;
    int one = project_image_bytes(p);
    for (int i = 0; i < g->n; i++)
        for (int k = 0; k < one; k++)
            g->images[(ptrdiff_t)i * one + k] =
                (float)(p->images[g->first + i].target[k] - 128) / 128;
    return projection_begin(g->projection, g->n, p->latents + (ptrdiff_t)g->first * p->z,
                            p->classes ? p->labels + g->first : NULL, g->images);
}

static int group_descend(struct group *g)
{
    struct project *p = g->project;
    int one = project_image_bytes(p);
    TRY(group_targets(g));
    for (int step = 0; step <= project_steps(p); step++) {
        TRY(project_check_stop());
        TRY(group_step(g, step));
    }
    memcpy(p->latents + (ptrdiff_t)g->first * p->z, projection_latents(g->projection),
           (size_t)g->n * (size_t)p->z * sizeof *p->latents);
    for (int i = 0; i < g->n; i++)
        memcpy(p->images[g->first + i].projected, g->bytes + (ptrdiff_t)i * one, (size_t)one);
    return OK;
}

/* The generator that was tuned to the images: a model like any other. */
static int project_save_generator(const struct project *p, struct projection *projection)
{
    const char *config = store_get(p->file, "config");
    struct store_writer *writer = store_writer_create();
    char *path = path_join(p->options->output, "model.safetensors");
    int64_t step = 0;
    int code = writer && path ? OK : fail(ERR_SYSTEM, "out of memory");
    if (code == OK && store_get(p->file, "step")) code = store_get_int(p->file, "step", &step);
    if (code == OK) code = checkpoint_describe(writer, "model", "gan", step, config ? config : "");
    if (code == OK) code = projection_store(projection, writer);
    if (code == OK) code = store_write(writer, path, true);
    store_writer_free(writer);
    free(path);
    return code;
}

/* A build or a machine without video does without. */
static int project_open_video(struct group *g)
{
    struct image sheet;
    TRY(project_sheet(g->project, 0, 0, g->columns, NULL, &sheet));
    char *path = path_join(g->project->options->output, "video.mp4");
    int code = path ? OK : ERR_SYSTEM;
    if (code == OK)
        code = video_encoder_open(&g->video, NULL, path, sheet.width, sheet.height, VIDEO_FPS,
                                  VIDEO_QUALITY);
    image_free(&sheet);
    free(path);
    if (code != ERR_USAGE && code != ERR_DEVICE) return code;
    log_warning("%s; the film is left out", error_message());
    return OK;
}

static int project_groups(struct group *g)
{
    struct project *p = g->project;
    for (g->first = 0; g->first < p->count; g->first += g->n) {
        g->n = p->count - g->first < g->at_once ? p->count - g->first : g->at_once;
        TRY(group_descend(g));
    }
    return p->options->tune ? project_save_generator(p, g->projection) : OK;
}

int project_descend(struct project *p, struct device *device, int at_once)
{
    struct group g = {.project = p, .at_once = at_once, .columns = project_columns(p, at_once)};
    size_t floats = (size_t)at_once * (size_t)project_image_bytes(p);
    int code;
    TRY(project_search(p, device));
    g.images = malloc(floats * sizeof *g.images);
    g.bytes = malloc(floats);
    g.errors = malloc((size_t)at_once * sizeof *g.errors);
    if (!g.images || !g.bytes || !g.errors) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    TRY_CLEANUP(projection_open(&g.projection, device, p->file, at_once, p->options->tune > 0));
    TRY_CLEANUP(file_make_dirs(p->options->output));
    TRY_CLEANUP(project_open_video(&g));
    code = project_groups(&g);
cleanup:
    if (g.video) {
        int closed = video_encoder_close(g.video, code == OK);
        if (code == OK) code = closed;
    }
    projection_close(g.projection);
    free(g.images);
    free(g.bytes);
    free(g.errors);
    return code;
}
