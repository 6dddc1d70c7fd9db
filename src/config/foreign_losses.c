#include "config/foreign_losses.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse_number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Another key of the same loss. */
static const struct config_entry *find_beside(const struct translation *t,
                                              const struct config_entry *entry, const char *key)
{
    const char *dot = strrchr(entry->key, '.');
    char *path = string_format("%.*s.%s", (int)(dot - entry->key), entry->key, key);
    const struct config_entry *found = path ? foreign_find(t, path) : NULL;
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
        if (!number_parse_double(foreign_text(weight), &value) || value != 0) return false;
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
        if (strcmp(foreign_text(entry), types[i]) == 0)
            return foreign_say(t, entry, "sr.gan_type", types[i]);
    return foreign_refuse(t, entry, "is none of vanilla, lsgan and hinge");
}

/* Layers of VGG19 that are compared. */
static const char *const vgg_layers[] = {"conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4"};
enum { VGG_LAYERS = sizeof vgg_layers / sizeof *vgg_layers };

/* A file that says which layers of VGG19 count says so of all of them. */
static int translate_layers(struct translation *t, const struct config_entry *type)
{
    const struct config_entry *first = NULL;
    char all[VGG_LAYERS * NUMBER_TEXT_BYTES] = "", number[NUMBER_TEXT_BYTES];
    for (int i = 0; i < VGG_LAYERS; i++) {
        char key[32];
        snprintf(key, sizeof key, "layer_weights.%s", vgg_layers[i]);
        const struct config_entry *said = find_beside(t, type, key);
        if (!first) first = said;
        number_format(number, said ? foreign_number(t, said->key, 0) : 0);
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? " " : "", number);
    }
    return first ? foreign_say_values(t, first, "sr.perceptual_layers", all) : OK;
}

/* What some losses have besides a weight. `type`: the entry that names the loss, which counts. */
static int translate_loss_details(struct translation *t, const struct config_entry *type)
{
    const struct config_entry *criterion = find_beside(t, type, "criterion");
    const char *name = foreign_text(type);
    bool box = strcasecmp(name, "averageloss") == 0;
    if (criterion && strcasecmp(foreign_text(criterion), "charbonnier") == 0)
        log_info("%s: '%s: charbonnier' is taken for l1, from which it differs by 1e-6 at most",
                 criterion->where_key, criterion->key);
    else if (criterion && strcasecmp(foreign_text(criterion), "l1") != 0)
        return foreign_refuse(t, criterion, "only l1 and charbonnier are there");
    if (strcasecmp(name, "perceptualloss") == 0) return translate_layers(t, type);
    if (!box && strcasecmp(name, "bicubicloss") != 0) return OK;
    if (foreign_is_said(t, "consistency"))
        return foreign_refuse(t, type, "a second loss of reduced images: one is there");
    return foreign_say(t, type, "sr.consistency", box ? "box" : "bicubic");
}

/* Whether the entry, or the mapping that it is in, stands beside this type of loss, which counts.
 */
static bool is_part_of(const struct translation *t, const struct config_entry *entry,
                       const char *loss)
{
    const char *layers = strstr(entry->key, ".layer_weights");
    int length = layers ? (int)(layers - entry->key) : (int)(strrchr(entry->key, '.') - entry->key);
    char *path = string_format("%.*s.type", length, entry->key);
    const struct config_entry *type = path ? foreign_find(t, path) : NULL;
    free(path);
    return type && strcasecmp(foreign_text(type), loss) == 0 && !loss_is_off(t, type);
}

struct loss_detail {
    const char *key, *only, *why;
};

/* What the loss does not heed has to be as it is there. */
static int require_detail(struct translation *t, const struct config_entry *entry,
                          const struct loss_detail *details, const char *key)
{
    double value;
    bool on, is_flag = config_value_parse_bool(foreign_text(entry), &on);
    if (is_flag)
        value = on;
    else if (!number_parse_double(foreign_text(entry), &value))
        value = -1;
    for (; details->key; details++) {
        double only;
        if (strcmp(key, details->key) != 0) continue;
        if (strcasecmp(foreign_text(entry), details->only) == 0) return OK;
        if (number_parse_double(details->only, &only) && fabs(value - only) < 1e-6) return OK;
        return foreign_refuse(t, entry, details->why);
    }
    return OK;
}

/* VGG19 is compared at five layers. */
static int require_perceptual_detail(struct translation *t, const struct config_entry *entry,
                                     const char *key)
{
    static const char why[] = "is another one than VGG19's loss has here";
    static const struct loss_detail details[] = {
        {"vgg_type", "vgg19", why}, {"range_norm", "0", why},  {"use_input_norm", "1", why},
        {"style_weight", "0", why}, {"antialiased", "0", why}, {NULL, NULL, NULL}};
    if (!strstr(entry->key, ".layer_weights.")) return require_detail(t, entry, details, key);
    double weight;
    for (int i = 0; i < VGG_LAYERS; i++)
        if (strcmp(key, vgg_layers[i]) == 0)
            return entry->count == 1 && number_parse_double(foreign_text(entry), &weight)
                       ? OK
                       : foreign_refuse(t, entry, "expected a number");
    return foreign_is_off(entry) ? OK : foreign_refuse(t, entry, "this layer is not compared here");
}

static int require_hsluv_detail(struct translation *t, const struct config_entry *entry,
                                const char *key)
{
    static const char third[] = "hue, saturation and lightness count a third each here";
    static const char whole[] = "images are compared as they are here";
    static const struct loss_detail details[] = {{"hue_weight", "0.3333333333333333", third},
                                                 {"saturation_weight", "0.3333333333333333", third},
                                                 {"lightness_weight", "0.3333333333333333", third},
                                                 {"downscale_factor", "1", whole},
                                                 {"blur_strength", "0", whole},
                                                 {NULL, NULL, NULL}};
    return require_detail(t, entry, details, key);
}

int foreign_translate_loss(struct translation *t, const struct config_entry *entry)
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
                 {"hsluvloss", "sr.hsluv_weight"},
                 {"ganloss", "sr.gan_weight"}};
    const char *key = strrchr(entry->key, '.') + 1;
    double value;
    if (strcmp(key, "reduction") == 0 && strcasecmp(foreign_text(entry), "mean") != 0)
        return foreign_refuse(t, entry, "only mean is there");
    if (strcmp(key, "eps") == 0 && number_parse_double(foreign_text(entry), &value) &&
        value != 1e-12)
        return foreign_refuse(t, entry, "only 1e-12 is there");
    if (strcmp(key, "gan_type") == 0) return translate_gan_type(t, entry);
    if (strcmp(key, "real_label_val") == 0 || strcmp(key, "fake_label_val") == 0)
        return foreign_number(t, entry->key, -1) == (*key == 'r')
                   ? OK
                   : foreign_refuse(t, entry, "only 1 for real and 0 for fake images are there");
    if (strcmp(key, "perceptual_file") == 0)
        return foreign_say(t, entry, "sr.perceptual_file", NULL);
    if (strcmp(key, "type") != 0) {
        if (is_part_of(t, entry, "perceptualloss")) return require_perceptual_detail(t, entry, key);
        return is_part_of(t, entry, "hsluvloss") ? require_hsluv_detail(t, entry, key) : OK;
    }
    if (!t->first_loss) t->first_loss = entry;
    if (loss_is_off(t, entry)) return OK;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcasecmp(foreign_text(entry), kinds[i].name) != 0) continue;
        const struct config_entry *weight = find_beside(t, entry, "loss_weight");
        if (!weight) weight = find_beside(t, entry, "perceptual_weight");
        TRY(translate_loss_details(t, entry));
        return weight ? foreign_say(t, weight, kinds[i].key, NULL)
                      : foreign_say(t, entry, kinds[i].key, "1");
    }
    char shown[CONFIG_SHOWN_BYTES];
    return config_fault(t->faults, entry->where_text,
                        "%s: %s is none of the losses that there are; its weight of 0 leaves it "
                        "out",
                        entry->key, config_value_shown(foreign_text(entry), shown));
}

/* Whether the file has a loss of this type, in lower case, that counts. */
static bool has_loss(const struct translation *t, const char *type)
{
    for (int i = 0; i < t->theirs->count; i++) {
        const struct config_entry *entry = &t->theirs->items[i];
        const char *dot = strrchr(entry->key, '.');
        if (dot && strcmp(dot, ".type") == 0 && strcasecmp(foreign_text(entry), type) == 0 &&
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

int foreign_translate_perceptual_target(struct translation *t, const struct config_entry *entry)
{
    if (!has_loss(t, "perceptualloss")) return OK;
    return foreign_say(t, entry, "sr.percep_gt_usm", foreign_is_off(entry) ? "false" : "true");
}

/* Without a loss that asks it, it changes nothing. */
int foreign_translate_discriminator(struct translation *t, const struct config_entry *entry)
{
    if (!has_gan_loss(t)) return foreign_no_effect(entry);
    if (strcasecmp(foreign_text(entry), "unetdiscriminatorsn") == 0)
        return foreign_say(t, entry, "sr.discriminator", "unet");
    return foreign_refuse(t, entry, "only the U-Net is there: UNetDiscriminatorSN");
}

int foreign_translate_pretrained_discriminator(struct translation *t,
                                               const struct config_entry *entry)
{
    return has_gan_loss(t) ? foreign_say(t, entry, "sr.pretrain_d", NULL)
                           : foreign_no_effect(entry);
}

static bool is_same_value(const char *a, const char *b)
{
    double x, y;
    if (number_parse_double(a, &x) && number_parse_double(b, &y)) return x == y;
    return strcasecmp(a, b) == 0;
}

/* What both networks have in common here. */
int foreign_require_as_generator(struct translation *t, const struct config_entry *entry)
{
    char path[64];
    snprintf(path, sizeof path, "train.optim_g.%s", strrchr(entry->key, '.') + 1);
    const struct config_entry *other = foreign_find(t, path);
    bool same = other && other->count == entry->count;
    for (int i = 0; same && i < entry->count; i++)
        same = is_same_value(entry->texts[i], other->texts[i]);
    return same || !has_gan_loss(t) ? OK
                                    : foreign_refuse(t, entry, "is another one than optim_g's");
}

/* A file that names its losses means these and no others. */
int foreign_drop_default_loss(struct translation *t)
{
    if (!t->first_loss || foreign_is_said(t, "charbonnier_weight")) return OK;
    return foreign_say(t, t->first_loss, "sr.charbonnier_weight", "0");
}
