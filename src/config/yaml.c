/* YAML text -> entries, on libyaml's events: every one carries its line and column. libyaml lets
 * duplicate keys pass (config.c looks for them) and takes quadratic time on deep nesting, so
 * reading stops at depth 32. */
#include "base/base64.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse_number.h"
#include "config/config_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

/* Tags that only repeat what a plain value says (option files of BasicSR have !!float), and
 * !!binary: a file's name that is no UTF-8. */
static const char CORE_TAG[] = "tag:yaml.org,2002:";

enum { MAX_DEPTH = 32, MAX_SECTIONS = 64, WHERE_BYTES = 512 };

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool has_event;
    const char *name; /* of the file; where the value is one of a command line: that place */
    bool inline_value;
    bool automation; /* within CONFIG_AUTOMATION */
    bool is_foreign; /* an option file of another trainer */
    int depth;
    struct config_entries *entries;
    struct config_faults *faults;
    const char *seen[MAX_SECTIONS];
    int seen_count;
};

static const char *config_yaml_where(const struct reader *reader, yaml_mark_t mark,
                                     char text[WHERE_BYTES])
{
    if (reader->inline_value)
        snprintf(text, WHERE_BYTES, "%s", reader->name);
    else
        snprintf(text, WHERE_BYTES, "%s:%zu:%zu", reader->name, mark.line + 1, mark.column + 1);
    return text;
}

/* Notes a fault at the current event and ends the reading: what follows would be misread. */
static int stop_at_event(struct reader *reader, const char *message)
{
    char place[WHERE_BYTES];
    config_fault(reader->faults, config_yaml_where(reader, reader->event.start_mark, place), "%s",
                 message);
    return ERR_CONFIG;
}

static int syntax_fault(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem ? parser->problem : "unreadable";
    char place[WHERE_BYTES];
    if (parser->error == YAML_MEMORY_ERROR) return fail(ERR_SYSTEM, "out of memory");
    if (parser->error == YAML_READER_ERROR) /* has no line, only an offset */
        config_fault(reader->faults, reader->name, "not a text file: %s at byte %zu", problem,
                     parser->problem_offset);
    else
        config_fault(reader->faults, config_yaml_where(reader, parser->problem_mark, place),
                     "YAML syntax: %s%s%s%s", problem, parser->context ? " (" : "",
                     parser->context ? parser->context : "", parser->context ? ")" : "");
    return ERR_CONFIG;
}

/* What a scalar with this tag must look like; NULL: it does. */
static const char *tag_fault(const char *tag, const char *text)
{
    double number;
    int64_t whole;
    bool truth;
    if (strncmp(tag, CORE_TAG, sizeof CORE_TAG - 1) != 0) return "tags (!) are not supported";
    const char *name = tag + sizeof CORE_TAG - 1;
    if (strcmp(name, "binary") == 0 || strcmp(name, "str") == 0) return NULL;
    if (strcmp(name, "float") == 0)
        return number_parse_double(text, &number) ? NULL : "!!float: expected a number";
    if (strcmp(name, "int") == 0)
        return number_parse_int(text, &whole) ? NULL : "!!int: expected a whole number";
    if (strcmp(name, "bool") == 0)
        return config_value_parse_bool(text, &truth) ? NULL : "!!bool: expected true or false";
    if (strcmp(name, "null") == 0)
        return strcmp(text, "") == 0 || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0
                   ? NULL
                   : "!!null: expected nothing";
    return "tags (!) are not supported";
}

/* Refuses what this program gives no meaning to, and nesting beyond all use. */
static int check_event(struct reader *reader)
{
    const yaml_event_t *event = &reader->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT: anchor = event->data.alias.anchor; break;
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        if (memchr(event->data.scalar.value, 0, event->data.scalar.length))
            return stop_at_event(reader, "a text may not contain a zero byte");
        if (event->data.scalar.tag) {
            const char *fault = tag_fault((const char *)event->data.scalar.tag,
                                          (const char *)event->data.scalar.value);
            if (fault) return stop_at_event(reader, fault);
        }
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        reader->depth++;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        reader->depth++;
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: reader->depth--; break;
    default: break;
    }
    if (anchor) return stop_at_event(reader, "anchors and aliases (& and *) are not supported");
    if (tag) return stop_at_event(reader, "tags (!) are not supported");
    if (reader->depth > MAX_DEPTH) return stop_at_event(reader, "nested more than 32 deep");
    return OK;
}

/* Moves to the next event. */
static int config_yaml_next(struct reader *reader)
{
    if (reader->has_event) yaml_event_delete(&reader->event);
    reader->has_event = false;
    if (!yaml_parser_parse(&reader->parser, &reader->event)) return syntax_fault(reader);
    reader->has_event = true;
    return check_event(reader);
}

static const char *config_yaml_scalar(const struct reader *reader)
{
    return (const char *)reader->event.data.scalar.value;
}

static bool has_tag(const struct reader *reader, const char *name)
{
    const char *tag = (const char *)reader->event.data.scalar.tag;
    size_t head = sizeof CORE_TAG - 1;
    return tag && strncmp(tag, CORE_TAG, head) == 0 && strcmp(tag + head, name) == 0;
}

static bool is_null(const struct reader *reader)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    if (reader->event.type == YAML_SCALAR_EVENT && has_tag(reader, "null")) return true;
    if (reader->event.type != YAML_SCALAR_EVENT || reader->event.data.scalar.tag ||
        reader->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(config_yaml_scalar(reader), words[i]) == 0) return true;
    return false;
}

/* Passes over what the current event has opened. */
static int config_yaml_skip(struct reader *reader)
{
    for (int outside = reader->depth - 1; reader->depth > outside;)
        TRY(config_yaml_next(reader));
    return OK;
}

/* The current scalar becomes one more value of the entry. */
static int add_scalar(struct reader *reader, struct config_entry *entry)
{
    if (!has_tag(reader, "binary")) return config_entry_add_text(entry, config_yaml_scalar(reader));
    size_t bytes;
    char *text = base64_decode(config_yaml_scalar(reader), &bytes);
    if (!text && bytes == 0) return ERR_SYSTEM;
    bool sound = text && strlen(text) == bytes;
    int code = sound ? config_entry_add_text(entry, text)
                     : stop_at_event(reader, text ? "a text may not contain a zero byte"
                                                  : "!!binary: expected base64");
    free(text);
    return code;
}

/* [a, b, c] from its start event to its end event. */
static int yaml_read_list(struct reader *reader, struct config_entry *entry)
{
    entry->is_list = true;
    for (;;) {
        TRY(config_yaml_next(reader));
        if (reader->event.type == YAML_SEQUENCE_END_EVENT) return OK;
        if (reader->event.type == YAML_SCALAR_EVENT) {
            if (entry->count == CONFIG_MAX_ITEMS)
                return stop_at_event(reader, "a list of more than 4096 values");
            TRY(add_scalar(reader, entry));
        } else {
            entry->is_nested = true;
            TRY(config_yaml_skip(reader));
        }
    }
}

static int config_yaml_read_value(struct reader *reader, struct config_entry *entry)
{
    entry->is_null = is_null(reader);
    if (entry->is_null) return OK;
    if (reader->event.type == YAML_SCALAR_EVENT) return add_scalar(reader, entry);
    if (reader->event.type == YAML_SEQUENCE_START_EVENT) return yaml_read_list(reader, entry);
    entry->is_nested = true;
    return config_yaml_skip(reader);
}

/* The key was read at `mark`; the current event begins its value. */
static int open_entry(struct reader *reader, const char *section, const char *key, yaml_mark_t mark)
{
    struct config_entry *entry;
    char place[WHERE_BYTES];
    if (reader->entries->count == CONFIG_MAX_ITEMS)
        return stop_at_event(reader, "more than 4096 keys");
    TRY(config_entry_add(reader->entries, section, key, CONFIG_FILE, &entry));
    entry->where_key = string_format("%s", config_yaml_where(reader, mark, place));
    entry->where_text =
        string_format("%s", config_yaml_where(reader, reader->event.start_mark, place));
    entry->origin = string_format("%s:%zu", reader->name, mark.line + 1);
    return entry->where_key && entry->where_text && entry->origin ? OK : ERR_SYSTEM;
}

static int yaml_read_entry(struct reader *reader, const char *section, const char *key,
                           yaml_mark_t mark)
{
    TRY(open_entry(reader, section, key, mark));
    return config_yaml_read_value(reader, &reader->entries->items[reader->entries->count - 1]);
}

/* Whether this is the section's first time; notes the fault otherwise. */
static int note_section(struct reader *reader, const char *section, yaml_mark_t mark)
{
    char place[WHERE_BYTES];
    for (int i = 0; i < reader->seen_count; i++)
        if (reader->seen[i] == section)
            return config_fault(reader->faults, config_yaml_where(reader, mark, place),
                                "section '%s' appears twice", section);
    if (reader->seen_count < MAX_SECTIONS) reader->seen[reader->seen_count++] = section;
    return OK;
}

static int read_mapping(struct reader *reader, const char *section);

/* training_automations: {DynamicBatchSizeOptimizer: {...}} of other programs holds keys of the
 * section memory; what else is in there has no effect. `enabled: false` beside it turns it off. */
static int read_automations(struct reader *reader)
{
    int before = reader->entries->count;
    bool enabled = true;
    if (reader->event.type == YAML_SEQUENCE_START_EVENT) return config_yaml_skip(reader);
    if (reader->event.type != YAML_MAPPING_START_EVENT) return OK;
    for (;;) {
        TRY(config_yaml_next(reader));
        if (reader->event.type == YAML_MAPPING_END_EVENT) break;
        if (reader->event.type != YAML_SCALAR_EVENT)
            return stop_at_event(reader, "expected the name of a key");
        bool all = strcmp(config_yaml_scalar(reader), "enabled") == 0;
        bool ours = strcmp(config_yaml_scalar(reader), CONFIG_AUTOMATION) == 0;
        char place[WHERE_BYTES];
        config_yaml_where(reader, reader->event.start_mark, place);
        if (!ours && !all)
            log_info("%s: '%s' has no effect here", place, config_yaml_scalar(reader));
        TRY(config_yaml_next(reader));
        bool mapping = reader->event.type == YAML_MAPPING_START_EVENT;
        reader->automation = ours && mapping;
        if (ours && mapping)
            TRY(read_mapping(reader, config_section("memory", 6)));
        else if (mapping || reader->event.type == YAML_SEQUENCE_START_EVENT)
            TRY(config_yaml_skip(reader));
        else if (all && !config_value_parse_bool(config_yaml_scalar(reader), &enabled))
            return stop_at_event(reader, "expected true or false");
        reader->automation = false;
    }
    if (!enabled) config_entries_cut(reader->entries, before);
    return OK;
}

static int read_section(struct reader *reader, const char *section, yaml_mark_t mark)
{
    TRY(note_section(reader, section, mark));
    if (is_null(reader)) return OK;
    if (reader->event.type == YAML_MAPPING_START_EVENT) return read_mapping(reader, section);
    char place[WHERE_BYTES];
    TRY(config_fault(reader->faults, config_yaml_where(reader, reader->event.start_mark, place),
                     "'%s' is a section: expected KEY: VALUE lines in it", section));
    return reader->event.type == YAML_SCALAR_EVENT ? OK : config_yaml_skip(reader);
}

/* From the start event of a mapping to its end event; `section` NULL: the top level. */
static int read_mapping(struct reader *reader, const char *section)
{
    for (;;) {
        TRY(config_yaml_next(reader));
        if (reader->event.type == YAML_MAPPING_END_EVENT) return OK;
        if (reader->event.type != YAML_SCALAR_EVENT)
            return stop_at_event(reader, "expected the name of a key");
        yaml_mark_t mark = reader->event.start_mark;
        char *key = string_format("%s", config_yaml_scalar(reader));
        if (!key) return ERR_SYSTEM;
        const char *opened = section ? NULL : config_section(key, strlen(key));
        bool automations = !section && strcmp(key, CONFIG_AUTOMATIONS) == 0;
        int code = config_yaml_next(reader);
        if (code == OK && automations)
            code = read_automations(reader);
        else if (code == OK)
            code = opened ? read_section(reader, opened, mark)
                          : yaml_read_entry(reader, section,
                                            reader->automation ? config_automation_key(key) : key,
                                            mark);
        free(key);
        TRY(code);
    }
}

/* ---- option files of other trainers ---- */

static int read_foreign_value(struct reader *reader, const char *path, yaml_mark_t mark);

static int read_foreign_mapping(struct reader *reader, const char *path)
{
    for (;;) {
        TRY(config_yaml_next(reader));
        if (reader->event.type == YAML_MAPPING_END_EVENT) return OK;
        if (reader->event.type != YAML_SCALAR_EVENT)
            return stop_at_event(reader, "expected the name of a key");
        yaml_mark_t mark = reader->event.start_mark;
        char *part = string_format("%s%s%s", path, *path ? "." : "", config_yaml_scalar(reader));
        int code = part ? config_yaml_next(reader) : ERR_SYSTEM;
        if (code == OK) code = read_foreign_value(reader, part, mark);
        free(part);
        TRY(code);
    }
}

/* Values become those of one entry, what is none PATH.NUMBER ... */
static int read_foreign_list(struct reader *reader, const char *path, yaml_mark_t mark)
{
    int at = reader->entries->count; /* the entry moves while others come behind it */
    TRY(open_entry(reader, NULL, path, mark));
    reader->entries->items[at].is_list = true;
    for (int number = 0;; number++) {
        TRY(config_yaml_next(reader));
        struct config_entry *entry = &reader->entries->items[at];
        if (reader->event.type == YAML_SEQUENCE_END_EVENT) return OK;
        if (reader->event.type == YAML_SCALAR_EVENT) {
            if (entry->count == CONFIG_MAX_ITEMS)
                return stop_at_event(reader, "a list of more than 4096 values");
            TRY(add_scalar(reader, entry));
            continue;
        }
        entry->is_nested = true;
        char *part = string_format("%s.%d", path, number);
        int code = part ? read_foreign_value(reader, part, reader->event.start_mark) : ERR_SYSTEM;
        free(part);
        TRY(code);
    }
}

static int read_foreign_value(struct reader *reader, const char *path, yaml_mark_t mark)
{
    if (reader->event.type == YAML_MAPPING_START_EVENT) return read_foreign_mapping(reader, path);
    if (reader->event.type == YAML_SEQUENCE_START_EVENT)
        return read_foreign_list(reader, path, mark);
    return yaml_read_entry(reader, NULL, path, mark);
}

static int read_foreign(struct reader *reader)
{
    struct config_entries *ours = reader->entries, theirs = {0};
    reader->entries = &theirs;
    int code = read_foreign_mapping(reader, "");
    reader->entries = ours;
    if (code == OK) code = config_translate_foreign(ours, &theirs, reader->faults);
    config_entries_free(&theirs);
    return code;
}

/* Whether a key of the top level says so; of what cannot be parsed, none does. */
static bool file_is_foreign(const char *text, size_t bytes)
{
    yaml_parser_t parser;
    yaml_event_t event;
    int depth = 0;
    bool is_key = true, found = false, ends = false;
    if (!yaml_parser_initialize(&parser)) return false;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    while (!found && !ends && depth <= MAX_DEPTH && yaml_parser_parse(&parser, &event)) {
        bool opens =
            event.type == YAML_MAPPING_START_EVENT || event.type == YAML_SEQUENCE_START_EVENT;
        bool closes = event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
        bool is_value = opens || event.type == YAML_SCALAR_EVENT || event.type == YAML_ALIAS_EVENT;
        if (event.type == YAML_SCALAR_EVENT && depth == 1 && is_key)
            found = config_key_is_foreign((const char *)event.data.scalar.value);
        if (depth == 1 && is_value) is_key = !is_key;
        depth += opens - closes;
        ends = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return found;
}

static int read_document(struct reader *reader)
{
    TRY(config_yaml_next(reader)); /* stream start */
    TRY(config_yaml_next(reader));
    if (reader->event.type == YAML_STREAM_END_EVENT) return OK; /* empty: all defaults */
    TRY(config_yaml_next(reader));
    if (reader->event.type == YAML_MAPPING_START_EVENT)
        TRY(reader->is_foreign ? read_foreign(reader) : read_mapping(reader, NULL));
    else if (!is_null(reader))
        return stop_at_event(reader, "expected KEY: VALUE lines");
    TRY(config_yaml_next(reader)); /* document end */
    TRY(config_yaml_next(reader));
    if (reader->event.type != YAML_STREAM_END_EVENT)
        return stop_at_event(reader, "a second document (---) is not supported");
    return OK;
}

static int config_yaml_open_reader(struct reader *reader, const char *text, size_t bytes)
{
    if (!yaml_parser_initialize(&reader->parser)) return fail(ERR_SYSTEM, "out of memory");
    yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, bytes);
    return OK;
}

static void config_yaml_close_reader(struct reader *reader)
{
    if (reader->has_event) yaml_event_delete(&reader->event);
    yaml_parser_delete(&reader->parser);
}

int config_read_yaml(struct config_entries *entries, struct config_faults *faults, const char *name,
                     const char *text, size_t bytes)
{
    struct reader reader = {.name = name, .entries = entries, .faults = faults};
    size_t length = strlen(name);
    if (length > 5 && strcasecmp(name + length - 5, ".toml") == 0)
        return config_fault(faults, name,
                            "TOML is not read: write the keys as YAML (dataroot_gt: FOLDER, scale: "
                            "4, max_steps: N; imgtrain config --explain KEY)");
    TRY(config_yaml_open_reader(&reader, text, bytes));
    reader.is_foreign = file_is_foreign(text, bytes);
    int code = read_document(&reader);
    config_yaml_close_reader(&reader);
    return code;
}

/* A whole document that is one scalar or one list. */
static int read_lone_value(struct reader *reader, struct config_entry *entry)
{
    for (int i = 0; i < 3; i++) /* stream start, document start, the value's first */
        TRY(config_yaml_next(reader));
    TRY(config_yaml_read_value(reader, entry));
    TRY(config_yaml_next(reader));
    TRY(config_yaml_next(reader));
    if (reader->event.type != YAML_STREAM_END_EVENT)
        return stop_at_event(reader, "expected one value");
    return OK;
}

int config_read_yaml_value(struct config_entry *entry, struct config_faults *faults,
                           const char *place, const char *text)
{
    struct reader reader = {.name = place, .inline_value = true, .faults = faults};
    TRY(config_yaml_open_reader(&reader, text, strlen(text)));
    int before = faults->count, code = read_lone_value(&reader, entry);
    config_yaml_close_reader(&reader);
    entry->is_skipped = faults->count > before;
    return code == ERR_CONFIG ? OK : code;
}
