#include "base/json.h"

#include "base/utf8.h"

#include <math.h>
#include <string.h>

void json_write_escaped(FILE *out, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        size_t length = utf8_length(text, left);
        unsigned char c = (unsigned char)*text;
        if (length == 0) {
            fputs("\xEF\xBF\xBD", out);
            length = 1;
        } else if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", c);
        } else if (c < 0x20 || c == 0x7F) {
            fprintf(out, "\\u%04x", c);
        } else {
            fwrite(text, 1, length, out);
        }
        text += length;
        left -= length;
    }
}

void json_write_string(FILE *out, const char *text)
{
    fputc('"', out);
    json_write_escaped(out, text);
    fputc('"', out);
}

void json_write_number(FILE *out, double value)
{
    if (isfinite(value))
        fprintf(out, "%.9g", value);
    else
        fputs("null", out);
}
