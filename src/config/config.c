/* Resolution: defaults < file < environment < overrides; batches. */
#include "config/config.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/log.h"
#include "config/config_internal.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 20, MAX_BATCH = 1000000 };

struct loader {
    struct config *config;
    struct config_entries entries;
    struct config_faults faults;
    const char *task; /* what the entries make of the key `task` (of a batch the first); borrowed */
    const struct config_entry *tasks; /* the entry that says so; NULL: none, or it is no task */
    bool stored; /* a text that this program wrote: no remarks, keys of other versions pass */
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
    if (config_row_is_list(row)) TRY(config_value_set(config, row, texts, count));
    for (int i = count - 1; i >= 0 && !config_row_is_list(row); i--)
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
    if (!config_row_is_list(row)) {
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
    if (entry->is_list && entry->count == 0 && !config_row_is_list(row)) return "an empty list";
    for (int i = 0; i < entry->count && row->type != CONFIG_TYPE_PATH; i++)
        if (!config_value_is_utf8(entry->texts[i])) return "the value is not UTF-8";
    return NULL;
}

/* Whether the key has an effect on the task, or on one of a batch's. */
static bool has_effect(const struct loader *loader, const struct config_row *row)
{
    if (!loader->tasks) return config_row_applies(row, loader->task);
    for (int i = 0; i < loader->tasks->count; i++)
        if (config_row_applies(row, loader->tasks->texts[i])) return true;
    return false;
}

static int set_entry_of_task(struct loader *loader, const struct config_entry *entry, int index);

enum { TASKS_TEXT_BYTES = 64 };

/* "splat", "splat and sr" */
static const char *config_tasks_text(const struct config_row *row, char text[TASKS_TEXT_BYTES])
{
    size_t used = 0;
    for (const char *at = row->tasks; *at && used < TASKS_TEXT_BYTES - 6; at++) {
        size_t bytes = *at == ' ' ? 5 : 1;
        memcpy(text + used, *at == ' ' ? " and " : at, bytes);
        used += bytes;
    }
    text[used] = '\0';
    return text;
}

/* A key of another task: whoever writes it on the command line means this run. Elsewhere it may
 * come with a file that serves several tasks: named and left at its default, unless it says just
 * that. */
static int set_entry(struct loader *loader, const struct config_entry *entry, int index)
{
    const struct config_row *row = config_row(index);
    char name[CONFIG_FULL_NAME_BYTES], tasks[TASKS_TEXT_BYTES];
    if (loader->stored || has_effect(loader, row)) return set_entry_of_task(loader, entry, index);
    config_row_name(row, name);
    if (entry->source == CONFIG_TESTING) return OK;
    if (entry->source == CONFIG_COMMAND_LINE)
        return config_fault(&loader->faults, entry->where_key,
                            "%s is a key of task %s and has no effect on task %s", name,
                            config_tasks_text(row, tasks), loader->task);
    char *before = config_value_text(loader->config, row, false);
    if (!before) return ERR_SYSTEM;
    int faults = loader->faults.count, code = set_entry_of_task(loader, entry, index);
    char *after = code == OK ? config_value_text(loader->config, row, false) : NULL;
    if (code == OK && !after) code = ERR_SYSTEM;
    bool changed =
        after && (strcmp(before, after) != 0 ||
                  (!config_row_is_list(row) && loader->config->state->items[index].count > 1));
    if (changed && loader->faults.count == faults)
        log_warning("%s: %s has no effect on task %s: it is a key of task %s", entry->where_key,
                    name, loader->task, config_tasks_text(row, tasks));
    free(before);
    free(after);
    return code == OK ? set_default(loader->config, index) : code;
}

static int set_entry_of_task(struct loader *loader, const struct config_entry *entry, int index)
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

static int config_apply(struct loader *loader, const struct config_entry *entry)
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

/* Only known tasks: of an unknown one every key would be another's. */
static bool are_tasks(const struct config_row *row, const struct config_entry *entry)
{
    for (int i = 0; i < entry->count; i++) {
        const struct config_name *name = row->names;
        while (name->name && strcmp(name->name, entry->texts[i]) != 0)
            name++;
        if (!name->name) return false;
    }
    return entry->count > 0;
}

static void find_task(struct loader *loader)
{
    const struct config_row *row = config_row(config_find("", "task", NULL));
    for (int i = 0; i < loader->entries.count; i++) {
        const struct config_entry *entry = &loader->entries.items[i];
        if (!entry->section && strcmp(entry->key, "task") == 0 && are_tasks(row, entry))
            loader->tasks = entry;
    }
    loader->task = loader->tasks ? loader->tasks->texts[0] : row->default_text;
}

/* ---- two ways to say the same: TOTAL = KEY x EACH ---- */

bool config_says_total(const struct config *config, int index)
{
    const struct config_row *row = config_row(index);
    const struct config_item *item = &config->state->items[index];
    if (!*row->total) return false;
    return item->count > 1 ||
           *(const int64_t *)(const void *)((const char *)config + row->offset) >= 0;
}

static int64_t int_of(const struct config *config, const char *section, const char *key)
{
    const struct config_row *row = config_row(config_find(section, key, NULL));
    return *(const int64_t *)(const void *)((const char *)config + row->offset);
}

/* Sets what the key `index` is another way to say, of a batch for the first combination. */
static int set_total(struct config *config, int index)
{
    const struct config_row *row = config_row(index);
    int64_t count = int_of(config, row->section, row->key);
    int64_t each = int_of(config, row->section, row->each), total;
    if (__builtin_mul_overflow(count, each, &total))
        return fail(ERR_CONFIG, "%s: %lld is too much", row->key, (long long)count);
    char *text = string_format("%lld", (long long)total);
    char *origin = string_format("%s x %s", row->key, row->each);
    int code = text && origin
                   ? set_item(config, config_find(row->section, row->total, NULL), &text, 1, origin)
                   : ERR_SYSTEM;
    free(text);
    free(origin);
    return code;
}

static int settle_total(struct loader *loader, int index)
{
    const struct config_row *row = config_row(index);
    const struct config_entry *said = loader->seen[index];
    if (!said || !config_says_total(loader->config, index)) return OK;
    const struct config_entry *total = loader->seen[config_find(row->section, row->total, NULL)];
    if (total && total->source > said->source) return set_default(loader->config, index);
    if (total && total->source == said->source)
        return config_fault(&loader->faults, said->where_key,
                            "%s and %s are two ways to say the same: give one (%s is at %s)",
                            row->key, row->total, row->total, total->where_key);
    const struct config_item *item = &loader->config->state->items[index];
    for (int i = 0; i < item->count; i++)
        if (item->texts[i][0] == '-')
            return config_fault(&loader->faults, said->where_text,
                                "%s: %s among other values: leave it to %s, or say it in each",
                                row->key, item->texts[i], row->total);
    int code = set_total(loader->config, index);
    if (code != ERR_CONFIG) return code;
    return config_fault(&loader->faults, said->where_text, "%s", error_message());
}

static int check_batch(struct loader *loader)
{
    if (config_batch_count(loader->config) > MAX_BATCH)
        return config_fault(&loader->faults, "batch", "more than %d combinations", MAX_BATCH);
    return OK;
}

/* What is read besides a file. */
struct sources {
    bool environment;
    int testing_count, override_count;
    const char *const *testing;
    char **overrides;
};

/* Reads the sources in the order in which they win over each other. */
static int read_sources(struct loader *loader, const char *name, const char *text, size_t bytes,
                        const struct sources *sources)
{
    struct config_entries *entries = &loader->entries;
    if (text) TRY(config_read_yaml(entries, &loader->faults, name, text, bytes));
    if (sources->environment) TRY(config_read_environment(entries, &loader->faults));
    for (int i = 0; i < sources->testing_count; i++)
        TRY(config_read_override(entries, &loader->faults, CONFIG_TESTING, sources->testing[i]));
    for (int i = 0; i < sources->override_count; i++)
        TRY(config_read_override(entries, &loader->faults, CONFIG_COMMAND_LINE,
                                 sources->overrides[i]));
    find_task(loader);
    for (int i = 0; i < entries->count; i++)
        TRY(config_apply(loader, &entries->items[i]));
    for (int i = 0; i < CONFIG_KEY_COUNT; i++)
        TRY(settle_total(loader, i));
    return check_batch(loader);
}

/* The code and message for what went wrong, if anything did. */
static int config_conclude(struct loader *loader, int code)
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

static int config_load_entries(struct config **out, const char *name, const char *text,
                               size_t bytes, bool stored, const struct sources *sources)
{
    struct loader loader = {.stored = stored};
    *out = NULL;
    int code = create_defaults(&loader.config);
    if (code == OK) code = read_sources(&loader, name, text, bytes, sources);
    code = config_conclude(&loader, code);
    if (code < 0)
        config_free(loader.config);
    else
        *out = loader.config;
    return code;
}

/* An image or a model in the config's place is no YAML, and said to be what it is. */
static int config_check_kind(const char *path, const uint8_t *data, size_t bytes)
{
    struct file_kind kind = file_kind_of(data, bytes < FILE_KIND_BYTES ? bytes : FILE_KIND_BYTES);
    if (kind.class == FILE_UNKNOWN || kind.class == FILE_EMPTY) return OK;
    if (kind.class == FILE_IMAGE) kind.advice = "an image is given by input_path=FILE";
    if (kind.class == FILE_MODEL) kind.advice = "a run goes on with -o RUN --resume";
    return file_kind_fail(ERR_CONFIG, path, kind, "a config (YAML)");
}

int config_load(struct config **out, const char *path, int override_count, char **overrides)
{
    return config_load_testing(out, path, 0, NULL, override_count, overrides);
}

int config_load_testing(struct config **out, const char *path, int testing_count,
                        const char *const *testing, int override_count, char **overrides)
{
    const struct sources sources = {true, testing_count, override_count, testing, overrides};
    uint8_t *data = NULL;
    size_t bytes = 0;
    *out = NULL;
    if (path) {
        int code = file_read(path, FILE_LIMIT, &data, &bytes);
        if (code < 0) return code == ERR_DATA ? ERR_CONFIG : code; /* a folder, or far too large */
        code = config_check_kind(path, data, bytes);
        if (code < 0) free(data);
        TRY(code);
    }
    int code = config_load_entries(out, path, (const char *)data, bytes, false, &sources);
    free(data);
    return code;
}

int config_load_text(struct config **out, const char *name, const char *text, size_t bytes,
                     int override_count, char **overrides)
{
    const struct sources sources = {.override_count = override_count, .overrides = overrides};
    return config_load_entries(out, name, text, bytes, false, &sources);
}

int config_load_stored(struct config **out, const char *text)
{
    const struct sources sources = {.environment = false};
    return config_load_entries(out, "stored configuration", text, strlen(text), true, &sources);
}

static bool is_swept(const struct config *config, int index)
{
    return !config_row_is_list(config_row(index)) && config->state->items[index].count > 1;
}

int config_batch_count(const struct config *config)
{
    int64_t count = 1;
    for (int i = 0; i < CONFIG_KEY_COUNT && count <= MAX_BATCH; i++)
        if (is_swept(config, i)) count *= config->state->items[i].count;
    return count <= MAX_BATCH ? (int)count : MAX_BATCH + 1;
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
    for (int i = 0; i < CONFIG_KEY_COUNT; i++)
        if (config_says_total(made, i)) TRY(set_total(made, i));
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

bool config_batch_value(const struct config *config, int index, int which,
                        struct config_batch_value *value)
{
    int rest = index, left = -which - 1;
    for (int i = 0; i < CONFIG_KEY_COUNT; i++)
        left += is_swept(config, i);
    for (int i = CONFIG_KEY_COUNT - 1; i >= 0 && left >= 0; i--) { /* as fill_batch goes */
        const struct config_item *item = &config->state->items[i];
        if (!is_swept(config, i)) continue;
        if (left-- == 0) {
            char name[CONFIG_FULL_NAME_BYTES];
            snprintf(value->key, sizeof value->key, "%s", config_row_name(config_row(i), name));
            value->text = item->texts[rest % item->count];
            return true;
        }
        rest /= item->count;
    }
    return false;
}

/* ---- inputs ---- */

struct expansion {
    char **texts;
    int count;
};

static int config_append_texts(struct expansion *all, char **texts, int count)
{
    char **more = realloc(all->texts, (size_t)(all->count + count) * sizeof *more);
    if (!more) return fail(ERR_SYSTEM, "out of memory");
    all->texts = more;
    for (int i = 0; i < count; i++) {
        more[all->count] = string_format("%s", texts[i]);
        if (!more[all->count]) return ERR_SYSTEM;
        all->count++;
    }
    return OK;
}

static int config_expand_item(struct config *config, int index, config_expander *expand,
                              void *context)
{
    const struct config_item *item = &config->state->items[index];
    char name[CONFIG_FULL_NAME_BYTES];
    struct expansion all = {0};
    bool any = false;
    int code = OK;
    config_row_name(config_row(index), name);
    for (int i = 0; i < item->count && code == OK; i++) {
        char **texts = NULL;
        int count = 0;
        if (item->texts[i][0]) code = expand(context, name, item->texts[i], &texts, &count);
        any = any || count > 0;
        if (code == OK)
            code = config_append_texts(&all, count ? texts : &item->texts[i], count ? count : 1);
        for (int k = 0; k < count; k++)
            free(texts[k]);
        free(texts);
    }
    char *origin = item->origin ? string_format("%s", item->origin) : NULL;
    if (code == OK && any) code = set_item(config, index, all.texts, all.count, origin);
    for (int i = 0; i < all.count; i++)
        free(all.texts[i]);
    free(all.texts);
    free(origin);
    return code;
}

int config_expand_inputs(struct config *config, config_expander *expand, void *context)
{
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_row *row = config_row(i);
        if (row->type == CONFIG_TYPE_PATH && row->resume == CONFIG_RESUME_INPUT)
            TRY(config_expand_item(config, i, expand, context));
    }
    return config_batch_count(config) <= MAX_BATCH
               ? OK
               : fail(ERR_CONFIG, "batch: more than %d combinations", MAX_BATCH);
}
