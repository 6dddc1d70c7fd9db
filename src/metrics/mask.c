#include "metrics/mask.h"

#include "base/error.h"

int mask_expect_size(const char *path, const struct image *mask, int width, int height)
{
    if (mask->width == width && mask->height == height) return OK;
    return fail(ERR_DATA, "%s is %dx%d, but the image %dx%d", path, mask->width, mask->height,
                width, height);
}

/* The mean of a pixel's colours, without alpha. */
static uint8_t mask_level(const uint8_t *pixel, int channels)
{
    int colours = channels == 2 ? 1 : channels == 4 ? 3 : channels, sum = 0;
    for (int c = 0; c < colours; c++)
        sum += pixel[c];
    return (uint8_t)((sum + colours / 2) / colours);
}

int mask_load(struct image *mask, const char *path, int width, int height)
{
    struct image image = {0};
    int code;
    *mask = (struct image){0};
    TRY(image_load(&image, path));
    TRY_CLEANUP(mask_expect_size(path, &image, width, height));
    TRY_CLEANUP(image_convert(mask, &image, SAMPLE_U8));
    uint8_t *levels = mask->data, most = 0; /* a pixel's level is never behind its colours */
    for (size_t i = 0; i < (size_t)width * (size_t)height; i++) {
        levels[i] = mask_level(levels + i * (size_t)mask->channels, mask->channels);
        if (levels[i] > most) most = levels[i];
    }
    mask->channels = 1;
    code = most > 0 ? OK : fail(ERR_DATA, "%s is black: no pixel counts", path);
cleanup:
    image_free(&image);
    if (code < 0) image_free(mask);
    return code;
}
