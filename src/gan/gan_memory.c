/* The GAN's memory modes, and the move from one to another between steps. */
#include "base/error.h"
#include "config/config.h"
#include "data/dataset.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "gan/gan_memory_modes.h"
#include "gan/gan_schedule.h"
#include "gan/gan_task.h"
#include "memory/plan.h"
#include "memory/restriction.h"
#include "task/task.h"

#include <stdio.h>
#include <stdlib.h>

enum { SIZE_MOST = 1024, BATCH_MOST = 65536 }; /* as the keys gan.size and gan.batch */

/* The last level does without: but another engine gives other bits. */
static size_t workspace_cap(const struct task_state *s, int level)
{
    bool has = level < MEMORY_OFFLOAD || s->config->deterministic;
    return has ? (size_t)s->config->memory.workspace : 0;
}

/* The modes that there are with `config` in place of the state's. */
static int gan_list_with(const struct task_state *s, const struct config *config,
                         struct memory_mode *list)
{
    int w = gan_picture_width(config), h = gan_picture_height(config);
    bool may_mix =
        s->device->nn->bf16 && !config->deterministic && (w > h ? w : h) > NET_FULL_PRECISION;
    int count = gan_memory_modes(config, s->amp, may_mix, list);
    for (int i = 0; s->conv_library && i < count; i++)
        list[i].workspace_cap = workspace_cap(s, list[i].level);
    return count;
}

int gan_list(const struct task_state *s, struct memory_mode *list)
{
    return gan_list_with(s, s->config, list);
}

/* The keys that restrict the modes: takes the one with `index` back in `config` and writes it
 * as the user may have. False: it is not set. */
static bool gan_lift_restriction(struct config *config, int index, char *text, size_t room)
{
    const char *const schemes[] = {
        [CONFIG_GAN_SCHEME_NONE] = "none", [CONFIG_GAN_SCHEME_BLOCK] = "block"};
    switch (index) {
    case 0:
        if (config->gan.scheme == CONFIG_GAN_SCHEME_AUTO) return false;
        snprintf(text, room, "gan.scheme %s", schemes[config->gan.scheme]);
        config->gan.scheme = CONFIG_GAN_SCHEME_AUTO;
        return true;
    case 1:
        if (config->gan.micro_batch == 0) return false;
        snprintf(text, room, "gan.micro_batch %d", (int)config->gan.micro_batch);
        config->gan.micro_batch = 0;
        return true;
    default:
        if (!config->memory.use_gradient_checkpointing) return false;
        snprintf(text, room, "memory.use_gradient_checkpointing");
        config->memory.use_gradient_checkpointing = false;
        return true;
    }
}

void gan_restrictions(const struct task_state *s, char *line)
{
    enum { KEYS = 3 };
    struct memory_mode lists[KEYS + 1][TASK_MAX_MODES];
    struct memory_restriction set[KEYS];
    char texts[KEYS][64];
    struct config all = *s->config;
    int count = 0;
    for (int key = 0; key < KEYS; key++) {
        struct config without = *s->config;
        if (!gan_lift_restriction(&without, key, texts[count], sizeof texts[count])) continue;
        gan_lift_restriction(&all, key, texts[count], sizeof texts[count]);
        int modes = gan_list_with(s, &without, lists[count]);
        set[count] = (struct memory_restriction){texts[count], {lists[count], modes}};
        count++;
    }
    const struct memory_modes now = {lists[KEYS], gan_list(s, lists[KEYS])};
    struct memory_mode unrestricted[TASK_MAX_MODES];
    memory_restrictions_describe(line, set, count, &now, gan_list_with(s, &all, unrestricted));
}

int gan_need(const struct task_state *s, const struct memory_mode *mode, struct memory_need *need)
{
    if (mode->work.count) return fail(ERR_USAGE, "a GAN has no number of elements to choose");
    if (mode->work.size) return fail(ERR_USAGE, "a GAN is trained at the size of its images");
    if (mode->work.picture > SIZE_MOST) return fail(ERR_CONFIG, "gan.size: at most %d", SIZE_MOST);
    struct config config = gan_config_with(s->config, &mode->work);
    struct task_state *trial = calloc(1, sizeof *trial);
    int code = OK;
    if (!trial) return fail(ERR_SYSTEM, "out of memory");
    trial->device = s->device;
    trial->classes = s->classes;
    trial->tags = s->tags;
    trial->channels = s->channels;
    trial->conv_library = s->conv_library;
    trial->plan = plan_create();
    TRY_CLEANUP(trial->plan ? OK : ERR_SYSTEM);
    TRY_CLEANUP(gan_declare(trial, &config, mode));
    need->device_bytes = plan_device_bytes(trial->plan);
    need->host_bytes = plan_host_bytes(trial->plan);
    need->relative_time = gan_mode_time(&config, mode);
cleanup:
    plan_free(trial->plan);
    gan_free_core(trial->core);
    free(trial);
    return code;
}

const struct memory_mode *gan_mode_now(const struct task_state *s)
{
    return &s->mode;
}

/* The size stays: another one would be another network. A batch of more than there are images
 * shows some twice. */
void gan_growth(const struct task_state *s, struct memory_growth *growth)
{
    int chunk = gan_chunk(gan_picture_height(s->config), gan_picture_width(s->config));
    int most = dataset_train_count(s->set), fixed = (int)s->config->gan.micro_batch;
    if (most > BATCH_MOST) most = BATCH_MOST;
    if (fixed && most > fixed) most = fixed; /* the whole batch at a time */
    most = most / chunk * chunk;
    *growth = (struct memory_growth){.batch = {.now = (int)s->config->gan.batch,
                                               .least = (int)s->asked_batch,
                                               .floor = 1,
                                               .most = most,
                                               .multiple = chunk}};
    if (most < growth->batch.now) growth->batch.most = growth->batch.now;
}

/* Another batch from the next step on. The list of items never gets shorter: a change that fails
 * goes back to the larger batch. */
static int gan_memory_set_batch(struct task_state *s, int batch)
{
    size_t most = (size_t)(batch > s->sized.gan.batch ? batch : s->sized.gan.batch);
    struct dataset_item *items = realloc(s->items, most * sizeof *items);
    if (!items) return fail(ERR_SYSTEM, "out of memory");
    s->items = items;
    images_seen_change(&s->seen, s->steps_done, s->sized.gan.batch);
    s->sized.gan.batch = batch;
    return OK;
}

int gan_replan(struct task_state *s, const struct memory_mode *mode)
{
    struct plan *next = plan_create();
    bool other = mode->work.batch && mode->work.batch != s->sized.gan.batch;
    int code = next ? OK : fail(ERR_SYSTEM, "out of memory");
    if (code == OK) code = gan_collect(s, s->steps_done);
    if (code == OK) code = stepper_rest(&s->core->stepper);
    if (code < 0) {
        plan_free(next);
        return code;
    }
    struct task_state before = *s;
    if (other) code = gan_memory_set_batch(s, mode->work.batch);
    before.items = s->items;
    s->core = NULL;
    s->plan = next;
    if (code == OK) code = gan_declare(s, s->config, mode);
    s->plan = before.plan;
    s->best = before.best;
    if (code == OK) code = plan_replace(&s->plan, next, s->device), next = NULL;
    plan_free(next);
    if (code < 0) {
        gan_free_core(s->core);
        *s = before;
        plan_connect(s->plan);
        return code;
    }
    s->core->g.v_missing = before.core->g.v_missing;
    s->core->d.v_missing = before.core->d.v_missing;
    gan_free_core(before.core);
    TRY(gan_core_connect(s->core));
    s->mode = *mode;
    s->mode.work.batch = (int)s->sized.gan.batch;
    return gan_core_autotune(s->core, NULL, s->stop_requested);
}
