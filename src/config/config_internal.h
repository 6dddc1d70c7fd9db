/* Private to src/config: the table of keys, values between text and struct, and what was read. */
#ifndef IMGTRAIN_CONFIG_CONFIG_INTERNAL_H
#define IMGTRAIN_CONFIG_CONFIG_INTERNAL_H

#include "config/config.h"

enum config_type {
    CONFIG_TYPE_BOOL,
    CONFIG_TYPE_INT,
    CONFIG_TYPE_UINT, /* an int whose range needs uint64_t */
    CONFIG_TYPE_FLOAT,
    CONFIG_TYPE_STRING,
    CONFIG_TYPE_PATH,
    CONFIG_TYPE_LIST,
    CONFIG_TYPE_REALS,
    CONFIG_TYPE_WORDS,
    CONFIG_TYPE_DURATION,
    CONFIG_TYPE_PERIOD,
    CONFIG_TYPE_BYTES,
    CONFIG_TYPE_ENUM,
    CONFIG_TYPE_IGNORED, /* accepted, without effect and without a field */
    CONFIG_TYPE_ALIAS,   /* another name of the key `target` in the same section */
};

struct config_name {
    const char *name;
    int value;
    bool is_alias; /* another name of a value before it */
};

/* One key of default.yaml. */
struct config_row {
    const char *section; /* "": common */
    const char *key;
    enum config_type type;
    size_t offset; /* of the field in struct config */
    const char *default_text;
    const char *range; /* as written; enum: a|b|c; "": none */
    int64_t int_low;
    uint64_t int_high;
    double low, high;
    const char *unit;
    const struct config_name *names; /* enum, words: ends with a NULL name */
    const char *target;
    const char *meaning;
    const char *tasks; /* those that it has an effect on, a blank between; "": all */
    const char *total; /* "": none; else the key of the section that this one times `each` is */
    const char *each;
    enum config_resume resume;
    bool bare;    /* may be named without its section */
    bool or_auto; /* int: the word auto is a value, which the field holds as 0 */
    int line;     /* in default.yaml */
};

enum { CONFIG_MAX_ITEMS = 4096, CONFIG_FULL_NAME_BYTES = 128, CONFIG_SHOWN_BYTES = 64 };

/* Where other programs have the keys of our section memory. */
#define CONFIG_AUTOMATIONS "training_automations"
#define CONFIG_AUTOMATION "DynamicBatchSizeOptimizer"

/* table.c */
const struct config_row *config_row(int index);
bool config_row_has_value(const struct config_row *row);
/* Whether a list is one value of the key. */
bool config_row_is_list(const struct config_row *row);
bool config_row_applies(const struct config_row *row, const char *task);
/* "section.key", or "key" for a common one. Returns `name`. */
char *config_row_name(const struct config_row *row, char name[CONFIG_FULL_NAME_BYTES]);
/* The section's name in the table; NULL if there is no such section. */
const char *config_section(const char *name, size_t length);
/* The index for a section (NULL: look in the common keys, then by a bare name, in which sections
 * take part that are a task's or marked for it) and a key. Of several sections those count that
 * have an effect on `task` (NULL: all), and the one of its name wins. Negative with the message
 * set: no such key (nearest named), or several sections. */
int config_find(const char *section, const char *key, const char *task);
/* The same for "key" and "section.key". */
int config_find_name(const char *name, const char *task);
/* Our name of a key within CONFIG_AUTOMATION. */
const char *config_automation_key(const char *key);
/* Whether there is such a key. */
bool config_automation_has(const char *key);

/* value.c */
/* Sets the field of `row` from its texts (one; any number for a list). ERR_CONFIG with a message
 * that says what was expected; the field is then unchanged. */
int config_value_set(struct config *config, const struct config_row *row, char *const *texts,
                     int count);
void config_value_clear(struct config *config, const struct config_row *row);
/* The value of the field in YAML or in JSON: malloc, NULL without memory. */
char *config_value_text(const struct config *config, const struct config_row *row, bool json);
/* One text of a state's item, quoted where its type needs that: likewise. */
char *config_value_quote(const struct config_row *row, const char *text, bool json);
bool config_value_is_utf8(const char *text);
/* true, yes, on ...: false when it is none of YAML's words. */
bool config_value_parse_bool(const char *text, bool *value);
/* `text` for a message: cut short, with ? for control characters and for what is no UTF-8. Returns
 * `shown`. */
char *config_value_shown(const char *text, char shown[CONFIG_SHOWN_BYTES]);

/* entries.c; yaml.c and sources.c fill them: what a source says, before it is known which keys
 * these are. */
enum config_source {
    CONFIG_DEFAULT,
    CONFIG_FILE,
    CONFIG_ENVIRONMENT,
    CONFIG_TESTING, /* what IMGTRAIN_TESTING wants unless the command line says otherwise */
    CONFIG_COMMAND_LINE
};

struct config_entry {
    const char *section; /* of the table; NULL: none given */
    char *key;           /* may be "section.key" when none was */
    char **texts;        /* values */
    int count;           /* 0 for an empty list or for no value */
    bool is_list;        /* written as [a, b] */
    bool is_null;        /* nothing, null or ~ */
    bool is_nested;      /* a mapping or a list of lists: not kept */
    bool is_skipped;     /* a fault was noted already */
    char *where_key;     /* "FILE:LINE:COLUMN", "IMGTRAIN_SEED", "command line: 'seed=1'" */
    char *where_text;    /* likewise, of the value */
    char *origin;        /* "FILE:LINE", "IMGTRAIN_SEED", "command line" */
    enum config_source source;
};

struct config_entries {
    struct config_entry *items;
    int count, room;
};

/* Faults found so far: one becomes the message, several are logged as they come. */
enum { CONFIG_MAX_FAULTS = 20 };
struct config_faults {
    int count;
    char *first;
};

/* Notes a fault at `where`. A negative code when reading on makes no sense: too many. */
int config_fault(struct config_faults *faults, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends an entry (borrowed until the next one); a text to an entry. */
int config_entry_add(struct config_entries *entries, const char *section, const char *key,
                     enum config_source source, struct config_entry **out);
int config_entry_add_text(struct config_entry *entry, const char *text);
/* The first `count` stay. */
void config_entries_cut(struct config_entries *entries, int count);
void config_entries_free(struct config_entries *entries);

/* Append what a source says. Faults are noted; negative when reading on makes no sense. */
int config_read_yaml(struct config_entries *entries, struct config_faults *faults, const char *name,
                     const char *text, size_t bytes);
int config_read_override(struct config_entries *entries, struct config_faults *faults,
                         enum config_source source, const char *override);
int config_read_environment(struct config_entries *entries, struct config_faults *faults);
/* foreign.c: whether a key of the top level says that a file is one of another trainer; and its
 * entries (of no section, their keys are dotted paths) -> ours, appended. Faults are noted;
 * negative when reading on makes no sense. */
bool config_key_is_foreign(const char *key);
int config_translate_foreign(struct config_entries *ours, const struct config_entries *theirs,
                             struct config_faults *faults);
/* Fills in the value of `entry` from one YAML scalar or list. */
int config_read_yaml_value(struct config_entry *entry, struct config_faults *faults,
                           const char *where, const char *text);

/* config.c: whether the key is another way to say a total, and is used: the total follows from it.
 */
bool config_says_total(const struct config *config, int index);

/* config.c: like config_load_text, for a text that config_print wrote, perhaps of another version:
 * keys that no longer exist pass, nothing is remarked. */
int config_load_stored(struct config **out, const char *text);

/* What stands behind a loaded config: for every key its texts (several: a batch, except for lists)
 * and its origin. */
struct config_item {
    char **texts;
    int count;
    char *origin; /* NULL: default */
};
struct config_state {
    struct config_item items[CONFIG_KEY_COUNT];
};

#endif
