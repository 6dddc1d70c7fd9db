/* The configuration as text: YAML that loads again, origins, help of a key, differences. */
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/version.h"
#include "config/config_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The value as the user would write it: of a batch the list. malloc. */
static char *item_text(const struct config *config, int index, bool json)
{
    const struct config_row *row = config_row(index);
    const struct config_item *item = &config->state->items[index];
    if (config_row_is_list(row) || item->count == 1) return config_value_text(config, row, json);
    struct printed_text printed;
    FILE *to = printed_text_open(&printed);
    bool whole = to;
    for (int i = 0; whole && i < item->count; i++) {
        char *value = config_value_quote(row, item->texts[i], json);
        whole = value;
        if (value) fprintf(to, "%s%s", i ? ", " : "[", value);
        free(value);
    }
    if (!to) return NULL;
    fputc(']', to);
    if (printed_text_close(&printed, to) < 0) return NULL;
    if (!whole) {
        free(printed.text);
        return NULL;
    }
    return printed.text;
}

/* Of two ways to say the same the total is printed, unless it differs within a batch. */
static bool is_printed(const struct config *config, int index)
{
    const struct config_row *row = config_row(index);
    bool batch = config_batch_count(config) > 1;
    if (!config_row_has_value(row)) return false;
    if (*row->total) return batch && config_says_total(config, index);
    for (int i = 0; batch && i < CONFIG_KEY_COUNT; i++) {
        const struct config_row *other = config_row(i);
        if (config_says_total(config, i) && strcmp(other->section, row->section) == 0 &&
            strcmp(other->total, row->key) == 0)
            return false;
    }
    return true;
}

static int check_written(FILE *to)
{
    return ferror(to) ? fail(ERR_IO, "write the configuration: %s", strerror(errno)) : OK;
}

int config_print(const struct config *config, FILE *to)
{
    const char *section = "";
    fprintf(to, "# every key as resolved by imgtrain %s\n", IMGTRAIN_VERSION);
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_row *row = config_row(i);
        if (!is_printed(config, i)) continue;
        if (strcmp(section, row->section) != 0) fprintf(to, "\n%s:\n", row->section);
        section = row->section;
        char *text = item_text(config, i, false);
        if (!text) return ERR_SYSTEM;
        fprintf(to, "%s%s: %s\n", *section ? "  " : "", row->key, text);
        free(text);
    }
    return check_written(to);
}

int config_print_text(const struct config *config, char **text)
{
    struct printed_text printed;
    *text = NULL;
    FILE *to = printed_text_open(&printed);
    if (!to) return ERR_SYSTEM;
    int code = config_print(config, to), closed = printed_text_close(&printed, to);
    if (code == OK) code = closed;
    if (code == OK)
        *text = printed.text;
    else
        free(printed.text);
    return code;
}

/* The item of a full key; NULL for an unknown one. */
static const struct config_item *find_item(const struct config *config, const char *key)
{
    int index = config_find_name(key, NULL);
    return index < 0 ? NULL : &config->state->items[index];
}

const char *config_origin(const struct config *config, const char *key)
{
    const struct config_item *item = find_item(config, key);
    return !item ? NULL : item->origin ? item->origin : "default";
}

bool config_is_default(const struct config *config, const char *key)
{
    struct config *defaults;
    int index = config_find_name(key, NULL);
    if (index < 0 || !config->state->items[index].origin) return index >= 0;
    if (config_load_stored(&defaults, "") < 0) return false;
    char *text = item_text(config, index, false), *usual = item_text(defaults, index, false);
    bool same = text && usual && strcmp(text, usual) == 0;
    free(text);
    free(usual);
    config_free(defaults);
    return same;
}

/* Characters of UTF-8 text, for alignment. */
static int config_print_width(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

enum { VALUE_COLUMN = 24 }; /* longer values push their origin to the right */

static int origin_line(FILE *to, const struct config *config, int index, int name_column)
{
    char name[CONFIG_FULL_NAME_BYTES], *value = item_text(config, index, false);
    if (!value) return ERR_SYSTEM;
    const char *origin = config->state->items[index].origin;
    int blanks = VALUE_COLUMN - config_print_width(value);
    fprintf(to, "%-*s  %s%*s  %s\n", name_column, config_row_name(config_row(index), name), value,
            blanks > 0 ? blanks : 0, "", origin ? origin : "default");
    free(value);
    return OK;
}

static int origin_json(FILE *to, const struct config *config, int index, bool first)
{
    const struct config_row text_row = {.type = CONFIG_TYPE_STRING};
    const char *origin = config->state->items[index].origin;
    char name[CONFIG_FULL_NAME_BYTES], *value = item_text(config, index, true);
    char *quoted = config_value_quote(&text_row, origin ? origin : "default", true);
    int code = value && quoted ? OK : ERR_SYSTEM;
    if (code == OK)
        fprintf(to, "%s\n  \"%s\": {\"value\": %s, \"origin\": %s}", first ? "" : ",",
                config_row_name(config_row(index), name), value, quoted);
    free(value);
    free(quoted);
    return code;
}

int config_print_origins(const struct config *config, FILE *to, bool json)
{
    int name_column = 0;
    bool first = true;
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        char name[CONFIG_FULL_NAME_BYTES];
        int length = (int)strlen(config_row_name(config_row(i), name));
        if (config_row_has_value(config_row(i)) && length > name_column) name_column = length;
    }
    if (json) fputc('{', to);
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        if (!config_row_has_value(config_row(i))) continue;
        TRY(json ? origin_json(to, config, i, first) : origin_line(to, config, i, name_column));
        first = false;
    }
    if (json) fputs("\n}\n", to);
    return check_written(to);
}

static const char *type_word(const struct config_row *row)
{
    static const char *const words[] = {
        [CONFIG_TYPE_BOOL] = "true or false",
        [CONFIG_TYPE_INT] = "whole number",
        [CONFIG_TYPE_UINT] = "whole number",
        [CONFIG_TYPE_FLOAT] = "number",
        [CONFIG_TYPE_STRING] = "text",
        [CONFIG_TYPE_PATH] = "path (relative to the current folder)",
        [CONFIG_TYPE_LIST] = "list of whole numbers",
        [CONFIG_TYPE_REALS] = "list of numbers",
        [CONFIG_TYPE_WORDS] = "list of words",
        [CONFIG_TYPE_DURATION] = "time: seconds, or 90s, 5m, 3h50m, 1d, 3:50:00, 1-12:00:00",
        [CONFIG_TYPE_PERIOD] = "steps, or epochs: 1000, 20ep",
        [CONFIG_TYPE_BYTES] = "size: 1500, 512MB, 8GB (powers of 1000), 8GiB, 8G (of 1024)",
        [CONFIG_TYPE_ENUM] = "one of",
        [CONFIG_TYPE_IGNORED] = "accepted for other programs' files, without effect here",
        [CONFIG_TYPE_ALIAS] = "another name of",
    };
    return words[row->type];
}

/* "a = none, c = block": other names of an enum's values. */
static void print_value_aliases(FILE *to, const struct config_row *row)
{
    const char *before = "  also      ";
    for (const struct config_name *name = row->names; name && name->name; name++) {
        const struct config_name *same = row->names;
        if (!name->is_alias) continue;
        while (same->value != name->value)
            same++;
        fprintf(to, "%s%s = %s", before, name->name, same->name);
        before = ", ";
    }
    if (*before == ',') fputc('\n', to);
}

/* IMGTRAIN_SPLAT__MAX_STEPS */
static void print_variable(FILE *to, const struct config_row *row)
{
    fprintf(to, "  variable  IMGTRAIN_");
    const char *const parts[] = {row->section, *row->section ? "__" : "", row->key};
    for (int i = 0; i < 3; i++)
        for (const char *p = parts[i]; *p; p++)
            fputc(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p, to);
    fputc('\n', to);
}

bool config_is_key(const char *name, bool *is_bool)
{
    char full[CONFIG_FULL_NAME_BYTES];
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_row *row = config_row(i);
        bool bare = row->bare && strcmp(name, row->key) == 0;
        if (!bare && strcmp(name, config_row_name(row, full)) != 0) continue;
        *is_bool = row->type == CONFIG_TYPE_BOOL;
        return true;
    }
    return false;
}

bool config_key_at(int index, struct config_key *out)
{
    if (index < 0 || index >= CONFIG_KEY_COUNT) return false;
    const struct config_row *row = config_row(index);
    *out = (struct config_key){
        .section = row->section,
        .key = row->key,
        .type = type_word(row),
        .is_bool = row->type == CONFIG_TYPE_BOOL,
        .is_enum = row->type == CONFIG_TYPE_ENUM,
        .has_value = config_row_has_value(row),
        .range = row->range,
        .unit = row->unit,
        .default_text = row->default_text,
        .meaning = row->meaning,
        .target = row->target,
        .tasks = row->tasks,
        .bare = row->bare,
    };
    config_row_name(row, out->name);
    return true;
}

int config_explain(FILE *to, const char *key)
{
    char name[CONFIG_FULL_NAME_BYTES];
    int matches = 0;
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_row *row = config_row(i);
        if (strcmp(key, row->key) != 0 && strcmp(key, config_row_name(row, name)) != 0) continue;
        fprintf(to, "%s%s\n  %s\n  type      %s%s%s%s%s\n", matches++ ? "\n" : "",
                config_row_name(row, name), row->meaning, type_word(row),
                *row->range ? row->type == CONFIG_TYPE_ENUM ? " " : ", " : "", row->range,
                *row->target ? " " : "", row->target);
        print_value_aliases(to, row);
        if (*row->unit) fprintf(to, "  unit      %s\n", row->unit);
        if (!config_row_has_value(row)) continue;
        fprintf(to, "  default   %s\n", *row->default_text ? row->default_text : "\"\"");
        if (*row->total)
            fprintf(to, "  same as   %s%s%s: this x %s%s%s\n", row->section,
                    *row->section ? "." : "", row->total, row->section, *row->section ? "." : "",
                    row->each);
        if (*row->tasks) fprintf(to, "  task      %s\n", row->tasks);
        if (row->resume != CONFIG_RESUME_SAME) fprintf(to, "  --resume  may differ\n");
        print_variable(to, row);
    }
    if (matches == 0) return config_find_name(key, NULL) < 0 ? ERR_USAGE : ERR_INTERNAL;
    return check_written(to);
}

int config_diff(const char *stored, const struct config *current,
                int (*differs)(void *context, const char *key, const char *stored_value,
                               const char *current_value),
                void *context)
{
    struct config *before;
    const char *task = current->state->items[config_find("", "task", NULL)].texts[0];
    TRY(config_load_stored(&before, stored));
    int code = OK;
    for (int i = 0; i < CONFIG_KEY_COUNT && code == OK; i++) {
        const struct config_row *row = config_row(i);
        if (!config_row_has_value(row) || *row->total || !config_row_applies(row, task)) continue;
        char name[CONFIG_FULL_NAME_BYTES];
        char *a = item_text(before, i, false), *b = item_text(current, i, false);
        if (!a || !b)
            code = ERR_SYSTEM;
        else if (strcmp(a, b) != 0)
            code = differs(context, config_row_name(config_row(i), name), a, b);
        free(a);
        free(b);
    }
    config_free(before);
    return code < 0 ? code : OK;
}

/* Whether a line of printed config belongs to the environment: a section's head ("video:"), a
 * common key, or an indented one of `section`, which a head sets. */
static bool print_is_environment(const char *line, char *section, size_t room)
{
    char key[128];
    int indent = (int)strspn(line, " "), name = (int)strcspn(line + indent, ":\n");
    bool head = indent == 0 && line[name] == ':' && line[name + 1] == '\n';
    if (indent == 0) snprintf(section, room, "%.*s", head ? name : 0, line);
    snprintf(key, sizeof key, "%s%s%.*s", section, *section ? "." : "", head ? 0 : name,
             line + indent);
    return config_resume_of(key) == CONFIG_RESUME_ENVIRONMENT;
}

char *config_result_text(const char *text)
{
    char *result = calloc(1, strlen(text) + 1), section[64] = "";
    if (!result) fail(ERR_SYSTEM, "out of memory");
    size_t used = 0;
    for (const char *line = text; result && *line;) {
        size_t bytes = strcspn(line, "\n");
        if (line[bytes] == '\n') bytes++;
        if (!print_is_environment(line, section, sizeof section)) {
            memcpy(result + used, line, bytes);
            used += bytes;
        }
        line += bytes;
    }
    return result;
}
