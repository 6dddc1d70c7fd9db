/* libFuzzer: words, each ended by a zero byte, as a command line's, or, where they are
 * "IMGTRAIN_...=...", as the environment's. What options take lies in their ranges; what is left
 * are operands in their order, and those with
 * "=" are keys of a config. */
#include "cmd/options.h"
#include "config/config.h"
#include "test/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 24 };

static void fuzz_load(int count, char **words)
{
    struct config *config;
    char *keys[MOST], *text;
    int key_count = 0;
    for (int i = 1; i <= count; i++)
        if (strchr(words[i], '=')) keys[key_count++] = words[i];
    if (config_load(&config, NULL, key_count, keys) < 0) {
        require(!config);
        return;
    }
    require(config_print_text(config, &text) == 0);
    free(text);
    config_free(config);
}

static void fuzz_parse(int argc, char **argv)
{
    bool flag = false, other = false;
    const char *text = "";
    int64_t integer = 3;
    double number = 0.5, seconds = 0;
    uint64_t memory = 0;
    const struct option_row rows[] = {
        {.letter = 'f', .name = "flag", .flag = &flag, .help = "a flag"},
        {.letter = 'q', .flag = &other, .help = "another"},
        {.letter = 'o', .name = "output", .argument = "FILE", .text = &text, .help = "a text"},
        {.name = "count",
         .aliases = "num n",
         .argument = "N",
         .integer = &integer,
         .low = 1,
         .high = 9,
         .help = "in a range"},
        {.name = "share",
         .argument = "X",
         .number = &number,
         .low = 0,
         .high = 1,
         .help = "in a range"},
        {.name = "time-limit", .argument = "TIME", .seconds = &seconds, .help = "a time"},
        {.name = "memory-limit", .argument = "BYTES", .bytes = &memory, .help = "an amount"},
        {0},
    };
    const struct option_usage usage = {.usage = "imgtrain words [WORD...]",
                                       .about = "Takes words.",
                                       .options = rows,
                                       .max_operands = -1,
                                       .keys = true};
    int count = -1;
    int code = options_parse(&usage, argc, argv, &count);
    require(code < 0 || (integer >= 1 && integer <= 9));
    require(code < 0 || (number >= 0 && number <= 1));
    require(code < 0 || seconds >= 0);
    if (code != OK) return;
    require(count >= 0 && count < argc);
    fuzz_load(count, argv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = malloc(bytes + 1), *argv[MOST + 2] = {"words"}, *variables[MOST + 1],
         **before = environ;
    int argc = 1, variable_count = 0;
    require(text != NULL);
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    for (char *word = text; word < text + bytes && argc <= MOST && variable_count < MOST;
         word += strlen(word) + 1) {
        if (strncmp(word, "IMGTRAIN_", 9) == 0)
            variables[variable_count++] = word;
        else
            argv[argc++] = word;
    }
    argv[argc] = variables[variable_count] = NULL;
    environ = variables;
    fuzz_parse(argc, argv);
    environ = before;
    free(text);
    return 0;
}
