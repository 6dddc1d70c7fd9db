#include "diffusion/text/charsmap.h"

#include "base/error.h"
#include "diffusion/text/unicode_text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { GRAPHEME_BYTES = 6, CHARSMAP_TEXT_MOST = 256 << 20 };

static uint32_t charsmap_number(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int charsmap_open(struct charsmap *map, const uint8_t *data, size_t bytes)
{
    size_t trie = bytes >= 4 ? charsmap_number(data) : 0;
    *map = (struct charsmap){0};
    if (trie < 4 || trie % 4 != 0 || trie > bytes - 4)
        return fail(ERR_DATA, "precompiled_charsmap is damaged");
    map->count = trie / 4;
    map->bytes = bytes - 4 - trie;
    map->units = malloc(trie);
    map->strings = malloc(map->bytes + 1);
    if (!map->units || !map->strings) return fail(ERR_SYSTEM, "out of memory");
    for (size_t i = 0; i < map->count; i++)
        map->units[i] = charsmap_number(data + 4 + 4 * i);
    memcpy(map->strings, data + 4 + trie, map->bytes);
    map->strings[map->bytes] = '\0';
    return OK;
}

void charsmap_free(struct charsmap *map)
{
    free(map->units);
    free(map->strings);
    *map = (struct charsmap){0};
}

/* ---- a unit of the trie, as the Darts-clone library lays it out ---- */

static bool unit_has_leaf(uint32_t unit)
{
    return unit >> 8 & 1;
}

static uint32_t unit_value(uint32_t unit)
{
    return unit & 0x7FFFFFFF;
}

static uint32_t unit_label(uint32_t unit)
{
    return unit & 0x800000FF;
}

static size_t unit_offset(uint32_t unit)
{
    return (size_t)(unit >> 10) << (unit >> 6 & 8);
}

/* What takes the place of the shortest beginning of `text` that the table has; NULL: it has none.
 * (SentencePiece itself takes the longest one; the library does not.) */
static const char *charsmap_find(const struct charsmap *map, const char *text, size_t bytes)
{
    size_t at = unit_offset(map->units[0]);
    for (size_t i = 0; i < bytes && text[i]; i++) {
        at ^= (unsigned char)text[i];
        if (at >= map->count || unit_label(map->units[at]) != (unsigned char)text[i]) return NULL;
        bool has_leaf = unit_has_leaf(map->units[at]);
        at ^= unit_offset(map->units[at]);
        if (!has_leaf) continue;
        size_t string = at < map->count ? unit_value(map->units[at]) : map->bytes;
        return string <= map->bytes ? map->strings + string : NULL;
    }
    return NULL;
}

/* Bytes of the first grapheme. */
static size_t grapheme_bytes(const char *text, size_t bytes)
{
    utf8proc_int32_t state = 0;
    size_t wide, at;
    int32_t before = unicode_next(text, bytes, &at);
    for (; at < bytes; at += wide) {
        int32_t code = unicode_next(text + at, bytes - at, &wide);
        if (utf8proc_grapheme_break_stateful(before, code, &state)) break;
        before = code;
    }
    return at;
}

int charsmap_apply(const struct charsmap *map, struct text_bytes *to, const char *text,
                   size_t bytes)
{
    for (size_t at = 0, all; at < bytes; at += all) {
        all = grapheme_bytes(text + at, bytes - at);
        if (to->count > CHARSMAP_TEXT_MOST)
            return fail(ERR_DATA, "precompiled_charsmap makes more than %d bytes of a text",
                        CHARSMAP_TEXT_MOST);
        const char *whole = all < GRAPHEME_BYTES ? charsmap_find(map, text + at, all) : NULL;
        if (whole) {
            TRY(text_bytes_add(to, whole, strlen(whole)));
            continue;
        }
        for (size_t part = at, wide; part < at + all; part += wide) {
            unicode_next(text + part, at + all - part, &wide);
            const char *other = charsmap_find(map, text + part, wide);
            TRY(other ? text_bytes_add(to, other, strlen(other))
                      : text_bytes_add(to, text + part, wide));
        }
    }
    return OK;
}
