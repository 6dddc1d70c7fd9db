/* The config of a command line: CONFIG [key=value ...], as train and plan take it. */
#ifndef IMGTRAIN_CMD_CMD_LOAD_H
#define IMGTRAIN_CMD_CMD_LOAD_H

#include <stdbool.h>
#include <stdint.h>

struct config;

/* Options that stand for a key, and win over an override of it. */
struct load_options {
    const char *device;    /* of --device; NULL: not given */
    uint64_t memory_limit; /* memory.limit; 0: not given */
};

/* operands: argv[1] ... argv[count] of options_parse. *path: the file or preset as it was named,
 * NULL when the first operand is an override. *config is owned. */
int load_config(struct config **config, const char **path, int count, char **argv,
                const struct load_options *options);

/* IMGTRAIN_TESTING is set: runs are to be short. */
bool load_is_testing(void);

#endif
