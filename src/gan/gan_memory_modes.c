#include "gan/gan_memory_modes.h"

#include "config/config.h"
#include "gan/gan_schedule.h"
#include "task/task.h"

#include <math.h>

/* What a mode costs: CPU time of 20 steps of cfgs/gan-64.yaml, beside keeping everything. */
static const double RECOMPUTE_TIME = 1.12, HALVING_TIME = 1.02, OFFLOAD_TIME = 1.02;

struct list {
    struct memory_mode *modes;
    int count;
    bool amp;
};

static void gan_memory_modes_add(struct list *list, int level, bool checkpointing, int micro)
{
    if (list->count == TASK_MAX_MODES) return;
    list->modes[list->count++] = (struct memory_mode){
        .level = level,
        .amp = list->amp,
        .checkpointing = checkpointing,
        .micro_batch = micro,
        .offload = level == MEMORY_OFFLOAD,
    };
}

/* The next smaller micro-batch: half as many chunks, rounded up. */
static int gan_memory_modes_halve(int micro, int batch, int chunk)
{
    int half = (micro / 2 + chunk - 1) / chunk * chunk;
    return half < batch ? half : batch;
}

/* Level `whole` with the whole batch at a time, level `split` with less. */
static void add_micro_batches(struct list *list, const struct config *config, int whole, int split,
                              bool checkpointing)
{
    int chunk = gan_chunk(gan_picture_height(config), gan_picture_width(config));
    int batch = (int)config->gan.batch, fixed = (int)config->gan.micro_batch;
    int micro = fixed ? fixed : batch;
    if (fixed) micro = gan_memory_modes_halve(2 * fixed, batch, chunk);
    for (;; micro = gan_memory_modes_halve(micro, batch, chunk)) {
        bool is_whole = micro >= batch;
        if (is_whole && whole >= 0) gan_memory_modes_add(list, whole, checkpointing, batch);
        if (!is_whole && split >= 0) gan_memory_modes_add(list, split, checkpointing, micro);
        if (fixed || micro <= chunk) break;
    }
}

int gan_memory_modes(const struct config *config, bool amp, bool may_mix, struct memory_mode *modes)
{
    struct list list = {.modes = modes, .amp = amp};
    bool keeps = config->gan.scheme != CONFIG_GAN_SCHEME_BLOCK;
    bool recomputes = config->gan.scheme != CONFIG_GAN_SCHEME_NONE;
    if (config->memory.use_gradient_checkpointing) keeps = false, recomputes = true;
    int first = keeps ? MEMORY_RESIDENT : MEMORY_CHECKPOINTING;
    add_micro_batches(&list, config, first, -1, !keeps);
    if (keeps && recomputes) add_micro_batches(&list, config, MEMORY_CHECKPOINTING, -1, true);
    if (keeps) add_micro_batches(&list, config, -1, MEMORY_MICRO_BATCHES, false);
    if (recomputes) add_micro_batches(&list, config, -1, MEMORY_MICRO_BATCHES, true);
    bool mixes = may_mix && !amp;
    list.amp = amp || mixes;
    if (mixes && keeps) add_micro_batches(&list, config, MEMORY_MIXED, MEMORY_MIXED, false);
    if (mixes && recomputes) add_micro_batches(&list, config, MEMORY_MIXED, MEMORY_MIXED, true);
    list.amp = amp;
    add_micro_batches(&list, config, MEMORY_OFFLOAD, MEMORY_OFFLOAD, recomputes);
    list.amp = true;
    if (mixes) add_micro_batches(&list, config, MEMORY_OFFLOAD, MEMORY_OFFLOAD, recomputes);
    return list.count;
}

struct gan_mode gan_mode_of(const struct config *config, const struct memory_mode *mode)
{
    int batch = (int)config->gan.batch;
    return (struct gan_mode){
        .batch = batch,
        .micro = mode->micro_batch < batch ? mode->micro_batch : batch,
        .scheme = mode->checkpointing ? GAN_SCHEME_BLOCK : GAN_SCHEME_NONE,
        .amp = mode->amp,
        .offload = mode->offload,
        .workspace_cap = mode->workspace_cap,
    };
}

double gan_mode_time(const struct config *config, const struct memory_mode *mode)
{
    double halvings = log2((double)config->gan.batch / mode->micro_batch);
    double time = pow(HALVING_TIME, halvings);
    if (mode->checkpointing) time *= RECOMPUTE_TIME;
    if (mode->offload) time *= OFFLOAD_TIME;
    return time;
}

struct config gan_config_with(const struct config *config, const struct memory_work *work)
{
    struct config sized = *config;
    if (work->picture) {
        int w = gan_picture_width(config), h = gan_picture_height(config), side = w > h ? w : h;
        sized.gan.size = work->picture;
        sized.gan.width = (int64_t)work->picture * w / side;
        sized.gan.height = (int64_t)work->picture * h / side;
    }
    if (work->batch) sized.gan.batch = work->batch;
    return sized;
}
