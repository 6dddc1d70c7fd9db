#include "sr/discriminator/sr_gan_files.h"

#include "base/error.h"
#include "base/file.h"
#include "config/config.h"
#include "nn/trained_file.h"
#include "nn/weights_file.h"
#include "sr/pretrained.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"

/* ---- the config ---- */

struct sr_gan_choices sr_gan_of(const struct config *config)
{
    static const enum score_kind kinds[] = {[CONFIG_SR_GAN_TYPE_VANILLA] = SCORE_VANILLA,
                                            [CONFIG_SR_GAN_TYPE_LSGAN] = SCORE_LSGAN,
                                            [CONFIG_SR_GAN_TYPE_HINGE] = SCORE_HINGE};
    if (config->sr.discriminator == CONFIG_SR_DISCRIMINATOR_NONE)
        return (struct sr_gan_choices){.weight = 0};
    return (struct sr_gan_choices){
        .design = {.features = (int)config->sr.num_feat_d, .skips = config->sr.skip_connection},
        .kind = kinds[config->sr.gan_type],
        .weight = config->sr.gan_weight,
        .feature_weight = config->sr.feature_weight,
        .every = (int)config->sr.net_d_iters,
        .from = config->sr.net_d_init_iters,
        .grad_clip = config->sr.grad_clip,
        .own_images = config->sr.gan_gt_usm != config->sr.l1_gt_usm,
    };
}

static int check_side(int64_t lq_size, int64_t scale)
{
    if (lq_size * scale % SR_D_MULTIPLE == 0) return OK;
    return fail(ERR_CONFIG,
                "sr.discriminator unet takes images whose sides are multiples of %d: lq_size %d x "
                "scale %d is %d",
                SR_D_MULTIPLE, (int)lq_size, (int)scale, (int)(lq_size * scale));
}

int sr_gan_check(const struct config *config)
{
    bool weighs = config->sr.gan_weight > 0 || config->sr.feature_weight > 0;
    const char *key = config->sr.gan_weight > 0 ? "gan_weight" : "feature_weight";
    if (config->sr.discriminator == CONFIG_SR_DISCRIMINATOR_NONE) {
        if (weighs)
            return fail(ERR_CONFIG,
                        "sr.%s is of a discriminator, and there is none: add discriminator=unet",
                        key);
        if (config->sr.pretrain_d[0])
            return fail(ERR_CONFIG, "sr.pretrain_d is of a discriminator, and there is none: add "
                                    "discriminator=unet");
        return OK;
    }
    if (!weighs)
        return fail(ERR_CONFIG, "sr.discriminator unet: gan_weight and feature_weight are 0, so "
                                "nothing learns from it: add gan_weight=0.1");
    if (config->sr.num_feat_d % 8)
        return fail(ERR_CONFIG, "sr.num_feat_d: %d is no multiple of 8",
                    (int)config->sr.num_feat_d);
    TRY(check_side(config->sr.lq_size, config->sr.scale));
    for (int i = 1; i < config->memory.schedule.count; i += 3)
        TRY(check_side((int64_t)config->memory.schedule.values[i], config->sr.scale));
    return OK;
}

/* ---- files of others, and runs ---- */

/* Of a run the newest checkpoint: its model holds no discriminator. */
static int open_discriminator(struct store_file **file, const char *path)
{
    int64_t step;
    return file_is_dir(path) ? checkpoint_latest(path, file, &step)
                             : sr_pretrained_open(file, path);
}

/* prefix: before the names of its tensors. ERR_DATA unless it holds the config's discriminator. */
static int find_discriminator(const struct config *config, const struct store_file *file,
                              const char **prefix)
{
    struct sr_d_design design;
    int features = (int)config->sr.num_feat_d;
    *prefix = sr_d_detect(&design, file);
    if (!*prefix)
        return fail(ERR_DATA, "%s: it holds no unet discriminator (conv1.weight_orig)",
                    store_path(file));
    if (design.features == features) return OK;
    return fail(ERR_DATA, "%s: its discriminator has num_feat_d %d, and %d is to be trained",
                store_path(file), design.features, features);
}

int sr_gan_pretrained_check(const struct config *config)
{
    const struct sr_gan_choices choices = sr_gan_of(config);
    struct store_file *file = NULL;
    struct net net = {0}, vectors = {0};
    int taps[SR_D_TAPS], code = OK;
    const char *prefix;
    if (!*config->sr.pretrain_d) return OK;
    TRY_CLEANUP(open_discriminator(&file, config->sr.pretrain_d));
    TRY_CLEANUP(find_discriminator(config, file, &prefix));
    TRY_CLEANUP(sr_d_build(&net, &choices.design, SR_D_MULTIPLE, false, taps));
    TRY_CLEANUP(sr_d_vectors(&vectors, &net));
    TRY_CLEANUP(weights_expect(file, prefix, &net));
    TRY_CLEANUP(weights_expect(file, prefix, &vectors));
cleanup:
    store_close(file);
    net_free(&net);
    net_free(&vectors);
    return code < 0 ? fail_within(code, "sr.pretrain_d") : OK;
}

/* Weights and vectors. */
static int load_discriminator(struct sr_gan *gan, const struct store_file *file, const char *prefix)
{
    TRY(weights_load(file, prefix, &gan->net.net, store_finite(),
                     trained_net_view(&gan->net, TRAINED_PARAMETERS)));
    return weights_load(file, prefix, &gan->vectors_net, store_finite(), sr_gan_vectors_view(gan));
}

int sr_gan_pretrained_load(const struct config *config, struct sr_gan *gan)
{
    struct store_file *file;
    const char *prefix;
    if (!*config->sr.pretrain_d) return OK;
    TRY(open_discriminator(&file, config->sr.pretrain_d));
    int code = find_discriminator(config, file, &prefix);
    if (code == OK) code = load_discriminator(gan, file, prefix);
    store_close(file);
    return code < 0 ? fail_within(code, "sr.pretrain_d") : OK;
}

/* ---- checkpoints ---- */

int sr_gan_save(struct sr_gan *gan, struct store_writer *writer)
{
    float *view;
    TRY(trained_file_store(&gan->net, gan->device, "d.", "sr.d", writer));
    TRY(sr_gan_vectors_pull(gan, &view));
    return weights_store(writer, "d.", &gan->vectors_net, view);
}

int sr_gan_expect(const struct sr_gan *gan, const struct store_file *file)
{
    TRY(trained_file_expect(&gan->net, "d.", file));
    return weights_expect(file, "d.", &gan->vectors_net);
}

int sr_gan_load(struct sr_gan *gan, const struct store_file *file)
{
    TRY(trained_file_load(&gan->net, gan->device, "d.", "sr.d", file));
    TRY(weights_load(file, "d.", &gan->vectors_net, store_finite(), sr_gan_vectors_view(gan)));
    return sr_gan_begin(gan);
}
