/* Reading TIFF: strips or tiles, interleaved or in planes, become rows. tiff_none.c stands in when
 * TIFF=0. */
#include "base/error.h"
#include "image/tiff_open.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows that are decoded together: a strip, or a row of tiles, of each plane. */
struct tiff_reader {
    struct tiff_file file;
    int planes;
    size_t row_bytes, block_bytes; /* of a plane's row; of its part of the group */
    uint8_t *group;                /* [plane][row][row_bytes] */
    uint8_t *tile;
    uint8_t *stored; /* a row of those samples that are used, as the image's type */
    struct row_band band;
};

/* ---- samples ---- */

static float half_to_float(unsigned half)
{
    int exponent = half >> 10 & 31;
    float fraction = (float)(half & 1023), sign = half & 0x8000 ? -1.0f : 1.0f;
    if (exponent == 31) return (half & 1023) ? (float)NAN : sign * (float)INFINITY;
    if (exponent == 0) return sign * ldexpf(fraction, -24);
    return sign * ldexpf(fraction + 1024.0f, exponent - 25);
}

/* Sample `i` of a row, an unsigned one of up to 16 bits; libtiff has put bytes into order. */
static unsigned whole_sample(const uint8_t *row, size_t i, unsigned bits)
{
    if (bits == 8) return row[i];
    if (bits == 16) {
        uint16_t value;
        memcpy(&value, row + 2 * i, sizeof value);
        return value;
    }
    unsigned value = 0;
    for (size_t bit = i * bits; bit < (i + 1) * bits; bit++)
        value = value << 1 | (unsigned)(row[bit / 8] >> (7 - bit % 8) & 1);
    return value;
}

static float float_sample(const uint8_t *row, size_t i, const struct tiff_file *file)
{
    uint16_t half;
    uint32_t whole;
    float value;
    double wide;
    if (file->format != SAMPLEFORMAT_IEEEFP) {
        memcpy(&whole, row + 4 * i, sizeof whole);
        return (float)(whole / 4294967295.0);
    }
    switch (file->bits) {
    case 16: memcpy(&half, row + 2 * i, sizeof half); return half_to_float(half);
    case 32: memcpy(&value, row + 4 * i, sizeof value); return value;
    default: memcpy(&wide, row + 8 * i, sizeof wide); return (float)wide;
    }
}

/* The used samples of row `y` of the group, one pixel after the other. A colour map's indices stay
 * what they are. */
static void collect_row(struct tiff_reader *reader, size_t y)
{
    const struct tiff_file *file = &reader->file;
    size_t width = file->width, stored = (size_t)file->stored;
    unsigned white = file->bits <= 16 ? (1u << file->bits) - 1 : 1; /* of whole samples */
    for (size_t s = 0; s < stored; s++) {
        size_t plane = reader->planes > 1 ? s : 0, stride = reader->planes > 1 ? 1 : file->samples;
        size_t first = reader->planes > 1 ? 0 : s;
        const uint8_t *row = reader->group + plane * reader->block_bytes + y * reader->row_bytes;
        for (size_t x = 0; x < width; x++) {
            size_t from = x * stride + first, to = x * stored + s;
            if (file->header.type == SAMPLE_F32) {
                ((float *)(void *)reader->stored)[to] = float_sample(row, from, file);
                continue;
            }
            unsigned value = whole_sample(row, from, file->bits);
            if (file->header.type == SAMPLE_U16)
                ((uint16_t *)(void *)reader->stored)[to] =
                    (uint16_t)((value * 65535ull + white / 2) / white);
            else
                reader->stored[to] =
                    (uint8_t)(file->colours == TIFF_MAP ? value
                                                        : (value * 255u + white / 2) / white);
        }
    }
}

/* ---- pixels ---- */

/* Colour that was stored multiplied by alpha. */
static unsigned tiff_input_divide(unsigned value, unsigned alpha, unsigned white)
{
    if (alpha == 0) return 0;
    uint64_t out = ((uint64_t)value * white + alpha / 2) / alpha;
    return out < white ? (unsigned)out : white;
}

static void make_whole_pixel(const struct tiff_file *file, const unsigned *in, unsigned *out,
                             unsigned white)
{
    int colours = file->header.channels - file->alpha;
    for (int c = 0; c < colours; c++) {
        switch (file->colours) {
        case TIFF_GREY:
        case TIFF_RGB: out[c] = in[c]; break;
        case TIFF_GREY_INVERTED: out[c] = white - in[c]; break;
        case TIFF_MAP: out[c] = file->map[c][in[0]] >> 8; break;
        case TIFF_INK:
            out[c] = (unsigned)(((uint64_t)(white - in[c]) * (white - in[3]) + white / 2) / white);
            break;
        }
        if (file->associated) out[c] = tiff_input_divide(out[c], in[file->stored - 1], white);
    }
    if (file->alpha) out[colours] = in[file->stored - 1];
}

static bool make_float_pixel(const struct tiff_file *file, const float *in, float *out)
{
    bool finite = true;
    float alpha = file->alpha ? in[file->stored - 1] : 1.0f;
    for (int c = 0; c < file->header.channels; c++) {
        float value = in[c];
        finite &= isfinite(value) != 0;
        bool colour = !file->alpha || c + 1 < file->header.channels;
        if (colour && file->colours == TIFF_GREY_INVERTED) value = 1.0f - value;
        if (colour && file->associated) value = alpha > 0.0f ? value / alpha : 0.0f;
        out[c] = value;
    }
    return finite;
}

static bool make_row(struct tiff_reader *reader, void *to)
{
    const struct tiff_file *file = &reader->file;
    size_t channels = (size_t)file->header.channels, stored = (size_t)file->stored;
    const uint8_t *u8 = reader->stored;
    const uint16_t *u16 = (const uint16_t *)(const void *)reader->stored;
    const float *f32 = (const float *)(const void *)reader->stored;
    bool finite = true, deep = file->header.type == SAMPLE_U16;
    for (size_t x = 0; x < file->width; x++) {
        if (file->header.type == SAMPLE_F32) {
            finite &= make_float_pixel(file, f32 + x * stored, (float *)to + x * channels);
            continue;
        }
        unsigned in[5], out[4];
        for (size_t s = 0; s < stored; s++)
            in[s] = deep ? u16[x * stored + s] : u8[x * stored + s];
        make_whole_pixel(file, in, out, deep ? 65535 : 255);
        for (size_t c = 0; c < channels; c++) {
            if (deep)
                ((uint16_t *)to)[x * channels + c] = (uint16_t)out[c];
            else
                ((uint8_t *)to)[x * channels + c] = (uint8_t)out[c];
        }
    }
    return finite;
}

/* ---- strips and tiles ---- */

static int open_group(struct tiff_reader *reader, size_t whole_limit)
{
    const struct tiff_file *file = &reader->file;
    struct image shape = format_shape(&file->header);
    bool separate = file->planar == PLANARCONFIG_SEPARATE && file->samples > 1;
    size_t together = separate ? 1 : file->samples;
    uint64_t across = (file->width + (uint64_t)file->block_width - 1) / file->block_width;
    uint64_t row = ((uint64_t)file->block_width * together * file->bits + 7) / 8;
    uint64_t has = file->tiled ? tiff_api.TIFFTileRowSize64(file->tiff)
                               : tiff_api.TIFFScanlineSize64(file->tiff);
    bool bytewise = !file->tiled || (uint64_t)file->block_width * together * file->bits % 8 == 0;
    if (has != row || !bytewise)
        return fail(ERR_DATA, "%s: broken TIFF: rows of %llu bytes", file->source->name,
                    (unsigned long long)has);
    reader->planes = separate ? file->stored : 1;
    reader->row_bytes = (size_t)(file->tiled ? across * row : row);
    reader->block_bytes = reader->row_bytes * file->block_height;
    size_t all = reader->block_bytes * (size_t)reader->planes;
    TRY(row_band_check_whole(file->source->name, &shape, all, whole_limit,
                             "this TIFF's strips or tiles hold many rows"));
    reader->group = calloc(all, 1);
    if (file->tiled) reader->tile = malloc((size_t)row * file->block_height);
    reader->stored = malloc((size_t)file->width * (size_t)file->stored * sizeof(float));
    if (reader->group && reader->stored && (reader->tile || !file->tiled)) return OK;
    return fail(ERR_SYSTEM, "%s: out of memory", file->source->name);
}

static int read_strip(struct tiff_reader *reader, uint32_t y, int plane, uint32_t rows)
{
    struct tiff_file *file = &reader->file;
    uint32_t strip = tiff_api.TIFFComputeStrip(file->tiff, y, (uint16_t)plane);
    tmsize_t bytes = (tmsize_t)(rows * reader->row_bytes);
    uint8_t *to = reader->group + (size_t)plane * reader->block_bytes;
    tmsize_t got = tiff_api.TIFFReadEncodedStrip(file->tiff, strip, to, bytes);
    return got == bytes && !file->message[0] ? OK : tiff_file_fail(file);
}

static int read_tiles(struct tiff_reader *reader, uint32_t y, int plane)
{
    struct tiff_file *file = &reader->file;
    size_t row = (size_t)tiff_api.TIFFTileRowSize64(file->tiff);
    uint8_t *to = reader->group + (size_t)plane * reader->block_bytes;
    tmsize_t bytes = (tmsize_t)(row * file->block_height);
    for (uint32_t x = 0; x < file->width; x += file->block_width, to += row) {
        uint32_t tile = tiff_api.TIFFComputeTile(file->tiff, x, y, 0, (uint16_t)plane);
        tmsize_t got = tiff_api.TIFFReadEncodedTile(file->tiff, tile, reader->tile, bytes);
        if (got != bytes || file->message[0]) return tiff_file_fail(file);
        for (size_t r = 0; r < file->block_height; r++)
            memcpy(to + r * reader->row_bytes, reader->tile + r * row, row);
    }
    return OK;
}

static int read_group(struct tiff_reader *reader, uint32_t y, uint32_t rows)
{
    for (int plane = 0; plane < reader->planes; plane++)
        TRY(reader->file.tiled ? read_tiles(reader, y, plane) : read_strip(reader, y, plane, rows));
    return OK;
}

static int tiff_input_read_rows(struct tiff_reader *reader, const struct image_sink *sink)
{
    struct tiff_file *file = &reader->file;
    struct image shape = format_shape(&file->header);
    file->message[0] = '\0'; /* errors of tags that were gone over */
    file->decoding = true;
    TRY(row_band_open(&reader->band, &shape, sink));
    for (uint32_t y = 0; y < file->height; y += file->block_height) {
        uint32_t left = file->height - y,
                 rows = left < file->block_height ? left : file->block_height;
        TRY(read_group(reader, y, rows));
        for (uint32_t r = 0; r < rows; r++) {
            collect_row(reader, r);
            if (!make_row(reader, row_band_row(&reader->band)))
                return fail(ERR_DATA, "%s: broken TIFF: a sample is not a finite number",
                            file->source->name);
            TRY(row_band_next(&reader->band));
        }
    }
    if (file->more) format_note(file->source, "only the first image of this TIFF is read");
    if (file->dropped)
        format_note(file->source, "channels of this TIFF that are left out, as no colours: %d",
                    file->dropped);
    return OK;
}

static int tiff_input_read_stored(const struct source *source, size_t whole_limit,
                                  const struct image_sink *sink)
{
    struct tiff_reader reader = {.planes = 0};
    int code = tiff_file_open(&reader.file, source);
    if (code == OK) code = open_group(&reader, whole_limit);
    if (code == OK) code = tiff_input_read_rows(&reader, sink);
    tiff_file_close(&reader.file);
    row_band_close(&reader.band);
    free(reader.group);
    free(reader.tile);
    free(reader.stored);
    return code;
}

static int tiff_read(const struct source *source, size_t whole_limit, const struct image_sink *sink)
{
    struct tiff_file file;
    int code = tiff_file_open(&file, source), orientation = file.orientation;
    tiff_file_close(&file);
    TRY(code);
    return exif_read(source, orientation, whole_limit, sink, tiff_input_read_stored);
}

static int tiff_probe(const struct source *source, struct image_header *header)
{
    struct tiff_file file;
    int code = tiff_file_open(&file, source);
    *header = file.header;
    if (file.orientation >= 5) {
        header->width = file.header.height;
        header->height = file.header.width;
    }
    tiff_file_close(&file);
    return code;
}

static bool tiff_matches(const uint8_t *data, size_t bytes)
{
    static const char magics[][5] = {"II*\0", "MM\0*", "II+\0", "MM\0+"};
    for (int i = 0; i < 4; i++)
        if (bytes >= 8 && memcmp(data, magics[i], 4) == 0) return true;
    return false;
}

struct image_decoder_version image_tiff_version(void)
{
    struct image_decoder_version version;
    if (tiff_library_open() < 0) {
        snprintf(version.text, sizeof version.text, "no: %.140s", error_message());
    } else {
        const char *text = tiff_api.TIFFGetVersion(); /* "LIBTIFF, Version 4.5.0\n..." */
        const char *number = strstr(text, "ersion ");
        number = number ? number + 7 : text;
        snprintf(version.text, sizeof version.text, "libtiff %.*s", (int)strcspn(number, "\n"),
                 number);
    }
    return version;
}

static const char *const endings[] = {"tif", "tiff", NULL};
const struct image_format format_tiff = {"TIFF", endings, tiff_matches, tiff_probe, tiff_read};
