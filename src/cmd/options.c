#include "cmd/options.h"

#include "base/log.h"
#include "base/parse_number.h"
#include "base/spelling.h"
#include "config/config.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { OPTIONS_OPERAND = 2 }; /* it is no option but an operand behind its -- */

/* Rows that the last options_parse has met. */
enum { GIVEN_MOST = 32 };
static const char *given[GIVEN_MOST];
static int given_count;

/* Gets the table of a command in place of a print of its help. */
static void (*help_describe)(const struct option_usage *usage, void *context);
static void *help_context;

static void note_given(const struct option_row *row)
{
    if (row->name && given_count < GIVEN_MOST) given[given_count++] = row->name;
}

static bool is_end(const struct option_row *row)
{
    return !row->letter && !row->name;
}

static void options_print_row(char letter, const char *name, const char *argument, const char *help)
{
    char text[128], letter_text[8] = "   ";
    if (letter) snprintf(letter_text, sizeof letter_text, "-%c%s", letter, name ? "," : "");
    snprintf(text, sizeof text, "%s %s%s%s%s", letter_text, name ? "--" : "", name ? name : "",
             argument ? " " : "", argument ? argument : "");
    printf(strlen(text) > 26 ? "  %s\n  %26s  %s\n" : "  %-26s%s  %s\n", text, "", help);
}

static void options_print_help(const struct option_usage *usage)
{
    printf("usage: %s\n\n%s\n\noptions:\n", usage->usage, usage->about);
    for (const struct option_row *row = usage->options; row && !is_end(row); row++) {
        options_print_row(row->letter, row->name, row->argument, row->help);
        if (row->aliases) printf("  %26s  other names:", "");
        for (const char *word = row->aliases; word && *word; word += strspn(word, " ")) {
            int length = (int)strcspn(word, " ");
            printf(" --%.*s", length, word);
            word += length;
        }
        if (row->aliases) putchar('\n');
    }
    options_print_row('h', "help", NULL, "this text");
    if (!usage->examples) return;
    printf("\nexample:\n");
    for (const char *line = usage->examples; *line;) {
        int length = (int)strcspn(line, "\n");
        printf("  %.*s\n", length, line);
        line += length + (line[length] == '\n');
    }
}

static int unknown_option(const struct option_usage *usage, const char *name)
{
    const char *best = "help";
    int best_distance = nearest_distance(name, best);
    for (const struct option_row *row = usage->options; row && !is_end(row); row++) {
        int distance = row->name ? nearest_distance(name, row->name) : INT_MAX;
        if (distance < best_distance) {
            best = row->name;
            best_distance = distance;
        }
    }
    if (nearest_is_close(name, best_distance))
        return fail(ERR_USAGE, "unknown option --%s: did you mean --%s?", name, best);
    return fail(ERR_USAGE, "unknown option --%s (usage: %s)", name, usage->usage);
}

/* --KEY of a config, which is written KEY=VALUE here. `next`: the argument behind it, or NULL. */
static int key_as_option(const struct option_usage *usage, const char *name, const char *next)
{
    char key[64];
    const char *value = strchr(name, '=');
    int length = (int)(value ? value - name : (ptrdiff_t)strlen(name));
    bool is_bool = false;
    snprintf(key, sizeof key, "%.*s", length, name);
    if (!usage->keys) return OK;
    if (value && config_is_key(key, &is_bool)) return OPTIONS_OPERAND;
    for (char *p = key; *p; p++)
        if (*p == '-') *p = '_';
    if (!config_is_key(key, &is_bool)) return OK;
    bool is_value = next && next[0] != '-' && !strchr(next, '=');
    return fail(ERR_USAGE, "unknown option --%.*s: write the key as %s=%s", length, name, key,
                value      ? value + 1
                : is_bool  ? "true"
                : is_value ? next
                           : "VALUE");
}

static int options_out_of_range(const struct option_row *row, const char *shown, const char *value)
{
    return fail(ERR_USAGE, "%s %s: it must be %.10g to %.10g", shown, value, row->low, row->high);
}

static bool options_in_range(const struct option_row *row, double value)
{
    return row->low == row->high || (value >= row->low && value <= row->high);
}

static int set_value(const struct option_row *row, const char *shown, const char *value)
{
    if (row->text) {
        /* most often a shell's variable that is not set */
        if (!*value && !row->may_be_empty)
            return fail(ERR_USAGE, "%s is empty: it needs %s", shown, row->argument);
        *row->text = value;
    } else if (row->integer) {
        if (!number_parse_int(value, row->integer))
            return fail(ERR_USAGE, "%s: '%s' is no whole number", shown, value);
        if (!options_in_range(row, (double)*row->integer))
            return options_out_of_range(row, shown, value);
    } else if (row->number) {
        if (!number_parse_double(value, row->number))
            return fail(ERR_USAGE, "%s: '%s' is no number", shown, value);
        if (!options_in_range(row, *row->number)) return options_out_of_range(row, shown, value);
    } else if (row->seconds) {
        if (!number_parse_duration(value, row->seconds) || !(*row->seconds >= 0))
            return fail(ERR_USAGE, "%s: '%s' is no time (90, 90s, 5m, 3h50m)", shown, value);
    } else if (row->bytes) {
        if (!number_parse_bytes(value, row->bytes))
            return fail(ERR_USAGE, "%s: '%s' is no amount of memory (512MB, 8GB)", shown, value);
    }
    return OK;
}

static bool options_is_word(const char *words, const char *word, size_t length)
{
    for (; words && *words; words += strspn(words, " ")) {
        size_t here = strcspn(words, " ");
        if (here == length && strncmp(words, word, length) == 0) return true;
        words += here;
    }
    return false;
}

static bool options_is_named(const struct option_row *row, const char *name, size_t length)
{
    return (row->name && strlen(row->name) == length && strncmp(row->name, name, length) == 0) ||
           options_is_word(row->aliases, name, length);
}

/* Takes `--name`, `--name=value` or `--name value`; *used counts the arguments after the first. */
static int parse_long(const struct option_usage *usage, char **argv, int left, int *used)
{
    const char *name = argv[0] + 2;
    size_t length = strcspn(name, "=");
    const char *value = name[length] ? name + length + 1 : NULL;
    char shown[64];
    snprintf(shown, sizeof shown, "--%.*s", (int)length, name);
    if (strcmp(name, "help") == 0) return OPTIONS_HELP;
    for (const struct option_row *row = usage->options; row && !is_end(row); row++) {
        if (!options_is_named(row, name, length)) continue;
        note_given(row);
        if (row->flag) {
            if (value) return fail(ERR_USAGE, "%s takes no value", shown);
            *row->flag = true;
            return OK;
        }
        if (!value) {
            if (left < 2) return fail(ERR_USAGE, "%s needs %s", shown, row->argument);
            value = argv[1];
            *used = 1;
        }
        return set_value(row, shown, value);
    }
    int code = key_as_option(usage, name, left > 1 ? argv[1] : NULL);
    return code != OK ? code : unknown_option(usage, shown + 2);
}

/* Takes `-abc`, `-o value` or `-ovalue`. */
static int parse_letters(const struct option_usage *usage, char **argv, int left, int *used)
{
    for (const char *p = argv[0] + 1; *p; p++) {
        char shown[3] = {'-', *p, '\0'};
        if (*p == 'h') return OPTIONS_HELP;
        const struct option_row *row = usage->options;
        while (row && !is_end(row) && row->letter != *p)
            row++;
        if (!row || is_end(row))
            return fail(ERR_USAGE, "unknown option %s (usage: %s)", shown, usage->usage);
        note_given(row);
        if (row->flag) {
            *row->flag = true;
            continue;
        }
        if (p[1]) return set_value(row, shown, p + 1);
        if (left < 2) return fail(ERR_USAGE, "%s needs %s", shown, row->argument);
        *used = 1;
        return set_value(row, shown, argv[1]);
    }
    return OK;
}

static int check_operands(const struct option_usage *usage, char **argv, int count)
{
    if (count < usage->min_operands)
        return fail(ERR_USAGE, "%s: too few arguments (usage: %s)", argv[0], usage->usage);
    if (usage->max_operands >= 0 && count > usage->max_operands)
        return fail(ERR_USAGE, "%s: what is '%s'? (usage: %s)", argv[0],
                    argv[usage->max_operands + 1], usage->usage);
    for (int i = 1; i <= count && !usage->texts; i++)
        if (!*argv[i])
            return fail(ERR_USAGE, "%s: argument %d is empty (usage: %s)", argv[0], i,
                        usage->usage);
    return OK;
}

int options_parse(const struct option_usage *usage, int argc, char **argv, int *operand_count)
{
    int count = 0;
    bool ended = false;
    given_count = 0;
    for (int i = 1; i < argc; i++) {
        if (ended || argv[i][0] != '-' || argv[i][1] == '\0') {
            argv[++count] = argv[i]; /* never ahead of i */
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            ended = true;
            continue;
        }
        int used = 0;
        int code = argv[i][1] == '-' ? parse_long(usage, argv + i, argc - i, &used)
                                     : parse_letters(usage, argv + i, argc - i, &used);
        if (code == OPTIONS_OPERAND) {
            argv[++count] = argv[i] + 2;
            continue;
        }
        if (code == OPTIONS_HELP && help_describe)
            help_describe(usage, help_context);
        else if (code == OPTIONS_HELP)
            options_print_help(usage);
        OPTIONS_TRY(code);
        i += used;
    }
    *operand_count = count;
    return check_operands(usage, argv, count);
}

void options_describe_with(void (*describe)(const struct option_usage *usage, void *context),
                           void *context)
{
    help_describe = describe;
    help_context = context;
}

static void options_warn_if_given(const char *name, size_t length, const char *why)
{
    for (int i = 0; i < given_count; i++) {
        if (strlen(given[i]) != length || strncmp(given[i], name, length) != 0) continue;
        log_warning("--%s has no effect %s", given[i], why);
        return; /* once, however often it was given */
    }
}

void options_without_effect(const char *names, const char *why)
{
    for (size_t length; *names; names += length + (names[length] == ' ')) {
        length = strcspn(names, " ");
        options_warn_if_given(names, length, why);
    }
}

void options_all_without_effect(const struct option_row *rows, const char *why)
{
    for (; !is_end(rows); rows++)
        if (rows->name) options_warn_if_given(rows->name, strlen(rows->name), why);
}
