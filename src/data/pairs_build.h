/* Decoding the images of a set of pairs into its cache. */
#ifndef IMGTRAIN_DATA_PAIRS_BUILD_H
#define IMGTRAIN_DATA_PAIRS_BUILD_H

#include "data/pairs_match.h"

#include <stdint.h>

/* Decodes all images of a list that was checked, and writes the cache's bytes to `fd` from its
 * start on. `name`: of the file, for messages. ERR_DATA: none is readable; ERR_IO, ERR_STOPPED. */
int pairs_build(int fd, const char *name, uint64_t key, const struct pairs_list *list,
                const struct pairs_options *options);

#endif
