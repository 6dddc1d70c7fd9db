#include "sr/sr_data.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "config/config.h"
#include "data/dataset.h"
#include "memory/schedule.h"
#include "task/task.h"

#include <stdlib.h>
#include <string.h>

enum { HELD_MOST = 12, HELD_SHARE = 20 }; /* 5 % */

/* The images of several folders, one behind the other. */
enum { FOLDERS_MOST = 64 };
struct sr_sets {
    struct pairs *sets[FOLDERS_MOST];
    int count;
};

struct task_input {
    struct sr_sets train, validation; /* no validation: held out of train */
};

static void sets_close(struct sr_sets *sets)
{
    for (int i = 0; i < sets->count; i++)
        pairs_close(sets->sets[i]);
}

static int sets_keep(struct sr_sets *sets, const char *cache)
{
    for (int i = 0; i < sets->count; i++)
        TRY(pairs_keep(sets->sets[i], cache));
    return OK;
}

static int sets_images(const struct sr_sets *sets)
{
    int count = 0;
    for (int i = 0; i < sets->count; i++)
        count += pairs_count(sets->sets[i]);
    return count;
}

static const struct pair *sets_at(const struct sr_sets *sets, int index)
{
    int set = 0;
    while (index >= pairs_count(sets->sets[set]))
        index -= pairs_count(sets->sets[set++]);
    return pairs_at(sets->sets[set], index);
}

static uint64_t sets_sum(const struct sr_sets *sets, uint64_t (*sum)(const struct pairs *))
{
    uint64_t prints[FOLDERS_MOST];
    for (int i = 0; i < sets->count; i++)
        prints[i] = sum(sets->sets[i]);
    if (sets->count == 1) return prints[0];
    return sets->count ? hash_bytes(0, prints, (size_t)sets->count * sizeof *prints) : 0;
}

static uint64_t input_sum(const struct task_input *input, uint64_t (*sum)(const struct pairs *))
{
    const uint64_t sums[] = {sets_sum(&input->train, sum), sets_sum(&input->validation, sum)};
    return hash_bytes(0, sums, sizeof sums);
}

void sr_free_input(struct task_input *input)
{
    if (!input) return;
    sets_close(&input->train);
    sets_close(&input->validation);
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

/* The folders of a key: one, or several with ; between them. Pieces of *text, which is malloc. */
static int split_folders(const char *value, char **text, const char **folders, int *count)
{
    *count = 0;
    *text = string_format("%s", value);
    if (!*text) return ERR_SYSTEM;
    if (file_is_dir(value) || !strchr(value, ';')) {
        if (*value) folders[(*count)++] = *text;
        return OK;
    }
    for (char *at = *text, *next; at; at = next) {
        next = strchr(at, ';');
        if (next) *next++ = '\0';
        if (!*at) continue;
        if (*count == FOLDERS_MOST)
            return fail(ERR_CONFIG, "%s: more than %d folders", value, FOLDERS_MOST);
        folders[(*count)++] = at;
    }
    return *count ? OK : fail(ERR_CONFIG, "%s: no folder", value);
}

/* What several keys say of the same folders. */
struct folder_keys {
    const char *gt, *lq, *names; /* their values */
    const char *lq_key, *gt_key;
};

static int open_folders(struct sr_sets *sets, const struct folder_keys *keys,
                        struct pairs_options *options)
{
    const char *const values[3] = {keys->gt, keys->lq ? keys->lq : "", keys->names};
    const char *names[3] = {keys->gt_key, keys->lq_key, "meta_info"};
    const char *folders[3][FOLDERS_MOST];
    char *text[3] = {NULL};
    int count[3] = {0}, code = OK;
    for (int k = 0; k < 3 && code == OK; k++) {
        code = split_folders(values[k], &text[k], folders[k], &count[k]);
        if (code == OK && count[k] > 0 && count[k] != count[0])
            code = fail(ERR_CONFIG, "sr.%s names %d folders and sr.%s %d: each has its own",
                        names[0], count[0], names[k], count[k]);
    }
    for (int i = 0; i < count[0] && code == OK; i++) {
        options->gt = folders[0][i];
        options->lq = count[1] ? folders[1][i] : NULL;
        options->names = count[2] ? folders[2][i] : NULL;
        code = pairs_open(&sets->sets[i], options);
        if (code == OK) sets->count = i + 1;
    }
    for (int k = 0; k < 3; k++)
        free(text[k]);
    return code;
}

static int open_sets(struct task_input *input, const struct task_setup *setup, const char *cache,
                     const char *look)
{
    const struct config *config = setup->config;
    struct pairs_options options = {
        .role = "training",
        .naming = config->sr.filename_tmpl,
        .degraded = config->sr.data_mode == CONFIG_SR_DATA_MODE_OTF,
        .scale = (int)config->sr.scale,
        .least = sr_largest_patch(config),
        .crop = config->sr.fix_sizes == CONFIG_SR_FIX_SIZES_CROP,
        .cache_dir = cache,
        .look_dir = look,
        .spill_dir = setup->spill_dir,
        .uncached = !config->sr.cache,
        .stop_requested = setup->stop_requested,
    };
    struct folder_keys keys = {config->sr.dataroot_gt,
                               uses_lq(config) ? config->sr.dataroot_lq : NULL,
                               config->sr.meta_info, "dataroot_lq", "dataroot_gt"};
    TRY(open_folders(&input->train, &keys, &options));
    if (!config->sr.val_gt[0]) return OK;
    options.role = "validation";
    keys = (struct folder_keys){config->sr.val_gt, config->sr.val_lq, "", "val_lq", "val_gt"};
    options.least = 1;
    return open_folders(&input->validation, &keys, &options);
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
        code = sets_keep(&(*input)->train, cache);
        if (code == OK) code = sets_keep(&(*input)->validation, cache);
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
    const struct sr_sets *set = &input->train;
    int count = sets_images(set), held = sets_images(&input->validation);
    int wanted = input->validation.count || count < 2 ? 0 : (count + HELD_SHARE - 1) / HELD_SHARE;
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
            data->held[data->held_count++] = sets_at(set, i);
        else
            data->train[data->train_count++] = sets_at(set, i);
    }
    free(is_held);
    for (int i = 0; i < held; i++)
        data->held[data->held_count++] = sets_at(&input->validation, i);
    return OK;
}

/* With data_mode otf, held-out images whose LQ nobody gave are degraded as well; where none is held
 * out, the training image that is shown. */
static int degrade_held(struct sr_data *data, const struct task_setup *setup,
                        const struct degrade_choices *choices)
{
    const struct config *config = setup->config;
    if (config->sr.data_mode != CONFIG_SR_DATA_MODE_OTF) return OK;
    if (config->sr.val_gt[0] && config->sr.val_lq[0]) return OK;
    bool is_held = data->held_count > 0;
    TRY(sr_held_open(&data->degraded, is_held ? data->held : data->train,
                     is_held ? data->held_count : 1, choices, (uint64_t)config->seed,
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
    data->cached = setup->config->sr.cache;
    data->fingerprint = input_sum(*input, pairs_fingerprint);
    data->listing = input_sum(*input, pairs_listing);
    TRY(crop_source_open(&data->crops, data->train, data->train_count, (int)config->sr.scale));
    TRY(degrade_held(data, setup, choices));
    if (!is_first || (*input)->validation.count) return OK;
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
