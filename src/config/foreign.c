/* Option files of other trainers of super-resolution (traiNNer-redux, neosr, BasicSR, Real-ESRGAN):
 * their keys by dotted path -> ours. Of several rows of the table that fit, the longest counts. A
 * key of theirs that nothing here answers to is named once; one whose absence would change what is
 * learnt is a fault. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse_number.h"
#include "config/config_internal.h"
#include "config/foreign_degradations.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct translation {
    const struct config_entries *theirs;
    struct config_entries *ours;
    struct config_faults *faults;
    const struct config_entry *first_loss; /* NULL: the file names none */
};

/* ---- texts ---- */

static const char *text_of(const struct config_entry *entry)
{
    return entry && entry->count > 0 ? entry->texts[0] : "";
}

static bool is_off(const struct config_entry *entry)
{
    bool on;
    double number;
    if (entry->count == 0) return true;
    if (config_value_parse_bool(text_of(entry), &on)) return !on;
    return number_parse_double(text_of(entry), &number) && number == 0;
}

static bool is_auto(const struct config_entry *entry)
{
    return strcasecmp(text_of(entry), "auto") == 0;
}

static const struct config_entry *find_theirs(const struct translation *t, const char *path)
{
    for (int i = 0; i < t->theirs->count; i++)
        if (strcmp(t->theirs->items[i].key, path) == 0) return &t->theirs->items[i];
    return NULL;
}

static double number_of(const struct translation *t, const char *path, double otherwise)
{
    const struct config_entry *entry = find_theirs(t, path);
    double value;
    return entry && number_parse_double(text_of(entry), &value) ? value : otherwise;
}

static bool is_said(const struct translation *t, const char *key)
{
    for (int i = 0; i < t->ours->count; i++)
        if (strcmp(t->ours->items[i].key, key) == 0) return true;
    return false;
}

/* ---- what becomes of an entry ---- */

static int refuse(struct translation *t, const struct config_entry *entry, const char *why)
{
    return config_fault(t->faults, entry->where_text, "%s: %s", entry->key, why);
}

static int no_effect(const struct config_entry *entry)
{
    log_info("%s: '%s' has no effect here", entry->where_key, entry->key);
    return OK;
}

/* Our key, said where they say theirs; NULL: with all of their values. */
static int say(struct translation *t, const struct config_entry *entry, const char *key,
               const char *text)
{
    struct config_entry *ours;
    const char *dot = strchr(key, '.');
    const char *section = dot ? config_section(key, (size_t)(dot - key)) : NULL;
    TRY(config_entry_add(t->ours, section, dot ? dot + 1 : key, CONFIG_FILE, &ours));
    ours->where_key = string_format("%s", entry->where_key);
    ours->where_text = string_format("%s", entry->where_text);
    ours->origin = string_format("%s", entry->origin);
    if (!ours->where_key || !ours->where_text || !ours->origin) return ERR_SYSTEM;
    if (text) return config_entry_add_text(ours, text);
    ours->is_list = entry->is_list;
    ours->is_null = entry->is_null;
    for (int i = 0; i < entry->count; i++)
        TRY(config_entry_add_text(ours, entry->texts[i]));
    return OK;
}

/* A list, `values` with a blank between. */
static int say_values(struct translation *t, const struct config_entry *entry, const char *key,
                      const char *values)
{
    char *word = string_format("%.*s", (int)strcspn(values, " "), values);
    int code = word ? say(t, entry, key, word) : ERR_SYSTEM;
    free(word);
    struct config_entry *ours = &t->ours->items[t->ours->count - 1];
    while (code == OK && *(values += strcspn(values, " "))) {
        values++;
        word = string_format("%.*s", (int)strcspn(values, " "), values);
        code = word ? config_entry_add_text(ours, word) : ERR_SYSTEM;
        free(word);
        ours->is_list = true;
    }
    return code;
}

static int say_number(struct translation *t, const struct config_entry *entry, const char *key,
                      double value)
{
    char text[NUMBER_TEXT_BYTES];
    return say(t, entry, key, number_format(text, value));
}

/* A list of paths, as one text. */
static int say_joined(struct translation *t, const struct config_entry *entry, const char *key)
{
    char *all = string_format("%s", entry->texts[0]);
    for (int i = 1; i < entry->count && all; i++) {
        char *more = string_format("%s;%s", all, entry->texts[i]);
        free(all);
        all = more;
    }
    int code = all ? say(t, entry, key, all) : ERR_SYSTEM;
    free(all);
    return code;
}

/* ---- keys that are not one to one ---- */

typedef int foreign_rule(struct translation *t, const struct config_entry *entry);

static int translate_folder(struct translation *t, const struct config_entry *entry)
{
    static const struct {
        const char *path, *key;
    } folders[] = {{"datasets.train.dataroot_gt", "sr.dataroot_gt"},
                   {"datasets.train.dataroot_lq", "sr.dataroot_lq"},
                   {"datasets.train.meta_info", "sr.meta_info"},
                   {"datasets.train.meta_info_file", "sr.meta_info"},
                   {"datasets.val.dataroot_gt", "sr.val_gt"},
                   {"datasets.val.dataroot_lq", "sr.val_lq"}};
    const struct config_entry *enabled = find_theirs(t, "val.val_enabled");
    if (enabled && is_off(enabled) && strncmp(entry->key, "datasets.val.", 13) == 0) return OK;
    for (size_t i = 0; i < sizeof folders / sizeof *folders && entry->count > 0; i++)
        if (strcmp(entry->key, folders[i].path) == 0) return say_joined(t, entry, folders[i].key);
    return OK;
}

/* A file with model_type is Real-ESRGAN's, whose ranges are our defaults, and whose GAN is trained
 * on sharpened images alone. */
static int translate_degradations(struct translation *t, const struct config_entry *entry)
{
    const struct config_entry *model = find_theirs(t, "model_type");
    TRY(say(t, entry, "sr.data_mode", "otf"));
    if (model && strncasecmp(text_of(model), "RealESRGAN", 10) == 0 && !find_theirs(t, "lq_usm"))
        TRY(say(t, model, "sr.lq_usm", "true"));
    for (int i = 0; !model && foreign_degradation_defaults[i].key; i++) {
        const char *key = foreign_degradation_defaults[i].key;
        bool said = false;
        for (int k = 0; k < t->theirs->count && !said; k++) {
            const char *same = foreign_degradation_key(t->theirs->items[k].key);
            said = same && strcmp(same, key) == 0;
        }
        if (!said) TRY(say_values(t, entry, key, foreign_degradation_defaults[i].values));
    }
    return OK;
}

/* "mixed": some files' RealESRGANPairedDataset degrades too. */
static int translate_data_mode(struct translation *t, const struct config_entry *entry,
                               const char *mode)
{
    const struct config_entry *degrading = find_theirs(t, "high_order_degradation");
    bool on = degrading && !is_off(degrading), mixed = strcmp(mode, "mixed") == 0;
    if (mixed) mode = on ? "otf" : "paired";
    bool otf = strcmp(mode, "otf") == 0;
    if (otf && degrading && !on)
        return refuse(t, entry, "without high_order_degradation there are no LQ images");
    if (on && !otf)
        return refuse(t, degrading, "degrades what RealESRGANDataset reads, no other type");
    return otf ? translate_degradations(t, entry) : say(t, entry, "sr.data_mode", mode);
}

/* Of Real-ESRNet: everything is sharpened. */
static int translate_gt_usm(struct translation *t, const struct config_entry *entry)
{
    TRY(say(t, entry, "sr.lq_usm", NULL));
    return say(t, entry, "sr.l1_gt_usm", NULL);
}

static int translate_data_type(struct translation *t, const struct config_entry *entry)
{
    static const struct {
        const char *name, *mode;
    } kinds[] = {{"pairedimagedataset", "paired"},
                 {"paired", "paired"},
                 {"realesrganpaireddataset", "mixed"},
                 {"realesrgandataset", "otf"},
                 {"otf", "otf"},
                 {"singleimagedataset", "bicubic"},
                 {"single", "bicubic"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcasecmp(text_of(entry), kinds[i].name) == 0)
            return translate_data_mode(t, entry, kinds[i].mode);
    char shown[CONFIG_SHOWN_BYTES];
    return config_fault(
        t->faults, entry->where_text,
        "%s: %s is none of pairedimagedataset, singleimagedataset, RealESRGANDataset "
        "and RealESRGANPairedDataset",
        entry->key, config_value_shown(text_of(entry), shown));
}

/* GT's side, of which ours is the scale's part. */
static int translate_gt_size(struct translation *t, const struct config_entry *entry)
{
    double side = number_of(t, entry->key, 0), scale = number_of(t, "scale", 1);
    if (!(side >= scale && scale >= 1) || fmod(side, scale) != 0)
        return refuse(t, entry, "expected a multiple of scale");
    return say_number(t, entry, "sr.lq_size", side / scale);
}

static int translate_batch(struct translation *t, const struct config_entry *entry)
{
    static const char *const times[] = {"datasets.train.accum_iter", "datasets.train.accumulate",
                                        "train.accum_iter", "train.accumulate"};
    double batch;
    if (is_auto(entry)) return OK; /* see translate_lq_size */
    if (!number_parse_double(text_of(entry), &batch)) return say(t, entry, "sr.batch", NULL);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        batch *= number_of(t, times[i], 1);
    return say_number(t, entry, "sr.batch", batch);
}

/* Says one of our keys, unless they say what it comes from. */
static int say_unless(struct translation *t, const struct config_entry *entry, const char *theirs,
                      const char *key, const char *value)
{
    char path[64];
    snprintf(path, sizeof path, "network_g.%s", theirs);
    return !value || find_theirs(t, path) ? OK : say(t, entry, key, value);
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
        if (strcasecmp(text_of(entry), kinds[i].name) != 0) continue;
        TRY(say(t, entry, "sr.network", kinds[i].network));
        TRY(say_unless(t, entry, kinds[i].their_features, "sr.num_feat", kinds[i].features));
        return say_unless(t, entry, kinds[i].their_depth, kinds[i].key, kinds[i].depth);
    }
    return config_fault(t->faults, entry->where_text, "%s: %s is none of %s", entry->key,
                        config_value_shown(text_of(entry), shown), names);
}

static int translate_upscale(struct translation *t, const struct config_entry *entry)
{
    if (number_of(t, entry->key, 0) == number_of(t, "scale", -1)) return OK;
    return refuse(t, entry, "is another one than scale");
}

/* Something that would change what is learnt. */
static int require_off(struct translation *t, const struct config_entry *entry)
{
    return is_off(entry) ? OK : refuse(t, entry, "is not there in this program: leave it out");
}

static int translate_optimiser(struct translation *t, const struct config_entry *entry)
{
    bool adam = strcasecmp(text_of(entry), "Adam") == 0;
    if (!adam && strcasecmp(text_of(entry), "AdamW") != 0)
        return refuse(t, entry, "is none of Adam and AdamW");
    if (adam && number_of(t, "train.optim_g.weight_decay", 0) != 0)
        return refuse(t, entry, "with weight_decay only AdamW is there");
    return OK;
}

static int translate_betas(struct translation *t, const struct config_entry *entry)
{
    if (entry->count != 2) return refuse(t, entry, "expected two numbers");
    TRY(say(t, entry, "sr.b1", entry->texts[0]));
    return say(t, entry, "sr.b2", entry->texts[1]);
}

static int translate_schedule(struct translation *t, const struct config_entry *entry)
{
    const char *type = text_of(entry);
    if (strcasecmp(type, "MultiStepLR") == 0) return say(t, entry, "sr.schedule", "steps");
    if (strcasecmp(type, "CosineAnnealingLR") == 0 ||
        strcasecmp(type, "CosineAnnealingRestartLR") == 0)
        return say(t, entry, "sr.schedule", "cosine");
    return refuse(t, entry,
                  "is none of MultiStepLR, CosineAnnealingLR and CosineAnnealingRestartLR");
}

/* The cosine ends where training does; T_max, or the one of `periods`. */
static int require_whole_cosine(struct translation *t, const struct config_entry *entry)
{
    double steps = number_of(t, "train.total_iter", 0);
    if (entry->count == 1 && number_of(t, entry->key, 0) == steps) return OK;
    return refuse(t, entry, "here the cosine takes all of total_iter, and begins once");
}

static int translate_rate_end(struct translation *t, const struct config_entry *entry)
{
    double from = number_of(t, "train.optim_g.lr", 0), to = number_of(t, entry->key, -1);
    if (!(from > 0 && to >= 0)) return refuse(t, entry, "expected a number, and optim_g.lr");
    return say_number(t, entry, "sr.lr_end", to / from);
}

static int translate_warmup(struct translation *t, const struct config_entry *entry)
{
    return say(t, entry, "sr.warmup", *text_of(entry) == '-' ? "0" : NULL);
}

/* A flag, beside which the norm stands; 1 where it does not. */
static int translate_clip(struct translation *t, const struct config_entry *entry)
{
    if (is_off(entry)) return say(t, entry, "sr.grad_clip", "0");
    return say_number(t, entry, "sr.grad_clip", number_of(t, "train.grad_clip_max_norm", 1));
}

static int translate_crop_border(struct translation *t, const struct config_entry *entry)
{
    return is_said(t, "crop_border") ? OK : say(t, entry, "sr.crop_border", NULL);
}

static int require_our_metric(struct translation *t, const struct config_entry *entry)
{
    (void)t;
    if (strcasecmp(text_of(entry), "calculate_psnr") == 0 ||
        strcasecmp(text_of(entry), "calculate_ssim") == 0)
        return OK;
    log_info("%s: '%s: %s' has no effect here", entry->where_key, entry->key, text_of(entry));
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
    if (!config_automation_has(name)) return no_effect(entry);
    if (is_said(t, ours)) return OK;
    char *key = string_format("memory.%s", ours);
    int code = key ? say(t, entry, key, NULL) : ERR_SYSTEM;
    free(key);
    return code;
}

/* training_automations, at the top or in `train`; all of it may be turned off at once. */
static int translate_automation(struct translation *t, const struct config_entry *entry)
{
    bool in_train = key_behind(entry->key, "train");
    const char *prefix = in_train ? "train." CONFIG_AUTOMATIONS : CONFIG_AUTOMATIONS;
    const struct config_entry *all = find_theirs(
        t, in_train ? "train." CONFIG_AUTOMATIONS ".enabled" : CONFIG_AUTOMATIONS ".enabled");
    if (entry == all) return OK;
    const char *name = key_behind(entry->key, prefix), *key = NULL;
    if (name) key = key_behind(name, CONFIG_AUTOMATION);
    if (name && !key) key = key_behind(name, "dynamic_batch_size_optimizer");
    if (!key) return no_effect(entry);
    return all && is_off(all) ? OK : say_automation(t, entry, key);
}

/* Memory is managed all the same: these are its bounds, and whether sizes follow. */
static int translate_vram_management(struct translation *t, const struct config_entry *entry)
{
    const struct config_entry *all = find_theirs(t, "auto_vram_management.enabled");
    const char *key = key_behind(entry->key, "auto_vram_management");
    if (!key) return no_effect(entry);
    return entry != all && all && is_off(all) ? OK : say_automation(t, entry, key);
}

/* AUTO: as large as there is memory for, from the default on. */
static int translate_lq_size(struct translation *t, const struct config_entry *entry)
{
    return is_auto(entry) ? OK : say(t, entry, "sr.lq_size", NULL);
}

/* ---- losses: `losses:` is a list of mappings, older files name each ---- */

/* Another key of the same loss. */
static const struct config_entry *find_beside(const struct translation *t,
                                              const struct config_entry *entry, const char *key)
{
    const char *dot = strrchr(entry->key, '.');
    char *path = string_format("%.*s.%s", (int)(dot - entry->key), entry->key, key);
    const struct config_entry *found = path ? find_theirs(t, path) : NULL;
    free(path);
    return found;
}

static bool loss_is_off(const struct translation *t, const struct config_entry *type)
{
    static const char *const weights[] = {"loss_weight", "perceptual_weight", "style_weight"};
    bool off = false;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        const struct config_entry *weight = find_beside(t, type, weights[i]);
        double value;
        if (!weight) continue;
        if (!number_parse_double(text_of(weight), &value) || value != 0) return false;
        off = true;
    }
    return off;
}

static int translate_gan_type(struct translation *t, const struct config_entry *entry)
{
    static const char *const types[] = {"vanilla", "lsgan", "hinge"};
    const struct config_entry *loss = find_beside(t, entry, "type");
    if (loss && loss_is_off(t, loss)) return OK;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(text_of(entry), types[i]) == 0) return say(t, entry, "sr.gan_type", types[i]);
    return refuse(t, entry, "is none of vanilla, lsgan and hinge");
}

/* A file that says which layers of VGG19 count says so of all that are compared here. */
static int require_all_layers(struct translation *t, const struct config_entry *type)
{
    static const char *const layers[] = {"layer_weights.conv1_2", "layer_weights.conv2_2",
                                         "layer_weights.conv3_4", "layer_weights.conv4_4",
                                         "layer_weights.conv5_4"};
    int said = 0;
    for (int i = 0; i < 5; i++)
        said += find_beside(t, type, layers[i]) != NULL;
    if (said == 0 || said == 5) return OK;
    return refuse(t, type,
                  "layer_weights has some of the layers that are compared here, not all: conv1_2, "
                  "conv2_2, conv3_4, conv4_4 and conv5_4");
}

/* What some losses have besides a weight. `type`: the entry that names the loss, which counts. */
static int translate_loss_details(struct translation *t, const struct config_entry *type)
{
    const struct config_entry *criterion = find_beside(t, type, "criterion");
    const char *name = text_of(type);
    bool box = strcasecmp(name, "averageloss") == 0;
    if (criterion && strcasecmp(text_of(criterion), "l1") != 0)
        return refuse(t, criterion, "only l1 is there");
    if (strcasecmp(name, "perceptualloss") == 0) return require_all_layers(t, type);
    if (!box && strcasecmp(name, "bicubicloss") != 0) return OK;
    if (is_said(t, "consistency"))
        return refuse(t, type, "a second loss of reduced images: one is there");
    return say(t, type, "sr.consistency", box ? "box" : "bicubic");
}

/* Whether the entry, or the mapping that it is in, stands beside `type: PerceptualLoss`, which
 * counts. */
static bool is_part_of_perceptual(const struct translation *t, const struct config_entry *entry)
{
    const char *layers = strstr(entry->key, ".layer_weights");
    int length = layers ? (int)(layers - entry->key) : (int)(strrchr(entry->key, '.') - entry->key);
    char *path = string_format("%.*s.type", length, entry->key);
    const struct config_entry *type = path ? find_theirs(t, path) : NULL;
    free(path);
    return type && strcasecmp(text_of(type), "perceptualloss") == 0 && !loss_is_off(t, type);
}

/* VGG19 is compared at five layers that count so. */
static int require_perceptual_detail(struct translation *t, const struct config_entry *entry,
                                     const char *key)
{
    static const struct {
        const char *key, *only;
    } details[] = {{"conv1_2", "0.1"},  {"conv2_2", "0.1"},      {"conv3_4", "1"},
                   {"conv4_4", "1"},    {"conv5_4", "1"},        {"vgg_type", "vgg19"},
                   {"range_norm", "0"}, {"use_input_norm", "1"}, {"style_weight", "0"}};
    double value;
    bool on, is_flag = config_value_parse_bool(text_of(entry), &on);
    if (!is_flag && !number_parse_double(text_of(entry), &value)) value = -1;
    if (is_flag) value = on;
    for (size_t i = 0; i < sizeof details / sizeof *details; i++) {
        double only;
        if (strcmp(key, details[i].key) != 0) continue;
        if (strcasecmp(text_of(entry), details[i].only) == 0) return OK;
        if (number_parse_double(details[i].only, &only) && value == only) return OK;
        return refuse(t, entry, "is another one than VGG19's loss has here");
    }
    if (strstr(entry->key, ".layer_weights.") && value != 0)
        return refuse(t, entry, "this layer is not compared here");
    return OK;
}

static int translate_loss(struct translation *t, const struct config_entry *entry)
{
    static const struct {
        const char *name, *key;
    } kinds[] = {{"l1loss", "sr.l1_weight"},
                 {"charbonnierloss", "sr.charbonnier_weight"},
                 {"mseloss", "sr.mse_weight"},
                 {"mssimloss", "sr.msssim_weight"},
                 {"msssimloss", "sr.msssim_weight"},
                 {"fftloss", "sr.fft_weight"},
                 {"perceptualloss", "sr.perceptual_weight"},
                 {"averageloss", "sr.consistency_weight"},
                 {"bicubicloss", "sr.consistency_weight"},
                 {"colorloss", "sr.colour_weight"},
                 {"lumaloss", "sr.luma_weight"},
                 {"ganloss", "sr.gan_weight"}};
    const char *key = strrchr(entry->key, '.') + 1;
    double value;
    if (strcmp(key, "reduction") == 0 && strcasecmp(text_of(entry), "mean") != 0)
        return refuse(t, entry, "only mean is there");
    if (strcmp(key, "eps") == 0 && number_parse_double(text_of(entry), &value) && value != 1e-12)
        return refuse(t, entry, "only 1e-12 is there");
    if (strcmp(key, "gan_type") == 0) return translate_gan_type(t, entry);
    if (strcmp(key, "real_label_val") == 0 || strcmp(key, "fake_label_val") == 0)
        return number_of(t, entry->key, -1) == (*key == 'r')
                   ? OK
                   : refuse(t, entry, "only 1 for real and 0 for fake images are there");
    if (strcmp(key, "perceptual_file") == 0) return say(t, entry, "sr.perceptual_file", NULL);
    if (strcmp(key, "type") != 0)
        return is_part_of_perceptual(t, entry) ? require_perceptual_detail(t, entry, key) : OK;
    if (!t->first_loss) t->first_loss = entry;
    if (loss_is_off(t, entry)) return OK;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcasecmp(text_of(entry), kinds[i].name) != 0) continue;
        const struct config_entry *weight = find_beside(t, entry, "loss_weight");
        if (!weight) weight = find_beside(t, entry, "perceptual_weight");
        TRY(translate_loss_details(t, entry));
        return weight ? say(t, weight, kinds[i].key, NULL) : say(t, entry, kinds[i].key, "1");
    }
    char shown[CONFIG_SHOWN_BYTES];
    return config_fault(t->faults, entry->where_text,
                        "%s: %s is none of the losses that there are; its weight of 0 leaves it "
                        "out",
                        entry->key, config_value_shown(text_of(entry), shown));
}

/* Whether the file has a loss of this type, in lower case, that counts. */
static bool has_loss(const struct translation *t, const char *type)
{
    for (int i = 0; i < t->theirs->count; i++) {
        const struct config_entry *entry = &t->theirs->items[i];
        const char *dot = strrchr(entry->key, '.');
        if (dot && strcmp(dot, ".type") == 0 && strcasecmp(text_of(entry), type) == 0 &&
            !loss_is_off(t, entry))
            return true;
    }
    return false;
}

/* Whether a loss of the file asks a discriminator. */
static bool has_gan_loss(const struct translation *t)
{
    return has_loss(t, "ganloss");
}

/* Of Real-ESRGAN: here VGG19 sees the images that pixel losses see. */
static int require_as_pixel_losses(struct translation *t, const struct config_entry *entry)
{
    const struct config_entry *pixel = find_theirs(t, "l1_gt_usm");
    if (!pixel) pixel = find_theirs(t, "gt_usm");
    bool sharpens = pixel && !is_off(pixel);
    if (sharpens == !is_off(entry) || !has_loss(t, "perceptualloss")) return OK;
    return refuse(t, entry, "is another one than l1_gt_usm, which VGG19's loss goes by here");
}

/* Without a loss that asks it, it changes nothing. */
static int translate_discriminator(struct translation *t, const struct config_entry *entry)
{
    if (!has_gan_loss(t)) return no_effect(entry);
    if (strcasecmp(text_of(entry), "unetdiscriminatorsn") == 0)
        return say(t, entry, "sr.discriminator", "unet");
    return refuse(t, entry, "only the U-Net is there: UNetDiscriminatorSN");
}

static int translate_pretrained_discriminator(struct translation *t,
                                              const struct config_entry *entry)
{
    return has_gan_loss(t) ? say(t, entry, "sr.pretrain_d", NULL) : no_effect(entry);
}

static bool is_same_value(const char *a, const char *b)
{
    double x, y;
    if (number_parse_double(a, &x) && number_parse_double(b, &y)) return x == y;
    return strcasecmp(a, b) == 0;
}

/* What both networks have in common here. */
static int require_as_generator(struct translation *t, const struct config_entry *entry)
{
    char path[64];
    snprintf(path, sizeof path, "train.optim_g.%s", strrchr(entry->key, '.') + 1);
    const struct config_entry *other = find_theirs(t, path);
    bool same = other && other->count == entry->count;
    for (int i = 0; same && i < entry->count; i++)
        same = is_same_value(entry->texts[i], other->texts[i]);
    return same || !has_gan_loss(t) ? OK : refuse(t, entry, "is another one than optim_g's");
}

/* A file that names its losses means these and no others. */
static int drop_default_loss(struct translation *t)
{
    if (!t->first_loss || is_said(t, "charbonnier_weight")) return OK;
    return say(t, t->first_loss, "sr.charbonnier_weight", "0");
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
    {"gt_usm", .rule = translate_gt_usm},
    {"percep_gt_usm", .rule = require_as_pixel_losses},
    {.path = "gt_size"}, /* the data set has it too */
    {.path = "datasets.train.name"},
    {"datasets.train.type", .rule = translate_data_type},
    {"datasets.train.dataroot_gt", .rule = translate_folder},
    {"datasets.train.dataroot_lq", .rule = translate_folder},
    {"datasets.train.meta_info", .rule = translate_folder},
    {"datasets.train.meta_info_file", .rule = translate_folder},
    {"datasets.train.filename_tmpl", .key = "sr.filename_tmpl"},
    {"datasets.*.io_backend.type", .only = "disk", .why = "images are read from folders: disk"},
    {"datasets.train.lq_size", .rule = translate_lq_size},
    {"datasets.train.patch_size", .rule = translate_lq_size},
    {"datasets.train.gt_size", .rule = translate_gt_size},
    {"datasets.train.use_hflip", .key = "sr.flip"},
    {"datasets.train.use_rot", .key = "sr.rot"},
    {"datasets.train.use_moa", .rule = require_off},
    {"datasets.train.batch_size_per_gpu", .rule = translate_batch},
    {"datasets.train.batch_size", .rule = translate_batch},
    {.path = "datasets.train.accum_iter"},
    {.path = "datasets.train.accumulate"},
    {.path = "datasets.val.name"},
    {.path = "datasets.val.type"},
    {"datasets.val.dataroot_gt", .rule = translate_folder},
    {"datasets.val.dataroot_lq", .rule = translate_folder},
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
    {"network_d.type", .rule = translate_discriminator},
    {"network_d.num_feat", .key = "sr.num_feat_d"},
    {"network_d.skip_connection", .key = "sr.skip_connection"},
    {"network_d.num_in_ch", .only = "3", .why = "networks here take RGB: 3"},
    {"path.pretrain_network_g", .key = "sr.pretrain_g"},
    {"path.pretrain_network_d", .rule = translate_pretrained_discriminator},
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
    {"train.optim_d.type", .rule = require_as_generator},
    {"train.optim_d.lr", .key = "sr.lr_d"},
    {"train.optim_d.betas", .rule = require_as_generator},
    {"train.optim_d.weight_decay", .rule = require_as_generator},
    {"train.net_d_iters", .key = "sr.net_d_iters"},
    {"train.net_d_init_iters", .key = "sr.net_d_init_iters"},
    {"train.scheduler.type", .rule = translate_schedule},
    {"train.scheduler.milestones", .key = "sr.milestones"},
    {"train.scheduler.gamma", .key = "sr.lr_gamma"},
    {"train.scheduler.T_max", .rule = require_whole_cosine},
    {"train.scheduler.periods", .rule = require_whole_cosine},
    {"train.scheduler.restart_weights", .only = "1", .why = "only 1 is there"},
    {"train.scheduler.eta_min", .rule = translate_rate_end},
    {"train.warmup_iter", .rule = translate_warmup},
    {"train.losses.*.*", .rule = translate_loss},
    {"train.*_opt.*", .rule = translate_loss},
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
            TRY(refuse(&t, entry, "a list may hold only single values"));
        else if (degradation)
            TRY(entry->is_null ? OK : say(&t, entry, degradation, NULL));
        else if (!row)
            TRY(no_effect(entry));
        else if (row->rule)
            TRY(row->rule(&t, entry));
        else if (row->only && strcasecmp(text_of(entry), row->only) != 0)
            TRY(refuse(&t, entry, row->why));
        else if (row->key && !entry->is_null)
            TRY(say(&t, entry, row->key, NULL));
    }
    if (theirs->count > 0 && !find_theirs(&t, "task"))
        TRY(say(&t, &theirs->items[0], "task", "sr"));
    return drop_default_loss(&t);
}
