#include "gan/gan_schedule.h"

#include "base/error.h"
#include "config/config.h"
#include "math/cosine.h"

#include <math.h>

static const double AUGMENT_MOST = 0.8;
static const double RATE_MOST = 2e-3, RATE_LEAST = 1e-3, RATE_SIDE = 16; /* pixels */
enum { LEAST_BASE = 4, MOST_WIDTH = 256 };

int gan_picture_width(const struct config *config)
{
    return (int)(config->gan.width > 0 ? config->gan.width : config->gan.size);
}

int gan_picture_height(const struct config *config)
{
    return (int)(config->gan.height > 0 ? config->gan.height : config->gan.size);
}

enum dataset_channels gan_channels(const struct config *config)
{
    static const enum dataset_channels channels[] = {[CONFIG_GAN_CHANNELS_AUTO] = DATASET_AUTO,
                                                     [CONFIG_GAN_CHANNELS_RGB] = DATASET_RGB,
                                                     [CONFIG_GAN_CHANNELS_RGBA] = DATASET_RGBA,
                                                     [CONFIG_GAN_CHANNELS_GREY] = DATASET_GREY};
    return channels[config->gan.channels];
}

/* Twice the channels with half the side, about as much work in every stage down to 8 px: 16 at the
 * full size from 64 px on, 32 below. */
static int width_by_size(int stage, int stages, int side)
{
    int width = side >= 64 ? 16 : 32;
    for (int s = stages - 1; s > stage; s--)
        width *= 2;
    return width < MOST_WIDTH / 2 ? width : MOST_WIDTH / 2;
}

static int count_fits(const struct config_list *list, int stages)
{
    return list->count == stages || list->count == 1;
}

static int64_t list_at(const struct config_list *list, int i)
{
    return list->values[list->count == 1 ? 0 : i];
}

int gan_design(struct net_design *design, const struct config *config, int classes, int channels)
{
    int w = gan_picture_width(config), h = gan_picture_height(config), side = w > h ? w : h;
    *design = (struct net_design){.base_w = w, .base_h = h, .stages = 1, .channels = channels};
    if (w < LEAST_BASE || h < LEAST_BASE)
        return fail(ERR_CONFIG, "gan.width, gan.height: %d x %d is below %d", w, h, LEAST_BASE);
    while (design->stages < NET_MAX_STAGES && design->base_w % 2 == 0 && design->base_h % 2 == 0 &&
           design->base_w / 2 >= LEAST_BASE && design->base_h / 2 >= LEAST_BASE) {
        design->base_w /= 2;
        design->base_h /= 2;
        design->stages++;
    }
    design->z = (int)config->gan.z;
    design->classes = classes;
    design->embedding = classes ? (int)config->gan.embedding : 0;
    const struct config_list *widths = &config->gan.widths, *blocks = &config->gan.blocks;
    if (widths->count && !count_fits(widths, design->stages))
        return fail(ERR_CONFIG, "gan.widths: %d values, but %d x %d has %d stages (%d x %d first)",
                    widths->count, w, h, design->stages, design->base_w, design->base_h);
    if (!count_fits(blocks, design->stages))
        return fail(ERR_CONFIG, "gan.blocks: %d values, but %d x %d has %d stages", blocks->count,
                    w, h, design->stages);
    for (int s = 0; s < design->stages; s++) {
        design->width[s] =
            widths->count ? (int)list_at(widths, s) : width_by_size(s, design->stages, side);
        design->blocks[s] = (int)list_at(blocks, s);
    }
    return OK;
}

double gan_gamma(const struct config *config)
{
    int w = gan_picture_width(config), h = gan_picture_height(config);
    if (config->gan.gamma >= 0) return config->gan.gamma;
    return fmax(1, 2 * pow((w > h ? w : h) / 64.0, 3.1));
}

/* A rate that suits small images makes D of larger ones lose what it knows in its own noise: it
 * tells nothing apart any more until the rate has fallen (README, "What was tried"). */
double gan_rate(const struct config *config)
{
    int w = gan_picture_width(config), h = gan_picture_height(config);
    if (config->gan.lr >= 0) return config->gan.lr;
    return fmax(RATE_LEAST, RATE_MOST * fmin(1, RATE_SIDE / (w > h ? w : h)));
}

/* A small set is learnt by heart unless it is shown in more ways: .3 from 10,000 images on, .5 at
 * 1,600, the most at 100. */
static double augment_end(const struct config *config, int pictures)
{
    if (config->gan.augment >= 0) return config->gan.augment;
    return fmin(AUGMENT_MOST, fmax(0.3, 0.3 + 0.25 * log10(1e4 / pictures)));
}

struct gan_schedule gan_schedule_at(const struct config *config, int pictures, double t)
{
    double gamma = gan_gamma(config);
    double half_life = cosine_between(0, config->gan.ema * (double)config->gan.images, t);
    double batch = (double)config->gan.batch;
    return (struct gan_schedule){
        .gamma = cosine_between(gamma, gamma * config->gan.gamma_end, t),
        .lr = cosine_between(gan_rate(config), config->gan.lr_end, t),
        .b2 = cosine_between(config->gan.b2, config->gan.b2_end, t),
        .augment = cosine_between(0, augment_end(config, pictures), t),
        .ema = half_life > 0 ? pow(0.5, batch / half_life) : 0,
    };
}
