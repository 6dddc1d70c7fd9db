#include "base/base64.h"

#include "base/error.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t bytes)
{
    const uint8_t *in = data;
    char *text = malloc((bytes + 2) / 3 * 4 + 1), *out = text;
    if (!text) {
        fail(ERR_SYSTEM, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < bytes; i += 3) {
        size_t left = bytes - i;
        uint32_t word = (uint32_t)in[i] << 16;
        if (left > 1) word |= (uint32_t)in[i + 1] << 8;
        if (left > 2) word |= in[i + 2];
        *out++ = digits[word >> 18];
        *out++ = digits[word >> 12 & 63];
        *out++ = left > 1 ? digits[word >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[word & 63] : '=';
    }
    *out = '\0';
    return text;
}

/* The digits of `text` into out; -1: it is no base64. */
static ptrdiff_t base64_decode_into(char *out, const char *text)
{
    uint32_t word = 0;
    size_t count = 0, padding = 0;
    char *p = out;
    for (; *text; text++) {
        if (strchr(" \t\r\n", *text)) continue;
        const char *digit = strchr(digits, *text);
        if (*text == '=')
            padding++;
        else if (!digit || padding)
            return -1;
        word = word << 6 | (uint32_t)(digit ? digit - digits : 0);
        if (++count % 4) continue;
        for (int shift = 16; shift >= 0; shift -= 8)
            *p++ = (char)(word >> shift & 0xFF);
    }
    if (count % 4 || padding > 2 || padding > count) return -1;
    return p - out - (ptrdiff_t)padding;
}

char *base64_decode(const char *text, size_t *bytes)
{
    char *out = malloc(strlen(text) / 4 * 3 + 4);
    *bytes = 0;
    if (!out) {
        fail(ERR_SYSTEM, "out of memory");
        return NULL;
    }
    ptrdiff_t got = base64_decode_into(out, text);
    *bytes = (size_t)got;
    if (got < 0) {
        free(out);
        return NULL;
    }
    out[got] = '\0';
    return out;
}
