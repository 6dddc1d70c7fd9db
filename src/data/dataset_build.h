/* Decoding the images of a data set into its cache. */
#ifndef IMGTRAIN_DATA_DATASET_BUILD_H
#define IMGTRAIN_DATA_DATASET_BUILD_H

#include "data/dataset_options.h"

/* Decodes one file into [height][width][channels], cut and scaled as images of a data set of
 * these options are, which are not DATASET_AUTO. *enlarged: it was smaller than that. ERR_DATA,
 * ERR_INPUT. */
int dataset_build_decode(uint8_t *out, const char *path, const struct dataset_options *options,
                         bool *enlarged);

/* Decodes all images and writes the cache's bytes (data/cache_format.h) to `fd` from its start on.
 * `name`: of the file, for messages. ERR_DATA: no image is readable; ERR_IO, ERR_STOPPED. */
int dataset_build(int fd, const char *name, uint64_t key, const struct dataset_options *options,
                  const struct scan *scan);

#endif
