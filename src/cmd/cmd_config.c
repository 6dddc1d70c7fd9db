/* imgtrain config: what a configuration resolves to, and the help of keys. */
#include "base/error.h"
#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/preset.h"
#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int cmd_config_explain(int count, char **keys)
{
    if (count == 0) return fputs(default_yaml, stdout) < 0 ? fail_errno(ERR_IO, "write") : OK;
    for (int i = 0; i < count; i++) {
        if (i > 0) putchar('\n');
        TRY(config_explain(stdout, keys[i]));
    }
    return OK;
}

/* A batch: every combination as a document of its own would hide where they differ, so the lists
 * are shown as they were given, and how many runs they make. */
static int cmd_config_print(const struct config *config, bool json, bool yaml)
{
    if (yaml) return config_print(config, stdout);
    TRY(config_print_origins(config, stdout, json));
    if (!json && config_batch_count(config) > 1)
        printf("a batch of %d runs\n", config_batch_count(config));
    return OK;
}

int cmd_config(int argc, char **argv)
{
    bool json = false, yaml = false, wants_explain = false;
    const struct option_row options[] = {
        {.name = "explain", .flag = &wants_explain, .help = "explain KEYs; without one: all keys"},
        {.name = "yaml", .flag = &yaml, .help = "print YAML that loads to the same values"},
        {.name = "json", .flag = &json, .help = "print a JSON object {key: {value, origin}}"},
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain config [CONFIG] [key=value ...] [--json | --yaml], "
                 "imgtrain config --explain [KEY ...]",
        .about = "Prints every value after default.yaml < CONFIG < environment < key=value, and "
                 "where it came\nfrom. A key is set in the environment as IMGTRAIN_KEY or "
                 "IMGTRAIN_SECTION__KEY. A list where\none value belongs makes a batch: a run "
                 "for every combination.",
        .options = options,
        .max_operands = -1,
        .keys = true,
        .examples = "imgtrain config cfgs/demo.yaml max_steps=500\n"
                    "imgtrain config --explain num_gaussians topk\n"
                    "imgtrain config --explain > my.yaml\n",
    };
    int count;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &count));
    if (wants_explain) options_without_effect("json yaml", "with --explain");
    if (wants_explain) return cmd_config_explain(count, argv + 1);
    if (json && yaml) return fail(ERR_USAGE, "--json or --yaml, not both");
    bool has_file = count > 0 && (!strchr(argv[1], '=') || file_exists(argv[1]));
    struct config *config = NULL;
    char *file = NULL;
    if (has_file) TRY(preset_find(argv[1], &file));
    int code = config_load(&config, file, count - has_file, argv + 1 + has_file);
    if (code == OK) code = cmd_config_print(config, json, yaml);
    config_free(config);
    free(file);
    return code;
}
