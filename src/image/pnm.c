/* The netpbm family, P1 to P7: bitmaps, greymaps, pixmaps, PAM; one writer for P5, P6 and P7.
 * Formats: netpbm.sourceforge.net/doc/{pbm,pgm,ppm,pam}.html */
#include "base/error.h"
#include "image/image_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_LIMIT = 1 << 24 }; /* beyond every limit we check, far below an overflow */

struct pnm_cursor {
    const struct source *source;
    size_t at;
};

struct pnm_header {
    struct image_header shape;
    int kind; /* 1..7 */
    int maximum;
};

static int fail_pnm(const struct source *source, const char *what)
{
    return fail(ERR_DATA, "%s: broken PNM: %s", source->name, what);
}

static bool is_space(int c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int pnm_peek(const struct pnm_cursor *cursor)
{
    return cursor->at < cursor->source->bytes ? cursor->source->data[cursor->at] : -1;
}

/* A comment runs from # to the end of its line and may stand between any two tokens. */
static void skip_spaces(struct pnm_cursor *cursor)
{
    for (int c; (c = pnm_peek(cursor)) == '#' || is_space(c); cursor->at++) {
        if (c != '#') continue;
        while ((c = pnm_peek(cursor)) >= 0 && c != '\n' && c != '\r')
            cursor->at++;
    }
}

static int read_number(struct pnm_cursor *cursor, int *value)
{
    skip_spaces(cursor);
    int c = pnm_peek(cursor), number = 0;
    if (c < '0' || c > '9') return fail_pnm(cursor->source, "a number is missing");
    for (; (c = pnm_peek(cursor)) >= '0' && c <= '9'; cursor->at++) {
        number = number * 10 + (c - '0');
        if (number > NUMBER_LIMIT) return fail_pnm(cursor->source, "a number is too large");
    }
    *value = number;
    return OK;
}

/* ---- headers ---- */

/* The next line of a PAM header, without spaces around it. Comment lines come out as they are. */
static int read_line(struct pnm_cursor *cursor, char *line, size_t room)
{
    const uint8_t *start = cursor->source->data + cursor->at;
    const uint8_t *end = memchr(start, '\n', cursor->source->bytes - cursor->at);
    if (!end) return fail_pnm(cursor->source, "the header ends too early");
    cursor->at += (size_t)(end - start) + 1;
    while (start < end && is_space(*start))
        start++;
    while (end > start && is_space(end[-1]))
        end--;
    size_t length = (size_t)(end - start) < room - 1 ? (size_t)(end - start) : room - 1;
    memcpy(line, start, length);
    line[length] = '\0';
    return OK;
}

static int read_pam_header(struct pnm_cursor *cursor, struct pnm_header *header)
{
    char line[128];
    struct {
        const char *key;
        int *value;
    } fields[] = {{"WIDTH", &header->shape.width},
                  {"HEIGHT", &header->shape.height},
                  {"DEPTH", &header->shape.channels},
                  {"MAXVAL", &header->maximum}};
    for (;;) {
        TRY(read_line(cursor, line, sizeof line));
        if (strcmp(line, "ENDHDR") == 0) return OK;
        char key[16];
        int value;
        if (line[0] == '#' || sscanf(line, "%15s %8d", key, &value) != 2) continue;
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
            if (strcmp(key, fields[i].key) == 0) *fields[i].value = value;
    }
}

static int read_plain_header(struct pnm_cursor *cursor, struct pnm_header *header)
{
    header->shape.channels = header->kind == 3 || header->kind == 6 ? 3 : 1;
    header->maximum = 1;
    TRY(read_number(cursor, &header->shape.width));
    TRY(read_number(cursor, &header->shape.height));
    bool bitmap = header->kind == 1 || header->kind == 4;
    if (!bitmap) TRY(read_number(cursor, &header->maximum));
    int c = pnm_peek(cursor); /* exactly one space before binary samples */
    if (!is_space(c)) return fail_pnm(cursor->source, "the header ends too early");
    cursor->at++;
    return OK;
}

static size_t binary_row_bytes(const struct pnm_header *header)
{
    size_t samples = (size_t)header->shape.width * (size_t)header->shape.channels;
    if (header->kind == 4) return (samples + 7) / 8;
    return header->maximum > 255 ? 2 * samples : samples;
}

static bool is_text(int kind)
{
    return kind >= 1 && kind <= 3;
}

static int pnm_read_header(struct pnm_cursor *cursor, struct pnm_header *header)
{
    const struct source *source = cursor->source;
    *header = (struct pnm_header){.kind = source->data[1] - '0'};
    cursor->at = 2;
    TRY(header->kind == 7 ? read_pam_header(cursor, header) : read_plain_header(cursor, header));
    if (header->maximum < 1 || header->maximum > 65535)
        return fail_pnm(source, "the largest value must lie in 1..65535");
    header->shape.type = header->maximum > 255 ? SAMPLE_U16 : SAMPLE_U8;
    TRY(format_check_size(source, &header->shape, 8)); /* a packed bit becomes a byte */
    size_t row = binary_row_bytes(header);             /* as text, a sample takes a byte at least */
    if (is_text(header->kind)) row = (size_t)header->shape.width * (size_t)header->shape.channels;
    if (row * (size_t)header->shape.height > source->total - cursor->at)
        return fail_pnm(source, "samples are missing");
    return OK;
}

/* ---- samples ---- */

struct sample_sink {
    struct image *image;
    int maximum;
};

/* Stores one sample scaled so that `maximum` becomes white. False when it is larger than that. */
static bool put_sample(const struct sample_sink *sink, size_t index, unsigned value)
{
    unsigned maximum = (unsigned)sink->maximum;
    if (value > maximum) return false;
    if (sink->image->type == SAMPLE_U8)
        ((uint8_t *)sink->image->data)[index] = (uint8_t)((value * 255u + maximum / 2) / maximum);
    else
        ((uint16_t *)sink->image->data)[index] =
            (uint16_t)((value * 65535ull + maximum / 2) / maximum);
    return true;
}

static int read_text_row(struct pnm_cursor *cursor, const struct pnm_header *header,
                         const struct sample_sink *sink, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        int value;
        if (header->kind == 1) { /* bits need no space between them; 1 is black */
            skip_spaces(cursor);
            int c = pnm_peek(cursor);
            if (c != '0' && c != '1') return fail_pnm(cursor->source, "a bit is missing");
            cursor->at++;
            value = c == '0';
        } else {
            TRY(read_number(cursor, &value));
        }
        if (!put_sample(sink, i, (unsigned)value))
            return fail_pnm(cursor->source, "a sample is larger than the header's maximum");
    }
    return OK;
}

static bool read_binary_row(const uint8_t *from, const struct pnm_header *header,
                            const struct sample_sink *sink, size_t first, size_t count)
{
    bool sound = true;
    if (header->kind == 4) {
        for (size_t i = 0; i < count; i++)
            put_sample(sink, first + i, !(from[i / 8] >> (7 - i % 8) & 1));
    } else if (header->maximum == 255) {
        memcpy((uint8_t *)sink->image->data + first, from, count);
    } else if (header->maximum < 255) {
        for (size_t i = 0; i < count; i++)
            sound &= put_sample(sink, first + i, from[i]);
    } else {
        for (size_t i = 0; i < count; i++)
            sound &= put_sample(sink, first + i, (unsigned)from[2 * i] << 8 | from[2 * i + 1]);
    }
    return sound;
}

static int pnm_read_rows(struct pnm_cursor *cursor, const struct pnm_header *header,
                         struct row_band *band)
{
    size_t row = binary_row_bytes(header);
    size_t count = (size_t)header->shape.width * (size_t)header->shape.channels;
    struct sample_sink sink = {&band->rows, header->maximum};
    for (int y = 0; y < header->shape.height; y++) {
        size_t first = row_band_first(band);
        const uint8_t *from = cursor->source->data + cursor->at;
        if (is_text(header->kind)) {
            TRY(read_text_row(cursor, header, &sink, first, count));
        } else {
            if (!read_binary_row(from, header, &sink, first, count))
                return fail_pnm(cursor->source, "a sample is larger than the header's maximum");
            cursor->at += row;
        }
        TRY(row_band_next(band));
    }
    return OK;
}

static int pnm_read(const struct source *source, size_t whole_limit, const struct image_sink *to)
{
    (void)whole_limit; /* every kind is stored row by row */
    struct pnm_cursor cursor = {.source = source};
    struct pnm_header header;
    struct row_band band;
    TRY(pnm_read_header(&cursor, &header));
    struct image shape = format_shape(&header.shape);
    int code = row_band_open(&band, &shape, to);
    if (code == OK) code = pnm_read_rows(&cursor, &header, &band);
    row_band_close(&band);
    return code;
}

static int pnm_probe(const struct source *source, struct image_header *header)
{
    struct pnm_cursor cursor = {.source = source};
    struct pnm_header found;
    TRY(pnm_read_header(&cursor, &found));
    *header = found.shape;
    return OK;
}

static bool pnm_matches(const uint8_t *data, size_t bytes)
{
    return bytes >= 3 && data[0] == 'P' && data[1] >= '1' && data[1] <= '7' &&
           (is_space(data[2]) || data[2] == '#');
}

static const char *const endings[] = {"pbm", "pgm", "ppm", "pnm", "pam", NULL};
const struct image_format format_pnm = {"PNM", endings, pnm_matches, pnm_probe, pnm_read};

/* ---- writing ---- */

static int pnm_format_header(char *text, size_t room, const struct image *image)
{
    int maximum = image->type == SAMPLE_U16 ? 65535 : 255;
    if (image->channels == 1 || image->channels == 3)
        return snprintf(text, room, "P%d\n%d %d\n%d\n", image->channels == 1 ? 5 : 6, image->width,
                        image->height, maximum);
    const char *kind = image->channels == 2   ? "TUPLTYPE GRAYSCALE_ALPHA\n"
                       : image->channels == 4 ? "TUPLTYPE RGB_ALPHA\n"
                                              : "";
    return snprintf(text, room, "P7\nWIDTH %d\nHEIGHT %d\nDEPTH %d\nMAXVAL %d\n%sENDHDR\n",
                    image->width, image->height, image->channels, maximum, kind);
}

struct pnm_encoder {
    struct byte_sink to;
    size_t written;
    uint8_t *swapped; /* samples of 16 bits as the file has them */
    size_t room;
};

static int pnm_take(const struct image *shape, struct image *taken)
{
    *taken = *shape;
    if (shape->type == SAMPLE_F32) taken->type = SAMPLE_U8;
    return OK;
}

static size_t pnm_file_bytes(const struct image *shape)
{
    char header[128];
    return (size_t)pnm_format_header(header, sizeof header, shape) + image_bytes(shape);
}

static int put_bytes(struct pnm_encoder *encoder, const void *data, size_t bytes)
{
    TRY(encoder->to.write(encoder->to.argument, encoder->written, data, bytes));
    encoder->written += bytes;
    return OK;
}

static int pnm_open_encoder(void **state, const struct image *shape, int quality,
                            const struct byte_sink *to)
{
    (void)quality;
    char header[128];
    size_t head = (size_t)pnm_format_header(header, sizeof header, shape);
    struct pnm_encoder *encoder = *state = calloc(1, sizeof *encoder);
    if (!encoder) return fail(ERR_SYSTEM, "out of memory for a PNM file");
    encoder->to = *to;
    return put_bytes(encoder, header, head);
}

/* 16 bits are big-endian in the file. */
static int pnm_put(void *state, const struct image *rows)
{
    struct pnm_encoder *encoder = state;
    size_t bytes = image_bytes(rows);
    if (rows->type == SAMPLE_U8) return put_bytes(encoder, rows->data, bytes);
    if (bytes > encoder->room) {
        uint8_t *larger = realloc(encoder->swapped, bytes);
        if (!larger) return fail(ERR_SYSTEM, "out of memory for a PNM file");
        encoder->swapped = larger;
        encoder->room = bytes;
    }
    const uint16_t *from = rows->data;
    for (size_t i = 0; i < bytes / 2; i++) {
        encoder->swapped[2 * i] = (uint8_t)(from[i] >> 8);
        encoder->swapped[2 * i + 1] = (uint8_t)from[i];
    }
    return put_bytes(encoder, encoder->swapped, bytes);
}

static int pnm_end(void *state)
{
    (void)state;
    return OK;
}

static void pnm_close_encoder(void *state)
{
    struct pnm_encoder *encoder = state;
    if (!encoder) return;
    free(encoder->swapped);
    free(encoder);
}

const struct encoder encoder_pnm = {pnm_take, pnm_open_encoder,  pnm_put,
                                    pnm_end,  pnm_close_encoder, pnm_file_bytes};
