#include "image/tiff_open.h"

#include "base/error.h"
#include "image/library.h"

#include <stdio.h>
#include <string.h>

struct tiff_api tiff_api;

int tiff_library_open(void)
{
    /* 6: the first with open options, which bound its memory. */
    static struct image_library library = {"libtiff.so.6", PTHREAD_MUTEX_INITIALIZER, false};
    static const struct image_function functions[] = {
#define TIFF_SLOT(name) {#name, &tiff_api.name},
        TIFF_FUNCTIONS(TIFF_SLOT)
#undef TIFF_SLOT
    };
    return image_library_open(&library, functions, sizeof functions / sizeof functions[0]);
}

/* ---- the file, for libtiff: it lies in memory ---- */

static tmsize_t tiff_open_read_bytes(thandle_t handle, void *to, tmsize_t count)
{
    struct tiff_file *file = handle;
    size_t left = file->source->bytes - file->at;
    size_t some = count < 0 ? 0 : (size_t)count < left ? (size_t)count : left;
    memcpy(to, file->source->data + file->at, some);
    file->at += some;
    return (tmsize_t)some;
}

static tmsize_t tiff_open_write_bytes(thandle_t handle, void *from, tmsize_t count)
{
    (void)handle, (void)from, (void)count;
    return 0;
}

static toff_t tiff_open_seek_bytes(thandle_t handle, toff_t offset, int whence)
{
    struct tiff_file *file = handle;
    uint64_t bytes = file->source->bytes;
    uint64_t base = whence == SEEK_CUR ? file->at : whence == SEEK_END ? bytes : 0;
    uint64_t to = base + offset; /* unsigned: a step back wraps */
    file->at = to < bytes ? (size_t)to : (size_t)bytes;
    return to;
}

static int close_bytes(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t size_bytes(thandle_t handle)
{
    const struct tiff_file *file = handle;
    return file->source->bytes;
}

/* libtiff only reads the mapped bytes, as the file was opened for reading. */
static int map_bytes(thandle_t handle, void **base, toff_t *size)
{
    const struct tiff_file *file = handle;
    *base = (void *)(uintptr_t)file->source->data;
    *size = file->source->bytes;
    return 1;
}

static void unmap_bytes(thandle_t handle, void *base, toff_t size)
{
    (void)handle, (void)base, (void)size;
}

/* ---- what libtiff says ---- */

__attribute__((format(printf, 4, 0))) static int
keep_error(TIFF *tiff, void *user, const char *module, const char *format, va_list arguments)
{
    struct tiff_file *file = user;
    (void)tiff, (void)module;
    if (!file->message[0]) vsnprintf(file->message, sizeof file->message, format, arguments);
    return 1;
}

/* Before samples are decoded, warnings are about tags that nobody knows; or (libtiff 4.7) why a
 * list that the file cannot hold counts as memory that was not had. */
__attribute__((format(printf, 4, 0))) static int
keep_warning(TIFF *tiff, void *user, const char *module, const char *format, va_list arguments)
{
    struct tiff_file *file = user;
    bool cause = file->decoding || strstr(format, "greater than filesize");
    return cause ? keep_error(tiff, user, module, format, arguments) : 1;
}

int tiff_file_fail(const struct tiff_file *file)
{
    const char *text = file->message[0] ? file->message : "damaged";
    bool limit = strstr(text, "beyond the") || strstr(text, "greater than filesize");
    bool memory = strstr(text, "emory") || strstr(text, "No space");
    if (memory && !limit) return fail(ERR_SYSTEM, "%s: out of memory", file->source->name);
    return fail(ERR_DATA, "%s: broken TIFF: %s", file->source->name, text);
}

static int tiff_open_refuse(const struct tiff_file *file, const char *what)
{
    return fail(ERR_DATA, "%s: a TIFF %s is not read: convert it to PNG or PFM", file->source->name,
                what);
}

/* ---- the directory ---- */

static int read_tags(struct tiff_file *file)
{
    TIFF *tiff = file->tiff;
    uint32_t kind = 0, count = 0;
    const void *version;
    if (!tiff_api.TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &file->width) ||
        !tiff_api.TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &file->height))
        return fail(ERR_DATA, "%s: broken TIFF: no size", file->source->name);
    if (tiff_api.TIFFGetField(tiff, TIFFTAG_DNGVERSION, &version))
        return tiff_open_refuse(file, "of a camera's raw data (DNG)");
    tiff_api.TIFFGetFieldDefaulted(tiff, TIFFTAG_SUBFILETYPE, &kind);
    if (kind & FILETYPE_REDUCEDIMAGE)
        return tiff_open_refuse(file, "whose first image is a preview (a camera's raw data?)");
    uint16_t orientation = ORIENTATION_TOPLEFT;
    tiff_api.TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &file->bits);
    tiff_api.TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &file->samples);
    tiff_api.TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &file->format);
    tiff_api.TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &file->planar);
    tiff_api.TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &file->compression);
    tiff_api.TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &orientation);
    if (!tiff_api.TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &file->photometric))
        return fail(ERR_DATA, "%s: broken TIFF: no photometric interpretation", file->source->name);
    file->orientation = orientation >= 1 && orientation <= 8 ? orientation : 1;
    file->more = !tiff_api.TIFFLastDirectory(tiff);
    file->tiled = tiff_api.TIFFIsTiled(tiff) != 0;
    file->block_width = file->width;
    if (file->tiled) {
        tiff_api.TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &file->block_width);
        tiff_api.TIFFGetField(tiff, TIFFTAG_TILELENGTH, &file->block_height);
    } else {
        tiff_api.TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &count);
        file->block_height = count < file->height ? count : file->height;
    }
    if (file->samples == 0 || file->block_width == 0 || file->block_height == 0)
        return fail(ERR_DATA, "%s: broken TIFF: impossible sizes", file->source->name);
    return OK;
}

static int tiff_open_choose_colours(struct tiff_file *file)
{
    switch (file->photometric) {
    case PHOTOMETRIC_MINISBLACK: file->colours = TIFF_GREY; return OK;
    case PHOTOMETRIC_MINISWHITE: file->colours = TIFF_GREY_INVERTED; return OK;
    case PHOTOMETRIC_RGB: file->colours = TIFF_RGB; return OK;
    case PHOTOMETRIC_PALETTE: file->colours = TIFF_MAP; return OK;
    case PHOTOMETRIC_SEPARATED: file->colours = TIFF_INK; return OK;
    case PHOTOMETRIC_YCBCR:
        if (file->compression != COMPRESSION_JPEG || file->planar != PLANARCONFIG_CONTIG)
            return tiff_open_refuse(file, "of luma and chroma (YCbCr)");
        tiff_api.TIFFSetField(file->tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
        file->colours = TIFF_RGB;
        return OK;
    case PHOTOMETRIC_CIELAB:
    case PHOTOMETRIC_ICCLAB:
    case PHOTOMETRIC_ITULAB: return tiff_open_refuse(file, "in the colour space Lab");
    case PHOTOMETRIC_LOGL:
    case PHOTOMETRIC_LOGLUV: return tiff_open_refuse(file, "with logarithmic samples (LogLuv)");
    case PHOTOMETRIC_CFA: return tiff_open_refuse(file, "of a camera's raw data");
    default:
        return fail(ERR_DATA, "%s: a TIFF of photometric interpretation %u is not read",
                    file->source->name, file->photometric);
    }
}

static int tiff_open_choose_type(struct tiff_file *file)
{
    bool is_float = file->format == SAMPLEFORMAT_IEEEFP;
    bool whole = file->format == SAMPLEFORMAT_UINT || file->format == SAMPLEFORMAT_VOID;
    bool plain = file->colours != TIFF_MAP && file->colours != TIFF_INK;
    if (is_float && plain && (file->bits == 16 || file->bits == 32 || file->bits == 64))
        file->header.type = SAMPLE_F32;
    else if (whole && plain && file->bits == 32)
        file->header.type = SAMPLE_F32;
    else if (whole && file->bits >= 1 && file->bits <= (file->colours == TIFF_MAP ? 8 : 16))
        file->header.type = file->bits <= 8 ? SAMPLE_U8 : SAMPLE_U16;
    else
        return fail(ERR_DATA, "%s: a TIFF of %u-bit samples of this kind (%s) is not read",
                    file->source->name, file->bits,
                    is_float                           ? "floats"
                    : file->format == SAMPLEFORMAT_INT ? "with a sign"
                    : whole                            ? "unsigned"
                                                       : "complex or unknown");
    return OK;
}

/* Colours, then alpha, then what is not looked at. */
static int choose_samples(struct tiff_file *file)
{
    static const int colours[] = {
        [TIFF_GREY] = 1, [TIFF_GREY_INVERTED] = 1, [TIFF_RGB] = 3, [TIFF_MAP] = 1, [TIFF_INK] = 4};
    uint16_t extras = 0, *kinds = NULL;
    int own = colours[file->colours];
    if (file->samples < own)
        return fail(ERR_DATA, "%s: broken TIFF: %u samples are no colour", file->source->name,
                    file->samples);
    tiff_api.TIFFGetFieldDefaulted(file->tiff, TIFFTAG_EXTRASAMPLES, &extras, &kinds);
    if (file->samples > own && extras > 0 && kinds && file->colours != TIFF_MAP) {
        file->associated = kinds[0] == EXTRASAMPLE_ASSOCALPHA;
        file->alpha = file->associated || kinds[0] == EXTRASAMPLE_UNASSALPHA;
    }
    file->stored = own + file->alpha;
    file->dropped = file->samples - file->stored;
    file->header.channels = (own == 1 && file->colours != TIFF_MAP ? 1 : 3) + file->alpha;
    if (file->colours == TIFF_MAP &&
        !tiff_api.TIFFGetField(file->tiff, TIFFTAG_COLORMAP, &file->map[0], &file->map[1],
                               &file->map[2]))
        return fail(ERR_DATA, "%s: broken TIFF: no colour map", file->source->name);
    return OK;
}

size_t tiff_best_ratio(const struct tiff_file *file)
{
    enum { BITS = 8 }; /* a bit becomes a byte */
    switch (file->compression) {
    case COMPRESSION_NONE: return BITS;
    case COMPRESSION_PACKBITS: return BITS * 64;
    case COMPRESSION_LZW: return BITS * 4096;
    case COMPRESSION_DEFLATE:
    case COMPRESSION_ADOBE_DEFLATE: return BITS * 1100;
    case COMPRESSION_JPEG: return 1600;
    default: return 200000; /* a white row of a fax is one bit */
    }
}

static int check_sizes(struct tiff_file *file)
{
    if (file->width > IMAGE_MAX_SIDE || file->height > IMAGE_MAX_SIDE)
        return fail(ERR_DATA, "%s: %ux%u is outside the limits (%d)", file->source->name,
                    file->width, file->height, IMAGE_MAX_SIDE);
    file->header.width = (int)file->width;
    file->header.height = (int)file->height;
    TRY(format_check_size(file->source, &file->header, tiff_best_ratio(file)));
    /* A file may claim tiles far larger than the image: the samples of all blocks are bounded too.
     */
    uint64_t across = (file->width + (uint64_t)file->block_width - 1) / file->block_width;
    uint64_t down = (file->height + (uint64_t)file->block_height - 1) / file->block_height;
    uint64_t most = (uint64_t)24 << 20, wide = across * file->block_width,
             high = file->tiled ? down * file->block_height : file->height;
    uint64_t pixels = (uint64_t)file->width * file->height;
    bool vast = wide > 1 << 20 || high > 1 << 20;
    uint64_t all = vast ? 0 : (wide * file->samples * file->bits + 7) / 8 * high;
    if (!vast && (all <= most || all / 16 <= pixels) &&
        all / tiff_best_ratio(file) <= file->source->total)
        return OK;
    return fail(ERR_DATA,
                "%s: a TIFF of %ux%u pixels with %u samples in blocks of %ux%u is refused",
                file->source->name, file->width, file->height, file->samples, file->block_width,
                file->block_height);
}

static int check_codec(const struct tiff_file *file)
{
    if (file->compression == COMPRESSION_OJPEG) return tiff_open_refuse(file, "of old-style JPEG");
    if (tiff_api.TIFFIsCODECConfigured(file->compression)) return OK;
    return fail(ERR_DATA, "%s: a TIFF of compression %u, which this libtiff has not",
                file->source->name, file->compression);
}

static int open_handle(struct tiff_file *file)
{
    TIFFOpenOptions *options = tiff_api.TIFFOpenOptionsAlloc();
    if (!options) return fail(ERR_SYSTEM, "%s: out of memory", file->source->name);
    /* Lists of strips, a row or a tile, what a codec needs: a multiple of the file or modest. */
    size_t most = ((size_t)32 << 20) + 4 * file->source->bytes;
    tiff_api.TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)most);
    tiff_api.TIFFOpenOptionsSetErrorHandlerExtR(options, keep_error, file);
    tiff_api.TIFFOpenOptionsSetWarningHandlerExtR(options, keep_warning, file);
    file->tiff = tiff_api.TIFFClientOpenExt(
        file->source->name, "r", file, tiff_open_read_bytes, tiff_open_write_bytes,
        tiff_open_seek_bytes, close_bytes, size_bytes, map_bytes, unmap_bytes, options);
    tiff_api.TIFFOpenOptionsFree(options);
    return file->tiff ? OK : tiff_file_fail(file);
}

int tiff_file_open(struct tiff_file *file, const struct source *source)
{
    *file = (struct tiff_file){.source = source};
    int code = tiff_library_open();
    if (code < 0)
        return fail_within(code, "%s: a TIFF image, convert it to PNG, as libtiff cannot be used",
                           source->name);
    TRY(open_handle(file));
    TRY(read_tags(file));
    TRY(check_codec(file));
    TRY(tiff_open_choose_colours(file));
    TRY(tiff_open_choose_type(file));
    TRY(choose_samples(file));
    return check_sizes(file);
}

void tiff_file_close(struct tiff_file *file)
{
    if (file->tiff) tiff_api.TIFFClose(file->tiff);
    file->tiff = NULL;
}
