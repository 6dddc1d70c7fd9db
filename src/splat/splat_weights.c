#include "splat/splat_weights.h"

#include "base/checksum.h"
#include "base/error.h"
#include "config/config.h"
#include "device/device.h"
#include "image/image.h"
#include "math/ssim_window.h"

#include <stdlib.h>

static int weights_expect_size(const struct splat_source *source, const char *path, int width,
                               int height)
{
    if (width == source->full.width && height == source->full.height) return OK;
    return fail(ERR_DATA, "%s is %dx%d, but the image %dx%d", path, width, height,
                source->full.width, source->full.height);
}

int splat_weights_check(const struct splat_source *source, const struct config *config,
                        const struct device *device)
{
    const char *path = config->splat.mask;
    int width, height, channels;
    enum sample_type type;
    if (!*path) return OK;
    if (!device->splat->weighs)
        return fail(ERR_CONFIG, "mask: this device does not weigh pixels: device=cpu does");
    if (config->splat.downsample || config->memory.grow)
        return fail(ERR_CONFIG, "mask: not together with downsample or memory.grow");
    TRY(image_probe(path, &width, &height, &channels, &type));
    return weights_expect_size(source, path, width, height);
}

/* The mean of a pixel's colours, without alpha. */
static uint8_t weights_level(const uint8_t *pixel, int channels)
{
    int colours = channels == 2 ? 1 : channels == 4 ? 3 : channels, sum = 0;
    for (int c = 0; c < colours; c++)
        sum += pixel[c];
    return (uint8_t)((sum + colours / 2) / colours);
}

/* Sums of the weights of all pixels and of those whose windows lie inside the image: by the margin
 * away from its sides. */
static void weights_sum(const uint8_t *weights, int width, int height, int margin, double *all,
                        double *inner)
{
    *all = *inner = 0;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            double w = (double)weights[(int64_t)y * width + x];
            bool inside = x >= margin && x < width - margin && y >= margin && y < height - margin;
            *all += w;
            if (inside) *inner += w;
        }
}

static int weights_describe(struct splat_source *source, const char *path)
{
    struct splat_target *t = &source->fit;
    int margin = t->width < SSIM_TAPS || t->height < SSIM_TAPS ? 0 : SSIM_RADIUS;
    double pixels = (double)t->width * t->height, all, inner;
    double windows = (double)(t->width - 2 * margin) * (t->height - 2 * margin);
    weights_sum(source->weight_bytes.data, t->width, t->height, margin, &all, &inner);
    if (!(all > 0)) return fail(ERR_DATA, "%s is black: no pixel counts", path);
    t->weights = source->weight_bytes.data;
    t->unit = (float)(pixels / all);
    t->inner_unit = inner > 0 ? (float)(windows / inner) : 0;
    source->full.weights = t->weights;
    source->full.unit = t->unit;
    source->full.inner_unit = t->inner_unit;
    /* a run does not go on with another mask */
    source->samples = hash_bytes(source->samples, t->weights, source->weight_bytes.bytes);
    return OK;
}

int splat_weights_load(struct splat_source *source, const struct config *config,
                       const char *spill_dir)
{
    const char *path = config->splat.mask;
    struct image image = {0}, bytes = {0};
    int code;
    if (!*path) return OK;
    TRY(image_load(&image, path));
    size_t width = (size_t)image.width, pixels = width * (size_t)image.height;
    TRY_CLEANUP(weights_expect_size(source, path, image.width, image.height)); /* by now */
    TRY_CLEANUP(image_convert(&bytes, &image, SAMPLE_U8));
    uint8_t *levels = bytes.data; /* in place: a pixel's level is never behind its colours */
    for (size_t i = 0; i < pixels; i++)
        levels[i] = weights_level(levels + i * (size_t)bytes.channels, bytes.channels);
    TRY_CLEANUP(spill_open(&source->weight_bytes, spill_dir, pixels));
    TRY_CLEANUP(spill_write(&source->weight_bytes, levels, pixels));
    TRY_CLEANUP(spill_end(&source->weight_bytes));
    code = weights_describe(source, path);
cleanup:
    image_free(&image);
    image_free(&bytes);
    return code;
}
