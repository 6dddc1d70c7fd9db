/* Decoding the images of a data set into its cache. */
#ifndef IMGTRAIN_DATA_DATASET_BUILD_H
#define IMGTRAIN_DATA_DATASET_BUILD_H

#include "data/dataset_options.h"

/* Decodes all images and writes the cache's bytes (data/cache_format.h) to `fd` from its start on.
 * `name`: of the file, for messages. ERR_DATA: no image is readable; ERR_IO, ERR_STOPPED. */
int dataset_build(int fd, const char *name, uint64_t key, const struct dataset_options *options,
                  const struct scan *scan);

#endif
