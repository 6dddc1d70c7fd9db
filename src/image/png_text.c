#include "image/png_text.h"

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "image/png_chunk.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEADER_END = 33, /* of IHDR: where the first chunk of ours goes */
    KEY_MOST = 79,
    TEXT_MOST = 1 << 20,
    CHUNK_MOST = TEXT_MOST + 2 * KEY_MOST, /* with its key, and zeros and a language between */
};

int png_texts_add(struct png_texts *texts, const char *key, const char *value)
{
    size_t length = strlen(key);
    if (length < 1 || length > KEY_MOST || strlen(value) > TEXT_MOST)
        return fail(ERR_USAGE, "%.79s: too long for a PNG's text", key);
    if (texts->count == texts->room) {
        int room = texts->room ? 2 * texts->room : 16;
        struct png_text *list = realloc(texts->list, (size_t)room * sizeof *list);
        if (!list) return fail(ERR_SYSTEM, "out of memory");
        texts->list = list;
        texts->room = room;
    }
    struct png_text text = {strdup(key), strdup(value)};
    if (!text.key || !text.value) {
        free(text.key);
        free(text.value);
        return fail(ERR_SYSTEM, "out of memory");
    }
    texts->list[texts->count++] = text;
    return OK;
}

const char *png_texts_find(const struct png_texts *texts, const char *key)
{
    for (int i = 0; i < texts->count; i++)
        if (strcmp(texts->list[i].key, key) == 0) return texts->list[i].value;
    return NULL;
}

void png_texts_free(struct png_texts *texts)
{
    for (int i = 0; i < texts->count; i++) {
        free(texts->list[i].key);
        free(texts->list[i].value);
    }
    free(texts->list);
    *texts = (struct png_texts){0};
}

static void put_be32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* tEXt is Latin-1, so anything else goes into iTXt. */
static bool is_ascii(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80) return false;
    return true;
}

/* Writes the chunk of one text to `to`, NULL: counts; its bytes. */
static size_t write_chunk(uint8_t *to, const struct png_text *text)
{
    static const char international[5] = {0, 0, 0, 0, 0}; /* not compressed, no language */
    bool plain = is_ascii(text->value);
    size_t key = strlen(text->key), value = strlen(text->value);
    size_t between = plain ? 1 : sizeof international, length = key + between + value;
    if (!to) return length + PNG_CHUNK_BYTES;
    put_be32(to, (uint32_t)length);
    memcpy(to + 4, plain ? "tEXt" : "iTXt", 4);
    memcpy(to + 8, text->key, key);
    memcpy(to + 8 + key, international, between);
    memcpy(to + 8 + key + between, text->value, value);
    put_be32(to + 8 + length, png_chunk_crc(to, length));
    return length + PNG_CHUNK_BYTES;
}

int png_texts_insert(const struct png_texts *texts, uint8_t **png, size_t *bytes)
{
    size_t more = 0;
    if (*bytes < HEADER_END) return fail(ERR_INTERNAL, "no PNG to add words to");
    for (int i = 0; i < texts->count; i++)
        more += write_chunk(NULL, &texts->list[i]);
    uint8_t *larger = realloc(*png, *bytes + more);
    if (!larger) return fail(ERR_SYSTEM, "out of memory");
    *png = larger;
    memmove(larger + HEADER_END + more, larger + HEADER_END, *bytes - HEADER_END);
    uint8_t *to = larger + HEADER_END;
    for (int i = 0; i < texts->count; i++)
        to += write_chunk(to, &texts->list[i]);
    *bytes += more;
    return OK;
}

/* Broken UTF-8 is left out: it would break messages and files that it is copied to. */
static bool is_utf8(const char *text)
{
    size_t left = strlen(text), length;
    for (; left > 0; text += length, left -= length)
        if ((length = utf8_length(text, left)) == 0) return false;
    return true;
}

static int add_chunk(struct png_texts *texts, const uint8_t *data, size_t length,
                     bool international)
{
    const uint8_t *end = data + length, *value = memchr(data, 0, length);
    if (!value || value == data || value - data > KEY_MOST) return OK;
    value++;
    if (international) {
        if (end - value < 2 || value[0] != 0) return OK;
        value += 2;
        for (int skipped = 0; skipped < 2; skipped++) { /* language, key in that language */
            const uint8_t *zero = memchr(value, 0, (size_t)(end - value));
            if (!zero) return OK;
            value = zero + 1;
        }
    }
    if (end - value > TEXT_MOST) return OK;
    char *text = string_format("%.*s", (int)(end - value), (const char *)value);
    if (!text) return ERR_SYSTEM;
    int code = is_utf8(text) && is_utf8((const char *)data)
                   ? png_texts_add(texts, (const char *)data, text)
                   : OK;
    free(text);
    return code;
}

/* A damaged pixel changes no word, so IDAT's sums are libpng's to compare. */
static int read_chunks(struct png_texts *texts, const uint8_t *data, size_t bytes, const char *path)
{
    if (!png_has_signature(data, bytes)) return fail(ERR_DATA, "%s: no PNG", path);
    for (size_t at = PNG_SIGNATURE_BYTES; bytes - at >= PNG_CHUNK_BYTES;) {
        const uint8_t *chunk = data + at;
        size_t length = png_chunk_number(chunk);
        if (length > bytes - at - PNG_CHUNK_BYTES) break;
        if (!png_chunk_is(chunk, "IDAT") && !png_chunk_is_sound(chunk, length))
            return fail(ERR_DATA, "%s: damaged at byte %zu", path, at);
        if (png_chunk_is(chunk, "IEND")) return OK;
        bool international = png_chunk_is(chunk, "iTXt");
        if ((international || png_chunk_is(chunk, "tEXt")) && length <= CHUNK_MOST)
            TRY(add_chunk(texts, chunk + 8, length, international));
        at += length + PNG_CHUNK_BYTES;
    }
    return fail(ERR_DATA, "%s: a PNG that is cut off", path);
}

int png_texts_read(struct png_texts *texts, const char *path)
{
    struct file_map map;
    *texts = (struct png_texts){0};
    TRY(file_map(&map, path));
    int code = read_chunks(texts, map.data, map.bytes, path);
    file_unmap(&map);
    if (code < 0) png_texts_free(texts);
    return code;
}
