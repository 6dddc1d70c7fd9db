#include "image/png_outline.h"

#include "image/png_chunk.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Bytes of an EXIF block as text: two digits for each of the 64 KiB that it can have, and line
 * ends. */
enum { PROFILE_LIMIT = 160 << 10 };

/* ---- EXIF as ImageMagick and exiftool keep it in text chunks ---- */

/* The bytes behind a text that ends with a zero; NULL when the chunk ends first. */
static const uint8_t *skip_text(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *zero = memchr(p, 0, (size_t)(end - p));
    return zero ? zero + 1 : NULL;
}

/* The text of a tEXt, zTXt or iTXt chunk behind its keyword; *packed: it is deflated. */
static const uint8_t *find_text(const uint8_t *chunk, const uint8_t *p, const uint8_t *end,
                                bool *packed)
{
    *packed = chunk[4] == 'z';
    if (chunk[4] == 't') return p;
    if (chunk[4] == 'z') return p < end ? p + 1 : NULL;
    if (end - p < 2) return NULL;
    *packed = p[0] == 1;
    p = skip_text(p + 2, end);        /* language */
    return p ? skip_text(p, end) : p; /* translated keyword */
}

static size_t inflate_some(uint8_t *to, size_t room, const uint8_t *from, size_t bytes)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)from,
                       .avail_in = (uInt)bytes,
                       .next_out = to,
                       .avail_out = (uInt)room};
    if (inflateInit(&stream) != Z_OK) return 0;
    inflate(&stream, Z_SYNC_FLUSH);
    inflateEnd(&stream);
    return stream.total_out;
}

static int digit_of(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "\nexif\n    BYTES\nHEX DIGITS IN LINES": the bytes, in place. */
static size_t parse_profile(uint8_t *text, size_t length)
{
    size_t at = 0, made = 0;
    for (int lines = 0; lines < 3 && at < length; at++)
        lines += text[at] == '\n';
    for (int high = -1; at < length; at++) {
        int digit = digit_of(text[at]);
        if (digit < 0) continue;
        if (high >= 0) text[made++] = (uint8_t)(high << 4 | digit);
        high = high >= 0 ? -1 : digit;
    }
    return made;
}

/* The orientation in a chunk of text; 0: the text is no EXIF profile. */
static int text_orientation(const uint8_t *chunk, size_t length)
{
    static const char *const keywords[] = {"Raw profile type exif", "Raw profile type APP1"};
    const uint8_t *body = chunk + 8, *end = body + length;
    const uint8_t *p = skip_text(body, end);
    if (!p) return 0;
    bool ours = false, packed;
    for (size_t i = 0; i < 2; i++)
        ours |= strcmp((const char *)body, keywords[i]) == 0;
    p = ours ? find_text(chunk, p, end, &packed) : NULL;
    uint8_t *text = p ? malloc(PROFILE_LIMIT) : NULL;
    if (!text) return 0;
    size_t bytes = (size_t)(end - p);
    if (packed) {
        bytes = inflate_some(text, PROFILE_LIMIT, p, bytes);
    } else {
        if (bytes > PROFILE_LIMIT) bytes = PROFILE_LIMIT;
        memcpy(text, p, bytes);
    }
    int orientation = exif_orientation(text, parse_profile(text, bytes));
    free(text);
    return orientation;
}

/* ---- chunks ---- */

/* Whether the chunk may be a damaged one of this kind. */
static bool is_nearly(const uint8_t *chunk, const char *kind)
{
    int bits = 0;
    for (int i = 0; i < 4; i++)
        bits += __builtin_popcount((unsigned)(chunk[4 + i] ^ (uint8_t)kind[i]));
    return bits <= 1;
}

static bool is_nearly_profile(const uint8_t *chunk, size_t length)
{
    static const char keyword[] = "Raw profile type exif";
    size_t same = 0;
    for (size_t i = 0; i < sizeof keyword && i < length; i++)
        same += chunk[8 + i] == (uint8_t)keyword[i];
    return same > sizeof keyword / 2 + 4; /* other profiles differ in their last word */
}

static void note_chunk(struct png_outline *outline, const uint8_t *chunk, size_t length,
                       int *from_text)
{
    bool text =
        png_chunk_is(chunk, "tEXt") || png_chunk_is(chunk, "zTXt") || png_chunk_is(chunk, "iTXt");
    int told = text ? text_orientation(chunk, length) : 0;
    if (!png_chunk_is_sound(chunk, length)) {
        bool matters = is_nearly(chunk, "tRNS") || is_nearly(chunk, "eXIf") ||
                       is_nearly_profile(chunk, length);
        char *name = matters ? outline->lying : outline->damaged;
        if (!name[0]) memcpy(name, chunk + 4, 4);
    } else if (png_chunk_is(chunk, "eXIf")) {
        outline->orientation = exif_orientation(chunk + 8, length);
    } else if (told > 0 && *from_text == 0) {
        *from_text = told;
    }
}

/* Critical chunks are libpng's to check, and IDAT's bytes are not touched here. */
struct png_outline png_outline_walk(const struct source *source)
{
    struct png_outline outline = {0};
    int from_text = 0;
    for (size_t at = PNG_SIGNATURE_BYTES;
         source->bytes >= PNG_CHUNK_BYTES && at <= source->bytes - PNG_CHUNK_BYTES;) {
        const uint8_t *chunk = source->data + at;
        size_t length = png_chunk_number(chunk);
        if (length > source->bytes - at - PNG_CHUNK_BYTES) break;
        at += length + PNG_CHUNK_BYTES;
        if (png_chunk_is(chunk, "IEND")) {
            outline.ends = length == 0 && png_chunk_is_sound(chunk, 0);
            outline.behind = source->bytes - at;
            break;
        }
        if (png_chunk_is(chunk, "IDAT"))
            outline.pixels_end = at;
        else if (!png_chunk_is(chunk, "IDAT") && !png_chunk_is(chunk, "IHDR") &&
                 !png_chunk_is(chunk, "PLTE"))
            note_chunk(&outline, chunk, length, &from_text);
    }
    if (outline.orientation == 0) outline.orientation = from_text ? from_text : 1;
    return outline;
}
