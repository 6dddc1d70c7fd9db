/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing past U+10FFFF. */
#ifndef IMGTRAIN_BASE_UTF8_H
#define IMGTRAIN_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the character at `text`, of which `left` bytes are there; 0 if it is not sound. */
static inline size_t utf8_length(const char *text, size_t left)
{
    const unsigned char *p = (const unsigned char *)text;
    if (left == 0) return 0;
    if (p[0] < 0x80) return 1;
    size_t length = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || left < length) return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if (p[0] == 0xE0 && p[1] < 0xA0) return 0;
    if (p[0] == 0xED && p[1] > 0x9F) return 0;
    if (p[0] == 0xF0 && p[1] < 0x90) return 0;
    if (p[0] == 0xF4 && p[1] > 0x8F) return 0;
    return length;
}

static inline bool utf8_is_sound(const char *text)
{
    size_t left = strlen(text), length = 1;
    for (; left > 0 && length > 0; text += length, left -= length)
        length = utf8_length(text, left);
    return length > 0;
}

/* At most `bytes` bytes of a longer text (text[bytes] is there): without the character that would
 * be cut. */
static inline size_t utf8_cut(const char *text, size_t bytes)
{
    while (bytes > 0 && ((unsigned char)text[bytes] & 0xC0) == 0x80)
        bytes--;
    return bytes;
}

/* Bytes of the mark of UTF-8 that some editors begin a text with; 0: it has none. */
static inline size_t utf8_mark(const char *text, size_t bytes)
{
    return bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

/* Writes a byte in the way of a format, or leaves it out; false: it may stand as it is. */
typedef bool utf8_escape(FILE *out, unsigned char byte);

/* Text for a format that is UTF-8: a byte that is none becomes U+FFFD. escape: of characters of one
 * byte. */
static inline void utf8_write(FILE *out, const char *text, utf8_escape *escape)
{
    size_t left = strlen(text);
    while (left > 0) {
        size_t length = utf8_length(text, left);
        if (length == 0) {
            fputs("\xEF\xBF\xBD", out);
            length = 1;
        } else if (length > 1 || !escape(out, (unsigned char)*text)) {
            fwrite(text, 1, length, out);
        }
        text += length;
        left -= length;
    }
}

#endif
