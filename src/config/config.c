/* Resolution: defaults < file < environment < overrides; batches. */
#include "config/config.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "config/schema.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 20, MAX_BATCH = 1000000 };

struct loader {
    struct config *config;
    struct config_entries entries;
    struct config_faults faults;
    const char *task; /* what the entries make of the key `task`; borrowed */
    bool stored;      /* a text that this program wrote: no remarks, keys of other versions pass */
    const struct config_entry *seen[CONFIG_KEY_COUNT]; /* the latest entry of a key */
};

static void item_clear(struct config_item *item)
{
    for (int i = 0; i < item->count; i++)
        free(item->texts[i]);
    free(item->texts);
    free(item->origin);
    *item = (struct config_item){0};
}

/* Checks the texts, sets the field to the first (a list: to all) and keeps copies. `origin` NULL:
 * default. */
static int set_item(struct config *config, int index, char *const *texts, int count,
                    const char *origin)
{
    const struct config_row *row = config_row(index);
    if (row->type == CONFIG_TYPE_LIST) TRY(config_value_set(config, row, texts, count));
    for (int i = count - 1; i >= 0 && row->type != CONFIG_TYPE_LIST; i--)
        TRY(config_value_set(config, row, &texts[i], 1));
    struct config_item item = {.texts = calloc((size_t)count + 1, sizeof(char *))};
    if (origin) item.origin = string_format("%s", origin);
    bool good = item.texts && (item.origin || !origin);
    for (int i = 0; good && i < count; i++) {
        item.texts[i] = string_format("%s", texts[i]);
        good = item.texts[i] != NULL;
        item.count += good;
    }
    if (!good) {
        item_clear(&item);
        return fail(ERR_SYSTEM, "out of memory");
    }
    item_clear(&config->state->items[index]);
    config->state->items[index] = item;
    return OK;
}

/* A default as it stands in the table: a list is [1, 2, 3]. */
static int set_default(struct config *config, int index)
{
    const struct config_row *row = config_row(index);
    char *text = string_format("%s", row->default_text);
    if (!text) return ERR_SYSTEM;
    char *texts[CONFIG_MAX_ITEMS], *rest = text;
    int count = 0;
    if (row->type != CONFIG_TYPE_LIST) {
        texts[count++] = text;
    } else {
        for (char *word = strtok_r(rest, "[], ", &rest); word && count < CONFIG_MAX_ITEMS;
             word = strtok_r(NULL, "[], ", &rest))
            texts[count++] = word;
    }
    int code = set_item(config, index, texts, count, NULL);
    free(text);
    return code < 0 ? fail_within(code, "default.yaml:%d", row->line) : OK;
}

static int create_defaults(struct config **out)
{
    struct config *config = *out = calloc(1, sizeof *config);
    if (!config) return fail(ERR_SYSTEM, "out of memory");
    config->state = calloc(1, sizeof *config->state);
    if (!config->state) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < CONFIG_KEY_COUNT; i++)
        if (config_row_has_value(config_row(i))) TRY(set_default(config, i));
    return OK;
}

void config_free(struct config *config)
{
    if (!config) return;
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        config_value_clear(config, config_row(i));
        if (config->state) item_clear(&config->state->items[i]);
    }
    free(config->state);
    free(config);
}

/* What is wrong with the shape of the value; NULL when nothing is. */
static const char *shape_fault(const struct config_entry *entry, const struct config_row *row)
{
    bool is_text = row->type == CONFIG_TYPE_STRING || row->type == CONFIG_TYPE_PATH;
    if (entry->is_nested && entry->is_list) return "a list may hold only single values";
    if (entry->is_nested) return "expected a value, not a section";
    if (entry->is_null && !is_text) return "no value given";
    if (entry->is_list && entry->count == 0 && row->type != CONFIG_TYPE_LIST)
        return "an empty list";
    for (int i = 0; i < entry->count; i++)
        if (!config_value_is_utf8(entry->texts[i])) return "the value is not UTF-8";
    return NULL;
}

static int set_entry(struct loader *loader, const struct config_entry *entry, int index)
{
    const struct config_row *row = config_row(index);
    const struct config_entry *before = loader->seen[index];
    loader->seen[index] = entry;
    if (before && before->source == entry->source && entry->source != CONFIG_COMMAND_LINE)
        return config_fault(&loader->faults, entry->where_key, "'%s' is set twice: first at %s",
                            row->key, before->where_key);
    const char *fault = shape_fault(entry, row);
    if (fault) return config_fault(&loader->faults, entry->where_text, "%s: %s", row->key, fault);
    char *nothing[] = {(char[]){""}};
    int code = set_item(loader->config, index, entry->is_null ? nothing : entry->texts,
                        entry->is_null ? 1 : entry->count, entry->origin);
    if (code == ERR_CONFIG)
        return config_fault(&loader->faults, entry->where_text, "%s", error_message());
    return code;
}

/* An environment may hold IMGTRAIN_ variables of other tools: a warning, not an error. */
static int unknown_entry(struct loader *loader, const struct config_entry *entry)
{
    if (loader->stored) return OK;
    if (entry->source != CONFIG_ENVIRONMENT)
        return config_fault(&loader->faults, entry->where_key, "%s", error_message());
    log_warning("%s has no effect: %s", entry->where_key, error_message());
    return OK;
}

static int apply(struct loader *loader, const struct config_entry *entry)
{
    if (entry->is_skipped) return OK;
    int index = entry->section ? config_find(entry->section, entry->key, loader->task)
                               : config_find_name(entry->key, loader->task);
    if (index < 0) return unknown_entry(loader, entry);
    const struct config_row *row = config_row(index);
    if (row->type == CONFIG_TYPE_IGNORED) {
        log_info("%s: '%s' has no effect here: %s", entry->where_key, row->key, row->meaning);
        return OK;
    }
    if (row->type != CONFIG_TYPE_ALIAS) return set_entry(loader, entry, index);
    if (entry->count == 0 && !entry->is_nested) return OK; /* `gaussians: []`: not used */
    index = config_find(row->section, row->target, NULL);
    return index < 0 ? index : set_entry(loader, entry, index);
}

static void find_task(struct loader *loader)
{
    loader->task = config_row(config_find("", "task", NULL))->default_text;
    for (int i = 0; i < loader->entries.count; i++) {
        const struct config_entry *entry = &loader->entries.items[i];
        if (!entry->section && strcmp(entry->key, "task") == 0 && entry->count > 0)
            loader->task = entry->texts[0];
    }
}

static int check_batch(struct loader *loader)
{
    double count = 1;
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        int values = loader->config->state->items[i].count;
        if (config_row(i)->type != CONFIG_TYPE_LIST && values > 1) count *= values;
    }
    if (count > MAX_BATCH)
        return config_fault(&loader->faults, "batch", "more than %d combinations", MAX_BATCH);
    return OK;
}

/* Reads the sources in the order in which they win over each other. */
static int read_sources(struct loader *loader, const char *name, const char *text, size_t bytes,
                        bool environment, int override_count, char **overrides)
{
    if (text) TRY(config_read_yaml(&loader->entries, &loader->faults, name, text, bytes));
    if (environment) TRY(config_read_environment(&loader->entries, &loader->faults));
    for (int i = 0; i < override_count; i++)
        TRY(config_read_override(&loader->entries, &loader->faults, overrides[i]));
    find_task(loader);
    for (int i = 0; i < loader->entries.count; i++)
        TRY(apply(loader, &loader->entries.items[i]));
    return check_batch(loader);
}

/* The code and message for what went wrong, if anything did. */
static int conclude(struct loader *loader, int code)
{
    int count = loader->faults.count;
    if (count == 1 && loader->faults.first) code = fail(ERR_CONFIG, "%s", loader->faults.first);
    if (count > 1)
        code = fail(ERR_CONFIG, "%d errors in the configuration%s", count,
                    count >= CONFIG_MAX_FAULTS ? ": stopped reading" : "");
    free(loader->faults.first);
    config_entries_free(&loader->entries);
    return code;
}

static int load(struct config **out, const char *name, const char *text, size_t bytes,
                bool environment, bool stored, int override_count, char **overrides)
{
    struct loader loader = {.stored = stored};
    *out = NULL;
    int code = create_defaults(&loader.config);
    if (code == OK)
        code = read_sources(&loader, name, text, bytes, environment, override_count, overrides);
    code = conclude(&loader, code);
    if (code < 0)
        config_free(loader.config);
    else
        *out = loader.config;
    return code;
}

int config_load(struct config **out, const char *path, int override_count, char **overrides)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    *out = NULL;
    if (path) {
        int code = file_read(path, FILE_LIMIT, &data, &bytes);
        if (code < 0) return code == ERR_DATA ? ERR_CONFIG : code; /* a folder, or far too large */
    }
    int code = load(out, path, (const char *)data, bytes, true, false, override_count, overrides);
    free(data);
    return code;
}

int config_load_text(struct config **out, const char *name, const char *text, size_t bytes,
                     int override_count, char **overrides)
{
    return load(out, name, text, bytes, false, false, override_count, overrides);
}

int config_load_stored(struct config **out, const char *text)
{
    return load(out, "stored configuration", text, strlen(text), false, true, 0, NULL);
}

static bool is_swept(const struct config *config, int index)
{
    return config_row(index)->type != CONFIG_TYPE_LIST && config->state->items[index].count > 1;
}

int config_batch_count(const struct config *config)
{
    int count = 1;
    for (int i = 0; i < CONFIG_KEY_COUNT; i++)
        if (is_swept(config, i)) count *= config->state->items[i].count;
    return count;
}

static int fill_batch(const struct config *config, int index, struct config *made)
{
    int rest = index;
    for (int i = CONFIG_KEY_COUNT - 1; i >= 0; i--) { /* the last key varies fastest */
        const struct config_item *item = &config->state->items[i];
        if (!config_row_has_value(config_row(i))) continue;
        if (!is_swept(config, i)) {
            TRY(set_item(made, i, item->texts, item->count, item->origin));
            continue;
        }
        TRY(set_item(made, i, &item->texts[rest % item->count], 1, item->origin));
        rest /= item->count;
    }
    if (!*made->exp_name || config_batch_count(config) == 1) return OK;
    int row = config_find("", "exp_name", NULL);
    char *name = string_format("%s-%03d", made->exp_name, index + 1);
    int code = name ? set_item(made, row, &name, 1, config->state->items[row].origin) : ERR_SYSTEM;
    free(name);
    return code;
}

int config_batch(const struct config *config, int index, struct config **out)
{
    *out = NULL;
    if (index < 0 || index >= config_batch_count(config))
        return fail(ERR_INTERNAL, "no combination %d", index);
    struct config *made;
    int code = create_defaults(&made);
    if (code == OK) code = fill_batch(config, index, made);
    if (code < 0)
        config_free(made);
    else
        *out = made;
    return code;
}
