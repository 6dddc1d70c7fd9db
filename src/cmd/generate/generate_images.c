/* Images that generate begins with, and those that it makes. */
#include "base/error.h"
#include "base/log.h"
#include "cmd/generate/generate_request.h"

#include <math.h>
#include <stdlib.h>

/* 0..1, as the reference divides it. */
static float unit_sample(const struct image *image, size_t index)
{
    switch (image->type) {
    case SAMPLE_U8: return (float)((const uint8_t *)image->data)[index] / 255.0f;
    case SAMPLE_U16: return (float)((const uint16_t *)image->data)[index] / 65535.0f;
    case SAMPLE_F32: break;
    }
    float value = ((const float *)image->data)[index];
    return value > 0.0f ? (value < 1.0f ? value : 1.0f) : 0.0f;
}

/* Brings a loaded image to a size, where one is wanted (not 0). */
static int bring_to_size(struct image *image, const char *path, int width, int height)
{
    struct image resized;
    if (width == 0 || (image->width == width && image->height == height)) return OK;
    log_info("%s: resized from %dx%d to %dx%d", path, image->width, image->height, width, height);
    TRY(image_resize(&resized, image, width, height));
    image_free(image);
    *image = resized;
    return OK;
}

/* Channel `c` of a pixel among `channels` wanted ones: grey for all, alpha over white. */
static float colour_at(const struct image *image, size_t pixel, int c, int channels)
{
    bool alpha = image_has_alpha(image);
    int colours = image->channels - alpha;
    size_t at = pixel * (size_t)image->channels;
    float value;
    if (channels == 1 && colours == 3)
        value = 0.299f * unit_sample(image, at) + 0.587f * unit_sample(image, at + 1) +
                0.114f * unit_sample(image, at + 2);
    else
        value = unit_sample(image, at + (size_t)(colours == 3 ? c : 0));
    if (!alpha) return value;
    float a = unit_sample(image, at + (size_t)colours);
    return value * a + (1.0f - a);
}

int generate_load_init(const char *path, int channels, int *width, int *height, float **out)
{
    struct image image = {0};
    int code = OK;
    *out = NULL;
    TRY_CLEANUP(image_load(&image, path));
    if (image.channels > 4)
        TRY_CLEANUP(fail(ERR_DATA, "%s: %d channels; a picture is needed", path, image.channels));
    if (image_has_alpha(&image)) log_info("%s: its alpha is laid over white", path);
    if (image.channels - image_has_alpha(&image) == 1 && channels == 3)
        log_info("%s: grey, taken as colour", path);
    TRY_CLEANUP(bring_to_size(&image, path, *width, *height));
    size_t pixels = (size_t)image.width * (size_t)image.height;
    *out = malloc(pixels * (size_t)channels * sizeof **out);
    if (!*out) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    for (int c = 0; c < channels; c++)
        for (size_t i = 0; i < pixels; i++)
            (*out)[(size_t)c * pixels + i] = colour_at(&image, i, c, channels) * 2.0f - 1.0f;
    *width = image.width;
    *height = image.height;
cleanup:
    image_free(&image);
    return code;
}

int generate_load_mask(const char *path, bool invert, int width, int height, bool resize,
                       float **out)
{
    struct image image = {0};
    size_t pixels = (size_t)width * (size_t)height, anew = 0;
    int code = OK;
    *out = NULL;
    TRY_CLEANUP(image_load(&image, path));
    if (image.channels > 4)
        TRY_CLEANUP(
            fail(ERR_DATA, "%s: %d channels; a grey picture is needed", path, image.channels));
    if (!resize && (image.width != width || image.height != height))
        TRY_CLEANUP(fail(ERR_USAGE,
                         "--mask %s: %dx%d, but the image is %dx%d: --size %dx%d resizes both",
                         path, image.width, image.height, width, height, width, height));
    if (image.channels >= 3) log_info("%s: colour, its brightness is the mask", path);
    TRY_CLEANUP(bring_to_size(&image, path, width, height));
    *out = malloc(pixels * sizeof **out);
    if (!*out) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    /* Black where it is see-through: nothing was drawn there. */
    for (size_t i = 0; i < pixels; i++) {
        size_t at = i * (size_t)image.channels;
        float grey = image.channels >= 3
                         ? 0.299f * unit_sample(&image, at) + 0.587f * unit_sample(&image, at + 1) +
                               0.114f * unit_sample(&image, at + 2)
                         : unit_sample(&image, at);
        if (image_has_alpha(&image)) grey *= unit_sample(&image, at + (size_t)image.channels - 1);
        bool repaint = (grey >= 0.5f) != invert;
        (*out)[i] = repaint ? 1.0f : 0.0f;
        anew += repaint;
    }
    if (anew == 0)
        TRY_CLEANUP(fail(ERR_USAGE, "--mask %s is empty: nothing would be made anew%s", path,
                         invert ? "" : " (white is what is made anew; or --invert-mask)"));
    if (anew == pixels) log_info("%s: the mask covers everything: no pixel is kept", path);
cleanup:
    image_free(&image);
    return code;
}

int generate_to_picture(const float *image, int channels, int width, int height,
                        struct image *picture)
{
    size_t pixels = (size_t)width * (size_t)height;
    TRY(image_create(picture, width, height, channels, SAMPLE_U8));
    uint8_t *to = picture->data;
    for (int c = 0; c < channels; c++)
        for (size_t i = 0; i < pixels; i++) {
            float value = image[(size_t)c * pixels + i] / 2.0f + 0.5f;
            value = value > 0.0f ? (value < 1.0f ? value : 1.0f) : 0.0f;
            to[i * (size_t)channels + (size_t)c] = (uint8_t)rintf(value * 255.0f);
        }
    return OK;
}

int generate_encode_png(const struct generate_job *job, const struct generate_options *options,
                        uint64_t seed, const struct image *picture, uint8_t **png, size_t *bytes)
{
    struct png_texts texts = {0};
    *png = NULL;
    int code = generate_describe(job, options, seed, &texts);
    if (code == OK) code = image_encode_png(picture, png, bytes);
    if (code == OK) code = png_texts_insert(&texts, png, bytes);
    png_texts_free(&texts);
    if (code == OK) return OK;
    free(*png);
    *png = NULL;
    return code;
}

void generate_composite(const struct generate_job *job, float *image)
{
    const struct pipeline_request *r = &job->request;
    size_t pixels = (size_t)r->width * (size_t)r->height;
    int channels = model_image_channels(&job->model);
    for (int c = 0; c < channels; c++)
        for (size_t i = 0; i < pixels; i++)
            if (r->mask[i] < 0.5f) image[(size_t)c * pixels + i] = r->init[(size_t)c * pixels + i];
}
