/* What `imgtrain train` was asked for, and a run of it. */
#ifndef IMGTRAIN_CMD_TRAIN_OPTIONS_H
#define IMGTRAIN_CMD_TRAIN_OPTIONS_H

#include "cmd/cmd_load.h"

#include <stdbool.h>
#include <stdint.h>

struct config;

struct train_options {
    const char *output;
    struct load_options load;
    double time_limit;
    int64_t jobs, only;
    const char *shard;
    bool each, resume, allow_changed_input, dry_run, quiet, json;
    const char *config_path; /* NULL: keys alone */
};

enum train_pass { TRAIN_LOOK, TRAIN_RUN };

/* folder: what came of it, owned by the caller; NULL: not wanted. */
int train_one(const struct config *config, const struct train_options *options, const char *run_dir,
              enum train_pass pass, char **folder);

void train_set_log_level(const struct config *config, bool quiet);

#endif
