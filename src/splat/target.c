#include "splat/target.h"

#include "base/error.h"
#include "base/file.h"
#include "config/config.h"
#include "device/splat_ops.h"

#include <math.h>
#include <stdlib.h>

char *splat_source_path(const struct config *config)
{
    const char *root = config->splat.data_root, *path = config->splat.input_path;
    return *root && *path != '/' ? path_join(root, path) : string_format("%s", path);
}

/* Colours ^gamma and multiplied by alpha need more than 8 bits. */
static int prepare(struct image *image, double gamma, bool alpha)
{
    bool curved = gamma < 1 || gamma > 1;
    if (!curved && !alpha) return OK;
    if (image->type == SAMPLE_U8) {
        struct image wide;
        TRY(image_convert(&wide, image, SAMPLE_U16));
        image_free(image);
        *image = wide;
    }
    int colors = alpha ? image->channels - 1 : image->channels;
    bool is_float = image->type == SAMPLE_F32;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < (int64_t)image->width * image->height; i++) {
        size_t at = (size_t)i * (size_t)image->channels;
        float opacity = alpha ? image_sample(image, at + (size_t)colors) : 1.0f;
        for (int c = 0; c < colors; c++) {
            float v = image_sample(image, at + (size_t)c);
            if (curved) v = powf(v > 0 ? v : 0.0f, (float)gamma);
            v *= opacity;
            if (is_float)
                ((float *)image->data)[at + (size_t)c] = v;
            else
                ((uint16_t *)image->data)[at + (size_t)c] = (uint16_t)(v * 65535.0f + 0.5f);
        }
    }
    return OK;
}

static int check(const struct image *image)
{
    if (image->channels > SPLAT_MAX_CHANNELS)
        return fail(ERR_DATA, "%d channels, at most %d can be fitted", image->channels,
                    SPLAT_MAX_CHANNELS);
    if (image->type != SAMPLE_F32) return OK;
    size_t samples = image_bytes(image) / sizeof(float);
    for (size_t i = 0; i < samples; i++)
        if (!isfinite(((const float *)image->data)[i]))
            return fail(ERR_DATA, "sample %zu is not a finite number", i);
    return OK;
}

static int reduced(int side, double ratio)
{
    int small = (int)lround(side / ratio);
    return small < 1 ? 1 : small;
}

static int reduce(struct splat_source *source, double ratio)
{
    struct image small;
    TRY(image_resize(&small, &source->fit, reduced(source->fit.width, ratio),
                     reduced(source->fit.height, ratio)));
    source->full = source->fit;
    source->fit = small;
    return OK;
}

int splat_source_load(struct splat_source *source, const struct config *config)
{
    *source = (struct splat_source){0};
    if (!*config->splat.input_path)
        return fail(ERR_CONFIG, "no picture to fit: set input_path=FILE");
    char *path = splat_source_path(config);
    if (!path) return ERR_SYSTEM;
    bool stack = file_is_dir(path);
    int code = stack ? image_load_stack(&source->fit, path) : image_load(&source->fit, path);
    if (code < 0) goto cleanup;
    code = check(&source->fit);
    if (code < 0) {
        fail_within(code, "%s", path);
        goto cleanup;
    }
    source->alpha = !stack && image_has_alpha(&source->fit);
    source->sample_bits = (int)sample_bytes(source->fit.type) * 8;
    TRY_CLEANUP(prepare(&source->fit, config->splat.gamma, source->alpha));
    if (config->splat.downsample) TRY_CLEANUP(reduce(source, config->splat.downsample_ratio));
cleanup:
    free(path);
    if (code < 0) splat_source_free(source);
    return code;
}

void splat_source_assume(struct splat_source *source, const struct config *config, int width,
                         int height, int channels)
{
    const struct config_splat *c = &config->splat;
    bool curved = c->gamma < 1 || c->gamma > 1;
    *source = (struct splat_source){.sample_bits = 8};
    source->fit = (struct image){.width = width,
                                 .height = height,
                                 .channels = channels ? channels : 3,
                                 .type = curved ? SAMPLE_U16 : SAMPLE_U8};
    if (!c->downsample) return;
    source->full = source->fit;
    source->fit.width = reduced(width, c->downsample_ratio);
    source->fit.height = reduced(height, c->downsample_ratio);
}

void splat_source_free(struct splat_source *source)
{
    image_free(&source->fit);
    image_free(&source->full);
}
