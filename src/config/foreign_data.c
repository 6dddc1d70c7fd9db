#include "config/foreign_data.h"

#include "base/error.h"
#include "base/file.h"
#include "base/parse_number.h"
#include "config/foreign_degradations.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A list of paths, as one text. */
static int say_joined(struct translation *t, const struct config_entry *entry, const char *key)
{
    char *all = string_format("%s", entry->texts[0]);
    for (int i = 1; i < entry->count && all; i++) {
        char *more = string_format("%s;%s", all, entry->texts[i]);
        free(all);
        all = more;
    }
    int code = all ? foreign_say(t, entry, key, all) : ERR_SYSTEM;
    free(all);
    return code;
}

int foreign_translate_folder(struct translation *t, const struct config_entry *entry)
{
    static const struct {
        const char *path, *key;
    } folders[] = {{"datasets.train.dataroot_gt", "sr.dataroot_gt"},
                   {"datasets.train.dataroot_lq", "sr.dataroot_lq"},
                   {"datasets.train.meta_info", "sr.meta_info"},
                   {"datasets.train.meta_info_file", "sr.meta_info"},
                   {"datasets.val.dataroot_gt", "sr.val_gt"},
                   {"datasets.val.dataroot_lq", "sr.val_lq"}};
    const struct config_entry *enabled = foreign_find(t, "val.val_enabled");
    if (enabled && foreign_is_off(enabled) && strncmp(entry->key, "datasets.val.", 13) == 0)
        return OK;
    for (size_t i = 0; i < sizeof folders / sizeof *folders && entry->count > 0; i++)
        if (strcmp(entry->key, folders[i].path) == 0) return say_joined(t, entry, folders[i].key);
    return OK;
}

/* A file with model_type is Real-ESRGAN's, whose ranges are our defaults, and whose GAN is trained
 * on sharpened images alone. */
static int translate_degradations(struct translation *t, const struct config_entry *entry)
{
    const struct config_entry *model = foreign_find(t, "model_type");
    TRY(foreign_say(t, entry, "sr.data_mode", "otf"));
    if (model && strncasecmp(foreign_text(model), "RealESRGAN", 10) == 0 &&
        !foreign_find(t, "lq_usm"))
        TRY(foreign_say(t, model, "sr.lq_usm", "true"));
    for (int i = 0; !model && foreign_degradation_defaults[i].key; i++) {
        const char *key = foreign_degradation_defaults[i].key;
        bool said = false;
        for (int k = 0; k < t->theirs->count && !said; k++) {
            const char *same = foreign_degradation_key(t->theirs->items[k].key);
            said = same && strcmp(same, key) == 0;
        }
        if (!said) TRY(foreign_say_values(t, entry, key, foreign_degradation_defaults[i].values));
    }
    return OK;
}

/* "mixed": some files' RealESRGANPairedDataset degrades too. */
static int translate_data_mode(struct translation *t, const struct config_entry *entry,
                               const char *mode)
{
    const struct config_entry *degrading = foreign_find(t, "high_order_degradation");
    bool on = degrading && !foreign_is_off(degrading), mixed = strcmp(mode, "mixed") == 0;
    if (mixed) mode = on ? "otf" : "paired";
    bool otf = strcmp(mode, "otf") == 0;
    if (otf && degrading && !on)
        return foreign_refuse(t, entry, "without high_order_degradation there are no LQ images");
    if (on && !otf)
        return foreign_refuse(t, degrading, "degrades what RealESRGANDataset reads, no other type");
    return otf ? translate_degradations(t, entry) : foreign_say(t, entry, "sr.data_mode", mode);
}

/* Of Real-ESRNet: everything is sharpened. */
int foreign_translate_gt_usm(struct translation *t, const struct config_entry *entry)
{
    TRY(foreign_say(t, entry, "sr.lq_usm", NULL));
    return foreign_say(t, entry, "sr.l1_gt_usm", NULL);
}

int foreign_translate_data_type(struct translation *t, const struct config_entry *entry)
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
        if (strcasecmp(foreign_text(entry), kinds[i].name) == 0)
            return translate_data_mode(t, entry, kinds[i].mode);
    char shown[CONFIG_SHOWN_BYTES];
    return config_fault(
        t->faults, entry->where_text,
        "%s: %s is none of pairedimagedataset, singleimagedataset, RealESRGANDataset "
        "and RealESRGANPairedDataset",
        entry->key, config_value_shown(foreign_text(entry), shown));
}

/* GT's side, of which ours is the scale's part. */
int foreign_translate_gt_size(struct translation *t, const struct config_entry *entry)
{
    double side = foreign_number(t, entry->key, 0), scale = foreign_number(t, "scale", 1);
    if (!(side >= scale && scale >= 1) || fmod(side, scale) != 0)
        return foreign_refuse(t, entry, "expected a multiple of scale");
    return foreign_say_number(t, entry, "sr.lq_size", side / scale);
}

int foreign_translate_batch(struct translation *t, const struct config_entry *entry)
{
    static const char *const times[] = {"datasets.train.accum_iter", "datasets.train.accumulate",
                                        "train.accum_iter", "train.accumulate"};
    double batch;
    if (foreign_is_auto(entry)) return OK; /* see foreign_translate_lq_size */
    if (!number_parse_double(foreign_text(entry), &batch))
        return foreign_say(t, entry, "sr.batch", NULL);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        batch *= foreign_number(t, times[i], 1);
    return foreign_say_number(t, entry, "sr.batch", batch);
}

/* AUTO: as large as there is memory for, from the default on. */
int foreign_translate_lq_size(struct translation *t, const struct config_entry *entry)
{
    return foreign_is_auto(entry) ? OK : foreign_say(t, entry, "sr.lq_size", NULL);
}
