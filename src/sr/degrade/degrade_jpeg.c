/* What JPEG does to an image. */
#include "base/error.h"
#include "image/image.h"
#include "math/shown_sample.h"
#include "sr/degrade/degrade.h"

#include <stdlib.h>

int degrade_jpeg(float *image, int w, int h, int quality)
{
    struct image bytes = {0}, back = {0};
    size_t samples = (size_t)w * (size_t)h * 3;
    uint8_t *data = NULL;
    size_t count;
    int code;
    TRY_CLEANUP(image_create(&bytes, w, h, 3, SAMPLE_U8));
    uint8_t *rounded = bytes.data;
    for (size_t i = 0; i < samples; i++)
        rounded[i] = (uint8_t)(int)(shown_clamped(image[i]) * 255.0f + 0.5f);
    TRY_CLEANUP(image_encode_jpeg_halved(&bytes, quality, &data, &count));
    TRY_CLEANUP(image_decode(&back, data, count, "a JPEG in memory"));
    const uint8_t *decoded = back.data;
    for (size_t i = 0; i < samples; i++)
        image[i] = (float)decoded[i] * (1.0f / 255.0f);
cleanup:
    free(data);
    image_free(&bytes);
    image_free(&back);
    return code;
}
