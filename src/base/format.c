#include "base/format.h"

#include <stdio.h>

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
