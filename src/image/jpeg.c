/* Reading JPEG, with libjpeg-turbo's libjpeg API. */
#include "base/error.h"
#include "image/image_format.h"
#include "image/jpeg_trap.h"

#include <stdlib.h>
#include <string.h>

enum {
    MARKER_SOI = 0xD8,
    MARKER_EOI = 0xD9,
    MARKER_SOS = 0xDA,
    MARKER_APP1 = 0xE1,
    SCANS_LIMIT = 64,
    /* A flat block costs 1 bit at least: 64 samples an eighth of a byte, tripled where chroma is
     * stored at a quarter of the size and less. */
    JPEG_BEST_RATIO = 1600,
    /* Samples visited (a scan may visit each) for each byte of the file. The flattest real
     * progressive image stays below; a file made to keep a decoder busy does not. */
    JPEG_WORK_RATIO = 12288,
};

/* ---- what the markers say, before any decoding ---- */

struct jpeg_outline {
    int width, height, components; /* 0 when no frame header was seen */
    int scans;
    unsigned scanned; /* a bit for each component's number that a scan has */
    int orientation;
};

static size_t read_be16(const uint8_t *p)
{
    return (size_t)p[0] << 8 | p[1];
}

static bool is_frame_header(int marker)
{
    return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

/* The next marker at or after `at`: its code, or 0 at the end. *at is then behind it. FF 00 is a
 * stuffed byte and D0-D7 are restarts, both inside entropy-coded data. */
static int next_marker(const struct source *source, size_t *at)
{
    while (*at < source->bytes) {
        const uint8_t *ff = memchr(source->data + *at, 0xFF, source->bytes - *at);
        if (!ff) break;
        size_t i = (size_t)(ff - source->data) + 1;
        while (i < source->bytes && source->data[i] == 0xFF)
            i++;
        if (i >= source->bytes) break;
        *at = i + 1;
        int code = source->data[i];
        if (code != 0x00 && code != 0x01 && !(code >= 0xD0 && code <= 0xD7)) return code;
    }
    *at = source->bytes;
    return 0;
}

static void note_segment(struct jpeg_outline *outline, int marker, const uint8_t *body,
                         size_t bytes)
{
    if (is_frame_header(marker) && bytes >= 6 && outline->width == 0) {
        outline->height = (int)read_be16(body + 1);
        outline->width = (int)read_be16(body + 3);
        outline->components = body[5];
    } else if (marker == MARKER_APP1 && bytes > 6 && memcmp(body, "Exif\0", 6) == 0) {
        outline->orientation = exif_orientation(body + 6, bytes - 6);
    } else if (marker == MARKER_SOS) {
        outline->scans++;
        for (size_t i = 0; bytes > 0 && i < body[0] && 2 * i + 1 < bytes; i++)
            outline->scanned |= 1u << (body[2 * i + 1] & 31);
    }
}

static struct jpeg_outline walk_markers(const struct source *source)
{
    struct jpeg_outline outline = {.orientation = 1};
    size_t at = 2;
    for (int marker; (marker = next_marker(source, &at)) != 0 && marker != MARKER_EOI;) {
        if (marker == MARKER_SOI) continue;
        if (source->bytes - at < 2) break;
        size_t length = read_be16(source->data + at);
        if (length < 2 || length > source->bytes - at) break;
        note_segment(&outline, marker, source->data + at + 2, length - 2);
        if (outline.scans > SCANS_LIMIT) break;
        at += length;
    }
    return outline;
}

static int outline_header(const struct source *source, const struct jpeg_outline *outline,
                          struct image_header *header)
{
    if (outline->width == 0 || outline->height == 0)
        return fail(ERR_DATA, "%s: broken JPEG: no frame header", source->name);
    if (outline->components != 1 && outline->components != 3 && outline->components != 4)
        return fail(ERR_DATA, "%s: a JPEG with %d components is not supported", source->name,
                    outline->components);
    if (outline->scans > SCANS_LIMIT)
        return fail(ERR_DATA, "%s: a JPEG with more than %d scans is refused", source->name,
                    SCANS_LIMIT);
    *header = (struct image_header){outline->width, outline->height,
                                    outline->components == 1 ? 1 : 3, SAMPLE_U8};
    TRY(format_check_size(source, header, JPEG_BEST_RATIO));
    size_t samples = (size_t)outline->width * (size_t)outline->height * (size_t)outline->components;
    if (samples * (size_t)outline->scans / JPEG_WORK_RATIO > source->total)
        return fail(ERR_DATA, "%s: %zu bytes with %d scans of %dx%d pixels are refused",
                    source->name, source->total, outline->scans, outline->width, outline->height);
    return OK;
}

static int jpeg_probe(const struct source *source, struct image_header *header)
{
    struct jpeg_outline outline = walk_markers(source);
    TRY(outline_header(source, &outline, header));
    if (outline.orientation < 5) return OK;
    header->width = outline.height;
    header->height = outline.width;
    return OK;
}

/* ---- errors: libjpeg's handler jumps back ---- */

static void jpeg_input_on_error(j_common_ptr info)
{
    struct jpeg_trap *trap = (struct jpeg_trap *)info->err;
    trap->manager.format_message(info, trap->message);
    longjmp(trap->jump, 1);
}

/* Warnings that other readers pass over as well, to the same pixels. */
static bool is_harmless(int warning)
{
    switch (warning) {
    case JWRN_EXTRANEOUS_DATA: /* bytes between what belongs to the image and the next marker */
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:    /* the value that is assumed is the one that nearly all files mean */
    case JWRN_NOT_SEQUENTIAL: /* parameters that a sequential scan has no use for */
    case JWRN_JPEG_EOF: return true;
    default: return false;
    }
}

/* A warning has a level below 0. */
static void on_message(j_common_ptr info, int level)
{
    struct jpeg_trap *trap = (struct jpeg_trap *)info->err;
    if (level >= 0) return;
    if (!is_harmless(trap->manager.msg_code)) jpeg_input_on_error(info);
    if (trap->manager.msg_code == JWRN_JPEG_EOF) trap->ends_early = true;
    if (!trap->note[0]) trap->manager.format_message(info, trap->note);
}

struct jpeg_error_mgr *jpeg_set_trap(struct jpeg_trap *trap)
{
    jpeg_std_error(&trap->manager);
    trap->manager.error_exit = jpeg_input_on_error;
    trap->manager.emit_message = on_message;
    trap->note[0] = '\0';
    trap->ends_early = false;
    return &trap->manager;
}

/* ---- reading ---- */

/* The state that must survive a jump lives here, not in the locals of the function that called
 * setjmp. */
struct jpeg_reader {
    struct jpeg_decompress_struct info;
    struct jpeg_trap trap;
    const struct source *source;
    struct row_band band;
    uint8_t *cmyk; /* one row */
};

/* Adobe stores ink inverted (255 = none); without its marker 255 is full ink. */
static void row_from_cmyk(uint8_t *rgb, const uint8_t *cmyk, int width, bool inverted)
{
    for (int x = 0; x < width; x++, rgb += 3, cmyk += 4) {
        unsigned black = inverted ? cmyk[3] : 255u - cmyk[3];
        for (int c = 0; c < 3; c++) {
            unsigned ink = inverted ? cmyk[c] : 255u - cmyk[c];
            rgb[c] = (uint8_t)((ink * black + 127u) / 255u);
        }
    }
}

static void jpeg_input_choose_colours(struct jpeg_decompress_struct *info)
{
    switch (info->num_components) {
    case 1: info->out_color_space = JCS_GRAYSCALE; break;
    case 3: info->out_color_space = JCS_RGB; break;
    default: info->out_color_space = JCS_CMYK; break;
    }
    info->dct_method = JDCT_ISLOW;
}

static int jpeg_input_read_rows(struct jpeg_reader *reader, const struct image *shape,
                                const struct image_sink *sink)
{
    struct jpeg_decompress_struct *info = &reader->info;
    if (info->out_color_space == JCS_CMYK) {
        reader->cmyk = malloc((size_t)shape->width * 4);
        if (!reader->cmyk) return fail(ERR_SYSTEM, "%s: out of memory", reader->source->name);
    }
    TRY(row_band_open(&reader->band, shape, sink));
    while (info->output_scanline < info->output_height) {
        uint8_t *to = row_band_row(&reader->band);
        JSAMPROW line = reader->cmyk ? reader->cmyk : to;
        if (jpeg_read_scanlines(info, &line, 1) != 1)
            return fail(ERR_DATA, "%s: broken JPEG: rows are missing", reader->source->name);
        if (reader->cmyk) row_from_cmyk(to, reader->cmyk, shape->width, info->saw_Adobe_marker);
        TRY(row_band_next(&reader->band));
    }
    return OK;
}

/* libjpeg keeps the coefficients of all scans: 16 bits for each sample of each component. */
static int check_scans(struct jpeg_reader *reader, const struct image *shape, size_t whole_limit)
{
    if (!jpeg_has_multiple_scans(&reader->info)) return OK;
    size_t samples = (size_t)shape->width * (size_t)shape->height;
    return row_band_check_whole(reader->source->name, shape,
                                2 * samples * (size_t)reader->info.num_components, whole_limit,
                                "a progressive JPEG is not stored row by row");
}

/* A file without an end marker has all its pixels when nothing was missing in a scan (a warning of
 * its own) and no scan is missing. Arithmetic coding does not notice what is missing. */
static int check_end(struct jpeg_reader *reader, const struct jpeg_outline *outline)
{
    const struct jpeg_decompress_struct *info = &reader->info;
    bool whole = !info->arith_code && __builtin_popcount(outline->scanned) >= info->num_components;
    if (!reader->trap.ends_early) return OK;
    for (int c = 0; c < info->num_components && info->coef_bits; c++)
        for (int k = 0; k < DCTSIZE2; k++)
            if (info->coef_bits[c][k] != 0) whole = false;
    return whole ? OK : fail(ERR_DATA, "%s: broken JPEG: it ends too early", reader->source->name);
}

static int jpeg_input_read_image(struct jpeg_reader *reader, const struct jpeg_outline *outline,
                                 const struct image_header *header, size_t whole_limit,
                                 const struct image_sink *sink)
{
    const struct source *source = reader->source;
    if (setjmp(reader->trap.jump))
        return fail(reader->trap.manager.msg_code == JERR_OUT_OF_MEMORY ? ERR_SYSTEM : ERR_DATA,
                    "%s: broken JPEG: %s", source->name, reader->trap.message);
    jpeg_create_decompress(&reader->info);
    jpeg_mem_src(&reader->info, source->data, source->bytes);
    jpeg_read_header(&reader->info, TRUE);
    if ((int)reader->info.image_width != header->width ||
        (int)reader->info.image_height != header->height)
        return fail(ERR_DATA, "%s: broken JPEG: two frame headers", source->name);
    struct image shape = format_shape(header);
    TRY(check_scans(reader, &shape, whole_limit));
    jpeg_input_choose_colours(&reader->info);
    jpeg_start_decompress(&reader->info);
    if (reader->info.output_components !=
        (reader->info.out_color_space == JCS_CMYK ? 4 : header->channels))
        return fail(ERR_DATA, "%s: broken JPEG: two frame headers", source->name);
    TRY(check_end(reader, outline)); /* of several scans, which have been read by now */
    TRY(jpeg_input_read_rows(reader, &shape, sink));
    bool several = reader->info.coef_bits != NULL;
    jpeg_finish_decompress(&reader->info);
    if (!several) TRY(check_end(reader, outline));
    if (reader->trap.note[0]) format_note(source, "%s (all pixels are there)", reader->trap.note);
    return OK;
}

static int jpeg_input_read_stored(const struct source *source, size_t whole_limit,
                                  const struct image_sink *sink)
{
    struct jpeg_outline outline = walk_markers(source);
    struct image_header header;
    TRY(outline_header(source, &outline, &header));
    struct jpeg_reader reader = {.source = source};
    reader.info.err = jpeg_set_trap(&reader.trap);
    int code = jpeg_input_read_image(&reader, &outline, &header, whole_limit, sink);
    jpeg_destroy_decompress(&reader.info);
    row_band_close(&reader.band);
    free(reader.cmyk);
    return code;
}

static int jpeg_read(const struct source *source, size_t whole_limit, const struct image_sink *sink)
{
    return exif_read(source, walk_markers(source).orientation, whole_limit, sink,
                     jpeg_input_read_stored);
}

static bool jpeg_matches(const uint8_t *data, size_t bytes)
{
    return bytes >= 3 && memcmp(data, "\xFF\xD8\xFF", 3) == 0;
}

static const char *const endings[] = {"jpg", "jpeg", "jpe", "jfif", NULL};
const struct image_format format_jpeg = {"JPEG", endings, jpeg_matches, jpeg_probe, jpeg_read};
