/* The one option parser of all commands: a table of options, operands in between, help for free.
 *
 *     const char *output = NULL;
 *     bool json = false;
 *     const struct option_row rows[] = {
 *         {.letter = 'o', .name = "output", .argument = "FILE", .text = &output, .help = "..."},
 *         {.name = "json", .flag = &json, .help = "print JSON"},
 *         {0},
 *     };
 *     const struct option_usage usage = {
 *         .usage = "imgtrain eval A B [--json]",
 *         .about = "Compares two images.",
 *         .options = rows,
 *         .min_operands = 2, .max_operands = 2,
 *         .examples = "imgtrain eval out.png photo.png\n",
 *     };
 *     int operand_count;
 *     OPTIONS_TRY(options_parse(&usage, argc, argv, &operand_count));
 *     // operands: argv[1] ... argv[operand_count]
 */
#ifndef IMGTRAIN_CMD_OPTIONS_H
#define IMGTRAIN_CMD_OPTIONS_H

#include "base/error.h"
#include "base/option_row.h"

#include <stdbool.h>
#include <stdint.h>

struct option_usage {
    const char *usage;                /* "imgtrain eval A B [--json]" */
    const char *about;                /* what it does: lines of text */
    const struct option_row *options; /* ends with an empty row; NULL: none; --help is added */
    int min_operands;
    int max_operands;     /* -1: any number */
    bool keys;            /* operands may be KEY=VALUE of a config: --KEY=VALUE is taken for that */
    bool texts;           /* operands may be texts, which may be empty; names may not */
    const char *examples; /* lines, each a command */
};

enum { OPTIONS_HELP = 1 };

/* Fills in the options and moves the operands to argv[1..*operand_count]. Options and operands may
 * be mixed; "--" ends the options, "-" is an operand; --name=value, --name value, -o value,
 * -ovalue, -abc are understood; where `keys` may be given --KEY=VALUE becomes the operand
 * KEY=VALUE, as other programs have it, and --KEY VALUE is answered with how to write it. What is
 * empty is refused where nothing says that it may be. 0;
 * OPTIONS_HELP after printing the help text to stdout because of -h or
 * --help: the command then returns this as it is; ERR_USAGE. */
int options_parse(const struct option_usage *usage, int argc, char **argv, int *operand_count);

/* For whoever prints all commands at once: --help of the next commands calls `describe` with their
 * table instead of printing it; NULL: prints again. */
void options_describe_with(void (*describe)(const struct option_usage *usage, void *context),
                           void *context);

/* For options that mean nothing beside the others: a warning for each of `names` (words with blanks
 * between them), or of a table's rows, that the last options_parse has met: "--fps has no effect
 * WHY". */
void options_without_effect(const char *names, const char *why);
void options_all_without_effect(const struct option_row *rows, const char *why);

/* Rows of a table: a word that is kept as it is; something asked for. */
#define OPTION_TEXT(name_, argument_, to, help_)                                                   \
    {                                                                                              \
        .name = (name_), .argument = (argument_), .text = (to), .help = (help_)                    \
    }
#define OPTION_FLAG(name_, to, help_)                                                              \
    {                                                                                              \
        .name = (name_), .flag = (to), .help = (help_)                                             \
    }

/* The options that several commands have, each in the same words everywhere. */
#define OPTION_DEVICE(to)                                                                          \
    {                                                                                              \
        .name = "device", .argument = "NAME", .text = (to), .help = "auto, cpu, cuda or cuda:N"    \
    }
#define OPTION_MEMORY_LIMIT(to, meaning)                                                           \
    {                                                                                              \
        .name = "memory-limit", .aliases = "max-vram budget", .argument = "BYTES", .bytes = (to),  \
        .help = (meaning)                                                                          \
    }

/* Ends the command after an error or after help. */
#define OPTIONS_TRY(call)                                                                          \
    do {                                                                                           \
        int options_code_ = (call);                                                                \
        if (options_code_ != OK) return options_code_;                                             \
    } while (0)

#endif
