/* Lists of names and texts, which is how every source of a configuration is read, and the faults
 * found in it. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "config/config_internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int config_fault(struct config_faults *faults, const char *where, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    faults->count++;
    if (faults->count == 1) {
        faults->first = string_format("%s: %s", where, text);
        return faults->first ? OK : ERR_SYSTEM;
    }
    if (faults->count == 2) log_error("%s", faults->first);
    log_error("%s: %s", where, text);
    return faults->count < CONFIG_MAX_FAULTS ? OK : ERR_CONFIG;
}

static void entry_clear(struct config_entry *entry)
{
    for (int i = 0; i < entry->count; i++)
        free(entry->texts[i]);
    free(entry->texts);
    free(entry->key);
    free(entry->where_key);
    free(entry->where_text);
    free(entry->origin);
    *entry = (struct config_entry){0};
}

void config_entries_cut(struct config_entries *entries, int count)
{
    while (entries->count > count)
        entry_clear(&entries->items[--entries->count]);
}

void config_entries_free(struct config_entries *entries)
{
    config_entries_cut(entries, 0);
    free(entries->items);
    *entries = (struct config_entries){0};
}

int config_entry_add(struct config_entries *entries, const char *section, const char *key,
                     enum config_source source, struct config_entry **out)
{
    if (entries->count == entries->room) {
        int room = entries->room ? 2 * entries->room : 64;
        struct config_entry *items = realloc(entries->items, (size_t)room * sizeof *items);
        if (!items) return fail(ERR_SYSTEM, "out of memory");
        entries->items = items;
        entries->room = room;
    }
    struct config_entry *entry = &entries->items[entries->count];
    *entry = (struct config_entry){.section = section, .source = source};
    entry->key = string_format("%s", key);
    if (!entry->key) return ERR_SYSTEM;
    entries->count++;
    *out = entry;
    return OK;
}

int config_entry_add_text(struct config_entry *entry, const char *text)
{
    int n = entry->count;
    if ((n & (n - 1)) == 0) { /* full at 0, 1, 2, 4, 8, ... */
        char **texts = realloc(entry->texts, (size_t)(n ? 2 * n : 1) * sizeof *texts);
        if (!texts) return fail(ERR_SYSTEM, "out of memory");
        entry->texts = texts;
    }
    entry->texts[n] = string_format("%s", text);
    if (!entry->texts[n]) return ERR_SYSTEM;
    entry->count++;
    return OK;
}
