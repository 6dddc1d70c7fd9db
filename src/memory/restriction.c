#include "memory/restriction.h"

#include "memory/ladder.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool restriction_same_modes(const struct memory_modes *a, const struct memory_modes *b)
{
    for (int i = 0; i < a->count && a->count == b->count; i++)
        if (!ladder_same_mode(&a->list[i], &b->list[i])) return false;
    return a->count == b->count;
}

static void __attribute__((format(printf, 2, 3)))
restriction_append(char line[RESTRICTION_LINE_BYTES], const char *format, ...)
{
    size_t used = strlen(line);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, RESTRICTION_LINE_BYTES - used, format, args);
    va_end(args);
}

/* Appends the keys that have an effect, or those that have none. Returns how many. */
static int restriction_append_keys(char line[RESTRICTION_LINE_BYTES],
                                   const struct memory_restriction *keys, int count,
                                   const struct memory_modes *now, bool effect)
{
    int named = 0;
    for (int i = 0; i < count; i++) {
        if (restriction_same_modes(&keys[i].without, now) == effect) continue;
        const char *before = named ? ", " : *line ? "; " : "";
        restriction_append(line, "%s%s", before, keys[i].key);
        named++;
    }
    return named;
}

void memory_restrictions_describe(char line[RESTRICTION_LINE_BYTES],
                                  const struct memory_restriction *keys, int count,
                                  const struct memory_modes *now, int total)
{
    line[0] = '\0';
    int named = restriction_append_keys(line, keys, count, now, true);
    if (named)
        restriction_append(line, " leave%s %d of %d memory modes", named == 1 ? "s" : "",
                           now->count, total);
    named = restriction_append_keys(line, keys, count, now, false);
    if (named) restriction_append(line, " ha%s no effect", named == 1 ? "s" : "ve");
}
