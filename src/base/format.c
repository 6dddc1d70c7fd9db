#include "base/format.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct format_text format_bytes(int64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    struct format_text out = {"?"};
    if (bytes < 0) return out;
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 999.5 && unit < 6; unit++)
        value /= 1024;
    snprintf(out.text, sizeof out.text, unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s", value,
             units[unit]);
    return out;
}

static ssize_t printed_text_take(void *cookie, const char *data, size_t bytes)
{
    struct printed_text *to = cookie;
    char *larger = to->failed ? NULL : realloc(to->text, to->bytes + bytes + 1);
    if (!larger) {
        to->failed = true;
        return 0;
    }
    to->text = larger;
    memcpy(to->text + to->bytes, data, bytes);
    to->bytes += bytes;
    to->text[to->bytes] = '\0';
    return (ssize_t)bytes;
}

FILE *printed_text_open(struct printed_text *to)
{
    *to = (struct printed_text){.text = calloc(1, 1)};
    FILE *stream =
        to->text ? fopencookie(to, "w", (cookie_io_functions_t){.write = printed_text_take}) : NULL;
    if (stream) return stream;
    free(to->text);
    to->text = NULL;
    fail(ERR_SYSTEM, "out of memory");
    return NULL;
}

int printed_text_close(struct printed_text *to, FILE *stream)
{
    bool closed = fclose(stream) == 0;
    if (closed && !to->failed) return OK;
    free(to->text);
    to->text = NULL;
    return fail(ERR_SYSTEM, "out of memory");
}
