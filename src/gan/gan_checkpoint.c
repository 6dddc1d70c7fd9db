#include "gan/gan_checkpoint.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "config/config.h"
#include "data/channels.h"
#include "data/tags.h"
#include "device/conv_library.h"
#include "device/device.h"
#include "nn/images_seen.h"
#include "nn/net_init.h"
#include "nn/weights_file.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "task/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE_MOST = 4096 }; /* as the keys gan.width and gan.height */

void gan_latent(float *latent, int z, uint64_t seed)
{
    net_normal(latent, (size_t)z, seed, STREAM_GAN_SAMPLE, 0, 0);
}

static int store_list(struct store_writer *writer, const char *key, const int *values, int count)
{
    char text[256];
    int used = 0;
    for (int i = 0; i < count && used < (int)sizeof text - 12; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%d", i ? "," : "", values[i]);
    return store_set(writer, key, text);
}

static int load_list(const struct store_file *file, const char *key, int most, int *values,
                     int count)
{
    const char *text = store_get(file, key);
    for (int i = 0; i < count; i++) {
        char *end;
        if (!text || !*text)
            return fail(ERR_DATA, "%s: metadata %s is missing or too short", store_path(file), key);
        long number = strtol(text, &end, 10);
        if (end == text || (*end && *end != ',') || number < 1 || number > most)
            return fail(ERR_DATA, "%s: metadata %s: '%.60s' is no list of numbers in 1..%d",
                        store_path(file), key, text, most);
        values[i] = (int)number;
        text = *end ? end + 1 : end;
    }
    return OK;
}

static const char label_sets_key[] = "gan.label_sets"; /* where labels are sets of tags */
static const char channels_key[] = "gan.channels";     /* older versions: none, and 3 */

static int load_channels(int *channels, const struct store_file *file)
{
    *channels = 3;
    if (!store_get(file, channels_key)) return OK;
    TRY(store_get_int32_in(file, channels_key, 1, 4, channels));
    if (channels_of(*channels) != DATASET_AUTO) return OK;
    return fail(ERR_DATA, "%s: metadata %s is %d: 1, 3 and 4 are possible", store_path(file),
                channels_key, *channels);
}

int gan_known_channels(int *channels, const struct task_setup *setup)
{
    int64_t *steps = NULL;
    int count = 0, code = OK;
    *channels = 0;
    if (setup->resume) return load_channels(channels, setup->resume);
    if (!setup->planned_dir || !file_exists_in(setup->planned_dir, "checkpoints")) return OK;
    if (checkpoint_list(setup->planned_dir, &steps, &count) < 0) return OK; /* said on resume */
    for (int i = 0; code == OK && i < count && *channels == 0; i++) {
        struct store_file *file = NULL;
        char *path = checkpoint_path(setup->planned_dir, steps[i]);
        if (!path) code = ERR_SYSTEM;
        if (path && store_open_lazy(&file, path) == OK && load_channels(channels, file) < 0)
            *channels = 0;
        store_close(file);
        free(path);
    }
    free(steps);
    return code;
}

static int store_tags(const struct tag_sets *tags, struct store_writer *writer)
{
    char *text;
    TRY(tag_sets_write(tags, &text));
    int code = store_set(writer, label_sets_key, text);
    free(text);
    return code;
}

int gan_store_design(const struct net_design *design, struct store_writer *writer)
{
    TRY(store_set_int(writer, "gan.stages", design->stages));
    TRY(store_set_int(writer, "gan.base_width", design->base_w));
    TRY(store_set_int(writer, "gan.base_height", design->base_h));
    TRY(store_set_int(writer, "gan.z", design->z));
    TRY(store_set_int(writer, "gan.classes", design->classes));
    TRY(store_set_int(writer, "gan.embedding", design->embedding));
    TRY(store_set_int(writer, channels_key, design->channels));
    if (design->tags) TRY(store_tags(design->tags, writer));
    TRY(store_list(writer, "gan.widths", design->width, design->stages));
    return store_list(writer, "gan.blocks", design->blocks, design->stages);
}

/* What numbers that are each possible say together. */
static int check_design(const struct net_design *design, const struct store_file *file)
{
    int64_t w = (int64_t)design->base_w << (design->stages - 1);
    int64_t h = (int64_t)design->base_h << (design->stages - 1);
    if (w > SIDE_MOST || h > SIDE_MOST)
        return fail(ERR_DATA,
                    "%s: metadata gan.stages, gan.base_width and gan.base_height make images of "
                    "%" PRId64 "x%" PRId64 ", sides are 1..%d",
                    store_path(file), w, h, SIDE_MOST);
    if ((design->classes > 0) != (design->embedding > 0))
        return fail(ERR_DATA, "%s: metadata gan.classes %d does not go with gan.embedding %d",
                    store_path(file), design->classes, design->embedding);
    return OK;
}

int gan_load_design(struct net_design *design, const struct store_file *file)
{
    *design = (struct net_design){0};
    TRY(store_get_int32_in(file, "gan.stages", 1, NET_MAX_STAGES, &design->stages));
    TRY(store_get_int32_in(file, "gan.base_width", 1, 4096, &design->base_w));
    TRY(store_get_int32_in(file, "gan.base_height", 1, 4096, &design->base_h));
    TRY(store_get_int32_in(file, "gan.z", 1, 4096, &design->z));
    TRY(store_get_int32_in(file, "gan.classes", 0, 1 << 20, &design->classes));
    TRY(store_get_int32_in(file, "gan.embedding", 0, 4096, &design->embedding));
    TRY(load_channels(&design->channels, file));
    TRY(load_list(file, "gan.widths", 4096, design->width, design->stages));
    TRY(load_list(file, "gan.blocks", 64, design->blocks, design->stages));
    return check_design(design, file);
}

int gan_load_tags(struct tag_sets *tags, struct net_design *design, const struct store_file *file)
{
    if (!store_get(file, label_sets_key)) return OK;
    TRY(tag_sets_read(tags, store_path(file), store_get(file, label_sets_key)));
    design->tags = tags;
    if (tags->tag_count == design->classes) return OK;
    return fail(ERR_DATA, "%s: metadata %s has %d tags, but gan.classes is %d", store_path(file),
                label_sets_key, tags->tag_count, design->classes);
}

/* What a checkpoint holds of each range. */
static const struct {
    const char *prefix; /* of the tensors' names */
    bool moments;       /* second moments: not below 0 */
} ranges[GAN_RANGES] = {
    [GAN_RANGE_G] = {"", false},       [GAN_RANGE_D] = {"", false},
    [GAN_RANGE_G_V] = {"v.", true},    [GAN_RANGE_D_V] = {"v.", true},
    [GAN_RANGE_EMA] = {"ema.", false},
};

int gan_expect_state(const struct gan_core *core, const struct store_file *file)
{
    for (int i = 0; i < GAN_RANGES; i++)
        TRY(weights_expect(file, ranges[i].prefix,
                           &gan_core_network(core, (enum gan_range)i)->net));
    return OK;
}

static int store_engines(const struct gan_core *core, struct store_writer *writer)
{
    char *text = NULL;
    TRY(core->device->nn->conv_library->store(core->device, &text));
    int code = store_set(writer, "gan.conv", text);
    free(text);
    return code;
}

static const char half_format[] = "gan.half.%d", half_macs[] = "gan.half.macs";

static int store_half(const struct gan_half *half, struct store_writer *writer)
{
    char key[32];
    for (int i = 0; i < GAN_SUMS; i++) {
        snprintf(key, sizeof key, half_format, i);
        TRY(store_set_double(writer, key, half->sums[i]));
    }
    return store_set_double(writer, half_macs, half->macs);
}

static int load_half(struct gan_half *half, const struct store_file *file)
{
    char key[32];
    half->done = store_get(file, half_macs) != NULL;
    if (!half->done) return OK;
    for (int i = 0; i < GAN_SUMS; i++) {
        snprintf(key, sizeof key, half_format, i);
        TRY(store_get_double_in(file, key, store_finite(), &half->sums[i]));
    }
    return store_get_double_in(file, half_macs, store_not_negative(), &half->macs);
}

static const char stretch_images[] = "gan.stretch_images", stretch_t[] = "gan.stretch_t";

static int store_stretch(const struct images_stretch *stretch, struct store_writer *writer)
{
    if (stretch->images == 0) return OK;
    TRY(store_set_int(writer, stretch_images, stretch->images));
    return store_set_double(writer, stretch_t, stretch->t);
}

/* As the checkpoint left it. */
static int load_stretch(struct images_stretch *stretch, const struct store_file *file)
{
    const struct store_range share = {0, 1};
    *stretch = (struct images_stretch){0};
    if (!store_get(file, stretch_images)) return OK;
    TRY(store_get_int_in(file, stretch_images, 1, CHECKPOINT_MOST_STEPS, &stretch->images));
    return store_get_double_in(file, stretch_t, share, &stretch->t);
}

int gan_load_config(struct config **config, const struct store_file *file)
{
    const char *text = store_get(file, "config");
    return config_load_text(config, store_path(file), text ? text : "", text ? strlen(text) : 0, 0,
                            NULL);
}

int gan_load_stretch(struct images_stretch *stretch, const struct store_file *file,
                     const struct images_seen *seen, int64_t batch, int64_t images)
{
    struct config *config;
    int64_t step;
    TRY(load_stretch(stretch, file));
    if (!store_get(file, "config")) return OK;
    TRY(store_get_int_in(file, "step", 0, CHECKPOINT_MOST_STEPS, &step));
    TRY(gan_load_config(&config, file));
    int64_t then = config->gan.images, shown = images_seen_at(seen, step, batch);
    config_free(config);
    if (then == images) return OK;
    images_seen_restretch(stretch, shown,
                          images_seen_at(seen, images_seen_steps(seen, then, batch), batch));
    log_info("gan.images: %" PRId64 " in place of %" PRId64
             ": schedules go on from %.0f %% of their "
             "way%s",
             images, then, 100 * stretch->t, stretch->t >= 1 ? ", which is their end" : "");
    return OK;
}

int gan_store(struct gan_core *core, const struct gan_progress *progress,
              struct store_writer *writer)
{
    char text[32];
    for (int i = 0; i < GAN_RANGES; i++) {
        float *view;
        TRY(gan_core_pull(core, (enum gan_range)i, &view));
        TRY(weights_store(writer, ranges[i].prefix, &gan_core_network(core, (enum gan_range)i)->net,
                          view));
    }
    TRY(store_set_double(writer, "gan.v_missing_g", core->g.v_missing));
    TRY(store_set_double(writer, "gan.v_missing_d", core->d.v_missing));
    TRY(store_set_double(writer, "gan.augment_even", progress->augment[0]));
    TRY(store_set_double(writer, "gan.augment_odd", progress->augment[1]));
    TRY(store_set_double(writer, "gan.sign", progress->sign));
    snprintf(text, sizeof text, "%016" PRIx64, progress->fingerprint);
    TRY(store_set(writer, "gan.fingerprint", text));
    TRY(store_set_int(writer, "gan.pictures", progress->pictures));
    TRY(store_set(writer, "gan.amp", core->mode.amp ? "1" : "0"));
    if (core->mode.conv_library) TRY(store_engines(core, writer));
    TRY(store_stretch(&progress->stretch, writer));
    if (progress->half.done) TRY(store_half(&progress->half, writer));
    return gan_store_design(&core->design, writer);
}

int gan_load(struct gan_core *core, struct gan_progress *progress, const struct store_file *file)
{
    for (int i = 0; i < GAN_RANGES; i++) {
        enum gan_range range = (enum gan_range)i;
        TRY(weights_load(file, ranges[i].prefix, &gan_core_network(core, (enum gan_range)i)->net,
                         ranges[i].moments ? store_not_negative() : store_finite(),
                         gan_core_view(core, range)));
        TRY(gan_core_push(core, range));
    }
    const struct store_range share = {0, 1}, sign = {-2, 2};
    TRY(store_get_double_in(file, "gan.v_missing_g", share, &core->g.v_missing));
    TRY(store_get_double_in(file, "gan.v_missing_d", share, &core->d.v_missing));
    TRY(store_get_double_in(file, "gan.augment_even", share, &progress->augment[0]));
    TRY(store_get_double_in(file, "gan.augment_odd", share, &progress->augment[1]));
    TRY(store_get_double_in(file, "gan.sign", sign, &progress->sign));
    return load_half(&progress->half, file);
}

/* What of the data set is another. *classes: the networks are of another number of them. */
static void gan_checkpoint_describe_change(const struct gan_progress *now,
                                           const struct store_file *file, char what[128],
                                           bool *classes)
{
    int64_t pictures = 0, count = 0;
    bool known =
        store_get(file, "gan.pictures") && store_get_int(file, "gan.pictures", &pictures) == OK;
    *classes = store_get_int(file, "gan.classes", &count) == OK && count != now->classes;
    if (*classes)
        snprintf(what, 128, "they had %" PRId64 " classes, now %d", count, now->classes);
    else if (known && pictures != now->pictures)
        snprintf(what, 128, "there were %" PRId64 ", now %d", pictures, now->pictures);
    else
        snprintf(what, 128, "%sother images, another order or other classes",
                 known ? "as many, but " : "");
}

int gan_check_data(const struct gan_progress *now, const struct task_setup *setup)
{
    const char *fingerprint = store_get(setup->resume, "gan.fingerprint");
    const char *folder = setup->config->gan.data;
    char what[128];
    bool classes;
    if (!fingerprint) {
        log_info("the checkpoint does not say which images it is of: going on with %s", folder);
        return OK;
    }
    if (strtoull(fingerprint, NULL, 16) == now->fingerprint) return OK;
    gan_checkpoint_describe_change(now, setup->resume, what, &classes);
    if (classes || !setup->allow_changed_input)
        return fail(ERR_CONFIG,
                    "%s: these are not the images that this run began with (%s): put them back, "
                    "or %s",
                    folder, what,
                    classes ? "begin a new run" : "go on with these by --allow-changed-input");
    log_warning("--allow-changed-input: going on with the images of %s, which are not those that "
                "this run began with (%s)",
                folder, what);
    if (setup->input_changed) *setup->input_changed = true;
    return OK;
}

bool gan_load_amp(const struct store_file *file)
{
    const char *amp = store_get(file, "gan.amp");
    return amp && strcmp(amp, "1") == 0;
}

int gan_store_model(const struct gan_core *core, const float *parameters,
                    struct store_writer *writer)
{
    TRY(weights_store(writer, "", &core->g.net, parameters));
    return gan_store_design(&core->design, writer);
}

static const char *generator_prefix(const struct store_file *file)
{
    return store_find(file, "ema.g.linear") ? "ema." : ""; /* a checkpoint has both */
}

int gan_expect_generator(const struct net *generator, const struct store_file *file)
{
    return weights_expect(file, generator_prefix(file), generator);
}

int gan_load_generator(const struct net *generator, float *parameters,
                       const struct store_file *file)
{
    return weights_load(file, generator_prefix(file), generator, store_finite(), parameters);
}
