/* What is seen of a GAN in training: samples of the averaged generator, their metrics, the gap
 * between learned and held-out images, and the images of frames. */
#include "base/error.h"
#include "base/log.h"
#include "config/config.h"
#include "data/dataset.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "gan/gan_checkpoint.h"
#include "gan/gan_task.h"
#include "gan/sampler.h"
#include "image/contact_sheet.h"
#include "image/image.h"
#include "image/premultiplied.h"

#include <math.h>

enum { GAP_PICTURES = 64, SOME = 16, OVERFIT_MEAN = 5 };

static const double OVERFIT_SHARE = 0.6, OVERFIT_GAP = 0.1;

/* ---- samples of the averaged generator ---- */

/* At most `micro`. */
static int make_some(struct task_state *s, const uint64_t *seeds, const int *classes, int n,
                     float *out)
{
    struct gan_core *core = s->core;
    int z = core->design.z;
    for (int i = 0; i < n; i++)
        gan_latent(s->latents + (ptrdiff_t)i * z, z, seeds[i]);
    return gan_generate(core, core->g.ema, s->latents, classes, n, out);
}

/* Those of a frame: seeds 0, 1, ...; classes take turns. */
static int make_samples(struct task_state *s)
{
    const struct gan_core *core = s->core;
    size_t picture = (size_t)(core->shape.h * core->shape.w * core->shape.c);
    int total = (int)s->config->gan.samples, most = core->mode.micro;
    uint64_t seeds[SOME];
    int classes[SOME];
    if (most > SOME) most = SOME;
    for (int first = 0; first < total; first += most) {
        int n = total - first < most ? total - first : most;
        for (int i = 0; i < n; i++) {
            seeds[i] = (uint64_t)(first + i);
            classes[i] = core->design.classes ? (first + i) % net_labels(&core->design) : 0;
        }
        TRY(make_some(s, seeds, classes, n, s->show + (size_t)first * picture));
    }
    return OK;
}

/* Those of the metrics, at most as many as in a frame at a time. */
static int gan_preview_draw(void *context, const uint64_t *seeds, const int *classes, int n,
                            uint8_t *out)
{
    struct task_state *s = context;
    size_t floats = (size_t)(s->core->shape.h * s->core->shape.w * s->core->shape.c) * (size_t)n;
    TRY(make_some(s, seeds, classes, n, s->show));
    for (size_t i = 0; i < floats; i++)
        out[i] = contact_sheet_byte(s->show[i]);
    premultiplied_clamp(out, floats / (size_t)s->core->shape.c, s->core->shape.c);
    return OK;
}

int gan_measure(struct task_state *s, int64_t steps_done)
{
    int micro = s->core->mode.micro, shown = (int)s->config->gan.samples;
    struct evaluate_options options = {
        .width = s->core->shape.w,
        .height = s->core->shape.h,
        .samples = (int)s->config->gan.eval_samples,
        .batch = micro < shown ? micro : shown,
        .stop_requested = s->stop_requested,
    };
    TRY(best_model_measure(&s->best, s->set, &options, gan_preview_draw, s, steps_done));
    if (!best_model_is_best(&s->best, steps_done)) return OK;
    return device_fetch(s->device, s->best.best, s->core->g.ema,
                        s->core->g.net.floats * sizeof(float));
}

int gan_measure_step(struct task_state *s, int64_t steps_done, bool gap)
{
    int code = gap ? gan_measure_gap(s) : OK;
    best_model_forget(&s->best);
    s->gap_pending = code == ERR_STOPPED;
    s->best.pending = s->gap_pending ? steps_done : 0;
    if (s->gap_pending) return OK;
    TRY(code);
    return gan_measure_is_due(s, steps_done) ? gan_measure(s, steps_done) : OK;
}

int gan_complete(struct task_state *s, struct task_report *report)
{
    TRY(gan_measure_step(s, s->steps_done, s->gap_pending));
    gan_fill_report(s, s->steps_done - 1, report);
    return OK;
}

bool gan_measure_is_due(const struct task_state *s, int64_t steps_done)
{
    int64_t total = gan_steps(s);
    int64_t every = best_model_every(s->config->gan.eval_every, s->config->eval_steps, total);
    return s->config->gan.eval_samples > 0 && (steps_done % every == 0 || steps_done == total);
}

/* ---- overfitting ---- */

void gan_listen(struct task_state *s, bool listens)
{
    bool stops = listens && s->device->is_host;
    gan_core_listen(s->core, stops ? s->stop_requested : NULL);
}

/* Mean score of up to GAP_PICTURES training or held-out images, not augmented, spread evenly: the
 * first ones may all be of one folder. */
static int mean_score(struct task_state *s, bool held, double *mean)
{
    const uint8_t *pixels[GAP_PICTURES];
    int labels[GAP_PICTURES],
        total = held ? dataset_held_count(s->set) : dataset_train_count(s->set);
    float scores[GAP_PICTURES];
    double sum = 0;
    int count = total < GAP_PICTURES ? total : GAP_PICTURES;
    for (int i = 0; i < count; i++) {
        int index = (int)((int64_t)i * total / count);
        struct dataset_item item =
            held ? dataset_held(s->set, index) : dataset_train(s->set, index);
        pixels[i] = item.pixels;
        labels[i] = item.label;
    }
    TRY(gan_score(s->core, pixels, labels, count, scores));
    for (int i = 0; i < count; i++)
        sum += (double)scores[i];
    *mean = count ? sum / count : (double)NAN;
    return OK;
}

/* gap / span is r_v of Karras et al. 2020: at 0 D knows nothing by heart, at 1 nothing else. */
bool gan_overfit_shows(struct gan_overfit *o, double gap, double span)
{
    int of = ++o->count < OVERFIT_MEAN ? o->count : OVERFIT_MEAN;
    o->gap += (gap - o->gap) / of;
    o->span += (span - o->span) / of;
    bool shows =
        o->count >= OVERFIT_MEAN && o->gap > OVERFIT_GAP && o->gap > OVERFIT_SHARE * o->span;
    if (o->said || !shows) return false;
    o->said = true;
    return true;
}

static void note_overfitting(struct task_state *s, double train)
{
    if (!gan_overfit_shows(&s->overfit, s->gap, train - s->d.score_fake)) return;
    log_warning("D begins to know its images by heart: it scores learnt ones %.2f above held-out "
                "ones and %.2f above samples. More images,%s a larger gan.augment (%.2f now) or "
                "fewer gan.images help; the generator with the best rKID is kept",
                s->overfit.gap, s->overfit.span, s->config->gan.flip ? "" : " gan.flip,",
                s->now.augment);
}

int gan_measure_gap(struct task_state *s)
{
    double train, held;
    if (!dataset_held_count(s->set)) return OK;
    gan_listen(s, true);
    int code = mean_score(s, false, &train);
    if (code == OK) code = mean_score(s, true, &held);
    gan_listen(s, false);
    TRY(code);
    s->gap = train - held;
    note_overfitting(s, train);
    return OK;
}

/* ---- images ---- */

int gan_picture(struct task_state *s, int max_side, struct image *picture)
{
    TRY(make_samples(s));
    return contact_sheet_draw(picture, s->show, (int)s->config->gan.samples, s->core->shape.w,
                              s->core->shape.h, s->core->shape.c, max_side);
}

int gan_reference(struct task_state *s, int max_side, struct image *picture)
{
    const struct gan_core *core = s->core;
    size_t one = (size_t)(core->shape.h * core->shape.w * core->shape.c);
    int total = (int)s->config->gan.samples, count = dataset_train_count(s->set);
    for (int i = 0; i < total; i++) {
        int index = count > total ? (int)((int64_t)i * count / total) : i % count; /* spread */
        const uint8_t *pixels = dataset_train(s->set, index).pixels;
        TRY(nn_ops_cpu()->from_u8(NULL, s->show + (size_t)i * one, pixels, NULL, 1, core->shape.h,
                                  core->shape.w, core->shape.c));
    }
    return contact_sheet_draw(picture, s->show, total, core->shape.w, core->shape.h, core->shape.c,
                              max_side);
}

int gan_write_final(struct task_state *s, const char *path)
{
    struct image picture = {0};
    int code = gan_picture(s, 0, &picture);
    if (code == OK) code = image_save(&picture, path);
    image_free(&picture);
    return code;
}

int gan_image_size(const struct task_state *s, int max_side, int *width, int *height)
{
    contact_sheet_size((int)s->config->gan.samples, s->core->shape.w, s->core->shape.h, max_side,
                       width, height);
    return OK;
}
