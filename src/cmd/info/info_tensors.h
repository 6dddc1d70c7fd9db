/* What a file's tensors are, for `imgtrain info`. */
#ifndef IMGTRAIN_CMD_INFO_INFO_TENSORS_H
#define IMGTRAIN_CMD_INFO_INFO_TENSORS_H

#include <stdbool.h>

struct store_file;

/* A line for each tensor; of a network, which has many, one for all whose names begin alike
 * ("layers", "ema"), unless `each` asks for them. */
void info_print_tensors(const struct store_file *file, bool each);
/* Likewise as a JSON array, always of each. */
void info_json_tensors(const struct store_file *file);

#endif
