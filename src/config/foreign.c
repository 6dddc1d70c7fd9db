/* Option files of other trainers of super-resolution (traiNNer-redux, neosr, BasicSR, Real-ESRGAN):
 * their keys by dotted path -> ours. Of several rows of the table that fit, the longest counts. A
 * key of theirs that nothing here answers to is named once; one whose absence would change what is
 * learnt is a fault. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse_number.h"
#include "config/foreign_data.h"
#include "config/foreign_degradations.h"
#include "config/foreign_losses.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- keys that are not one to one ---- */

/* Says one of our keys, unless they say what it comes from. */
static int say_unless(struct translation *t, const struct config_entry *entry, const char *theirs,
                      const char *key, const char *value)
{
    char path[64];
    snprintf(path, sizeof path, "network_g.%s", theirs);
    return !value || foreign_find(t, path) ? OK : foreign_say(t, entry, key, value);
}

static int translate_network(struct translation *t, const struct config_entry *entry)
{
    /* Each with the words that its program has for channels and convolutions or blocks. */
    static const struct {
        const char *name, *network, *their_features, *features, *their_depth, *key, *depth;
    } kinds[] = {
        {"compact", "compact", "num_feat", "64", "num_conv", "sr.num_conv", "16"},
        {"ultracompact", "compact", "num_feat", "64", "num_conv", "sr.num_conv", "8"},
        {"superultracompact", "compact", "num_feat", "24", "num_conv", "sr.num_conv", "8"},
        {"SRVGGNetCompact", "compact", "num_feat", "64", "num_conv", "sr.num_conv", "16"},
        {"span", "span", "feature_channels", "52", "", "", NULL},
        {"span_s", "span", "feature_channels", "48", "", "", NULL},
        {"esrgan", "esrgan", "num_filters", "64", "num_blocks", "sr.num_block", "23"},
        {"esrgan_lite", "esrgan", "num_filters", "32", "num_blocks", "sr.num_block", "12"},
        {"RRDBNet", "esrgan", "num_feat", "64", "num_block", "sr.num_block", "23"},
    };
    char names[256] = "", shown[CONFIG_SHOWN_BYTES];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", kinds[i].name);
        if (strcasecmp(foreign_text(entry), kinds[i].name) != 0) continue;
        TRY(foreign_say(t, entry, "sr.network", kinds[i].network));
        TRY(say_unless(t, entry, kinds[i].their_features, "sr.num_feat", kinds[i].features));
        return say_unless(t, entry, kinds[i].their_depth, kinds[i].key, kinds[i].depth);
    }
    return config_fault(t->faults, entry->where_text, "%s: %s is none of %s", entry->key,
                        config_value_shown(foreign_text(entry), shown), names);
}

static int translate_upscale(struct translation *t, const struct config_entry *entry)
{
    if (foreign_number(t, entry->key, 0) == foreign_number(t, "scale", -1)) return OK;
    return foreign_refuse(t, entry, "is another one than scale");
}

/* Something that would change what is learnt. */
static int require_off(struct translation *t, const struct config_entry *entry)
{
    return foreign_is_off(entry)
               ? OK
               : foreign_refuse(t, entry, "is not there in this program: leave it out");
}

static int translate_optimiser(struct translation *t, const struct config_entry *entry)
{
    bool adam = strcasecmp(foreign_text(entry), "Adam") == 0;
    if (!adam && strcasecmp(foreign_text(entry), "AdamW") != 0)
        return foreign_refuse(t, entry, "is none of Adam and AdamW");
    if (adam && foreign_number(t, "train.optim_g.weight_decay", 0) != 0)
        return foreign_refuse(t, entry, "with weight_decay only AdamW is there");
    return OK;
}

static int translate_betas(struct translation *t, const struct config_entry *entry)
{
    if (entry->count != 2) return foreign_refuse(t, entry, "expected two numbers");
    TRY(foreign_say(t, entry, "sr.b1", entry->texts[0]));
    return foreign_say(t, entry, "sr.b2", entry->texts[1]);
}

static int translate_schedule(struct translation *t, const struct config_entry *entry)
{
    const char *type = foreign_text(entry);
    if (strcasecmp(type, "MultiStepLR") == 0) return foreign_say(t, entry, "sr.schedule", "steps");
    if (strcasecmp(type, "CosineAnnealingLR") == 0 ||
        strcasecmp(type, "CosineAnnealingRestartLR") == 0)
        return foreign_say(t, entry, "sr.schedule", "cosine");
    return foreign_refuse(t, entry,
                          "is none of MultiStepLR, CosineAnnealingLR and CosineAnnealingRestartLR");
}

/* One cosine of so many steps, which PyTorch would turn upwards behind them. */
static int translate_whole_cosine(struct translation *t, const struct config_entry *entry)
{
    double steps = foreign_number(t, "train.total_iter", 0), whole;
    if (entry->count != 1 || !number_parse_double(foreign_text(entry), &whole) || whole < steps)
        return foreign_refuse(t, entry, "expected a number that is not below total_iter");
    return whole == steps ? OK : foreign_say(t, entry, "sr.periods", NULL);
}

static int translate_periods(struct translation *t, const struct config_entry *entry)
{
    bool all = entry->count == 1 &&
               foreign_number(t, entry->key, 0) == foreign_number(t, "train.total_iter", -1);
    return all ? OK : foreign_say(t, entry, "sr.periods", NULL);
}

static int require_ones(struct translation *t, const struct config_entry *entry)
{
    double weight;
    for (int i = 0; i < entry->count; i++)
        if (!number_parse_double(entry->texts[i], &weight) || weight != 1)
            return foreign_refuse(t, entry, "only 1 is there");
    return OK;
}

static int translate_rate_end(struct translation *t, const struct config_entry *entry)
{
    double from = foreign_number(t, "train.optim_g.lr", 0), to = foreign_number(t, entry->key, -1);
    if (!(from > 0 && to >= 0))
        return foreign_refuse(t, entry, "expected a number, and optim_g.lr");
    return foreign_say_number(t, entry, "sr.lr_end", to / from);
}

static int translate_warmup(struct translation *t, const struct config_entry *entry)
{
    return foreign_say(t, entry, "sr.warmup", *foreign_text(entry) == '-' ? "0" : NULL);
}

/* A flag, beside which the norm stands; 1 where it does not. */
static int translate_clip(struct translation *t, const struct config_entry *entry)
{
    if (foreign_is_off(entry)) return foreign_say(t, entry, "sr.grad_clip", "0");
    return foreign_say_number(t, entry, "sr.grad_clip",
                              foreign_number(t, "train.grad_clip_max_norm", 1));
}

static int translate_crop_border(struct translation *t, const struct config_entry *entry)
{
    return foreign_is_said(t, "crop_border") ? OK : foreign_say(t, entry, "sr.crop_border", NULL);
}

static int require_our_metric(struct translation *t, const struct config_entry *entry)
{
    (void)t;
    if (strcasecmp(foreign_text(entry), "calculate_psnr") == 0 ||
        strcasecmp(foreign_text(entry), "calculate_ssim") == 0)
        return OK;
    log_info("%s: '%s: %s' has no effect here", entry->where_key, entry->key, foreign_text(entry));
    return OK;
}

/* ---- sizes by memory ---- */

/* Behind `prefix`, or NULL. */
static const char *key_behind(const char *key, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(key, prefix, length) == 0 && key[length] == '.' ? key + length + 1 : NULL;
}

/* A key of theirs for the memory section, unless it is there already. */
static int say_automation(struct translation *t, const struct config_entry *entry, const char *name)
{
    const char *ours = config_automation_key(name);
    if (!config_automation_has(name)) return foreign_no_effect(entry);
    if (foreign_is_said(t, ours)) return OK;
    char *key = string_format("memory.%s", ours);
    int code = key ? foreign_say(t, entry, key, NULL) : ERR_SYSTEM;
    free(key);
    return code;
}

/* training_automations, at the top or in `train`; all of it may be turned off at once. */
static int translate_automation(struct translation *t, const struct config_entry *entry)
{
    bool in_train = key_behind(entry->key, "train");
    const char *prefix = in_train ? "train." CONFIG_AUTOMATIONS : CONFIG_AUTOMATIONS;
    const struct config_entry *all = foreign_find(
        t, in_train ? "train." CONFIG_AUTOMATIONS ".enabled" : CONFIG_AUTOMATIONS ".enabled");
    if (entry == all) return OK;
    const char *name = key_behind(entry->key, prefix), *key = NULL;
    if (name) key = key_behind(name, CONFIG_AUTOMATION);
    if (name && !key) key = key_behind(name, "dynamic_batch_size_optimizer");
    if (!key) return foreign_no_effect(entry);
    return all && foreign_is_off(all) ? OK : say_automation(t, entry, key);
}

/* Memory is managed all the same: these are its bounds, and whether sizes follow. */
static int translate_vram_management(struct translation *t, const struct config_entry *entry)
{
    const struct config_entry *all = foreign_find(t, "auto_vram_management.enabled");
    const char *key = key_behind(entry->key, "auto_vram_management");
    if (!key) return foreign_no_effect(entry);
    return entry != all && all && foreign_is_off(all) ? OK : say_automation(t, entry, key);
}

/* ---- the table ---- */

/* A part of a path may be *. `key`: one to one; `rule`: by a function; `only`: the one value that
 * does here what it does there, and what to say of others; none of them: nothing to say. */
static const struct foreign_row {
    const char *path, *key;
    foreign_rule *rule;
    const char *only, *why;
} foreign_rows[] = {
    {"name", .key = "exp_name"},
    {"scale", .key = "sr.scale"},
    {"manual_seed", .key = "seed"},
    {"use_amp", .key = "use_amp"},
    {"deterministic", .key = "deterministic"},
    {"task", .key = "task"},
    {.path = "model_type"},
    {.path = "high_order_degradation"},
    {"gt_usm", .rule = foreign_translate_gt_usm},
    {"percep_gt_usm", .rule = foreign_translate_perceptual_target},
    {.path = "gt_size"}, /* the data set has it too */
    {.path = "datasets.train.name"},
    {"datasets.train.type", .rule = foreign_translate_data_type},
    {"datasets.train.dataroot_gt", .rule = foreign_translate_folder},
    {"datasets.train.dataroot_lq", .rule = foreign_translate_folder},
    {"datasets.train.meta_info", .rule = foreign_translate_folder},
    {"datasets.train.meta_info_file", .rule = foreign_translate_folder},
    {"datasets.train.filename_tmpl", .key = "sr.filename_tmpl"},
    {"datasets.*.io_backend.type", .only = "disk", .why = "images are read from folders: disk"},
    {"datasets.train.lq_size", .rule = foreign_translate_lq_size},
    {"datasets.train.patch_size", .rule = foreign_translate_lq_size},
    {"datasets.train.gt_size", .rule = foreign_translate_gt_size},
    {"datasets.train.use_hflip", .key = "sr.flip"},
    {"datasets.train.use_rot", .key = "sr.rot"},
    {"datasets.train.use_moa", .rule = require_off},
    {"datasets.train.batch_size_per_gpu", .rule = foreign_translate_batch},
    {"datasets.train.batch_size", .rule = foreign_translate_batch},
    {.path = "datasets.train.accum_iter"},
    {.path = "datasets.train.accumulate"},
    {.path = "datasets.val.name"},
    {.path = "datasets.val.type"},
    {"datasets.val.dataroot_gt", .rule = foreign_translate_folder},
    {"datasets.val.dataroot_lq", .rule = foreign_translate_folder},
    {"network_g.type", .rule = translate_network},
    {"network_g.num_feat", .key = "sr.num_feat"},
    {"network_g.num_conv", .key = "sr.num_conv"},
    {"network_g.feature_channels", .key = "sr.num_feat"},
    {"network_g.num_filters", .key = "sr.num_feat"},
    {"network_g.num_block", .key = "sr.num_block"},
    {"network_g.num_blocks", .key = "sr.num_block"},
    {"network_g.num_grow_ch", .key = "sr.num_grow_ch"},
    {"network_g.use_pixel_unshuffle", .key = "sr.use_pixel_unshuffle"},
    {"network_g.norm", .key = "sr.norm"},
    {"network_g.img_range", .only = "255", .why = "only 255 is there"},
    {"network_g.bias", .only = "true", .why = "all convolutions have a bias here: true"},
    {"network_g.num_in_ch", .only = "3", .why = "networks here take RGB: 3"},
    {"network_g.num_out_ch", .only = "3", .why = "networks here make RGB: 3"},
    {"network_g.act_type", .only = "prelu", .why = "only prelu is there"},
    {"network_g.upscale", .rule = translate_upscale},
    {"network_d.type", .rule = foreign_translate_discriminator},
    {"network_d.num_feat", .key = "sr.num_feat_d"},
    {"network_d.skip_connection", .key = "sr.skip_connection"},
    {"network_d.num_in_ch", .only = "3", .why = "networks here take RGB: 3"},
    {"path.pretrain_network_g", .key = "sr.pretrain_g"},
    {"path.pretrain_network_d", .rule = foreign_translate_pretrained_discriminator},
    {"path.strict_load_d", .only = "true", .why = "a discriminator is taken whole: true"},
    {"path.strict_load_g", .key = "sr.strict_load"},
    {"path.resume_state", .only = "", .why = "a run goes on with --resume: leave it out"},
    {"train.total_iter", .key = "sr.max_steps"},
    {.path = "train.accum_iter"},
    {.path = "train.accumulate"},
    {"train.ema_decay", .key = "sr.ema"},
    {"train.grad_clip", .rule = translate_clip},
    {.path = "train.grad_clip_max_norm"},
    {"train.optim_g.type", .rule = translate_optimiser},
    {"train.optim_g.lr", .key = "sr.lr_g"},
    {"train.optim_g.betas", .rule = translate_betas},
    {"train.optim_g.weight_decay", .key = "sr.weight_decay"},
    {"train.optim_d.type", .rule = foreign_require_as_generator},
    {"train.optim_d.lr", .key = "sr.lr_d"},
    {"train.optim_d.betas", .rule = foreign_require_as_generator},
    {"train.optim_d.weight_decay", .rule = foreign_require_as_generator},
    {"train.net_d_iters", .key = "sr.net_d_iters"},
    {"train.net_d_init_iters", .key = "sr.net_d_init_iters"},
    {"train.scheduler.type", .rule = translate_schedule},
    {"train.scheduler.milestones", .key = "sr.milestones"},
    {"train.scheduler.gamma", .key = "sr.lr_gamma"},
    {"train.scheduler.T_max", .rule = translate_whole_cosine},
    {"train.scheduler.periods", .rule = translate_periods},
    {"train.scheduler.restart_weights", .rule = require_ones},
    {"train.scheduler.eta_min", .rule = translate_rate_end},
    {"train.warmup_iter", .rule = translate_warmup},
    {"train.losses.*.*", .rule = foreign_translate_loss},
    {"train.*_opt.*", .rule = foreign_translate_loss},
    {.path = "val.val_enabled"},
    {"val.val_freq", .key = "sr.val_every"},
    {.path = "val.metrics_enabled"},
    {"val.metrics.*.type", .rule = require_our_metric},
    {"val.metrics.*.crop_border", .rule = translate_crop_border},
    {.path = "val.metrics.*.*"},
    {"logger.print_freq", .key = "eval_steps"},
    {"logger.save_checkpoint_freq", .key = "checkpoint.every"},
    {CONFIG_AUTOMATIONS, .rule = translate_automation},
    {"train." CONFIG_AUTOMATIONS, .rule = translate_automation},
    {"auto_vram_management", .rule = translate_vram_management},
};

/* How many characters of `path` the row's names without * make up, all its parts being the first of
 * the path's; negative: it does not fit. */
static int fit_of_row(const char *row, const char *path)
{
    int fit = 0;
    for (;;) {
        size_t part = strcspn(path, "."), wanted = strcspn(row, ".");
        const char *star = memchr(row, '*', wanted);
        size_t head = star ? (size_t)(star - row) : wanted, tail = wanted - head - (star ? 1 : 0);
        if (star ? part < head + tail : part != head) return -1;
        if (strncmp(row, path, head) != 0) return -1;
        if (star && strncmp(star + 1, path + part - tail, tail) != 0) return -1;
        fit += (int)(head + tail) + 1;
        row += wanted;
        path += part;
        if (*row == '\0') return fit;
        if (*path == '\0') return -1;
        row++;
        path++;
    }
}

static const struct foreign_row *find_foreign_row(const char *path)
{
    const struct foreign_row *best = NULL;
    int most = -1;
    for (size_t i = 0; i < sizeof foreign_rows / sizeof *foreign_rows; i++) {
        int fit = fit_of_row(foreign_rows[i].path, path);
        if (fit > most) {
            most = fit;
            best = &foreign_rows[i];
        }
    }
    return best;
}

bool config_key_is_foreign(const char *key)
{
    return strcmp(key, "network_g") == 0 || strcmp(key, "datasets") == 0;
}

int config_translate_foreign(struct config_entries *ours, const struct config_entries *theirs,
                             struct config_faults *faults)
{
    struct translation t = {.theirs = theirs, .ours = ours, .faults = faults};
    for (int i = 0; i < theirs->count; i++) {
        const struct config_entry *entry = &theirs->items[i];
        if (entry->is_nested && entry->count == 0) continue; /* its parts are entries too */
        const struct foreign_row *row = find_foreign_row(entry->key);
        const char *degradation = foreign_degradation_key(entry->key);
        if (entry->is_nested)
            TRY(foreign_refuse(&t, entry, "a list may hold only single values"));
        else if (degradation)
            TRY(entry->is_null ? OK : foreign_say(&t, entry, degradation, NULL));
        else if (!row)
            TRY(foreign_no_effect(entry));
        else if (row->rule)
            TRY(row->rule(&t, entry));
        else if (row->only && strcasecmp(foreign_text(entry), row->only) != 0)
            TRY(foreign_refuse(&t, entry, row->why));
        else if (row->key && !entry->is_null)
            TRY(foreign_say(&t, entry, row->key, NULL));
    }
    if (theirs->count > 0 && !foreign_find(&t, "task"))
        TRY(foreign_say(&t, &theirs->items[0], "task", "sr"));
    return foreign_drop_default_loss(&t);
}
