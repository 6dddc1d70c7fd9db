/* The task: images, schedules, steps; diffusion_preview.c shows it, diffusion_memory.c lists its
 * memory modes. */
#include "diffusion/diffusion.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "config/config.h"
#include "data/dataset.h"
#include "device/device.h"
#include "diffusion/diffusion_begin.h"
#include "diffusion/diffusion_bench.h"
#include "diffusion/diffusion_eval.h"
#include "diffusion/diffusion_task.h"
#include "memory/plan.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- open and close ---- */

static struct diffusion_mode diffusion_mode_of(const struct task_state *s,
                                               const struct memory_mode *mode)
{
    int batch = (int)s->config->diffusion.batch;
    return (struct diffusion_mode){
        .batch = batch,
        .micro = mode->micro_batch < batch ? mode->micro_batch : batch,
        .checkpointing = mode->checkpointing,
        .halves = mode->amp,
        .offload = mode->offload,
    };
}

int diffusion_declare(struct task_state *s, const struct memory_mode *mode)
{
    const struct diffusion_mode choices = diffusion_mode_of(s, mode);
    size_t image = diffusion_image_floats(&s->design);
    s->core = calloc(1, sizeof *s->core);
    if (!s->core) return fail(ERR_SYSTEM, "out of memory");
    TRY(diffusion_core_declare(s->core, &s->design, &choices, s->config->diffusion.clip, s->device,
                               s->plan));
    const struct {
        const char *name;
        size_t floats;
        float **slot;
    } host[] = {
        {"best", s->core->net.net.floats, &s->held.ema},
        {"show", diffusion_show_floats(s), &s->show},
        {"drawn", s->design.factor ? (size_t)s->config->diffusion.samples * image : 0, &s->drawn},
        {"predicted", (size_t)choices.micro * image, &s->predicted},
        {"guiding", (size_t)choices.micro * image, &s->guiding},
    };
    for (size_t i = 0; i < sizeof host / sizeof *host; i++)
        TRY(plan_declare(s->plan, host[i].name, PLAN_HOST, host[i].floats * sizeof(float),
                         PLAN_ALWAYS, (void **)host[i].slot));
    TRY(diffusion_declare_codec(s));
    return plan_layout(s->plan);
}

void diffusion_free_core(struct diffusion_core *core)
{
    if (!core) return;
    diffusion_core_close(core);
    free(core);
}

static void diffusion_close(struct task_state *s)
{
    if (!s) return;
    if (s->core) stepper_rest(&s->core->stepper); /* an error here came too late to matter */
    plan_free(s->plan);
    diffusion_free_core(s->core);
    diffusion_free_codec(s->codec);
    kl_folder_close(&s->vae);
    diffusion_free_input(s->own_input);
    free(s);
}

static void diffusion_say_what_is_trained(const struct task_state *s)
{
    const struct diffusion_core *core = s->core;
    log_info("diffusion: %d x %d%s, %zu parameters, %.3g MFLOP an image; %d images (%d held out), "
             "%d %s; batch %d (%d at a time%s)",
             s->design.width, s->design.height, s->design.factor ? " latents" : "",
             core->net.net.parameter_total, 2e-6 * diffusion_network_macs(&core->network),
             dataset_train_count(s->data.set), dataset_held_count(s->data.set), s->data.classes,
             s->data.captions ? "texts" : "classes", core->mode.batch, core->mode.micro,
             core->mode.checkpointing ? ", activation checkpointing"
             : core->mode.halves      ? ", mixed precision"
                                      : "");
}

/* The batch that memory has room for, where that is less than was wanted. */
static void diffusion_take_batch(struct task_state *s, bool resumes)
{
    int64_t *batch = &s->sized.diffusion.batch;
    if (s->mode.work.batch == 0) s->mode.work.batch = (int)*batch;
    if (s->mode.work.batch == *batch) return;
    if (resumes) images_seen_change(&s->seen, s->steps_done, *batch);
    *batch = s->mode.work.batch;
}

/* Also in the forecast of a run that is there already: what it began with may be gone by now. */
static bool diffusion_goes_on(const struct task_setup *setup)
{
    return setup->resume ||
           (setup->planned_dir && file_exists_in(setup->planned_dir, "checkpoints"));
}

static int diffusion_open(struct task_state **out, const struct task_setup *setup)
{
    struct task_state *s = calloc(1, sizeof *s);
    struct memory_mode modes[TASK_MAX_MODES];
    *out = s;
    if (!s) return fail(ERR_SYSTEM, "out of memory");
    s->sized = *setup->config;
    const struct config *config = s->config = &s->sized;
    s->asked_batch = config->diffusion.batch;
    s->device = setup->device;
    s->stop_requested = setup->stop_requested;
    s->held.best = (double)INFINITY;
    diffusion_held_forget(&s->held);
    TRY(token_check_device(s->device));
    struct diffusion_conditions conditions = diffusion_conditions_of(&s->data);
    TRY(diffusion_open_vae(s));
    const struct kl_folder *vae = s->vae.path ? &s->vae : NULL;
    TRY(diffusion_design_configure(&s->design, config, &conditions, vae)); /* before long loading */
    if (config->diffusion.init_from[0] && !diffusion_goes_on(setup))
        TRY(diffusion_begin_check(&s->design, config->diffusion.init_from));
    TRY(diffusion_data_open(&s->data, &s->own_input, setup));
    conditions = diffusion_conditions_of(&s->data);
    TRY(diffusion_design_configure(&s->design, config, &conditions, vae));
    s->feed = (struct diffusion_feed){.data = &s->data,
                                      .seed = (uint64_t)config->seed,
                                      .times = diffusion_times_of(config),
                                      .dropout = config->diffusion.dropout,
                                      .width = s->design.width,
                                      .height = s->design.height,
                                      .channels = s->design.dit.channels};
    if (setup->resume) {
        TRY(store_get_int_in(setup->resume, "step", 0, CHECKPOINT_MOST_STEPS, &s->steps_done));
        s->reported = s->steps_done;
        TRY(images_seen_load(&s->seen, "diffusion", &s->sized.diffusion.batch, setup->resume));
    }
    diffusion_list_modes(s, modes);
    s->mode = modes[0];
    s->mode.work.batch = (int)config->diffusion.batch;
    if (setup->choose) TRY(setup->choose(setup->choose_context, s, &s->mode));
    diffusion_take_batch(s, setup->resume != NULL);
    s->plan = plan_create();
    if (!s->plan) return ERR_SYSTEM;
    TRY(diffusion_declare(s, &s->mode));
    if (setup->resume) TRY(diffusion_check_vae(s, setup->resume));
    if (setup->resume) TRY(diffusion_expect_checkpoint(s, setup->resume));
    if (setup->resume && !setup->without_input) TRY(diffusion_check_data(s, setup));
    if (setup->forecast_only) return setup->without_input ? OK : diffusion_expect_vae(s);
    TRY(plan_commit(s->plan, setup->device));
    TRY(diffusion_core_connect(s->core));
    TRY(diffusion_make_latents(s, setup));
    diffusion_say_what_is_trained(s);
    if (setup->resume) return diffusion_load(s, setup->resume);
    TRY(diffusion_core_initialise(s->core, (uint64_t)config->seed));
    return config->diffusion.init_from[0] ? diffusion_begin_with(s, config->diffusion.init_from)
                                          : OK;
}

static const struct plan *diffusion_plan(const struct task_state *s)
{
    return s->plan;
}

int64_t diffusion_steps(const struct task_state *s)
{
    return images_seen_steps(&s->seen, s->config->diffusion.images, s->config->diffusion.batch);
}

static void diffusion_images_shown(const struct task_state *s, int64_t steps, int64_t *shown,
                                   int64_t *images)
{
    *shown = images_seen_at(&s->seen, steps, s->core->mode.batch);
    *images = dataset_train_count(s->data.set);
}

/* ---- one step ---- */

static int diffusion_fill_batch(void *context, int first, int n,
                                const struct diffusion_samples *out)
{
    struct task_state *s = context;
    int64_t shown = images_seen_at(&s->seen, s->step, s->core->mode.batch);
    diffusion_feed_fill(&s->feed, (uint64_t)s->step, (uint64_t)shown, first, n, out);
    return OK;
}

int diffusion_collect(struct task_state *s, int64_t steps)
{
    if (s->reported >= steps) return OK;
    TRY(diffusion_core_report(s->core, (int)(s->step + 1 - steps), &s->report));
    s->reported = steps;
    return OK;
}

static void diffusion_add(struct task_report *report, const char *name, const char *format,
                          double value)
{
    report->metrics[report->metric_count++] = (struct task_metric){name, format, value};
}

static void diffusion_add_samples(struct task_report *report, const struct sample_metrics *m)
{
    diffusion_add(report, "rkid", "%.4f", m->rkid);
    diffusion_add(report, "swd", NULL, m->swd);
    diffusion_add(report, "precision", NULL, m->precision);
    diffusion_add(report, "recall", NULL, m->recall);
    diffusion_add(report, "density", NULL, m->density);
    diffusion_add(report, "coverage", NULL, m->coverage);
    diffusion_add(report, "ms_ssim", NULL, m->ms_ssim);
    diffusion_add(report, "nn_ratio", NULL, m->nn_ratio);
}

void diffusion_fill_report(const struct task_state *s, int64_t step, struct task_report *r)
{
    static const char *const levels[DIFFUSION_LEVELS] = {"loss_1", "loss_3", "loss_5", "loss_7",
                                                         "loss_9"};
    int64_t batch = s->config->diffusion.batch;
    memset(r, 0, sizeof *r);
    r->loss = s->report.loss;
    diffusion_add(r, "grad_norm", NULL, s->report.grad_norm);
    diffusion_add(r, "held_loss", "%.4f", s->held.mean);
    for (int i = 0; i < DIFFUSION_LEVELS; i++)
        diffusion_add(r, levels[i], NULL, s->held.loss[i]);
    diffusion_add(r, "best_held_loss", NULL, s->held.step > 0 ? s->held.best : (double)NAN);
    if (s->config->diffusion.eval_samples > 0) diffusion_add_samples(r, &s->held.samples);
    diffusion_add(r, "lr", NULL, s->now.adam.lr);
    diffusion_add(r, "ema", NULL, s->now.ema);
    int used = snprintf(r->caption, sizeof r->caption, "images %lld  loss %.4f",
                        (long long)images_seen_at(&s->seen, step + 1, batch), s->report.loss);
    if (!isnan(s->held.mean))
        snprintf(r->caption + used, sizeof r->caption - (size_t)used, "  held out %.4f",
                 s->held.mean);
    r->pending = s->held.pending > 0;
}

/* The report may be that of the step before where nobody evaluates and the device works ahead. */
static int diffusion_step(struct task_state *s, int64_t step, bool evaluate,
                          struct task_report *report)
{
    int64_t batch = s->config->diffusion.batch;
    s->step = step;
    double done = (double)images_seen_at(&s->seen, step, batch);
    double all = (double)images_seen_at(&s->seen, diffusion_steps(s), batch);
    s->now = diffusion_rates_at(s->config, done / all, batch);
    s->now.adam.lr *= images_seen_rate(s->config, s->asked_batch, batch);
    s->core->stop_requested = s->device->is_host ? s->stop_requested : NULL;
    int code = diffusion_train_step(s->core, &s->now, diffusion_fill_batch, s);
    s->core->stop_requested = NULL;
    TRY(code);
    bool wait = evaluate || !s->core->ahead || s->reported == 0;
    TRY(diffusion_collect(s, wait ? step + 1 : step));
    diffusion_held_forget(&s->held);
    s->held.pending = 0;
    if (diffusion_held_is_due(s, step + 1)) TRY(diffusion_held_measure(s, step + 1));
    diffusion_fill_report(s, step, report);
    s->steps_done = step + 1;
    return OK;
}

/* ---- for commands ---- */

static int diffusion_fail_changed(const char *key, const char *stored, const char *current)
{
    if (strcmp(key, "diffusion.images") != 0) return OK;
    return fail(ERR_CONFIG,
                "this run is of %s images and cannot be made longer or shorter (%s are asked): its "
                "rates and averages follow a plan over all images. Resume it with images=%s, or "
                "begin a new run",
                stored, current, stored);
}

static const char *diffusion_input_path(const struct config *config)
{
    return config->diffusion.data;
}

static const char *const diffusion_testing[] = {"diffusion.images=960", NULL};

/* The network follows from the config and the number of classes: no image is read. */
static int diffusion_prepare_plan(struct task_setup *setup)
{
    if (setup->width) return fail(ERR_USAGE, "--size is for images: set diffusion.size");
    setup->without_input = true;
    return OK;
}

static int diffusion_describe(const struct store_file *file, struct task_fact *facts)
{
    struct diffusion_design design;
    if (!store_get(file, "diffusion.dim") || diffusion_design_load(&design, file) < 0) return 0;
    facts[0] = (struct task_fact){.key = "conditions", .label = "makes images of"};
    if (design.conditions.captions)
        snprintf(facts[0].text, sizeof facts[0].text, "texts of at most %d bytes",
                 design.conditions.rows_most);
    else
        snprintf(facts[0].text, sizeof facts[0].text, "%d classes", design.conditions.count - 1);
    facts[1] = (struct task_fact){.key = "size", .label = "their size"};
    snprintf(facts[1].text, sizeof facts[1].text, "%dx%d", diffusion_shown_width(&design),
             diffusion_shown_height(&design));
    if (design.factor == 0) return 2;
    facts[2] = (struct task_fact){.key = "latents", .label = "out of latents"};
    snprintf(facts[2].text, sizeof facts[2].text, "%dx%dx%d, of autoencoder %016" PRIx64,
             design.width, design.height, design.dit.channels, design.vae);
    return 3;
}

const struct task task_diffusion = {
    .name = "diffusion",
    .open = diffusion_open,
    .plan = diffusion_plan,
    .images_shown = diffusion_images_shown,
    .steps = diffusion_steps,
    .step = diffusion_step,
    .complete = diffusion_complete,
    .image = diffusion_frame,
    .reference = diffusion_reference,
    .labels = {"real", "samples"},
    .save = diffusion_save,
    .save_model = diffusion_save_model,
    .write_final = diffusion_write_final,
    .close = diffusion_close,
    .free_input = diffusion_free_input,
    .image_size = diffusion_image_size,
    .save_best = diffusion_save_best,
    .modes = diffusion_list_modes,
    .need = diffusion_need,
    .mode = diffusion_mode_now,
    .replan = diffusion_replan,
    .growth = diffusion_growth,
    .extra_files = diffusion_write_folder,
    .fail_changed = diffusion_fail_changed,
    .input_path = diffusion_input_path,
    .testing = diffusion_testing,
    .prepare_plan = diffusion_prepare_plan,
    .describe = diffusion_describe,
    .evaluate = diffusion_eval,
    .evaluate_makes_samples = true,
    .operations = "nn token",
    .bench = diffusion_bench,
    .bench_options = diffusion_bench_options,
};
