#include "diffusion/text/unicode_text.h"

#include "base/error.h"
#include "base/utf8.h"

#include <stdbool.h>
#include <stdlib.h>
#include <utf8proc.h>

enum {
    REPLACEMENT = 0xFFFD,
    NO_FINAL = 0x11A7,
    FIRST_COMBINING = 0x300, /* what is below is its own composition */
    /* a combining mark in a number: class, place, code */
    CLASS_SHIFT = 56,
    PLACE_SHIFT = 24,
    CODE_MASK = 0xFFFFFF,
    DECOMPOSED_MOST = 8
};

enum unicode_class unicode_class_of(int32_t code)
{
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return UNICODE_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return UNICODE_NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return UNICODE_SPACE;
    default: return (code >= '\t' && code <= '\r') || code == 0x85 ? UNICODE_SPACE : UNICODE_OTHER;
    }
}

int32_t unicode_next(const char *text, size_t left, size_t *bytes)
{
    utf8proc_int32_t code = (unsigned char)*text;
    *bytes = 1;
    if (code < 0x80) return code;
    utf8proc_ssize_t length =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)left, &code);
    if (length > 0) *bytes = (size_t)length;
    return length > 0 ? code : REPLACEMENT;
}

int unicode_mend(struct text_bytes *to, const char *text, size_t bytes, size_t *broken)
{
    *broken = 0;
    for (size_t at = 0, sound; at < bytes; at += sound) {
        size_t from = at, length = 0;
        while (at < bytes && (length = utf8_length(text + at, bytes - at)) > 0)
            at += length;
        TRY(text_bytes_add(to, text + from, at - from));
        sound = at < bytes;
        if (sound) TRY(text_bytes_add_code(to, REPLACEMENT));
        *broken += sound;
    }
    return OK;
}

/* ---- composition ---- */

/* Characters on their way, as numbers that sort by combining class, equal ones by place. */
struct decomposition {
    uint64_t *keys;
    size_t count, room;
};

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int unicode_decompose(struct decomposition *d, const char *text, size_t bytes)
{
    for (size_t at = 0, wide; at < bytes; at += wide) {
        utf8proc_int32_t codes[DECOMPOSED_MOST];
        int bound = 0;
        int32_t code = unicode_next(text + at, bytes - at, &wide);
        utf8proc_ssize_t count =
            utf8proc_decompose_char(code, codes, DECOMPOSED_MOST, UTF8PROC_DECOMPOSE, &bound);
        if (count < 1 || count > DECOMPOSED_MOST) codes[0] = code, count = 1;
        TRY(text_reserve(&d->keys, &d->room, d->count + (size_t)count, sizeof *d->keys));
        for (utf8proc_ssize_t i = 0; i < count; i++) {
            uint64_t class = (uint64_t)utf8proc_get_property(codes[i])->combining_class;
            uint64_t place = (uint64_t)d->count << PLACE_SHIFT;
            d->keys[d->count++] = class << CLASS_SHIFT | place | (uint64_t)codes[i];
        }
    }
    return OK;
}

static void unicode_order_marks(const struct decomposition *d)
{
    for (size_t from = 0, to; from < d->count; from = to) {
        for (to = from; to < d->count && d->keys[to] >> CLASS_SHIFT; to++) {
        }
        if (to - from > 1) qsort(d->keys + from, to - from, sizeof *d->keys, compare_keys);
        to += to == from;
    }
}

/* utf8proc takes U+11A7 for the empty final consonant of a Hangul syllable and drops it, but it is
 * a character that composes with none: what lies between those is composed by itself. */
static int unicode_compose_codes(struct text_bytes *to, utf8proc_int32_t *codes, size_t count)
{
    for (size_t from = 0, end; from < count; from = end + 1) {
        for (end = from; end < count && codes[end] != NO_FINAL; end++) {
        }
        utf8proc_ssize_t composed = utf8proc_normalize_utf32(
            codes + from, (utf8proc_ssize_t)(end - from), UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        if (composed < 0)
            return fail(ERR_INTERNAL, "composing a text: %s", utf8proc_errmsg(composed));
        for (utf8proc_ssize_t i = 0; i < composed; i++)
            TRY(text_bytes_add_code(to, codes[from + (size_t)i]));
        if (end < count) TRY(text_bytes_add_code(to, NO_FINAL));
    }
    return OK;
}

int unicode_compose(struct text_bytes *to, const char *text, size_t bytes)
{
    struct decomposition d = {0};
    utf8proc_int32_t *codes = NULL;
    int code = OK;
    size_t wide, at = 0;
    while (at < bytes && unicode_next(text + at, bytes - at, &wide) < FIRST_COMBINING)
        at += wide;
    if (at == bytes) return text_bytes_add(to, text, bytes);
    TRY_CLEANUP(unicode_decompose(&d, text, bytes));
    unicode_order_marks(&d);
    codes = malloc(d.count * sizeof *codes);
    if (!codes) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    for (size_t i = 0; i < d.count; i++)
        codes[i] = (utf8proc_int32_t)(d.keys[i] & CODE_MASK);
    code = unicode_compose_codes(to, codes, d.count);
cleanup:
    free(d.keys);
    free(codes);
    return code;
}
