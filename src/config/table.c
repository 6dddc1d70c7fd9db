/* The table of keys (made from default.yaml) and how names are looked up in it. */
#include "base/error.h"
#include "base/spelling.h"
#include "config/config_internal.h"

#define CONFIG_TABLE
#include "config_gen.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

const struct config_row *config_row(int index)
{
    return &config_rows[index];
}

bool config_row_has_value(const struct config_row *row)
{
    return row->type != CONFIG_TYPE_IGNORED && row->type != CONFIG_TYPE_ALIAS;
}

bool config_row_is_list(const struct config_row *row)
{
    return row->type == CONFIG_TYPE_LIST || row->type == CONFIG_TYPE_REALS ||
           row->type == CONFIG_TYPE_WORDS;
}

bool config_row_applies(const struct config_row *row, const char *task)
{
    size_t length;
    for (const char *word = row->tasks; *word; word += length + (word[length] == ' ')) {
        length = strcspn(word, " ");
        if (strlen(task) == length && strncmp(word, task, length) == 0) return true;
    }
    return !*row->tasks;
}

char *config_row_name(const struct config_row *row, char name[CONFIG_FULL_NAME_BYTES])
{
    snprintf(name, CONFIG_FULL_NAME_BYTES, "%s%s%s", row->section, *row->section ? "." : "",
             row->key);
    return name;
}

/* Whether `name` is "section.key", or "key" of a common one. */
static bool row_is_named(const struct config_row *row, const char *name)
{
    size_t length = strlen(row->section);
    if (length > 0 && (strncmp(name, row->section, length) != 0 || name[length++] != '.'))
        return false;
    return strcmp(name + length, row->key) == 0;
}

enum config_resume config_resume_of(const char *key)
{
    size_t length = strlen(key);
    bool is_section = length > 0 && key[length - 1] == '.';
    int found = -1;
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_row *row = &config_rows[i];
        bool matches = is_section ? strlen(row->section) == length - 1 &&
                                        strncmp(key, row->section, length - 1) == 0
                                  : row_is_named(row, key);
        if (!matches) continue;
        if (found >= 0 && config_rows[found].resume != row->resume) return CONFIG_RESUME_SAME;
        found = i;
    }
    return found < 0 ? CONFIG_RESUME_SAME : config_rows[found].resume;
}

const char *config_section(const char *name, size_t length)
{
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const char *section = config_rows[i].section;
        if (*section && strlen(section) == length && strncmp(section, name, length) == 0)
            return section;
    }
    return NULL;
}

/* Sets the message that `section`.`key` does not exist, with the nearest key that does. A key of
 * the right name in another section is nearer than a similar name here, and one of the task nearer
 * than one of another. */
static int unknown_key(const char *section, const char *key, const char *task)
{
    const struct config_row *best = NULL;
    int best_distance = INT_MAX, best_rank = INT_MAX;
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_row *row = &config_rows[i];
        int distance = nearest_distance(key, row->key);
        int rank = 4 * distance + 2 * (section && strcmp(section, row->section) != 0) +
                   (task && !config_row_applies(row, task));
        if (rank >= best_rank) continue;
        best = row;
        best_rank = rank;
        best_distance = distance;
    }
    char full[CONFIG_FULL_NAME_BYTES], shown[CONFIG_SHOWN_BYTES];
    config_value_shown(key, shown);
    const char *in = section ? " in section " : "", *of = section ? section : "";
    if (best && section && !*best->section && strcmp(key, best->key) == 0)
        return fail(ERR_CONFIG,
                    "unknown key '%s'%s%s: %s is a common key: write it at the top level, outside "
                    "of sections",
                    shown, in, of, best->key);
    if (best && nearest_is_close(key, best_distance))
        return fail(ERR_CONFIG, "unknown key '%s'%s%s: did you mean '%s'?", shown, in, of,
                    section && strcmp(section, best->section) == 0 ? best->key
                                                                   : config_row_name(best, full));
    return fail(ERR_CONFIG, "unknown key '%s'%s%s (`imgtrain config --explain` lists all)", shown,
                in, of);
}

/* Several sections have the bare key: the one named like the task is meant, if there is one. */
static int ambiguous_key(const char *key, const char *task)
{
    char names[256] = "";
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_row *row = &config_rows[i];
        if (strcmp(row->key, key) != 0 || !row->bare) continue;
        if (task && !config_row_applies(row, task)) continue;
        if (task && strcmp(row->section, task) == 0) return i;
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s.%s", used ? ", " : "", row->section, key);
    }
    return fail(ERR_CONFIG, "key '%s' is in several sections: write one of %s", key, names);
}

int config_find(const char *section, const char *key, const char *task)
{
    int found = -1, matches = 0, of_others = -1;
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_row *row = &config_rows[i];
        if (strcmp(row->key, key) != 0) continue;
        if (strcmp(row->section, section ? section : "") == 0) return i;
        if (!row->bare) continue;
        if (task && !config_row_applies(row, task)) {
            if (of_others < 0) of_others = i;
            continue;
        }
        found = i;
        matches++;
    }
    if (!section && matches == 0 && of_others >= 0) return of_others;
    if (section || matches == 0) return unknown_key(section, key, task);
    return matches == 1 ? found : ambiguous_key(key, task);
}

const char *config_automation_key(const char *key)
{
    return strcmp(key, "enabled") == 0 ? "grow" : key;
}

bool config_automation_has(const char *key)
{
    const char *ours = config_automation_key(key);
    for (int i = 0; i < CONFIG_KEY_COUNT; i++)
        if (strcmp(config_rows[i].section, "memory") == 0 && strcmp(config_rows[i].key, ours) == 0)
            return true;
    return false;
}

int config_find_name(const char *name, const char *task)
{
    static const char automation[] = CONFIG_AUTOMATIONS "." CONFIG_AUTOMATION ".";
    size_t head = sizeof automation - 1;
    if (strncmp(name, automation, head) == 0)
        return config_find("memory", config_automation_key(name + head), task);
    const char *dot = strchr(name, '.');
    if (!dot) return config_find(NULL, name, task);
    size_t length = (size_t)(dot - name);
    if (length == 0 || !config_section(name, length)) {
        char shown[CONFIG_SHOWN_BYTES];
        return fail(ERR_CONFIG, "unknown section in '%s'", config_value_shown(name, shown));
    }
    return config_find(config_section(name, length), dot + 1, task);
}
