#include "config/foreign_say.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse_number.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- texts ---- */

const char *foreign_text(const struct config_entry *entry)
{
    return entry && entry->count > 0 ? entry->texts[0] : "";
}

bool foreign_is_off(const struct config_entry *entry)
{
    bool on;
    double number;
    if (entry->count == 0) return true;
    if (config_value_parse_bool(foreign_text(entry), &on)) return !on;
    return number_parse_double(foreign_text(entry), &number) && number == 0;
}

bool foreign_is_auto(const struct config_entry *entry)
{
    return strcasecmp(foreign_text(entry), "auto") == 0;
}

const struct config_entry *foreign_find(const struct translation *t, const char *path)
{
    for (int i = 0; i < t->theirs->count; i++)
        if (strcmp(t->theirs->items[i].key, path) == 0) return &t->theirs->items[i];
    return NULL;
}

double foreign_number(const struct translation *t, const char *path, double otherwise)
{
    const struct config_entry *entry = foreign_find(t, path);
    double value;
    return entry && number_parse_double(foreign_text(entry), &value) ? value : otherwise;
}

bool foreign_is_said(const struct translation *t, const char *key)
{
    for (int i = 0; i < t->ours->count; i++)
        if (strcmp(t->ours->items[i].key, key) == 0) return true;
    return false;
}

/* ---- what becomes of an entry ---- */

int foreign_refuse(struct translation *t, const struct config_entry *entry, const char *why)
{
    return config_fault(t->faults, entry->where_text, "%s: %s", entry->key, why);
}

int foreign_no_effect(const struct config_entry *entry)
{
    log_info("%s: '%s' has no effect here", entry->where_key, entry->key);
    return OK;
}

int foreign_say(struct translation *t, const struct config_entry *entry, const char *key,
                const char *text)
{
    struct config_entry *ours;
    const char *dot = strchr(key, '.');
    const char *section = dot ? config_section(key, (size_t)(dot - key)) : NULL;
    TRY(config_entry_add(t->ours, section, dot ? dot + 1 : key, CONFIG_FILE, &ours));
    ours->where_key = string_format("%s", entry->where_key);
    ours->where_text = string_format("%s", entry->where_text);
    ours->origin = string_format("%s", entry->origin);
    if (!ours->where_key || !ours->where_text || !ours->origin) return ERR_SYSTEM;
    if (text) return config_entry_add_text(ours, text);
    ours->is_list = entry->is_list;
    ours->is_null = entry->is_null;
    for (int i = 0; i < entry->count; i++)
        TRY(config_entry_add_text(ours, entry->texts[i]));
    return OK;
}

int foreign_say_number(struct translation *t, const struct config_entry *entry, const char *key,
                       double value)
{
    char text[NUMBER_TEXT_BYTES];
    return foreign_say(t, entry, key, number_format(text, value));
}

int foreign_say_values(struct translation *t, const struct config_entry *entry, const char *key,
                       const char *values)
{
    char *word = string_format("%.*s", (int)strcspn(values, " "), values);
    int code = word ? foreign_say(t, entry, key, word) : ERR_SYSTEM;
    free(word);
    TRY(code); /* without memory there may be no entry */
    struct config_entry *ours = &t->ours->items[t->ours->count - 1];
    while (code == OK && *(values += strcspn(values, " "))) {
        values++;
        word = string_format("%.*s", (int)strcspn(values, " "), values);
        code = word ? config_entry_add_text(ours, word) : ERR_SYSTEM;
        free(word);
        ours->is_list = true;
    }
    return code;
}
