/* The config of a command line: CONFIG [key=value ...], as train and plan take it. */
#ifndef IMGTRAIN_CMD_CMD_LOAD_H
#define IMGTRAIN_CMD_CMD_LOAD_H

#include <stdbool.h>

struct config;

/* operands: argv[1] ... argv[count] of options_parse. *path: the file, NULL when the first operand
 * is an override. device: of --device, wins over an override; NULL: not given. *config is owned. */
int load_config(struct config **config, const char **path, int count, char **argv,
                const char *device);

/* IMGTRAIN_TESTING is set: runs are to be short. */
bool load_is_testing(void);

#endif
