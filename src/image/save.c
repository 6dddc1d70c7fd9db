/* Writing a picture file: the name's extension decides. */
#include "base/error.h"
#include "base/file.h"
#include "image/format.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SAVE_QUALITY = 95 };

static int encode_jpeg(const struct image *image, uint8_t **data, size_t *bytes)
{
    if (image->channels > 4)
        return fail(ERR_USAGE, "JPEG holds grey or RGB, not %d channels", image->channels);
    bool fits = image->type == SAMPLE_U8 && !image_has_alpha(image);
    if (fits) return image_encode_jpeg(image, SAVE_QUALITY, data, bytes);
    struct image flat, rounded;
    TRY(image_over_black(&flat, image));
    int code = image_convert(&rounded, &flat, SAMPLE_U8);
    image_free(&flat);
    TRY(code);
    code = image_encode_jpeg(&rounded, SAVE_QUALITY, data, bytes);
    image_free(&rounded);
    return code;
}

static int encode_grey(const struct image *image, uint8_t **data, size_t *bytes)
{
    if (image->channels == 1) return pnm_encode(image, data, bytes);
    return fail(ERR_USAGE, "PGM holds 1 channel, not %d", image->channels);
}

static int encode_rgb(const struct image *image, uint8_t **data, size_t *bytes)
{
    if (image->channels == 3) return pnm_encode(image, data, bytes);
    return fail(ERR_USAGE, "PPM holds 3 channels, not %d", image->channels);
}

static const struct {
    const char *extension;
    int (*encode)(const struct image *image, uint8_t **data, size_t *bytes);
} encoders[] = {
    {".png", image_encode_png}, {".jpg", encode_jpeg}, {".jpeg", encode_jpeg}, {".ppm", encode_rgb},
    {".pgm", encode_grey},      {".pnm", pnm_encode},  {".pam", pnm_encode},   {".pfm", pfm_encode},
};

int image_save(const struct image *image, const char *path)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    for (size_t i = 0; dot && i < sizeof encoders / sizeof encoders[0]; i++) {
        if (strcasecmp(dot, encoders[i].extension) != 0) continue;
        uint8_t *data;
        size_t bytes;
        int code = encoders[i].encode(image, &data, &bytes);
        if (code < 0) return fail_within(code, "%s", path);
        code = file_write_atomic(path, data, bytes, true);
        free(data);
        return code;
    }
    return fail(ERR_USAGE, "%s: cannot write this kind of file (.png .jpg .ppm .pgm .pnm .pfm)",
                path);
}
