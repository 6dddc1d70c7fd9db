/* Reading WebP, with libwebp. webp_none.c stands in when WEBP=0. */
#include "base/error.h"
#include "image/image_format.h"
#include "image/library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>

/* An image of one colour of 8000x8000 takes 2512 bytes, 76,000 times less than its pixels. */
enum { WEBP_BEST_RATIO = 200000 };

static struct {
    __typeof__(WebPGetFeaturesInternal) *WebPGetFeaturesInternal;
    __typeof__(WebPInitDecoderConfigInternal) *WebPInitDecoderConfigInternal;
    __typeof__(WebPDecode) *WebPDecode;
    __typeof__(WebPGetDecoderVersion) *WebPGetDecoderVersion;
} webp;

static int open_libwebp(void)
{
    static struct image_library library = {"libwebp.so.7", PTHREAD_MUTEX_INITIALIZER, false};
    static const struct image_function functions[] = {
        {"WebPGetFeaturesInternal", &webp.WebPGetFeaturesInternal},
        {"WebPInitDecoderConfigInternal", &webp.WebPInitDecoderConfigInternal},
        {"WebPDecode", &webp.WebPDecode},
        {"WebPGetDecoderVersion", &webp.WebPGetDecoderVersion},
    };
    return image_library_open(&library, functions, sizeof functions / sizeof functions[0]);
}

static int fail_webp(const struct source *source, VP8StatusCode status)
{
    static const char *const texts[] = {
        [VP8_STATUS_INVALID_PARAM] = "impossible numbers",
        [VP8_STATUS_BITSTREAM_ERROR] = "damaged data",
        [VP8_STATUS_UNSUPPORTED_FEATURE] = "a feature that libwebp does not know",
        [VP8_STATUS_SUSPENDED] = "it ends too early",
        [VP8_STATUS_USER_ABORT] = "aborted",
        [VP8_STATUS_NOT_ENOUGH_DATA] = "it ends too early",
    };
    if (status == VP8_STATUS_OUT_OF_MEMORY)
        return fail(ERR_SYSTEM, "%s: out of memory", source->name);
    bool known = status < sizeof texts / sizeof texts[0] && texts[status];
    return fail(ERR_DATA, "%s: broken WebP: %s", source->name, known ? texts[status] : "damaged");
}

static int webp_input_read_header(const struct source *source, struct image_header *header)
{
    WebPBitstreamFeatures features;
    int code = open_libwebp();
    if (code < 0)
        return fail_within(code, "%s: a WebP image, convert it to PNG, as libwebp cannot be used",
                           source->name);
    VP8StatusCode status = webp.WebPGetFeaturesInternal(source->data, source->bytes, &features,
                                                        WEBP_DECODER_ABI_VERSION);
    if (status != VP8_STATUS_OK) return fail_webp(source, status);
    if (features.has_animation)
        return fail(ERR_DATA, "%s: an animated WebP: convert one of its frames to PNG",
                    source->name);
    *header = (struct image_header){features.width, features.height, features.has_alpha ? 4 : 3,
                                    SAMPLE_U8};
    return format_check_size(source, header, WEBP_BEST_RATIO);
}

static size_t read_le32(const uint8_t *p)
{
    return p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
}

/* The contents of the first chunk of a name; NULL where there is none. */
static const uint8_t *webp_input_find_chunk(const struct source *source, const char *name,
                                            size_t *length)
{
    for (size_t at = 12; source->bytes >= 8 && at <= source->bytes - 8;) {
        const uint8_t *chunk = source->data + at;
        size_t left = source->bytes - at - 8;
        *length = read_le32(chunk + 4);
        if (*length > left) break;
        if (memcmp(chunk, name, 4) == 0) return chunk + 8;
        at += 8 + *length + (*length & 1);
    }
    return NULL;
}

/* The orientation that the chunk EXIF gives; 1 without one. */
static int find_orientation(const struct source *source)
{
    size_t length;
    const uint8_t *exif = webp_input_find_chunk(source, "EXIF", &length);
    return exif ? exif_orientation(exif, length) : 1;
}

/* libwebp from 1.3 on calls it out of memory when an alpha plane is damaged. */
static bool webp_alpha_is_damaged(const struct source *source, size_t pixels)
{
    size_t length;
    if (!webp_input_find_chunk(source, "ALPH", &length)) return false;
    /* More than that plane's decoder takes; volatile, as a compiler leaves out what is not used */
    void *volatile all = malloc(8 * pixels + ((size_t)4 << 20));
    bool had = all != NULL;
    free(all);
    return had;
}

static int webp_input_decode_into(const struct source *source, const struct image *image)
{
    WebPDecoderConfig config;
    if (!webp.WebPInitDecoderConfigInternal(&config, WEBP_DECODER_ABI_VERSION))
        return fail(ERR_DATA, "%s: libwebp's version does not fit this build", source->name);
    size_t bytes = image_bytes(image), row = bytes / (size_t)image->height;
    config.output.colorspace = image->channels == 4 ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA = (WebPRGBABuffer){.rgba = image->data, .stride = (int)row, .size = bytes};
    VP8StatusCode status = webp.WebPDecode(source->data, source->bytes, &config);
    if (status == VP8_STATUS_OK) return OK;
    size_t pixels = (size_t)image->width * (size_t)image->height;
    if (status == VP8_STATUS_OUT_OF_MEMORY && webp_alpha_is_damaged(source, pixels))
        status = VP8_STATUS_BITSTREAM_ERROR;
    return fail_webp(source, status);
}

static int webp_input_read_stored(const struct source *source, size_t whole_limit,
                                  const struct image_sink *sink)
{
    struct image_header header;
    TRY(webp_input_read_header(source, &header));
    struct image shape = format_shape(&header), image;
    size_t pixels = (size_t)shape.width * (size_t)shape.height; /* libwebp's own: 4 bytes each */
    TRY(row_band_check_whole(source->name, &shape, image_bytes(&shape) + 4 * pixels, whole_limit,
                             "a WebP image is not decoded row by row"));
    TRY(image_create(&image, shape.width, shape.height, shape.channels, shape.type));
    int code = webp_input_decode_into(source, &image);
    if (code == OK) code = image_stream_whole(&image, sink);
    image_free(&image);
    return code;
}

static int webp_read(const struct source *source, size_t whole_limit, const struct image_sink *sink)
{
    return exif_read(source, find_orientation(source), whole_limit, sink, webp_input_read_stored);
}

static int webp_probe(const struct source *source, struct image_header *header)
{
    TRY(webp_input_read_header(source, header));
    if (find_orientation(source) < 5) return OK;
    int width = header->width;
    header->width = header->height;
    header->height = width;
    return OK;
}

static bool webp_matches(const uint8_t *data, size_t bytes)
{
    return bytes >= 12 && memcmp(data, "RIFF", 4) == 0 && memcmp(data + 8, "WEBP", 4) == 0;
}

struct image_decoder_version image_webp_version(void)
{
    struct image_decoder_version version;
    if (open_libwebp() < 0) {
        snprintf(version.text, sizeof version.text, "no: %.140s", error_message());
    } else {
        unsigned v = (unsigned)webp.WebPGetDecoderVersion();
        snprintf(version.text, sizeof version.text, "libwebp %u.%u.%u", v >> 16, v >> 8 & 255,
                 v & 255);
    }
    return version;
}

static const char *const endings[] = {"webp", NULL};
const struct image_format format_webp = {"WebP", endings, webp_matches, webp_probe, webp_read};
