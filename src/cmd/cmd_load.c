#include "cmd/cmd_load.h"

#include "base/error.h"
#include "base/file.h"
#include "cmd/preset.h"
#include "config/config.h"
#include "registry/tasks.h"
#include "task/task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool load_is_testing(void)
{
    const char *wanted = getenv("IMGTRAIN_TESTING");
    return wanted && *wanted && strcmp(wanted, "0") != 0;
}

static bool is_override(const char *operand)
{
    return strchr(operand, '=') != NULL && !file_exists(operand);
}

/* A run as short as a smoke test wants it, whatever the config says; operands win over these. */
static const char *const testing_overrides[] = {"eval_steps=5", "frames.count=8", "video.hold=0.2",
                                                NULL};
enum { MOST_OVERRIDES = 64 };

static int cmd_load_add_testing(const char **all, int count, const char *const *overrides)
{
    for (int i = 0; overrides && overrides[i] && count < MOST_OVERRIDES; i++)
        all[count++] = overrides[i];
    return count;
}

/* Those of every task, and everybody's. Returns how many. */
static int cmd_load_testing(const char *all[MOST_OVERRIDES])
{
    int count = 0;
    if (!load_is_testing()) return 0;
    for (int i = 0; task_at(i); i++)
        count = cmd_load_add_testing(all, count, task_at(i)->testing);
    return cmd_load_add_testing(all, count, testing_overrides);
}

/* The operands behind the config, and what options say last: they win over an override. */
static int cmd_load_load(struct config **config, const char *path, int count, char **operands,
                         const struct load_options *options)
{
    char **overrides = calloc((size_t)count + 2, sizeof *overrides);
    char *device = options->device ? string_format("device=%s", options->device) : NULL;
    char *limit = options->memory_limit
                      ? string_format("memory.limit=%" PRIu64, options->memory_limit)
                      : NULL;
    const char *testing[MOST_OVERRIDES];
    char *file = NULL;
    int code = OK, used = 0, testing_count = cmd_load_testing(testing);
    if (!overrides || (options->device && !device) || (options->memory_limit && !limit))
        code = fail(ERR_SYSTEM, "out of memory");
    if (code == OK) {
        for (int i = 0; i < count; i++)
            overrides[used++] = operands[i];
        if (device) overrides[used++] = device;
        if (limit) overrides[used++] = limit;
        if (path) code = preset_find(path, &file);
    }
    if (code == OK)
        code = config_load_testing(config, file, testing_count, testing, used, overrides);
    free(file);
    free(limit);
    free(device);
    free(overrides);
    return code;
}

int load_config(struct config **config, const char **path, int count, char **argv,
                const struct load_options *options)
{
    *path = count < 1 || is_override(argv[1]) ? NULL : argv[1];
    int first = *path ? 2 : 1;
    return cmd_load_load(config, *path, count + 1 - first, argv + first, options);
}
