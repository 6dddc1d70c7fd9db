/* The configuration: default.yaml < file < environment < key=value, every value typed and checked.
 *
 * struct config is made from default.yaml by the build: config->seed, config->splat.max_steps,
 * config->task == CONFIG_TASK_SPLAT. int is int64_t (uint64_t where its range needs that), float is
 * double, duration is double seconds, period is int64_t steps or, below 0, epochs, bytes is
 * uint64_t, string and path are char * (never NULL, "" = not set), enum is a C enum
 * CONFIG_[SECTION_]KEY_VALUE, list is a struct config_list, reals and words (values of such an
 * enum) the structs below.
 *
 * A file is YAML: sections with KEY: VALUE lines, or a key of a task's section (and of those
 * that default.yaml marks `bare`) at the top level where its name is unique (if several sections
 * have it, the one named like the task counts). Environment:
 * IMGTRAIN_SECTION__KEY, or IMGTRAIN_KEY under the same rule. Overrides: section.key=value or
 * key=value; [a, b] is a list, quotes are YAML's, anything else is taken as it stands (null and ~
 * too: files may be called so; nothing behind the = is an empty text). Paths are
 * relative to the current folder, wherever the file is (input_path: to data_root).
 *
 * A key that has no effect on the task (its section or its line in default.yaml says of which it
 * is) is an error on the command line; elsewhere it is named and stays at its default.
 *
 * A list where one value belongs makes a batch: one configuration for every value, and for several
 * such lists for every combination: see config_batch. The fields of a config that is a batch hold
 * the first combination. */
#ifndef IMGTRAIN_CONFIG_CONFIG_H
#define IMGTRAIN_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The value of a key of type list. */
struct config_list {
    int64_t *values;
    int count;
};
struct config_reals {
    double *values;
    int count;
};
struct config_words {
    int *values;
    int count;
};

struct config_state;

#include "config_gen.h"

/* Reads the configuration: *out is owned by the caller. `path` NULL: no file. Later overrides win
 * over earlier ones. Every fault is reported with its place (FILE:LINE:COLUMN, the variable, the
 * override): one is the message; of several, up to 20 are logged and the message counts them.
 * ERR_CONFIG; ERR_INPUT when the file is missing; ERR_ACCESS; ERR_IO; ERR_SYSTEM. */
int config_load(struct config **out, const char *path, int override_count, char **overrides);

/* The same with what a test wants (key=value too), which wins over file and environment only; keys
 * of other tasks are passed over. */
int config_load_testing(struct config **out, const char *path, int testing_count,
                        const char *const *testing, int override_count, char **overrides);

/* The same from `bytes` of text, called `name` in messages, without the environment. */
int config_load_text(struct config **out, const char *name, const char *text, size_t bytes,
                     int override_count, char **overrides);

void config_free(struct config *config); /* accepts NULL */

/* How many combinations a batch holds; 1 when no list was given. */
int config_batch_count(const struct config *config);

/* Combination `index` (the last key varies fastest) as a config of its own, owned by the caller. A
 * fixed exp_name gets "-001" ... behind it, so that every run has its own folder. */
int config_batch(const struct config *config, int index, struct config **out);

/* The `which`-th of the keys whose lists make the batch, and its value in combination `index`.
 * False behind the last one. */
struct config_batch_value {
    char key[128];    /* "splat.num_gaussians" */
    const char *text; /* borrowed */
};
bool config_batch_value(const struct config *config, int index, int which,
                        struct config_batch_value *value);

/* Puts in place of each value of a path that says where an input lies (`; input`) those that
 * `expand` lists for it, owned texts in an owned list; *count 0: the value stays. */
typedef int config_expander(void *context, const char *key, const char *value, char ***texts,
                            int *count);
int config_expand_inputs(struct config *config, config_expander *expand, void *context);

/* Whether an entry of the environment, "IMGTRAIN_SEED=1", says what a key's value is. */
bool config_is_variable(const char *entry);

/* Writes every key with its value as YAML that loads to the same values again. */
int config_print(const struct config *config, FILE *to);
/* The same as a string (malloc, owned by the caller). */
int config_print_text(const struct config *config, char **text);

/* Of that text what a result is a function of: without device, threads, folders, frames, video ...,
 * so that equal models are equal files. Owned by the caller; NULL with the message set. */
char *config_result_text(const char *text);

/* Where the value of `key` ("seed", "splat.max_steps") came from: "default", "FILE:LINE",
 * "IMGTRAIN_...", "command line"; NULL for an unknown key. Borrowed. */
const char *config_origin(const struct config *config, const char *key);

/* True when `key` has the value of default.yaml, whoever said so: a config.yaml says every key. */
bool config_is_default(const struct config *config, const char *key);

/* Every key, its value and its origin: aligned columns, or a JSON object. */
int config_print_origins(const struct config *config, FILE *to, bool json);

/* Prints meaning, type, range, unit, default and names of `key` ("max_steps", "splat.max_steps").
 * ERR_USAGE with the nearest name when there is no such key. */
int config_explain(FILE *to, const char *key);

/* Whether there is a key of this name ("max_steps", "splat.max_steps"), and it is true or false. */
bool config_is_key(const char *name, bool *is_bool);

/* One key, in the words of `imgtrain config --explain`; texts are borrowed, "" where there is none.
 */
struct config_key {
    char name[128];      /* "splat.max_steps" */
    const char *section; /* "splat" */
    const char *key;     /* "max_steps" */
    const char *type;    /* "whole number" */
    bool is_bool, is_enum;
    bool has_value;    /* false: without effect, or another name of `target` */
    const char *range; /* of an enum: a|b|c */
    const char *unit, *default_text, *meaning;
    const char *target; /* what it is another name of */
    const char *tasks;  /* those that it has an effect on, a blank between; "": all */
    bool bare;          /* may be named without its section */
};

/* The key at `index`, in the order of default.yaml. False behind the last one. */
bool config_key_at(int index, struct config_key *out);

/* The text of default.yaml, a valid configuration itself. */
extern const char default_yaml[];

/* What default.yaml marks keys with: whether a run may go on with another value. */
enum config_resume {
    CONFIG_RESUME_SAME,        /* it may not: results depend on it */
    CONFIG_RESUME_ENVIRONMENT, /* where and how a run is done; no number of its result depends on it
                                */
    CONFIG_RESUME_ENDING, /* changes how long the run goes on or what it leaves, no step that is
                             done */
    CONFIG_RESUME_INPUT,  /* where the input lies: the task compares what is in it */
    CONFIG_RESUME_START   /* where the model lies that the run started from; whether there is one
                             may not change */
};
/* The mark of `key` ("seed", "splat.max_steps"), or that all keys of a section ("video.") have;
 * SAME for what is neither. */
enum config_resume config_resume_of(const char *key);

/* Compares the text of config_print stored with a run with `current`: calls `differs` with the full
 * key ("splat.max_steps") and both values as text for each key that differs; a key that the stored
 * text lacks counts with its default, one that no longer exists or has no effect on the task is
 * skipped, and of two ways to say the same the total counts. Returns 0, the first
 * negative code that `differs` returns, or ERR_CONFIG when the text cannot be read. */
int config_diff(const char *stored, const struct config *current,
                int (*differs)(void *context, const char *key, const char *stored_value,
                               const char *current_value),
                void *context);

#endif
