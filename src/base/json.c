#include "base/json.h"

#include "base/utf8.h"

#include <math.h>

static bool json_escape(FILE *out, unsigned char byte)
{
    if (byte == '"' || byte == '\\')
        fprintf(out, "\\%c", byte);
    else if (byte < 0x20 || byte == 0x7F)
        fprintf(out, "\\u%04x", byte);
    else
        return false;
    return true;
}

void json_write_escaped(FILE *out, const char *text)
{
    utf8_write(out, text, json_escape);
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
