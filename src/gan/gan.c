/* The task: data set, schedules, steps; gan_preview.c shows it, gan_memory_modes.c lists its memory
 * modes. */
#include "gan/gan.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "config/config.h"
#include "data/channels.h"
#include "data/dataset.h"
#include "data/scan.h"
#include "device/conv_library.h"
#include "device/device.h"
#include "gan/best_model.h"
#include "gan/gan_begin.h"
#include "gan/gan_bench.h"
#include "gan/gan_checkpoint.h"
#include "gan/gan_eval.h"
#include "gan/gan_memory_modes.h"
#include "gan/gan_schedule.h"
#include "gan/gan_task.h"
#include "math/augment.h"
#include "memory/plan.h"
#include "nn/net_init.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Errors of the penalty's identity that are no rounding: the largest seen in 1500 steps are 7e-6,
 * and .16 in mixed precision. */
static const double IDENTITY = 1e-2, IDENTITY_AMP = 0.5;

static uint64_t seed_of(const struct task_state *s)
{
    return (uint64_t)s->config->seed;
}

/* ---- the inputs of a step: pure functions of (seed, step) ---- */

/* The probability of an augmentation: by the schedule, or by what is known when the step is asked
 * for, which is the feedback of all steps but the last. */
static double augment_at(const struct task_state *s, int64_t step)
{
    return fmin(0.8, fmax(s->now.augment, s->progress.augment[step % 2]));
}

static int gan_fill_batch(void *context, enum gan_which which, struct gan_inputs *in)
{
    struct task_state *s = context;
    const struct gan_core *core = s->core;
    uint64_t batch = (uint64_t)core->mode.batch;
    uint64_t call = 2 * (uint64_t)s->step + (uint64_t)which, seed = seed_of(s);
    uint64_t seen = 2 * (uint64_t)images_seen_at(&s->seen, s->step, (int64_t)batch);
    uint64_t draws = (uint64_t)(in->z_count + 3) / 4;
    float p = (float)augment_at(s, s->step);
    size_t one = (size_t)(core->shape.h * core->shape.w * core->shape.c);
    dataset_batch(s->set, seen + (uint64_t)which * batch + (uint64_t)in->first, in->n, s->items);
    for (int i = 0; i < in->n; i++) {
        uint64_t pair = (uint64_t)(in->first + i);
        memcpy(in->pixels + (size_t)i * one, s->items[i].pixels, one);
        in->flips[i] = s->items[i].flip;
        in->labels[i] = s->items[i].label;
        net_normal(in->z + (ptrdiff_t)i * in->z_stride, (size_t)in->z_count, seed,
                   STREAM_GAN_LATENT, call, pair * draws);
        in->real_draws[i] = augment_draw(seed, call, 2 * pair, p, core->shape.h, core->shape.w);
        in->fake_draws[i] = augment_draw(seed, call, 2 * pair + 1, p, core->shape.h, core->shape.w);
    }
    return OK;
}

/* ---- open and close ---- */

static const char *scan_class_name(const void *scan, int i)
{
    return ((const struct scan *)scan)->classes[i];
}

static const char *set_class_name(const void *set, int i)
{
    return dataset_class_name(set, i);
}

/* Each has a column of the networks' tables; where they are sets of tags, each tag has. */
static int gan_take_classes(struct task_state *s, int count,
                            const char *(*name)(const void *context, int i), const void *context)
{
    s->classes = count;
    if (count == 0 || scan_labels_of(s->config->gan.labels) != SCAN_LABELS_TAGS) return OK;
    const char **sets = malloc((size_t)count * sizeof *sets);
    if (!sets) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < count; i++)
        sets[i] = name(context, i);
    int code = tag_sets_make(&s->tags, s->config->gan.data, count, sets);
    s->classes = s->tags.tag_count;
    free(sets);
    return code;
}

/* For a forecast: the list of files tells the classes, and few images are opened, if any. */
static int count_classes(struct task_state *s, const struct task_setup *setup)
{
    struct scan scan;
    struct dataset_options options = {.folder = setup->config->gan.data,
                                      .channels = gan_channels(setup->config),
                                      .stop_requested = setup->stop_requested};
    bool known = options.channels != DATASET_AUTO;
    s->channels = known ? channels_count(options.channels) : 3;
    if (!setup->config->gan.data[0]) return OK;
    int code = scan_folder_labelled(&scan, setup->config->gan.data,
                                    scan_labels_of(setup->config->gan.labels),
                                    setup->config->gan.labels, setup->stop_requested);
    if (code == OK) code = gan_take_classes(s, scan.class_count, scan_class_name, &scan);
    if (code == OK && !known) code = channels_look(&options.channels, &options, &scan);
    if (code == OK) s->channels = channels_count(options.channels);
    scan_free(&scan);
    return code;
}

struct task_input {
    struct dataset *set;
};

static void gan_free_input(struct task_input *input)
{
    if (!input) return;
    dataset_close(input->set);
    free(input);
}

/* The images that an earlier open has read, or read now. */
static int gan_open_data(struct task_state *s, const struct task_setup *setup)
{
    const struct config *config = setup->config;
    struct dataset_options options = {
        .folder = config->gan.data,
        .width = gan_picture_width(config),
        .height = gan_picture_height(config),
        .labels = scan_labels_of(config->gan.labels),
        .label_file = config->gan.labels,
        .channels = gan_channels(config),
        .flip = config->gan.flip,
        .seed = (uint64_t)config->seed,
        .spill_dir = setup->spill_dir,
        .stop_requested = setup->stop_requested,
    };
    struct task_input **input = setup->input ? setup->input : &s->own_input;
    if (setup->without_input) return count_classes(s, setup);
    if (options.channels == DATASET_AUTO) TRY(gan_known_channels(&options.must, setup));
    if (!config->gan.data[0])
        return fail(ERR_CONFIG, "data is not set: the folder of images to learn from");
    if (!*input) *input = calloc(1, sizeof **input);
    if (!*input) return fail(ERR_SYSTEM, "out of memory");
    TRY(dataset_open_once(&(*input)->set, &options, setup->run_dir, setup->planned_dir));
    s->set = (*input)->set;
    TRY(gan_take_classes(s, dataset_classes(s->set), set_class_name, s->set));
    s->channels = dataset_channels(s->set);
    s->progress.fingerprint = dataset_fingerprint(s->set);
    s->progress.pictures = dataset_train_count(s->set) + dataset_held_count(s->set);
    s->progress.classes = s->classes;
    return setup->resume ? gan_check_data(&s->progress, setup) : OK;
}

int gan_declare(struct task_state *s, const struct config *config, const struct memory_mode *mode)
{
    struct net_design design;
    struct gan_mode choices = gan_mode_of(config, mode);
    choices.conv_library = s->conv_library;
    s->core = calloc(1, sizeof *s->core);
    if (!s->core) return fail(ERR_SYSTEM, "out of memory");
    TRY(gan_design(&design, config, s->classes, s->channels));
    if (s->tags.count) design.tags = &s->tags;
    TRY(gan_core_declare(s->core, &design, &choices, s->device, s->plan));
    TRY(best_model_declare(&s->best, s->core->g.net.floats, s->plan));
    TRY(plan_declare(s->plan, "latents", PLAN_HOST,
                     (size_t)choices.micro * (size_t)design.z * sizeof(float), PLAN_ALWAYS,
                     (void **)&s->latents));
    TRY(plan_declare(s->plan, "show", PLAN_HOST,
                     (size_t)config->gan.samples * gan_picture_floats(s->core) * sizeof(float),
                     PLAN_ALWAYS, (void **)&s->show));
    return plan_layout(s->plan);
}

/* For any micro-batch. */
static int gan_allocate(struct task_state *s)
{
    s->items = calloc((size_t)s->config->gan.batch, sizeof *s->items);
    if (!s->items) return fail(ERR_SYSTEM, "out of memory");
    return OK;
}

void gan_free_core(struct gan_core *core)
{
    if (!core) return;
    gan_core_close(core);
    free(core);
}

static void gan_close(struct task_state *s)
{
    if (!s) return;
    if (s->core) stepper_rest(&s->core->stepper); /* an error here came too late to matter */
    plan_free(s->plan);
    gan_free_core(s->core);
    gan_free_input(s->own_input);
    tag_sets_free(&s->tags);
    free(s->items);
    free(s);
}

/* Said once: lines of metrics leave those figures empty. */
static void warn_of_few_pictures(const struct task_state *s)
{
    int64_t count = dataset_train_count(s->set), most = s->config->gan.eval_samples;
    if (most < count) count = most;
    if (count < 1 || count >= EVALUATE_LEAST) return;
    log_warning("metrics: rkid, precision, recall, density and coverage take %d images, there "
                "are %lld: they stay empty, and no generator counts as the best",
                EVALUATE_LEAST, (long long)count);
}

/* Where the device is faster with it; a resumed run stays with what it began with. Level 3 of the
 * ladder, without use_amp, is no such beginning. */
static bool use_amp(const struct task_setup *setup)
{
    const struct config *config = setup->config;
    bool has = setup->device->nn->bf16;
    bool wanted = config->use_amp && (!setup->resume || gan_load_amp(setup->resume));
    int w = gan_picture_width(config), h = gan_picture_height(config);
    if (!wanted || has || setup->forecast_only || (w > h ? w : h) <= NET_FULL_PRECISION)
        return wanted && has;
    if (setup->resume)
        log_warning("this run began in mixed precision; it goes on in fp32, as %s has no bf16",
                    setup->device->name);
    else
        log_info("use_amp: fp32, as %s has no bf16", setup->device->name);
    return false;
}

static int open_conv_library(struct task_state *s)
{
    static const enum conv_use uses[] = {[CONFIG_GAN_CONV_AUTO] = CONV_AUTO,
                                         [CONFIG_GAN_CONV_CUDNN] = CONV_ALWAYS,
                                         [CONFIG_GAN_CONV_NATIVE] = CONV_NEVER};
    return conv_library_open(s->device, uses[s->config->gan.conv], s->config->deterministic,
                             "conv: cudnn", &s->conv_library);
}

/* The model to begin with; NULL: none, or the run is there already (also in a forecast), and what
 * it began with may be gone by now. */
static const char *gan_begins_with(const struct task_setup *setup)
{
    bool goes_on =
        setup->resume || (setup->planned_dir && file_exists_in(setup->planned_dir, "checkpoints"));
    const char *path = setup->config->gan.init_from;
    return path[0] && !goes_on ? path : NULL;
}

static int gan_open(struct task_state **out, const struct task_setup *setup)
{
    struct task_state *s = calloc(1, sizeof *s);
    struct memory_mode modes[TASK_MAX_MODES];
    struct net_design design;
    *out = s;
    if (!s) return fail(ERR_SYSTEM, "out of memory");
    s->sized = *setup->config;
    s->config = &s->sized;
    s->asked_batch = s->sized.gan.batch;
    s->device = setup->device;
    s->gap = (double)NAN;
    s->stop_requested = setup->stop_requested;
    TRY(gan_design(&design, s->config, 0, 3)); /* a fault in the config shows before long loading */
    TRY(open_conv_library(s));
    TRY(gan_open_data(s, setup));
    if (setup->resume) {
        TRY(store_get_int_in(setup->resume, "step", 0, CHECKPOINT_MOST_STEPS, &s->steps_done));
        s->reported = s->steps_done;
        TRY(images_seen_load(&s->seen, "gan", &s->sized.gan.batch, setup->resume));
        TRY(gan_load_stretch(&s->progress.stretch, setup->resume, &s->seen, s->sized.gan.batch,
                             s->sized.gan.images));
    }
    s->amp = use_amp(setup);
    gan_list(s, modes);
    s->mode = modes[0];
    s->mode.work.batch = (int)s->sized.gan.batch;
    if (setup->choose) TRY(setup->choose(setup->choose_context, s, &s->mode));
    if (s->mode.work.batch != s->sized.gan.batch) { /* less than was wanted */
        if (setup->resume) images_seen_change(&s->seen, s->steps_done, s->sized.gan.batch);
        s->sized.gan.batch = s->mode.work.batch;
    }
    s->plan = plan_create();
    if (!s->plan) return ERR_SYSTEM;
    TRY(gan_declare(s, s->config, &s->mode));
    const char *begin = gan_begins_with(setup);
    if (begin) TRY(gan_begin_check(s->core, begin));
    if (setup->forecast_only) return OK;
    if (setup->resume) TRY(gan_expect_state(s->core, setup->resume));
    warn_of_few_pictures(s);
    TRY(plan_commit(s->plan, setup->device));
    TRY(gan_core_connect(s->core));
    TRY(gan_allocate(s));
    log_info("gan: %d x %d %s, %d images (%d held out), %d %s; G %.2f M, D %.2f M parameters, "
             "%.0f MFLOP; %d pairs at a time, scheme %s%s",
             s->core->shape.w, s->core->shape.h, channels_name(channels_of(s->channels)),
             dataset_train_count(s->set), dataset_held_count(s->set), s->core->design.classes,
             s->core->design.tags ? "tags" : "classes",
             (double)s->core->g.net.parameter_total * 1e-6,
             (double)s->core->d.net.parameter_total * 1e-6, 2e-6 * net_macs(&s->core->d.net),
             s->core->mode.micro, s->core->mode.scheme == GAN_SCHEME_NONE ? "none" : "block",
             s->mode.amp ? ", mixed precision" : "");
    if (!setup->resume) {
        TRY(gan_core_initialise(s->core, seed_of(s)));
        if (begin) TRY(gan_begin_with(s->core, begin));
        return gan_core_autotune(s->core, NULL, s->stop_requested);
    }
    TRY(gan_load(s->core, &s->progress, setup->resume));
    TRY(best_model_load(&s->best, &s->core->g.net, setup->resume));
    TRY(gan_core_autotune(s->core, store_get(setup->resume, "gan.conv"), s->stop_requested));
    return gan_pending_load(s, setup->resume);
}

static const struct plan *gan_plan(const struct task_state *s)
{
    return s->plan;
}

int64_t gan_steps(const struct task_state *s)
{
    return images_seen_steps(&s->seen, s->config->gan.images, s->config->gan.batch);
}

static void gan_images_shown(const struct task_state *s, int64_t steps, int64_t *shown,
                             int64_t *images)
{
    *shown = images_seen_at(&s->seen, steps, s->config->gan.batch);
    *images = dataset_train_count(s->set);
}

/* ---- one step ---- */

/* Raises the augmentation while D tells reals from fakes too surely (Karras et al. 2020: full range
 * within 500,000 images). */
static void feed_back(struct task_state *s, int64_t step)
{
    double target = s->config->gan.augment_target, change = (double)s->core->mode.batch / 5e5;
    double before = s->progress.augment[(step + 1) % 2];
    s->progress.sign += (s->d.sign - s->progress.sign) * 0.1;
    if (!(target > 0)) return;
    double after = before + (s->progress.sign > target ? change : -change);
    s->progress.augment[step % 2] = fmin(0.8, fmax(0, after));
}

int gan_collect(struct task_state *s, int64_t steps)
{
    for (; s->reported < steps; s->reported++) {
        TRY(gan_report(s->core, (int)(s->step - s->reported), &s->d, &s->g));
        feed_back(s, s->reported);
        if (s->d.invariant <= (s->mode.amp ? IDENTITY_AMP : IDENTITY) || s->identity_warned)
            continue;
        log_warning("step %lld: the gradient penalty's identity is off by %.1e",
                    (long long)s->reported, s->d.invariant);
        s->identity_warned = true;
    }
    return OK;
}

static void gan_add(struct task_report *report, const char *name, const char *format, double value)
{
    report->metrics[report->metric_count++] = (struct task_metric){name, format, value};
}

/* Unknown (NaN) in all steps but those that measure. */
static void add_metrics(struct task_report *report, const struct sample_metrics *m)
{
    gan_add(report, "rkid", "%.4f", m->rkid);
    gan_add(report, "swd", NULL, m->swd);
    gan_add(report, "precision", NULL, m->precision);
    gan_add(report, "recall", NULL, m->recall);
    gan_add(report, "density", NULL, m->density);
    gan_add(report, "coverage", "%.3f", m->coverage);
    gan_add(report, "ms_ssim", NULL, m->ms_ssim);
    gan_add(report, "nn_ratio", NULL, m->nn_ratio);
}

void gan_fill_report(const struct task_state *s, int64_t step, struct task_report *r)
{
    double penalty = s->now.gamma / 2 * (s->d.r1 + s->d.r2);
    memset(r, 0, sizeof *r);
    r->loss = s->d.loss + penalty + s->g.loss;
    gan_add(r, "loss_d", "%.3f", s->d.loss);
    gan_add(r, "loss_g", "%.3f", s->g.loss);
    gan_add(r, "penalty", "%.3f", penalty);
    gan_add(r, "r1", NULL, s->d.r1);
    gan_add(r, "r2", NULL, s->d.r2);
    gan_add(r, "score_real", NULL, s->d.score_real);
    gan_add(r, "score_fake", NULL, s->d.score_fake);
    gan_add(r, "sign", "%.2f", s->progress.sign);
    gan_add(r, "gap", "%.2f", s->gap);
    gan_add(r, "augment", NULL, augment_at(s, step));
    gan_add(r, "gamma", NULL, s->now.gamma);
    gan_add(r, "lr", NULL, s->now.lr);
    gan_add(r, "units", NULL, s->d.units);
    add_metrics(r, &s->best.metrics);
    gan_add(r, "best_rkid", NULL, s->best.best_rkid);
    int used = snprintf(r->caption, sizeof r->caption, "images %lld  D %.3f  G %.3f  gap %.2f",
                        (long long)images_seen_at(&s->seen, step + 1, s->config->gan.batch),
                        s->d.loss, s->g.loss, s->gap);
    if (!isnan(s->best.rkid))
        snprintf(r->caption + used, sizeof r->caption - (size_t)used, "  rKID %.4f", s->best.rkid);
    r->pending = s->best.pending > 0;
}

/* On the host it may be stopped before every layer. */
static int gan_task_step(struct task_state *s, const struct gan_rates *rates)
{
    s->core->half = s->device->is_host ? &s->progress.half : NULL;
    gan_listen(s, true);
    int code = gan_train_step(s->core, rates, gan_fill_batch, s);
    gan_listen(s, false);
    return code;
}

/* The report may be that of the step before where nobody evaluates: then the device has work while
 * the host prepares the next. */
static int gan_step(struct task_state *s, int64_t step, bool evaluate, struct task_report *report)
{
    int64_t batch = s->config->gan.batch;
    double t = images_seen_progress(&s->progress.stretch, images_seen_at(&s->seen, step, batch),
                                    images_seen_at(&s->seen, gan_steps(s), batch));
    s->step = step;
    s->now = gan_schedule_at(s->config, dataset_train_count(s->set), t);
    s->now.lr *= images_seen_rate(s->config, s->asked_batch, batch);
    const struct gan_rates rates = {
        .gamma = s->now.gamma, .adam = {.lr = s->now.lr, .b2 = s->now.b2}, .ema = s->now.ema};
    bool wait = evaluate || !s->core->shape.ahead || s->d.units == 0; /* nothing was reported yet */
    TRY(gan_task_step(s, &rates));
    TRY(gan_collect(s, wait ? step + 1 : step));
    TRY(gan_measure_step(s, step + 1, evaluate));
    gan_fill_report(s, step, report);
    s->steps_done = step + 1;
    return OK;
}

static int gan_save(struct task_state *s, struct store_writer *writer)
{
    TRY(gan_collect(s, s->steps_done));
    TRY(gan_store(s->core, &s->progress, writer));
    TRY(images_seen_store(&s->seen, "gan", s->config->gan.batch, writer));
    if (s->best.pending) TRY(gan_pending_store(s, writer));
    return best_model_store(&s->best, &s->core->g.net, writer);
}

static int gan_save_model(struct task_state *s, struct store_writer *writer)
{
    float *ema;
    TRY(gan_core_pull(s->core, GAN_RANGE_EMA, &ema));
    return gan_store_model(s->core, ema, writer);
}

static int gan_save_best(struct task_state *s, struct store_writer *writer, int64_t *step)
{
    *step = s->best.best_step;
    return *step > 0 ? gan_store_model(s->core, s->best.best, writer) : OK;
}

/* ---- for commands ---- */

static const char *const gan_testing[] = {"gan.images=256", NULL};

/* The networks follow from the config (and the number of classes): no image is read. */
static int gan_prepare_plan(struct task_setup *setup)
{
    if (setup->width) return fail(ERR_USAGE, "--size is for images: set gan.size");
    setup->without_input = true;
    return OK;
}

const struct task task_gan = {
    .name = "gan",
    .open = gan_open,
    .plan = gan_plan,
    .images_shown = gan_images_shown,
    .steps = gan_steps,
    .step = gan_step,
    .complete = gan_complete,
    .image = gan_picture,
    .reference = gan_reference,
    .labels = {"real", "samples"},
    .save = gan_save,
    .save_model = gan_save_model,
    .write_final = gan_write_final,
    .close = gan_close,
    .free_input = gan_free_input,
    .image_size = gan_image_size,
    .save_best = gan_save_best,
    .modes = gan_list,
    .need = gan_need,
    .mode = gan_mode_now,
    .replan = gan_replan,
    .growth = gan_growth,
    .restrictions = gan_restrictions,
    .testing = gan_testing,
    .prepare_plan = gan_prepare_plan,
    .evaluate = gan_eval,
    .evaluate_makes_samples = true,
    .operations = "nn gan",
    .bench = gan_bench,
    .bench_options = gan_bench_options,
    .bench_check = gan_bench_check,
};
