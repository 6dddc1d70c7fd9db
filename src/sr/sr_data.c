#include "sr/sr_data.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "config/config.h"
#include "data/dataset.h"
#include "memory/schedule.h"
#include "task/task.h"

#include <stdlib.h>

enum { HELD_MOST = 12, HELD_SHARE = 20 }; /* 5 % */

struct task_input {
    struct pairs *train, *validation; /* validation NULL: held out of train */
};

void sr_free_input(struct task_input *input)
{
    if (!input) return;
    pairs_close(input->train);
    pairs_close(input->validation);
    free(input);
}

static bool uses_lq(const struct config *config)
{
    if (config->sr.data_mode == CONFIG_SR_DATA_MODE_OTF) return config->sr.dataroot_lq_prob > 0;
    return config->sr.data_mode != CONFIG_SR_DATA_MODE_BICUBIC && config->sr.dataroot_lq[0];
}

/* Whatever memory.schedule says: the set is the same for the whole run. */
static int sr_largest_patch(const struct config *config)
{
    const struct memory_schedule schedule = {config->memory.schedule.values,
                                             config->memory.schedule.count};
    int scheduled = memory_schedule_largest_size(&schedule), side = (int)config->sr.lq_size;
    return scheduled > side ? scheduled : side;
}

static int open_sets(struct task_input *input, const struct task_setup *setup, const char *cache,
                     const char *look)
{
    const struct config *config = setup->config;
    struct pairs_options options = {
        .role = "training",
        .gt = config->sr.dataroot_gt,
        .lq = uses_lq(config) ? config->sr.dataroot_lq : NULL,
        .naming = config->sr.filename_tmpl,
        .degraded = config->sr.data_mode == CONFIG_SR_DATA_MODE_OTF,
        .scale = (int)config->sr.scale,
        .least = sr_largest_patch(config),
        .crop = config->sr.fix_sizes == CONFIG_SR_FIX_SIZES_CROP,
        .cache_dir = cache,
        .look_dir = look,
        .spill_dir = setup->spill_dir,
        .stop_requested = setup->stop_requested,
    };
    TRY(pairs_open(&input->train, &options));
    if (!config->sr.val_gt[0]) return OK;
    options.role = "validation";
    options.gt = config->sr.val_gt;
    options.lq = config->sr.val_lq[0] ? config->sr.val_lq : NULL;
    options.least = 1;
    return pairs_open(&input->validation, &options);
}

/* Each image is decoded once, whether that is in the forecast, when there is no run folder yet, or
 * later. */
static int open_input(struct task_input **input, const struct task_setup *setup)
{
    char *cache = setup->run_dir ? dataset_cache_folder(setup->run_dir) : NULL;
    char *look = setup->planned_dir ? dataset_cache_folder(setup->planned_dir) : NULL;
    int code = OK;
    if (!*input) {
        struct task_input *made = calloc(1, sizeof *made);
        code = made ? open_sets(made, setup, cache, look) : fail(ERR_SYSTEM, "out of memory");
        if (code == OK)
            *input = made;
        else
            sr_free_input(made);
    } else if (cache) {
        code = pairs_keep((*input)->train, cache);
        if (code == OK && (*input)->validation) code = pairs_keep((*input)->validation, cache);
    }
    free(cache);
    free(look);
    return code;
}

/* Which of `count` images are held out: those with the smallest draws. */
static void mark_held_pairs(bool *is_held, int count, int wanted, uint64_t seed)
{
    for (int k = 0; k < wanted; k++) {
        int chosen = -1;
        uint32_t least = 0;
        for (int i = 0; i < count; i++) {
            uint32_t draw = philox_draw(seed, STREAM_SR_HELD, 0, (uint64_t)i).v[0];
            if (is_held[i] || (chosen >= 0 && draw >= least)) continue;
            chosen = i;
            least = draw;
        }
        is_held[chosen] = true;
    }
}

static int split_pairs(struct sr_data *data, const struct task_input *input, uint64_t seed)
{
    const struct pairs *set = input->train;
    int count = pairs_count(set), held = input->validation ? pairs_count(input->validation) : 0;
    int wanted = input->validation || count < 2 ? 0 : (count + HELD_SHARE - 1) / HELD_SHARE;
    if (wanted > HELD_MOST) wanted = HELD_MOST;
    bool *is_held = calloc((size_t)count, sizeof *is_held);
    data->train = calloc((size_t)count, sizeof *data->train);
    data->held = calloc((size_t)(held + wanted) + 1, sizeof *data->held);
    if (!is_held || !data->train || !data->held) {
        free(is_held);
        return fail(ERR_SYSTEM, "out of memory");
    }
    mark_held_pairs(is_held, count, wanted, seed);
    for (int i = 0; i < count; i++) {
        if (is_held[i])
            data->held[data->held_count++] = pairs_at(set, i);
        else
            data->train[data->train_count++] = pairs_at(set, i);
    }
    free(is_held);
    for (int i = 0; i < held; i++)
        data->held[data->held_count++] = pairs_at(input->validation, i);
    return OK;
}

/* With data_mode otf, held-out images whose LQ nobody gave are degraded as well. */
static int degrade_held(struct sr_data *data, const struct task_setup *setup,
                        const struct degrade_choices *choices)
{
    const struct config *config = setup->config;
    if (config->sr.data_mode != CONFIG_SR_DATA_MODE_OTF) return OK;
    if (config->sr.val_gt[0] && config->sr.val_lq[0]) return OK;
    TRY(sr_held_open(&data->degraded, data->held, data->held_count, choices, (uint64_t)config->seed,
                     setup->spill_dir, setup->forecast_only));
    for (int i = 0; i < data->held_count; i++)
        data->held[i] = &data->degraded.pairs[i];
    return OK;
}

int sr_data_open(struct sr_data *data, struct task_input **own, const struct task_setup *setup,
                 const struct degrade_choices *choices)
{
    const struct config *config = setup->config;
    if (!config->sr.dataroot_gt[0])
        return fail(ERR_CONFIG, "dataroot_gt is not set: the folder of images to learn from");
    struct task_input **input = setup->input ? setup->input : own;
    bool is_first = !*input;
    TRY(open_input(input, setup));
    TRY(split_pairs(data, *input, (uint64_t)config->seed));
    const uint64_t prints[] = {pairs_fingerprint((*input)->train),
                               (*input)->validation ? pairs_fingerprint((*input)->validation) : 0};
    data->fingerprint = hash_bytes(0, prints, sizeof prints);
    TRY(crop_source_open(&data->crops, data->train, data->train_count, (int)config->sr.scale));
    TRY(degrade_held(data, setup, choices));
    if (!is_first || (*input)->validation) return OK;
    if (data->held_count == 0)
        log_warning("training data: only one image: nothing is measured, as none can be held out");
    for (int i = 0; i < data->held_count; i++)
        log_info("held out: %s", data->held[i]->name);
    return OK;
}

void sr_data_close(struct sr_data *data)
{
    crop_source_close(&data->crops);
    free((void *)data->train);
    free((void *)data->held);
    sr_held_close(&data->degraded);
    *data = (struct sr_data){.train_count = 0};
}
