#include "splat/splat_memory_modes.h"

#include "base/error.h"
#include "config/config.h"
#include "device/device.h"
#include "memory/restriction.h"
#include "splat/host_mirror.h"
#include "splat/size.h"
#include "task/task.h"

struct memory_mode splat_first_mode(const struct config *config)
{
    bool again = config->memory.use_gradient_checkpointing;
    return (struct memory_mode){.level = again ? MEMORY_CHECKPOINTING : MEMORY_RESIDENT,
                                .amp = config->use_amp,
                                .checkpointing = again};
}

/* Describes the fit of an image of another size. */
static void suppose_image(struct splat_fit *fit, struct splat_source *source, int size)
{
    int longest = splat_size_of(&fit->source->full);
    double share = (double)splat_size_of(&fit->source->fit) / longest;
    int part = (int)(size * share);
    *source = *fit->source;
    splat_size_shape(&fit->source->full, size, &source->full.width, &source->full.height);
    splat_size_shape(&fit->source->fit, part > 0 ? part : 1, &source->fit.width,
                     &source->fit.height);
    fit->source = source;
    fit->full = source->full;
    splat_size_describe(fit, splat_size_of(&source->fit));
}

int splat_mode_need(const struct splat_fit *fit, const struct memory_mode *mode,
                    struct memory_need *need)
{
    struct splat_fit trial = *fit;
    struct splat_source source;
    struct plan *plan = plan_create();
    int code;
    if (!plan) return ERR_SYSTEM;
    if (mode->work.batch) {
        plan_free(plan);
        return fail(ERR_USAGE, "a fit has no batch");
    }
    if (mode->work.count) trial.model.capacity = mode->work.count;
    if (mode->work.picture) suppose_image(&trial, &source, mode->work.picture);
    if (mode->work.size) splat_size_describe(&trial, mode->work.size);
    code = splat_fit_declare(&trial, plan, mode);
    if (code == OK) code = plan_layout(plan);
    *need = (struct memory_need){.device_bytes = plan_device_bytes(plan),
                                 .host_bytes = plan_host_bytes(plan),
                                 .relative_time = mode->offload ? 1.02 : 1};
    plan_free(plan);
    return code;
}

/* Bands in which a mapped target comes: rows of which the system drops what it needs the
 * memory of; a device that cannot read the host's memory has two of them at a time. */
static int target_bands(const struct splat_fit *fit)
{
    int rows = fit->device->is_host ? 16 : 256;
    return (fit->full.height + rows - 1) / rows;
}

/* A mode that saves nothing on this device is left out: on the CPU the target alone is as large as
 * the image. The modes are the same for every size. */
int splat_memory_modes(const struct splat_fit *fit, struct memory_mode *list)
{
    const struct config *config = fit->config;
    bool amp = config->use_amp;
    const struct memory_mode last = {
        .level = MEMORY_OFFLOAD, .amp = amp || !config->deterministic, .checkpointing = true};
    struct memory_mode modes[] = {
        splat_first_mode(config),
        {.level = MEMORY_CHECKPOINTING, .amp = amp, .checkpointing = true},
        {.level = MEMORY_MIXED, .amp = true, .checkpointing = true},
        last,
        last,
    };
    modes[3].bands = modes[4].bands = target_bands(fit);
    modes[4].offload = true;
    int count = 0;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct memory_need takes;
        if (modes[i].level == MEMORY_MIXED && config->deterministic) continue;
        modes[i].work.size = splat_size_of(&fit->source->fit);
        if (splat_mode_need(fit, &modes[i], &takes) < 0 || takes.device_bytes >= least) continue;
        modes[i].work.size = 0;
        least = takes.device_bytes;
        list[count++] = modes[i];
    }
    return count;
}

/* A device that has nothing to compute again runs its first mode as it would without the key. */
void splat_restrictions(const struct splat_fit *fit, char *line)
{
    struct memory_mode modes[TASK_MAX_MODES], others[TASK_MAX_MODES];
    struct memory_need need, other;
    struct config config = *fit->config;
    struct splat_fit without = *fit;
    struct memory_modes now = {modes, splat_memory_modes(fit, modes)};
    struct memory_restriction key = {.key = "memory.use_gradient_checkpointing"};
    config.memory.use_gradient_checkpointing = false;
    without.config = &config;
    key.without = (struct memory_modes){others, splat_memory_modes(&without, others)};
    int total = key.without.count;
    bool changes = splat_mode_need(fit, &modes[0], &need) < 0 ||
                   splat_mode_need(fit, &others[0], &other) < 0 ||
                   need.device_bytes != other.device_bytes;
    if (!changes) key.without = now;
    bool set = fit->config->memory.use_gradient_checkpointing;
    memory_restrictions_describe(line, &key, set, &now, total);
}

/* Moves to a plan for `mode`, at the size that the fit is described with. */
static int splat_memory_modes_move(struct splat_fit *fit, const struct memory_mode *mode)
{
    struct plan *next = plan_create();
    if (!next) return ERR_SYSTEM;
    int code = splat_fit_declare(fit, next, mode);
    if (code < 0)
        plan_free(next);
    else
        code = plan_replace(&fit->plan, next, fit->device);
    if (mode->bands) fit->target_there = false; /* the memory for it is gone */
    if (code < 0) return code;
    fit->mode = *mode;
    fit->mode.work.size = splat_size_of(&fit->target);
    return OK;
}

/* Work that the device has not done yet fails at the first line, where nothing has changed. */
static int splat_memory_modes_resize(struct splat_fit *fit, const struct memory_mode *mode)
{
    TRY(splat_host_pull(fit, NULL));
    const struct splat_model from = fit->model;
    const struct splat_target target = fit->target;
    splat_size_describe(fit, mode->work.size);
    fit->target_there = false;
    int code = splat_memory_modes_move(fit, mode);
    if (code < 0) {
        fit->target = target;
        fit->model.width = from.width;
        fit->model.height = from.height;
        return code;
    }
    TRY(splat_host_pull(fit, NULL));
    splat_size_carry_fit(fit, &from, true);
    splat_schedule_resize(&fit->schedule, fit->model.width > from.width);
    TRY(splat_host_push(fit, 0, fit->model.count));
    return splat_size_scale(fit); /* last: without room on the disk the state is saved as it is */
}

int splat_mode_change(struct splat_fit *fit, const struct memory_mode *mode)
{
    bool other = mode->work.size && mode->work.size != splat_size_of(&fit->target);
    int code = other ? splat_memory_modes_resize(fit, mode) : splat_memory_modes_move(fit, mode);
    if (code == OK && !fit->target_there) return splat_fit_load_target(fit);
    splat_fit_connect(fit);
    return code;
}
