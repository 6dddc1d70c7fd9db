#include "cmd/manual.h"

#include "base/error.h"
#include "base/version.h"
#include "cmd/options.h"
#include "config/config.h"

#include <stdio.h>
#include <string.h>

/* ---- one walk over the tables ---- */

/* Lets each command describe itself to `describe` in place of printing its --help. */
static int manual_walk(const struct command *commands, int count,
                       void (*describe)(const struct option_usage *usage, void *context))
{
    int code = OK;
    for (int i = 0; i < count && code >= OK; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s", commands[i].name);
        options_describe_with(describe, (void *)&commands[i]);
        code = commands[i].function(2, (char *[]){name, (char[]){"--help"}, NULL});
    }
    options_describe_with(NULL, NULL);
    return code < OK ? code : OK;
}

static bool manual_is_last(const struct option_row *row)
{
    return !row || (!row->letter && !row->name);
}

/* ---- the man page ---- */

/* Text that troff takes as it stands: no character of it is a request or an escape. `at_start`: it
 * begins a line. */
static void manual_put_text(const char *text, bool at_start)
{
    for (; *text; text++) {
        if (at_start && (*text == '.' || *text == '\'')) printf("\\&");
        at_start = *text == '\n';
        switch (*text) {
        case '\\': printf("\\e"); break;
        case '-': printf("\\-"); break;
        case '^': printf("\\(ha"); break;
        case '~': printf("\\(ti"); break;
        case '\'': printf("\\(aq"); break;
        case '`': printf("\\(ga"); break;
        case '"': printf("\\(dq"); break;
        default: putchar(*text);
        }
    }
}

/* Paragraphs: an empty line parts two. */
static void manual_put_paragraphs(const char *text)
{
    while (*text) {
        int length = (int)strcspn(text, "\n");
        char line[1024];
        snprintf(line, sizeof line, "%.*s", length, text);
        if (*line)
            manual_put_text(line, true);
        else
            printf(".PP");
        putchar('\n');
        text += length + (text[length] == '\n');
    }
}

/* Lines that stay as they are. */
static void manual_put_lines(const char *text)
{
    printf(".RS 4\n.nf\n");
    manual_put_text(text, true);
    printf("%s.fi\n.RE\n", *text && text[strlen(text) - 1] != '\n' ? "\n" : "");
}

/* The next of words with blanks between them; false behind the last. */
static bool manual_next_word(const char **words, char word[64])
{
    size_t length = *words ? strcspn(*words, " ") : 0;
    if (length == 0) return false;
    snprintf(word, 64, "%.*s", (int)length, *words);
    *words += length + strspn(*words + length, " ");
    return true;
}

static void manual_put_aliases(const struct option_row *row)
{
    const char *words = row->aliases;
    char word[64];
    if (!words) return;
    printf("Other names:");
    while (manual_next_word(&words, word)) {
        printf(" \\-\\-");
        manual_put_text(word, false);
    }
    printf(".\n");
}

static void manual_put_option(char letter, const char *name, const char *argument, const char *help)
{
    printf(".TP\n");
    if (letter) printf("\\fB\\-%c\\fR%s", letter, name ? ", " : "");
    if (name) {
        printf("\\fB\\-\\-");
        manual_put_text(name, false);
        printf("\\fR");
    }
    if (argument) {
        printf(" \\fI");
        manual_put_text(argument, false);
        printf("\\fR");
    }
    putchar('\n');
    manual_put_text(help, true);
    printf(".\n");
}

static void manual_put_command(const struct option_usage *usage, void *context)
{
    const struct command *command = context;
    printf(".SS %s\n", command->name);
    manual_put_lines(usage->usage);
    printf(".PP\n");
    manual_put_paragraphs(usage->about);
    for (const struct option_row *row = usage->options; !manual_is_last(row); row++) {
        manual_put_option(row->letter, row->name, row->argument, row->help);
        manual_put_aliases(row);
    }
    manual_put_option('h', "help", NULL, "print this command's usage, options and an example");
    if (!usage->examples) return;
    printf(".PP\nFor example:\n");
    manual_put_lines(usage->examples);
}

static void manual_put_key(const struct config_key *key)
{
    printf(".TP\n\\fB");
    manual_put_text(key->name, false);
    printf("\\fR (%s%s", key->type, key->is_enum ? " " : *key->range ? ", " : "");
    manual_put_text(key->range, false);
    if (*key->unit) printf(", ");
    manual_put_text(key->unit, false);
    printf(")\n");
    manual_put_text(*key->meaning ? key->meaning : "another name of", true);
    if (*key->target) {
        printf("%s", *key->meaning ? "; another name of " : " ");
        manual_put_text(key->target, false);
    }
    if (key->has_value) {
        printf(". Default: ");
        manual_put_text(*key->default_text ? key->default_text : "none", false);
    }
    if (*key->tasks) printf(". Of task%s %s alone", strchr(key->tasks, ' ') ? "s" : "", key->tasks);
    printf(".\n");
}

static void manual_put_keys(void)
{
    struct config_key key;
    const char *section = "";
    printf(".SH KEYS\nA config is YAML; every key may also be given as KEY=VALUE on the command "
           "line, or in the\n"
           "environment as IMGTRAIN_KEY or IMGTRAIN_SECTION__KEY. A key of a task's section may "
           "be written\n"
           "without it, and any other where only one section has it.\n.SS Common\n");
    for (int i = 0; config_key_at(i, &key); i++) {
        if (strcmp(section, key.section) != 0) printf(".SS Section %s\n", key.section);
        section = key.section;
        manual_put_key(&key);
    }
}

static void manual_put_exit_statuses(void)
{
    const struct error_status *row;
    printf(".SH EXIT STATUS\n");
    for (int i = 0; (row = error_status_at(i)); i++) {
        printf(".TP\n\\fB%d\\fR\n", row->status);
        manual_put_text(row->meaning, true);
        printf(".\n");
    }
    printf(".TP\n\\fB130\\fR\na second Ctrl\\-C.\n");
}

int manual_print_page(const struct command *commands, int count)
{
    printf(".\\\" Printed by `imgtrain help --man`.\n"
           ".TH IMGTRAIN 1 %s \"imgtrain %s\" \"User commands\"\n"
           ".SH NAME\nimgtrain \\- train image models: 2D Gaussians fitted to an image, GANs\n"
           ".SH SYNOPSIS\n\\fBimgtrain\\fR \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]\n.PP\n"
           "\\fBimgtrain help\\fR [\\fICOMMAND\\fR]\n.PP\n\\fBimgtrain \\-\\-version\\fR\n"
           ".SH DESCRIPTION\n"
           "imgtrain fits 2D Gaussians to an image (task splat) or trains a generator against a\n"
           "discriminator on a folder of images (task gan). It says before the first step how "
           "much memory\n"
           "a run takes, and a run can be stopped and resumed at any moment without changing a bit "
           "of the\n"
           "result. Results go to standard output, everything else to standard error.\n",
           IMGTRAIN_DATE, IMGTRAIN_VERSION);
    for (int i = 0; i < count; i++) {
        printf(".TP\n\\fB%s\\fR\n", commands[i].name);
        manual_put_text(commands[i].help, true);
        printf(".\n");
    }
    printf(".SH COMMANDS\n");
    TRY(manual_walk(commands, count, manual_put_command));
    manual_put_keys();
    manual_put_exit_statuses();
    return OK;
}

/* ---- completions ---- */

/* Words that may stand behind `KEY=`: true and false, or the names of an enum. */
static void manual_put_values(const struct config_key *key)
{
    if (key->is_bool) printf("true false");
    if (!key->is_enum) return;
    for (const char *c = key->range; *c; c++)
        putchar(*c == '|' ? ' ' : *c);
}

static bool manual_has_values(const struct config_key *key)
{
    return key->is_bool || key->is_enum;
}

/* A key without its section is offered where no section before has it. */
static bool manual_key_is_first(int index)
{
    struct config_key key, other;
    if (!config_key_at(index, &key) || !*key.section || !key.bare) return false;
    for (int i = 0; i < index; i++)
        if (config_key_at(i, &other) && other.bare && strcmp(other.key, key.key) == 0) return false;
    return true;
}

/* All keys, full and bare, a line each. */
static void manual_put_key_words(void)
{
    struct config_key key;
    for (int i = 0; config_key_at(i, &key); i++) {
        printf("    %s\n", key.name);
        if (manual_key_is_first(i)) printf("    %s\n", key.key);
    }
}

/* The cases of a shell's `case $key in`; `command` is put before the values, `end` behind them. */
static void manual_put_value_cases(const char *command, const char *end)
{
    struct config_key key;
    for (int i = 0; config_key_at(i, &key); i++) {
        if (!manual_has_values(&key)) continue;
        printf("    %s", key.name);
        if (manual_key_is_first(i)) printf(" | %s", key.key);
        printf(") %s", command);
        manual_put_values(&key);
        printf("%s ;;\n", end);
    }
}

static void manual_put_bash_command(const struct option_usage *usage, void *context)
{
    const struct command *command = context;
    printf("    %s)\n        options='", command->name);
    for (const struct option_row *row = usage->options; !manual_is_last(row); row++) {
        if (row->letter) printf("-%c ", row->letter);
        if (row->name) printf("--%s ", row->name);
    }
    printf("-h --help'\n        arguments=' ");
    for (const struct option_row *row = usage->options; !manual_is_last(row); row++) {
        if (row->flag) continue;
        if (row->letter) printf("-%c ", row->letter);
        if (row->name) printf("--%s ", row->name);
        const char *words = row->aliases;
        for (char word[64]; manual_next_word(&words, word);)
            printf("--%s ", word);
    }
    printf("'\n        keys=%d\n        ;;\n", usage->keys);
}

/* Behind the tables: what the function does with them. */
static const char manual_bash_function[] =
    "_imgtrain() {\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local key= options= arguments= keys=0 match\n"
    "    COMPREPLY=()\n"
    "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
    "        COMPREPLY=($(compgen -W \"$_imgtrain_commands help --help --version\" -- \"$word\"))\n"
    "        return\n"
    "    fi\n"
    "    if [ \"${COMP_WORDS[1]}\" = help ]; then\n"
    "        COMPREPLY=($(compgen -W \"$_imgtrain_commands\" -- \"$word\"))\n"
    "        return\n"
    "    fi\n"
    "    _imgtrain_options \"${COMP_WORDS[1]}\"\n"
    "    # `=` parts words for most: KEY, =, VALUE.\n"
    "    if [ \"$word\" = = ]; then\n"
    "        key=$before word=\n"
    "    elif [ \"$before\" = = ]; then\n"
    "        key=${COMP_WORDS[COMP_CWORD-2]}\n"
    "    fi\n"
    "    key=${key#--}\n"
    "    if [ \"$before\" = --device ] || [ \"$key\" = device ]; then\n"
    "        COMPREPLY=($(compgen -W 'auto cpu cuda' -- \"$word\"))\n"
    "    elif [ -n \"$key\" ]; then\n"
    "        COMPREPLY=($(compgen -W \"$(_imgtrain_values \"$key\")\" -- \"$word\"))\n"
    "    elif [ \"${arguments/ $before /}\" != \"$arguments\" ]; then\n"
    "        return # an argument of an option: a file, if anything\n"
    "    elif [ \"${word#-}\" != \"$word\" ]; then\n"
    "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
    "    elif [ \"$keys\" = 1 ] && [ -n \"$word\" ]; then\n"
    "        COMPREPLY=($(compgen -S = -W \"$_imgtrain_keys\" -- \"$word\"))\n"
    "        [ \"${#COMPREPLY[@]}\" -gt 0 ] || return\n"
    "        compopt -o nospace 2>/dev/null\n"
    "        while IFS= read -r match; do\n"
    "            [ -d \"$match\" ] && match=$match/\n"
    "            COMPREPLY+=(\"$(printf %q \"$match\")\")\n"
    "        done < <(compgen -f -- \"$word\")\n"
    "    fi\n"
    "} && complete -o default -F _imgtrain imgtrain\n";

static int manual_print_bash(const struct command *commands, int count)
{
    printf("# bash completion of imgtrain, printed by `imgtrain help --completion bash`.\n"
           "_imgtrain_commands='");
    for (int i = 0; i < count; i++)
        printf("%s%s", i ? " " : "", commands[i].name);
    printf("'\n_imgtrain_keys='\n");
    manual_put_key_words();
    printf("'\n\n"
           "# The values of a key, where they can be listed.\n"
           "_imgtrain_values() {\n    case $1 in\n");
    manual_put_value_cases("echo '", "'");
    printf("    esac\n}\n\n_imgtrain_options() {\n    case $1 in\n");
    TRY(manual_walk(commands, count, manual_put_bash_command));
    printf("    esac\n}\n\n%s", manual_bash_function);
    return OK;
}

/* Text within '...' of zsh; within [...] of _arguments when `in_brackets`. */
static void manual_put_zsh(const char *text, bool in_brackets)
{
    for (; *text; text++) {
        if (*text == '\'') printf("'\\'");
        if (*text == ':' || (in_brackets && (*text == '[' || *text == ']'))) putchar('\\');
        putchar(*text == '\n' ? ' ' : *text);
    }
}

static void manual_put_zsh_option(char letter, const char *name, const char *argument,
                                  const char *help)
{
    printf("            ");
    if (letter && name)
        printf("'(-%c --%s)'{-%c,--%s}", letter, name, letter, name);
    else if (letter)
        printf("-%c", letter);
    else
        printf("--%s", name);
    printf("'[");
    manual_put_zsh(help, true);
    putchar(']');
    if (argument) {
        putchar(':');
        manual_put_zsh(argument, false);
        printf(name && strcmp(name, "device") == 0 ? ":(auto cpu cuda)" : ":_files");
    }
    printf("' \\\n");
}

static void manual_put_zsh_command(const struct option_usage *usage, void *context)
{
    const struct command *command = context;
    printf("        %s) _arguments -s \\\n", command->name);
    for (const struct option_row *row = usage->options; !manual_is_last(row); row++)
        manual_put_zsh_option(row->letter, row->name, row->argument, row->help);
    manual_put_zsh_option('h', "help", NULL, "print usage, options and an example");
    printf("            '*:argument:%s' ;;\n", usage->keys ? "_imgtrain_operands" : "_files");
}

static int manual_print_zsh(const struct command *commands, int count)
{
    printf("#compdef imgtrain\n"
           "# zsh completion of imgtrain, printed by `imgtrain help --completion zsh`.\n\n"
           "# Files, keys of a config, and behind KEY= its values.\n"
           "_imgtrain_operands() {\n"
           "    local key\n"
           "    local -a keys\n"
           "    keys=(\n");
    manual_put_key_words();
    printf("    )\n"
           "    if ! compset -P 1 '*='; then\n"
           "        _files\n"
           "        compadd -q -S = -a keys\n"
           "        return\n"
           "    fi\n"
           "    key=${IPREFIX%%=}\n"
           "    case ${key#--} in\n");
    manual_put_value_cases("compadd -- ", "");
    printf("    *) _files ;;\n    esac\n}\n\n"
           "_imgtrain() {\n"
           "    local curcontext=$curcontext state line\n"
           "    local -A opt_args\n"
           "    local -a commands\n"
           "    commands=(\n");
    for (int i = 0; i < count; i++) {
        printf("        '%s:", commands[i].name);
        manual_put_zsh(commands[i].help, false);
        printf("'\n");
    }
    printf("        'help:say more of a command'\n"
           "    )\n"
           "    _arguments -C '1:command:->command' '*::argument:->argument'\n"
           "    case $state in\n"
           "    command) _describe command commands ;;\n"
           "    argument)\n"
           "        case $words[1] in\n");
    TRY(manual_walk(commands, count, manual_put_zsh_command));
    printf("        help) _describe command commands ;;\n"
           "        esac\n"
           "        ;;\n"
           "    esac\n"
           "}\n\n"
           "_imgtrain \"$@\"\n");
    return OK;
}

int manual_print_completion(const char *shell, const struct command *commands, int count)
{
    if (strcmp(shell, "bash") == 0) return manual_print_bash(commands, count);
    if (strcmp(shell, "zsh") == 0) return manual_print_zsh(commands, count);
    return fail(ERR_USAGE, "help --completion: '%s' is neither bash nor zsh", shell);
}
