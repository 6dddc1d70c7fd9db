#include "splat/splat_weights.h"

#include "base/checksum.h"
#include "base/error.h"
#include "config/config.h"
#include "math/ssim_window.h"
#include "metrics/mask.h"

int splat_weights_check(const struct splat_source *source, const struct config *config)
{
    const char *path = config->splat.mask;
    struct image mask = {0};
    if (!*path) return OK;
    if (config->splat.downsample || config->memory.grow)
        return fail(ERR_CONFIG, "mask: not together with downsample or memory.grow");
    TRY(image_probe(path, &mask.width, &mask.height, &mask.channels, &mask.type));
    return mask_expect_size(path, &mask, source->full.width, source->full.height);
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

static void weights_describe(struct splat_source *source)
{
    struct splat_target *t = &source->fit;
    int margin = t->width < SSIM_TAPS || t->height < SSIM_TAPS ? 0 : SSIM_RADIUS;
    double pixels = (double)t->width * t->height, all, inner;
    double windows = (double)(t->width - 2 * margin) * (t->height - 2 * margin);
    weights_sum(source->weight_bytes.data, t->width, t->height, margin, &all, &inner);
    t->weights = source->weight_bytes.data;
    t->unit = (float)(pixels / all);
    t->inner_unit = inner > 0 ? (float)(windows / inner) : 0;
    source->full.weights = t->weights;
    source->full.unit = t->unit;
    source->full.inner_unit = t->inner_unit;
    /* a run does not go on with another mask */
    source->samples = hash_bytes(source->samples, t->weights, source->weight_bytes.bytes);
}

int splat_weights_load(struct splat_source *source, const struct config *config,
                       const char *spill_dir)
{
    const char *path = config->splat.mask;
    struct image mask;
    int code;
    if (!*path) return OK;
    TRY(mask_load(&mask, path, source->full.width, source->full.height));
    size_t pixels = (size_t)mask.width * (size_t)mask.height;
    TRY_CLEANUP(spill_open(&source->weight_bytes, spill_dir, pixels));
    TRY_CLEANUP(spill_write(&source->weight_bytes, mask.data, pixels));
    TRY_CLEANUP(spill_end(&source->weight_bytes));
    weights_describe(source);
cleanup:
    image_free(&mask);
    return code;
}
