/* `imgtrain info` of a model folder: its components, whether this program computes them or not. */
#ifndef IMGTRAIN_CMD_INFO_INFO_MODEL_H
#define IMGTRAIN_CMD_INFO_INFO_MODEL_H

#include <stdbool.h>

/* Whether a folder is one: it has a model_index.json. */
bool info_is_model(const char *path);
/* Reads configs and headers, no weights. */
int info_print_model(const char *path, bool json);

#endif
