/* Portable float maps: "PF" or "Pf", width, height, a scale whose sign is the byte order, then
 * floats from the bottom row up. pauldebevec.com/Research/HDR/PFM */
#include "base/error.h"
#include "image/image_format.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pfm_header {
    struct image_header shape;
    bool little;
    size_t body; /* offset of the first float */
};

static int fail_pfm(const struct source *source, const char *what)
{
    return fail(ERR_DATA, "%s: broken PFM: %s", source->name, what);
}

/* The next run of non-spaces from *at; *at ends on the one space that follows it. */
static bool pfm_read_word(const struct source *source, size_t *at, char *word, size_t room)
{
    const char *data = (const char *)source->data;
    while (*at < source->bytes && strchr(" \t\r\n", data[*at]) && data[*at])
        ++*at;
    size_t length = 0;
    for (; *at < source->bytes && !strchr(" \t\r\n", data[*at]); ++*at) {
        if (length + 1 >= room) return false;
        word[length++] = data[*at];
    }
    word[length] = '\0';
    return length > 0 && *at < source->bytes;
}

static bool read_size(const struct source *source, size_t *at, int *value)
{
    char word[9], *end;
    if (!pfm_read_word(source, at, word, sizeof word)) return false;
    long number = strtol(word, &end, 10);
    *value = (int)number;
    return *end == '\0';
}

/* Only the sign matters, so the number itself is not parsed: that would depend on the locale. */
static bool read_scale(const struct source *source, size_t *at, bool *little)
{
    char word[64];
    if (!pfm_read_word(source, at, word, sizeof word)) return false;
    *little = word[0] == '-';
    return word[strspn(word, "+-.0123456789eE")] == '\0' && strpbrk(word, "123456789") != NULL;
}

static int pfm_read_header(const struct source *source, struct pfm_header *header)
{
    *header = (struct pfm_header){.shape = {0, 0, source->data[1] == 'F' ? 3 : 1, SAMPLE_F32}};
    size_t at = 2;
    if (!read_size(source, &at, &header->shape.width) ||
        !read_size(source, &at, &header->shape.height) || !read_scale(source, &at, &header->little))
        return fail_pfm(source, "the header is not WIDTH HEIGHT SCALE");
    header->body = at + 1;
    TRY(format_check_size(source, &header->shape, 1));
    struct image shape = {header->shape.width, header->shape.height, header->shape.channels,
                          SAMPLE_F32, NULL};
    if (image_bytes(&shape) > source->total - header->body)
        return fail_pfm(source, "samples are missing");
    return OK;
}

static uint32_t read_bits(const uint8_t *p, bool little)
{
    return little ? p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24
                  : p[3] | (uint32_t)p[2] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[0] << 24;
}

/* False when a value is not finite: nothing can be learnt from such an image. */
static bool read_row(float *to, const uint8_t *from, size_t count, bool little)
{
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = read_bits(from + 4 * i, little);
        memcpy(&to[i], &bits, 4);
        finite &= isfinite(to[i]) != 0;
    }
    return finite;
}

static int pfm_read_rows(const struct source *source, const struct pfm_header *header,
                         struct row_band *band)
{
    size_t row = (size_t)header->shape.width * (size_t)header->shape.channels;
    for (int y = header->shape.height - 1; y >= 0; y--) { /* the last row of the file is the top */
        const uint8_t *from = source->data + header->body + (size_t)y * row * sizeof(float);
        if (!read_row(row_band_row(band), from, row, header->little))
            return fail_pfm(source, "a sample is not a finite number");
        TRY(row_band_next(band));
    }
    return OK;
}

static int pfm_read(const struct source *source, size_t whole_limit, const struct image_sink *sink)
{
    (void)whole_limit;
    struct pfm_header header;
    struct row_band band;
    TRY(pfm_read_header(source, &header));
    struct image shape = format_shape(&header.shape);
    int code = row_band_open(&band, &shape, sink);
    if (code == OK) code = pfm_read_rows(source, &header, &band);
    row_band_close(&band);
    return code;
}

static int pfm_probe(const struct source *source, struct image_header *header)
{
    struct pfm_header found;
    TRY(pfm_read_header(source, &found));
    *header = found.shape;
    return OK;
}

static bool pfm_matches(const uint8_t *data, size_t bytes)
{
    return bytes >= 3 && data[0] == 'P' && (data[1] == 'F' || data[1] == 'f') &&
           strchr(" \t\r\n", data[2]) && data[2];
}

static const char *const endings[] = {"pfm", NULL};
const struct image_format format_pfm = {"PFM", endings, pfm_matches, pfm_probe, pfm_read};

/* ---- writing ---- */

struct pfm_encoder {
    struct byte_sink to;
    size_t head, row; /* bytes */
    int left;         /* rows to come, which stand before those that came */
};

static int pfm_take(const struct image *shape, struct image *taken)
{
    *taken = *shape;
    taken->type = SAMPLE_F32;
    if (shape->channels == 1 || shape->channels == 3) return OK;
    return fail(ERR_USAGE, "PFM holds 1 or 3 channels, not %d", shape->channels);
}

static size_t pfm_format_header(char *text, size_t room, const struct image *shape)
{
    bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    return (size_t)snprintf(text, room, "P%c\n%d %d\n%s\n", shape->channels == 3 ? 'F' : 'f',
                            shape->width, shape->height, little ? "-1.0" : "1.0");
}

static size_t pfm_file_bytes(const struct image *shape)
{
    char header[64];
    return pfm_format_header(header, sizeof header, shape) + image_bytes(shape);
}

static int pfm_open_encoder(void **state, const struct image *shape, int quality,
                            const struct byte_sink *to)
{
    (void)quality;
    char header[64];
    struct pfm_encoder *encoder = *state = calloc(1, sizeof *encoder);
    if (!encoder) return fail(ERR_SYSTEM, "out of memory for a PFM file");
    encoder->to = *to;
    encoder->head = pfm_format_header(header, sizeof header, shape);
    encoder->row = image_bytes(shape) / (size_t)shape->height;
    encoder->left = shape->height;
    return to->write(to->argument, 0, header, encoder->head);
}

static int pfm_put(void *state, const struct image *rows)
{
    struct pfm_encoder *encoder = state;
    const struct byte_sink *to = &encoder->to;
    for (int y = 0; y < rows->height; y++) {
        encoder->left--;
        TRY(to->write(to->argument, encoder->head + (size_t)encoder->left * encoder->row,
                      (const uint8_t *)rows->data + (size_t)y * encoder->row, encoder->row));
    }
    return OK;
}

static int pfm_end(void *state)
{
    (void)state;
    return OK;
}

const struct encoder encoder_pfm = {pfm_take, pfm_open_encoder, pfm_put, pfm_end,
                                    free,     pfm_file_bytes};
