#include "splat/splat.h"

#include "base/error.h"
#include "base/file.h"
#include "config/config.h"
#include "device/device.h"
#include "splat/fingerprint.h"
#include "splat/fit.h"
#include "splat/host_mirror.h"
#include "splat/init.h"
#include "splat/render.h"
#include "splat/shown/splat_panes.h"
#include "splat/shown/splat_preview.h"
#include "splat/size.h"
#include "splat/splat_checkpoint.h"
#include "splat/splat_goal.h"
#include "splat/splat_memory_modes.h"
#include "splat/splat_step.h"
#include "splat/splat_weights.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A device may work ahead for so many steps: a stop is heard, and a loss seen, within them. */
enum { WAIT_STEPS = 16 };

/* The input: the decoded image. */
struct task_input {
    struct splat_source source;
    double opened;  /* the clock at the beginning */
    bool trained;   /* a fit of it began: seconds are known */
    double seconds; /* that earlier processes took */
};

struct task_state {
    struct splat_fit fit;
    struct task_input *own_input; /* where nobody else keeps it */
    int64_t pending; /* steps done when a measurement was stopped; 0: none is pending */
    double loss;     /* of the last step */
    double opened;   /* the clock when this process began */
};

/* ---- starting from another model ---- */

static const char *start_path(const struct config_splat *config)
{
    return *config->init_from_checkpoint ? config->init_from_checkpoint : config->ckpt_file;
}

/* Faults of the start are said before a run folder is made. */
static int check_start(const struct splat_fit *fit, const struct splat_model *from)
{
    const struct config_splat *c = &fit->config->splat;
    if (from->count > 0 && from->channels != fit->model.channels)
        return fail(ERR_DATA, "%s has %d channels, the image %d", start_path(c), from->channels,
                    fit->model.channels);
    if (from->count == 0 && c->init_mode == CONFIG_SPLAT_INIT_MODE_SALIENCY)
        return fail(ERR_CONFIG, "init_mode saliency needs network weights that are not part of "
                                "this program: use gradient or random");
    return OK;
}

static int start_from(struct splat_fit *fit, const struct splat_model *from)
{
    fit->model.count = from->count;
    TRY(splat_host_pull(fit, NULL));
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        size_t bytes = sizeof(float) * (size_t)(from->count * splat_group_columns(&fit->model, g));
        if (bytes > 0 && splat_group_columns(from, g) > 0)
            memcpy(fit->host.group[g], from->group[g], bytes);
        else if (bytes > 0) /* of weights: none */
            memset(fit->host.group[g], 0, bytes);
    }
    splat_size_carry_fit(fit, from, false);
    fit->grow_first = from->count;
    if (fit->goal.planned < from->count) fit->goal.planned = from->count;
    if (from->count == fit->model.capacity) fit->grown_at = 0;
    return splat_host_push(fit, 0, from->count);
}

/* ---- the task ---- */

/* Bytes that an image may take that must be decoded whole: the rest of the memory. */
static size_t whole_limit(const struct device *device)
{
    int64_t left = device->is_host && device->free_bytes ? device->free_bytes(device) : -1;
    return left < 0 ? 0 : left > 0 ? (size_t)left : 1; /* 0 would be no limit */
}

static void splat_free_input(struct task_input *input)
{
    if (!input) return;
    splat_source_free(&input->source);
    free(input);
}

/* Takes the image that an earlier open has read, or reads it now. */
static int read_input(struct task_state *state, const struct task_setup *setup)
{
    struct task_input **input = setup->input ? setup->input : &state->own_input;
    if (!*input) {
        struct task_input *made = calloc(1, sizeof *made);
        int code = OK;
        if (!made) return fail(ERR_SYSTEM, "out of memory");
        made->opened = splat_goal_clock();
        if (setup->without_input)
            splat_source_assume(&made->source, setup->config, setup->width, setup->height,
                                setup->channels);
        else if (setup->forecast_only && !setup->input && *setup->config->splat.input_path)
            code = splat_source_probe(&made->source, setup->config);
        else
            code = splat_source_load(&made->source, setup->config, setup->spill_dir,
                                     whole_limit(setup->device));
        if (code == OK && !setup->without_input)
            code = splat_weights_check(&made->source, setup->config);
        if (code == OK && made->source.fit.data)
            code = splat_weights_load(&made->source, setup->config, setup->spill_dir);
        if (code < 0) {
            splat_free_input(made);
            return code;
        }
        *input = made;
    }
    state->opened = (*input)->opened;
    state->fit.source = &(*input)->source;
    return OK;
}

static int load_pending(struct task_state *state, const struct store_file *file)
{
    int64_t done;
    if (!store_get(file, "splat.pending")) return OK;
    TRY(store_get_int_in(file, "step", 1, CHECKPOINT_MOST_STEPS, &done));
    TRY(store_get_int_in(file, "splat.pending", done, done, &state->pending));
    return store_get_double_in(file, "splat.loss", store_finite(), &state->loss);
}

/* With the parameters of the model that it begins with. One that is resumed goes on as it began,
 * whatever the defaults are by now. */
static void describe_fit(struct splat_fit *fit, const struct store_file *resume,
                         const struct splat_model *begin, int64_t capacity)
{
    splat_fit_describe(fit, fit->source, capacity);
    if (begin->weighted || resume) fit->model.weighted = begin->weighted;
    if (resume) fit->in_axes = splat_state_has_axes(resume);
}

/* A run that goes back to its last checkpoint has taken all the time since it was opened, not that
 * up to the checkpoint a second time. */
static void count_time_once(struct splat_fit *fit, struct task_input *input)
{
    if (input->trained) fit->goal.seconds = input->seconds;
    input->trained = true;
    input->seconds = fit->goal.seconds;
}

static int splat_prepare(struct task_state *state, const struct task_setup *setup)
{
    struct splat_fit *fit = &state->fit;
    struct splat_model from = {0}, stored = {0};
    const char *start = start_path(&setup->config->splat);
    int64_t capacity;
    bool changed = false;
    int code;
    TRY(read_input(state, setup));
    if (setup->resume) TRY(splat_fingerprint_check(fit->source, setup, &changed));
    if (*start && !setup->resume) TRY_CLEANUP(splat_model_open(&from, start));
    if (setup->resume) TRY_CLEANUP(splat_model_describe(&stored, setup->resume));
    const struct splat_model *begin = setup->resume ? &stored : &from;
    describe_fit(fit, setup->resume, begin, 1);
    TRY_CLEANUP(splat_goal_capacity(fit, &capacity));
    describe_fit(fit, setup->resume, begin, begin->count > capacity ? begin->count : capacity);
    bool resized = setup->resume && !changed && splat_state_fits(&stored, fit->source);
    splat_size_describe(fit, resized ? splat_state_size(&stored) : splat_size_first(fit));
    fit->mode = splat_first_mode(fit->config);
    fit->mode.work.size = splat_size_of(&fit->target);
    if (setup->choose) TRY_CLEANUP(setup->choose(setup->choose_context, state, &fit->mode));
    if (fit->mode.work.size) splat_size_describe(fit, fit->mode.work.size);
    TRY_CLEANUP(splat_fit_declare(fit, fit->plan, &fit->mode));
    if (!setup->resume) TRY_CLEANUP(check_start(fit, &from));
    splat_goal_begin(fit, state->opened);
    splat_schedule_init(&fit->schedule);
    fit->psnr = fit->ssim = (double)NAN;
    if (setup->forecast_only) {
        code = plan_layout(fit->plan);
        goto cleanup;
    }
    TRY_CLEANUP(plan_commit(fit->plan, fit->device));
    TRY_CLEANUP(splat_size_scale(fit));
    TRY_CLEANUP(splat_fit_load_target(fit));
    if (setup->resume) {
        TRY_CLEANUP(splat_state_load(fit, setup->resume, changed));
        code = load_pending(state, setup->resume);
    } else if (from.count > 0) {
        code = start_from(fit, &from);
    } else {
        code = splat_init(fit);
    }
    if (code == OK) count_time_once(fit, setup->input ? *setup->input : state->own_input);
cleanup:
    splat_model_close(&from);
    return code;
}

static int splat_open_task(struct task_state **out, const struct task_setup *setup)
{
    struct task_state *state = *out = calloc(1, sizeof *state);
    if (!state) return fail(ERR_SYSTEM, "out of memory");
    state->fit.config = setup->config;
    state->fit.device = setup->device;
    state->fit.spill_dir = setup->spill_dir;
    state->fit.image_bytes.fd = -1;
    state->fit.plan = plan_create();
    if (!state->fit.plan) return ERR_SYSTEM;
    return splat_prepare(state, setup);
}

static void close_task(struct task_state *state)
{
    if (!state) return;
    plan_free(state->fit.plan);
    spill_free(&state->fit.image_bytes);
    splat_free_input(state->own_input);
    free(state->fit.whole);
    free(state);
}

static const struct plan *plan_of(const struct task_state *state)
{
    return state->fit.plan;
}

static int64_t splat_steps(const struct task_state *state)
{
    return state->fit.goal.steps;
}

/* Measures step `number` where that is due or wanted, and reports it. */
static int measure_step(struct task_state *state, int64_t number, bool wanted,
                        struct task_report *report)
{
    struct splat_fit *fit = &state->fit;
    /* The schedule must see the same steps, whatever the loop wants to show. */
    bool due = (number + 1) % fit->config->eval_steps == 0;
    int code = OK;
    bool measured = (due || wanted || splat_goal_wants(fit, number + 1)) && isfinite(state->loss);
    if (measured) code = splat_fit_measure(fit, number + 1, due);
    report->pending = code == ERR_STOPPED;
    state->pending = report->pending ? number + 1 : 0;
    if (!report->pending) TRY(code);
    if (!report->pending) splat_goal_decide(fit, number + 1, measured);
    report->loss = state->loss;
    report->metric_count = 0;
    report->metrics[report->metric_count++] = (struct task_metric){"psnr", "%.2f", fit->psnr};
    report->metrics[report->metric_count++] = (struct task_metric){"ssim", "%.4f", fit->ssim};
    report->metrics[report->metric_count++] =
        (struct task_metric){"gaussians", "%.0f", (double)fit->model.count};
    report->metrics[report->metric_count++] =
        (struct task_metric){"lr_factor", NULL, splat_goal_rate(fit, number)};
    report->finished = fit->schedule.finished;
    snprintf(report->caption, sizeof report->caption,
             "step %lld   PSNR %.2f   SSIM %.4f   %lld Gaussians", (long long)number + 1, fit->psnr,
             fit->ssim, (long long)fit->model.count);
    return OK;
}

static int splat_step(struct task_state *state, int64_t number, bool evaluate,
                      struct task_report *report)
{
    struct splat_fit *fit = &state->fit;
    bool due = (number + 1) % fit->config->eval_steps == 0;
    bool wait = due || evaluate || splat_goal_wants(fit, number + 1) || number % WAIT_STEPS == 0;
    TRY(splat_fit_step(fit, number, wait, &state->loss));
    return measure_step(state, number, evaluate, report);
}

static int splat_complete(struct task_state *state, struct task_report *report)
{
    if (state->pending < 1) return fail(ERR_DATA, "the checkpoint does not say what is pending");
    return measure_step(state, state->pending - 1, true, report);
}

static int splat_preview_image(struct task_state *state, int max_side, struct image *out)
{
    if (splat_panes_wanted(&state->fit)) return splat_panes_draw(&state->fit, max_side, out);
    return splat_show_render(&state->fit, max_side, out);
}

static int splat_reference(struct task_state *state, int max_side, struct image *out)
{
    if (splat_panes_wanted(&state->fit))
        return fail(ERR_USAGE, "frames show the target beside the render");
    return splat_show_target(&state->fit, max_side, out);
}

static int splat_columns(const struct task_state *state, const char *names[TASK_MAX_COLUMNS])
{
    return splat_panes_names(&state->fit, names);
}

static int splat_save(struct task_state *state, struct store_writer *writer)
{
    if (state->pending) {
        TRY(store_set_int(writer, "splat.pending", state->pending));
        TRY(store_set_double(writer, "splat.loss", state->loss));
    }
    return splat_state_save(&state->fit, writer);
}

static int save_model(struct task_state *state, struct store_writer *writer)
{
    return splat_state_save_model(&state->fit, writer);
}

static int write_final(struct task_state *state, const char *path)
{
    return splat_show_write(&state->fit, path);
}

static int extra_files(struct task_state *state, const char *run_dir)
{
    if (!state->fit.config->splat.vis_gaussians) return OK;
    char *path = path_join(run_dir, "gaussians.png");
    int code = path ? splat_show_write_ellipses(&state->fit, path) : ERR_SYSTEM;
    free(path);
    return code;
}

/* Names for a stack's channels in groups of three, the rest one by one (output.c). */
static bool splat_image_name(const struct task_state *state, int index, char *name, size_t room)
{
    int channels = state->fit.full.channels;
    int groups = channels > 4 ? channels / 3 + channels % 3 : 0;
    bool ellipses = state->fit.config->splat.vis_gaussians;
    if (index < groups)
        snprintf(name, room, "final-%03d.png", index + 1);
    else if (index == groups)
        snprintf(name, room, "gaussians.png");
    return index < groups + ellipses;
}

static int image_size(const struct task_state *state, int max_side, int *width, int *height)
{
    if (splat_panes_wanted(&state->fit))
        splat_panes_size(&state->fit, max_side, width, height);
    else
        splat_render_fit_size(state->fit.full.width, state->fit.full.height, max_side, width,
                              height);
    return OK;
}

/* ---- memory modes ---- */

static int splat_modes(const struct task_state *state, struct memory_mode *list)
{
    return splat_memory_modes(&state->fit, list);
}

static int splat_need(const struct task_state *state, const struct memory_mode *mode,
                      struct memory_need *need_out)
{
    return splat_mode_need(&state->fit, mode, need_out);
}

static const struct memory_mode *splat_mode(const struct task_state *state)
{
    return &state->fit.mode;
}

static int splat_replan(struct task_state *state, const struct memory_mode *mode)
{
    return splat_mode_change(&state->fit, mode);
}

static void splat_say_restrictions(const struct task_state *state, char *line)
{
    splat_restrictions(&state->fit, line);
}

static void splat_growth_limits(const struct task_state *state, struct memory_growth *range)
{
    *range = (struct memory_growth){0};
    splat_size_range(&state->fit, &range->size);
}

/* ---- for commands ---- */

static const char *const splat_testing[] = {"splat.max_steps=20", NULL};

static const char *splat_input_path(const struct config *config)
{
    return config->splat.input_path;
}

static int splat_prepare_plan(struct task_setup *setup)
{
    if (*setup->config->splat.input_path || setup->width) return OK;
    return fail(ERR_CONFIG, "no image: set input_path=FILE, or say how large with --size WxH");
}

/* Counts the Gaussians, by the tensor of their positions. */
static int splat_describe(const struct store_file *file, struct task_fact *facts)
{
    const struct store_tensor *xy = store_find(file, "xy");
    if (!xy || xy->dims != 2) return 0;
    *facts = (struct task_fact){.key = "gaussians", .label = "Gaussians", .value = xy->shape[0]};
    return 1;
}

const struct task task_splat = {
    .name = "splat",
    .operations = "splat",
    .open = splat_open_task,
    .plan = plan_of,
    .steps = splat_steps,
    .step = splat_step,
    .complete = splat_complete,
    .image = splat_preview_image,
    .reference = splat_reference,
    .columns = splat_columns,
    .save = splat_save,
    .save_model = save_model,
    .write_final = write_final,
    .close = close_task,
    .free_input = splat_free_input,
    .image_size = image_size,
    .extra_files = extra_files,
    .image_name = splat_image_name,
    .modes = splat_modes,
    .need = splat_need,
    .mode = splat_mode,
    .replan = splat_replan,
    .growth = splat_growth_limits,
    .restrictions = splat_say_restrictions,
    .input_path = splat_input_path,
    .testing = splat_testing,
    .prepare_plan = splat_prepare_plan,
    .describe = splat_describe,
    .bench = splat_bench,
    .bench_options = splat_bench_options,
};
