/* What JPEG does to an image. */
#include "base/error.h"
#include "image/image.h"
#include "sr/degrade/degrade.h"

#include <stdlib.h>

int degrade_jpeg(float *image, int w, int h, int quality)
{
    struct image real = {w, h, 3, SAMPLE_F32, image}, bytes = {0}, back = {0};
    uint8_t *data = NULL;
    size_t count;
    int code;
    TRY_CLEANUP(image_convert(&bytes, &real, SAMPLE_U8));
    TRY_CLEANUP(image_encode_jpeg_halved(&bytes, quality, &data, &count));
    TRY_CLEANUP(image_decode(&back, data, count, "a JPEG in memory"));
    for (size_t i = 0; i < (size_t)w * (size_t)h * 3; i++)
        image[i] = image_sample(&back, i);
cleanup:
    free(data);
    image_free(&bytes);
    image_free(&back);
    return code;
}
