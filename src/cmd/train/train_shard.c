#include "cmd/train/train_shard.h"

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* All of the text is a whole number from 0 on. */
static bool train_shard_number(const char *text, int *value)
{
    char *end;
    if (!text || *text < '0' || *text > '9') return false;
    long number = strtol(text, &end, 10);
    *value = number > INT_MAX ? INT_MAX : (int)number;
    return *end == '\0';
}

/* A variable that is there must be a number. */
static int train_shard_variable(const char *name, int *value)
{
    const char *text = getenv(name);
    if (!text || !*text) return ERR_INPUT;
    if (train_shard_number(text, value)) return OK;
    return fail(ERR_USAGE, "%s: '%s' is no whole number", name, text);
}

/* SLURM counts from SLURM_ARRAY_TASK_MIN on, by SLURM_ARRAY_TASK_STEP. Of an array of which a part
 * is submitted again, the first may be any part. */
static int train_shard_of_environment(struct train_shard *shard, bool count_too)
{
    int id = 0, first = 0, step = 1, tasks = 0,
        code = train_shard_variable("SLURM_ARRAY_TASK_ID", &id);
    if (code == ERR_USAGE) return code;
    if (code == OK) {
        if (train_shard_variable("SLURM_ARRAY_TASK_MIN", &first) == ERR_USAGE) return ERR_USAGE;
        if (train_shard_variable("SLURM_ARRAY_TASK_STEP", &step) == ERR_USAGE) return ERR_USAGE;
        code = train_shard_variable("SLURM_ARRAY_TASK_COUNT", &tasks);
        if (code == ERR_USAGE) return code;
        if (code < 0 && count_too)
            return fail(ERR_USAGE,
                        "--shard auto: SLURM_ARRAY_TASK_COUNT is not set: say --shard N");
        if (code == OK && !count_too && first > 0 && tasks != shard->count)
            return fail(ERR_USAGE,
                        "--shard %d: the array has %d tasks from %d on, so task %d may be any "
                        "part: say --shard I/%d, I from 0",
                        shard->count, tasks, first, id, shard->count);
        if (count_too) shard->count = tasks;
        shard->index = step > 0 && id >= first ? (id - first) / step : id;
        return OK;
    }
    code = train_shard_variable("JOB_COMPLETION_INDEX", &shard->index);
    if (code == ERR_USAGE) return code;
    if (code < 0)
        return fail(ERR_USAGE, "--shard: neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is "
                               "set: say --shard I/N");
    if (count_too)
        return fail(ERR_USAGE, "--shard auto: Kubernetes does not say how many there are: say "
                               "--shard N");
    return OK;
}

int train_shard_parse(struct train_shard *shard, const char *text)
{
    *shard = (struct train_shard){0, 1};
    if (!text) return OK;
    const char *slash = strchr(text, '/');
    char index[24] = "";
    if (strcmp(text, "auto") == 0) {
        TRY(train_shard_of_environment(shard, true));
    } else if (!slash) {
        if (!train_shard_number(text, &shard->count))
            return fail(ERR_USAGE, "--shard '%s': it must be I/N, N or auto", text);
        TRY(train_shard_of_environment(shard, false));
    } else {
        size_t length = (size_t)(slash - text);
        if (length < sizeof index) memcpy(index, text, length);
        if (!train_shard_number(index, &shard->index) ||
            !train_shard_number(slash + 1, &shard->count))
            return fail(ERR_USAGE, "--shard '%s': it must be I/N, N or auto", text);
    }
    if (shard->count < 1 || shard->index >= shard->count)
        return fail(ERR_USAGE, "--shard: part %d of %d: parts are counted from 0", shard->index,
                    shard->count);
    return OK;
}
