/* The task: images, schedules, steps; vae_shown.c measures and shows it, vae_memory.c lists its
 * memory modes. */
#include "diffusion/vae/vae.h"

#include "base/error.h"
#include "base/log.h"
#include "config/config.h"
#include "data/dataset.h"
#include "device/device.h"
#include "diffusion/vae/vae_eval.h"
#include "diffusion/vae/vae_task.h"
#include "math/cosine.h"
#include "memory/plan.h"
#include "nn/graph.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- open and close ---- */

/* Groups of four channels or more: one of its own would lose how bright an image is. */
static int vae_configure(struct kl_config *design, const struct config *config)
{
    int base = (int)config->vae.base, groups = 1;
    while (groups < 32 && base % (2 * groups) == 0 && base >= 8 * groups)
        groups *= 2;
    *design = (struct kl_config){.levels = (int)config->vae.levels,
                                 .resnets = (int)config->vae.blocks,
                                 .latent_channels = (int)config->vae.latent_channels,
                                 .groups = groups,
                                 .attention = config->vae.attention,
                                 .scaling = 1};
    for (int l = 0; l < design->levels; l++)
        design->widths[l] = base << (l < 2 ? l : 2);
    TRY(kl_check(design));
    if (config->vae.size % kl_factor(design) != 0)
        return fail(ERR_CONFIG, "vae.size is %d, but with %d levels it must be a multiple of %d",
                    (int)config->vae.size, design->levels, kl_factor(design));
    return OK;
}

static struct vae_mode vae_mode_of(const struct task_state *s, const struct memory_mode *mode)
{
    int batch = (int)s->config->vae.batch;
    return (struct vae_mode){
        .batch = batch,
        .micro = mode->micro_batch < batch ? mode->micro_batch : batch,
        .checkpointing = mode->checkpointing,
        .offload = mode->offload,
    };
}

int vae_declare(struct task_state *s, const struct memory_mode *mode)
{
    const struct vae_mode choices = vae_mode_of(s, mode);
    const struct vae_losses losses = {.mse = s->config->vae.mse,
                                      .ssim = s->config->vae.ssim,
                                      .kl = s->config->vae.kl,
                                      .clip = s->config->vae.clip};
    s->core = calloc(1, sizeof *s->core);
    if (!s->core) return fail(ERR_SYSTEM, "out of memory");
    TRY(vae_core_declare(s->core, &s->design, (int)s->config->vae.size, &choices, &losses,
                         s->device, s->plan));
    const struct net *net = &s->core->net.net;
    size_t micro = (size_t)choices.micro;
    const struct {
        const char *name;
        size_t floats;
        float **slot;
    } host[] = {
        {"show", vae_show_floats(s), &s->show},
        {"made", micro * net_elements(net, KL_IMAGE), &s->made},
        {"moments", micro * net_elements(net, s->core->moments), &s->moments},
    };
    for (size_t i = 0; i < sizeof host / sizeof *host; i++)
        TRY(plan_declare(s->plan, host[i].name, PLAN_HOST, host[i].floats * sizeof(float),
                         PLAN_ALWAYS, (void **)host[i].slot));
    s->feed.noise_floats = (int)net_elements(net, KL_NOISE);
    return plan_layout(s->plan);
}

void vae_free_core(struct vae_core *core)
{
    if (!core) return;
    vae_core_close(core);
    free(core);
}

static void vae_close(struct task_state *s)
{
    if (!s) return;
    if (s->core) stepper_rest(&s->core->stepper); /* an error here came too late to matter */
    plan_free(s->plan);
    vae_free_core(s->core);
    vae_free_input(s->own_input);
    free(s);
}

static void vae_say_what_is_trained(const struct task_state *s)
{
    const struct vae_core *core = s->core;
    const struct net_layer *noise = &core->net.net.layers[KL_NOISE];
    log_info("vae: %d x %d to latents of %d x %d x %d, %zu parameters, %.3g MFLOP an image; %d "
             "images (%d held out); batch %d (%d at a time%s)",
             core->side, core->side, noise->w, noise->h, noise->c, core->net.net.parameter_total,
             2e-6 * net_macs(&core->net.net), dataset_train_count(s->set),
             dataset_held_count(s->set), core->mode.batch, core->mode.micro,
             core->mode.checkpointing ? ", activation checkpointing" : "");
}

static int vae_open(struct task_state **out, const struct task_setup *setup)
{
    struct task_state *s = calloc(1, sizeof *s);
    struct memory_mode modes[TASK_MAX_MODES];
    *out = s;
    if (!s) return fail(ERR_SYSTEM, "out of memory");
    const struct config *config = s->config = setup->config;
    s->device = setup->device;
    s->stop_requested = setup->stop_requested;
    s->held.psnr = (double)NAN;
    TRY(vae_configure(&s->design, config)); /* before long loading */
    TRY(vae_data_open(&s->set, &s->own_input, setup));
    s->feed = (struct vae_feed){.set = s->set,
                                .seed = (uint64_t)config->seed,
                                .side = (int)config->vae.size,
                                .batch = (int)config->vae.batch};
    if (setup->resume) {
        TRY(store_get_int_in(setup->resume, "step", 0, CHECKPOINT_MOST_STEPS, &s->steps_done));
        s->reported = s->steps_done;
    }
    vae_list_modes(s, modes);
    s->mode = modes[0];
    if (setup->choose) TRY(setup->choose(setup->choose_context, s, &s->mode));
    s->plan = plan_create();
    if (!s->plan) return ERR_SYSTEM;
    TRY(vae_declare(s, &s->mode));
    if (setup->resume) TRY(vae_expect_checkpoint(s, setup->resume));
    if (setup->resume && !setup->without_input) TRY(vae_check_data(s, setup));
    if (setup->forecast_only) return OK;
    TRY(plan_commit(s->plan, setup->device));
    TRY(vae_core_connect(s->core));
    vae_say_what_is_trained(s);
    if (setup->resume) return vae_load(s, setup->resume);
    return vae_core_initialise(s->core, (uint64_t)config->seed);
}

static const struct plan *vae_plan(const struct task_state *s)
{
    return s->plan;
}

int64_t vae_steps(const struct task_state *s)
{
    int64_t batch = s->config->vae.batch;
    return (s->config->vae.images + batch - 1) / batch;
}

static void vae_images_shown(const struct task_state *s, int64_t steps, int64_t *shown,
                             int64_t *images)
{
    *shown = steps * s->config->vae.batch;
    *images = dataset_train_count(s->set);
}

/* ---- one step ---- */

/* The average's memory grows along with the run: at first it follows what is learned quickly. */
static struct vae_rates vae_rates_at(const struct config *config, double progress)
{
    double step = (double)config->vae.batch / fmax(1, (double)config->vae.images);
    double half_life = cosine_between(0, config->vae.ema, progress), lr = config->vae.lr;
    lr = cosine_between(lr, lr * config->vae.lr_end, progress);
    if (progress < config->vae.warmup) lr *= fmin(1, (progress + step) / config->vae.warmup);
    return (struct vae_rates){.adam = {.lr = lr, .b1 = 0.9, .b2 = config->vae.b2},
                              .ema = half_life > 0 ? pow(0.5, step / half_life) : 0};
}

static int vae_fill_batch(void *context, int first, int n, float *images, float *noise)
{
    const struct task_state *s = context;
    vae_feed_fill(&s->feed, (uint64_t)s->step, first, n, images, noise);
    return OK;
}

int vae_collect(struct task_state *s, int64_t steps)
{
    if (s->reported >= steps) return OK;
    TRY(vae_core_report(s->core, (int)(s->step + 1 - steps), &s->report));
    s->reported = steps;
    return OK;
}

void vae_fill_report(const struct task_state *s, int64_t step, struct task_report *r)
{
    const struct task_metric metrics[] = {
        {"l1", NULL, s->report.l1},          {"ssim", NULL, s->report.ssim},
        {"kl", NULL, s->report.kl},          {"grad_norm", NULL, s->report.grad_norm},
        {"held_psnr", "%.2f", s->held.psnr}, {"lr", NULL, s->now.adam.lr},
        {"ema", NULL, s->now.ema},
    };
    memset(r, 0, sizeof *r);
    r->loss = s->report.loss;
    r->metric_count = sizeof metrics / sizeof *metrics;
    memcpy(r->metrics, metrics, sizeof metrics);
    int used = snprintf(r->caption, sizeof r->caption, "images %lld  l1 %.4f",
                        (long long)((step + 1) * s->config->vae.batch), s->report.l1);
    if (!isnan(s->held.psnr))
        snprintf(r->caption + used, sizeof r->caption - (size_t)used, "  held out %.2f dB",
                 s->held.psnr);
    r->pending = s->held.pending > 0;
}

/* The report may be that of the step before where nobody evaluates and the device works ahead. */
static int vae_step(struct task_state *s, int64_t step, bool evaluate, struct task_report *report)
{
    s->step = step;
    s->now = vae_rates_at(s->config, (double)step / (double)vae_steps(s));
    vae_core_listen(s->core, s->device->is_host ? s->stop_requested : NULL);
    int code = vae_train_step(s->core, &s->now, vae_fill_batch, s);
    vae_core_listen(s->core, NULL);
    TRY(code);
    bool wait = evaluate || !s->core->ahead || s->reported == 0;
    TRY(vae_collect(s, wait ? step + 1 : step));
    s->held.psnr = (double)NAN;
    s->held.pending = 0;
    if (vae_held_is_due(s, step + 1)) TRY(vae_held_measure(s, step + 1));
    vae_fill_report(s, step, report);
    s->steps_done = step + 1;
    return OK;
}

/* ---- for commands ---- */

static int vae_fail_changed(const char *key, const char *stored, const char *current)
{
    if (strcmp(key, "vae.images") != 0) return OK;
    return fail(ERR_CONFIG,
                "this run is of %s images and cannot be made longer or shorter (%s are asked): its "
                "rates and averages follow a plan over all images. Resume it with images=%s, or "
                "begin a new run",
                stored, current, stored);
}

static const char *vae_input_path(const struct config *config)
{
    return config->vae.data;
}

static const char *const vae_testing[] = {"vae.images=80", NULL};

/* The networks follow from the config: no image is read. */
static int vae_prepare_plan(struct task_setup *setup)
{
    if (setup->width) return fail(ERR_USAGE, "--size is for images: set vae.size");
    setup->without_input = true;
    return OK;
}

const struct task task_vae = {
    .name = "vae",
    .open = vae_open,
    .plan = vae_plan,
    .images_shown = vae_images_shown,
    .steps = vae_steps,
    .step = vae_step,
    .complete = vae_complete,
    .image = vae_frame,
    .reference = vae_reference,
    .labels = {"held", "decoded"},
    .save = vae_save,
    .save_model = vae_save_model,
    .write_final = vae_write_final,
    .close = vae_close,
    .free_input = vae_free_input,
    .image_size = vae_image_size,
    .modes = vae_list_modes,
    .need = vae_need,
    .mode = vae_mode_now,
    .replan = vae_replan,
    .fail_changed = vae_fail_changed,
    .input_path = vae_input_path,
    .testing = vae_testing,
    .prepare_plan = vae_prepare_plan,
    .extra_files = vae_write_folder,
    .evaluate = vae_evaluate,
    .operations = "nn",
};
