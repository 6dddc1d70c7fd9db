/* The task: images, schedules, steps; sr_preview.c shows and measures, sr_memory.c lists memory
 * modes. */
#include "sr/sr.h"

#include "base/error.h"
#include "base/log.h"
#include "base/threads.h"
#include "config/config.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/images_seen.h"
#include "sr/discriminator/sr_gan_files.h"
#include "sr/pretrained.h"
#include "sr/sr_bench.h"
#include "sr/sr_eval.h"
#include "sr/sr_schedule.h"
#include "sr/sr_task.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- open and close ---- */

static struct sr_mode sr_mode_of(const struct task_state *s, const struct memory_mode *mode)
{
    const struct memory_work *now = &s->mode.work;
    int batch = mode->work.batch ? mode->work.batch : now->batch;
    return (struct sr_mode){
        .batch = batch,
        .micro = mode->micro_batch < batch ? mode->micro_batch : batch,
        .lq_size = mode->work.size ? mode->work.size : now->size,
        .mixed = mode->amp,
        .checkpointing = mode->checkpointing,
        .offload = mode->offload,
    };
}

int sr_declare(struct task_state *s, const struct memory_mode *mode)
{
    const struct sr_mode choices = sr_mode_of(s, mode);
    s->core = calloc(1, sizeof *s->core);
    if (!s->core) return fail(ERR_SYSTEM, "out of memory");
    const struct sr_loss_choices losses = sr_losses_of(s->config);
    TRY(sr_core_declare(s->core, &s->design, &losses, &choices, s->device, s->plan));
    const struct {
        const char *name;
        size_t floats;
        float **slot;
    } host[] = {
        {"best", s->core->net.net.floats, &s->best.ema},
        {"show", sr_show_floats(s), &s->show},
        {"measuring", sr_measuring_floats(s), &s->measuring},
        {"patches", sr_feed_bytes(&s->feed, choices.lq_size, s->core->span) / sizeof(float),
         (float **)(void *)&s->feed.memory},
        {"stored", sr_network_stored_floats(&s->design), &s->stored},
    };
    for (size_t i = 0; i < sizeof host / sizeof *host; i++)
        TRY(plan_declare(s->plan, host[i].name, PLAN_HOST, host[i].floats * sizeof(float),
                         PLAN_ALWAYS, (void **)host[i].slot));
    return plan_layout(s->plan);
}

void sr_free_core(struct sr_core *core)
{
    if (!core) return;
    sr_core_close(core);
    free(core);
}

static void sr_close(struct task_state *s)
{
    if (!s) return;
    if (s->core) stepper_rest(&s->core->stepper); /* an error here came too late to matter */
    plan_free(s->plan);
    sr_free_core(s->core);
    sr_data_close(&s->data);
    sr_free_input(s->own_input);
    free(s);
}

static void sr_say_what_is_trained(const struct task_state *s)
{
    const struct net *net = &s->core->net.net;
    double pixels = (double)s->core->mode.lq_size * s->core->mode.lq_size;
    char loss[256];
    sr_losses_describe(&s->core->losses.choices, loss, sizeof loss);
    log_info("sr: %s, %dx, %zu parameters, %.3g MFLOP a pixel of LQ; %d training images, %d "
             "held out; batch %d (%d at a time), lq_size %d; loss %s",
             sr_design_text(&s->design).text, s->design.scale, net->parameter_total,
             2e-6 * net_macs(net) / pixels, s->data.train_count, s->data.held_count,
             s->core->mode.batch, s->core->mode.micro, s->core->mode.lq_size, loss);
    if (!sr_core_has_gan(s->core)) return;
    const struct sr_gan *gan = &s->core->gan;
    log_info("sr: discriminator unet %d, %zu parameters, %.3g MFLOP a pixel of GT; loss %g %s + %g "
             "feature",
             gan->choices.design.features, gan->net.net.parameter_total,
             2e-6 * net_macs(&gan->net.net) / pixels / s->design.scale / s->design.scale,
             gan->choices.weight, sr_gan_kind_name(gan->choices.kind), gan->choices.feature_weight);
}

static void sr_warn_of_scratch(const struct task_state *s)
{
    if (!sr_core_has_gan(s->core) || *s->config->sr.pretrain_g) return;
    log_warning("a discriminator from the first step on: networks that begin with random weights "
                "often collapse; train without one first, and begin with that by sr.pretrain_g");
}

/* How long patches take to be made, beside a step: of a device that is quicker at a step than the
 * host at its patches, the rest of the time is lost. The step's is a guess, of devices that do so
 * many operations a second. */
static int sr_forecast_patches(const struct task_state *s)
{
    static const double HOST_FLOPS = 5e10, DEVICE_FLOPS = 1e13;
    const struct sr_mode *mode = &s->core->mode;
    int threads = threads_count();
    double ms, step = 6 * net_macs(&s->core->net.net) * mode->batch * 1e3;
    step /= s->device->is_host ? HOST_FLOPS * threads : DEVICE_FLOPS;
    TRY(sr_feed_time(&s->feed, mode->lq_size, &ms));
    if (!(ms > 0)) return OK;
    double all = ms * mode->batch / (threads < mode->batch ? threads : mode->batch);
    log_info("degrading takes %.1f ms a patch: %.0f ms a step on %d threads", ms, all, threads);
    if (all > step)
        log_warning("degrading %d patches takes longer (%.0f ms) than the device needs for a step "
                    "(about %.0f ms): more threads, a larger network or fewer degradations are as "
                    "fast for the device",
                    mode->batch, all, step);
    return OK;
}

static int sr_open(struct task_state **out, const struct task_setup *setup)
{
    struct task_state *s = calloc(1, sizeof *s);
    struct memory_mode modes[TASK_MAX_MODES];
    *out = s;
    if (!s) return fail(ERR_SYSTEM, "out of memory");
    s->config = setup->config;
    s->device = setup->device;
    s->stop_requested = setup->stop_requested;
    s->best.psnr_y = (double)NAN;
    s->best.scores = s->bicubic = sr_scores_unknown();
    TRY(sr_design_of(&s->design, s->config)); /* a fault in the config shows before long loading */
    TRY(sr_check_schedule(s->config));
    if (!setup->resume && !setup->without_input) { /* likewise */
        TRY(sr_pretrained_check(s->config, &s->design));
        TRY(sr_gan_pretrained_check(s->config));
    }
    TRY(sr_feed_open(&s->feed, s->config, &s->data.crops));
    if (!setup->without_input) TRY(sr_data_open(&s->data, &s->own_input, setup, &s->feed.choices));
    TRY(sr_choose_shown(s));
    if (setup->resume) {
        TRY(store_get_int_in(setup->resume, "step", 0, CHECKPOINT_MOST_STEPS, &s->steps_done));
        s->reported = s->steps_done;
    }
    TRY(sr_begin_work(s, setup->resume));
    const struct memory_work work = s->mode.work;
    sr_list_modes(s, modes);
    s->mode = modes[0];
    s->mode.work = work;
    if (setup->choose) TRY(setup->choose(setup->choose_context, s, &s->mode));
    s->plan = plan_create();
    if (!s->plan) return ERR_SYSTEM;
    TRY(sr_declare(s, &s->mode));
    if (setup->resume) TRY(sr_expect_checkpoint(s, setup->resume));
    if (setup->resume && !setup->without_input) TRY(sr_check_data(s, setup));
    if (setup->forecast_only) return setup->without_input ? OK : sr_forecast_patches(s);
    TRY(plan_commit(s->plan, setup->device));
    sr_core_connect(s->core);
    TRY(sr_losses_begin(&s->core->losses, true));
    sr_say_what_is_trained(s);
    if (setup->resume) return sr_load(s, setup->resume);
    sr_warn_of_scratch(s);
    TRY(sr_core_initialise(s->core, (uint64_t)s->config->seed));
    TRY(sr_pretrained_load(s->config, &s->design, &s->core->net));
    TRY(sr_gan_pretrained_load(s->config, &s->core->gan));
    return sr_core_begin(s->core);
}

static const struct plan *sr_plan(const struct task_state *s)
{
    return s->plan;
}

static int64_t sr_steps(const struct task_state *s)
{
    return s->config->sr.max_steps;
}

/* A patch for an image; where memory.grow makes a batch larger, as many as the config has. */
static void sr_images_shown(const struct task_state *s, int64_t steps, int64_t *shown,
                            int64_t *images)
{
    *shown = steps * s->config->sr.batch;
    *images = s->data.train_count;
}

/* ---- one step ---- */

static int sr_fill_patches(void *context, int first, int n, float *lq, float *gt)
{
    struct task_state *s = context;
    const struct sr_feed_out out = {.lq = lq, .gt = gt, .other = sr_core_other(s->core, gt)};
    return sr_feed_fill(&s->feed, (uint64_t)s->step, first, n, s->core->mode.lq_size, &out);
}

int sr_collect(struct task_state *s, int64_t steps)
{
    if (s->reported >= steps) return OK;
    TRY(sr_core_report(s->core, (int)(s->step + 1 - steps), &s->report));
    s->reported = steps;
    return OK;
}

static void sr_add(struct task_report *report, const char *name, const char *format, double value)
{
    report->metrics[report->metric_count++] = (struct task_metric){name, format, value};
}

void sr_fill_report(const struct task_state *s, int64_t step, struct task_report *r)
{
    const struct sr_scores *scores = &s->best.scores;
    double gain = scores->psnr_y - s->bicubic.psnr_y;
    memset(r, 0, sizeof *r);
    r->loss = s->report.loss;
    for (int t = 0; t < SR_TERMS; t++)
        if (sr_term_is_shown(&s->core->losses.choices, t))
            sr_add(r, sr_term_name((enum sr_term)t), NULL, s->report.term[t]);
    if (s->core->losses.choices.grad_clip > 0) sr_add(r, "grad_norm", NULL, s->report.grad_norm);
    if (sr_core_has_gan(s->core)) {
        const struct sr_gan_report *gan = &s->report.gan;
        sr_add(r, "gan", NULL, gan->loss);
        if (s->config->sr.feature_weight > 0) sr_add(r, "feature", NULL, gan->feature);
        sr_add(r, "d_loss", NULL, gan->d_loss);
        sr_add(r, "d_real", NULL, gan->score_real);
        sr_add(r, "d_fake", NULL, gan->score_made);
    }
    sr_add(r, "psnr_y", "%.2f", scores->psnr_y);
    sr_add(r, "gain", "%+.2f", gain);
    sr_add(r, "ssim_y", "%.4f", scores->ssim_y);
    sr_add(r, "psnr", NULL, scores->psnr);
    sr_add(r, "ssim", NULL, scores->ssim);
    sr_add(r, "colour_shift", NULL, scores->colour_shift);
    sr_add(r, "best_psnr_y", NULL, s->best.psnr_y);
    sr_add(r, "lr", NULL, s->now.adam.lr);
    sr_add(r, "lq_size", NULL, s->core->mode.lq_size);
    sr_add(r, "batch", NULL, s->core->mode.batch);
    int used = snprintf(r->caption, sizeof r->caption, "step %lld  loss %.5f", (long long)step + 1,
                        s->report.loss);
    if (!isnan(scores->psnr_y))
        snprintf(r->caption + used, sizeof r->caption - (size_t)used,
                 "  PSNR-Y %.2f (%+.2f)  SSIM-Y %.4f", scores->psnr_y, gain, scores->ssim_y);
    r->pending = s->best.pending > 0;
}

/* The report may be that of the step before where nobody evaluates and the device works ahead. */
static int sr_step(struct task_state *s, int64_t step, bool evaluate, struct task_report *report)
{
    s->step = step;
    s->now = sr_rates_at(s->config, step);
    double larger = images_seen_rate(s->config, s->config->sr.batch, s->core->mode.batch);
    s->now.adam.lr *= larger;
    s->now.d.lr *= larger;
    sr_core_listen(s->core, s->device->is_host ? s->stop_requested : NULL);
    int code = sr_train_step(s->core, &s->now, sr_fill_patches, s);
    sr_core_listen(s->core, NULL);
    TRY(code);
    bool wait = evaluate || !s->core->ahead || s->reported == 0;
    TRY(sr_collect(s, wait ? step + 1 : step));
    s->best.scores = sr_scores_unknown();
    s->best.pending = 0;
    if (sr_measure_is_due(s, step + 1)) TRY(sr_measure_all(s, step + 1));
    sr_fill_report(s, step, report);
    s->steps_done = step + 1;
    return OK;
}

/* ---- for commands ---- */

static int sr_fail_changed(const char *key, const char *stored, const char *current)
{
    if (strcmp(key, "sr.max_steps") != 0) return OK;
    return fail(ERR_CONFIG,
                "this run is of %s steps and cannot be made longer or shorter (%s are asked): its "
                "learning rate follows a plan over all steps. Resume it with max_steps=%s, or "
                "begin a new run",
                stored, current, stored);
}

static const char *sr_input_path(const struct config *config)
{
    return config->sr.dataroot_gt;
}

static const char *const sr_testing[] = {"sr.max_steps=20", NULL};

/* Networks and patches follow from the config alone. */
static int sr_prepare_plan(struct task_setup *setup)
{
    if (setup->width) return fail(ERR_USAGE, "--size is for images: set sr.lq_size");
    setup->without_input = true;
    return OK;
}

/* Also of files that others wrote. */
static int sr_describe(const struct store_file *file, struct task_fact *facts)
{
    struct sr_design design;
    struct net net;
    if (!sr_network_detect(&design, file, sr_pretrained_prefix(file))) return 0;
    if (sr_network_build(&net, &design, 1, 1, 0) < 0) {
        net_free(&net);
        return 0;
    }
    facts[0] = (struct task_fact){.key = "network", .label = "network"};
    memcpy(facts[0].text, sr_design_text(&design).text, sizeof facts[0].text);
    facts[1] = (struct task_fact){.key = "scale", .label = "Enlarges by", .value = design.scale};
    facts[2] = (struct task_fact){
        .key = "weights", .label = "its weights", .value = (int64_t)net.parameter_total};
    net_free(&net);
    return 3;
}

const struct task task_sr = {
    .name = "sr",
    .open = sr_open,
    .plan = sr_plan,
    .images_shown = sr_images_shown,
    .steps = sr_steps,
    .step = sr_step,
    .complete = sr_complete,
    .image = sr_frame,
    .reference = sr_reference,
    .columns = sr_columns,
    .save = sr_save,
    .save_model = sr_save_model,
    .write_final = sr_write_final,
    .close = sr_close,
    .free_input = sr_free_input,
    .image_size = sr_image_size,
    .save_best = sr_save_best,
    .modes = sr_list_modes,
    .need = sr_need,
    .mode = sr_mode_now,
    .replan = sr_replan,
    .growth = sr_growth,
    .fail_changed = sr_fail_changed,
    .input_path = sr_input_path,
    .testing = sr_testing,
    .prepare_plan = sr_prepare_plan,
    .describe = sr_describe,
    .evaluate = sr_eval,
    .evaluate_crops = true,
    .operations = "nn",
    .bench = sr_bench,
    .bench_options = sr_bench_options,
};
