/* The mask of a fit: how much each pixel counts. */
#ifndef IMGTRAIN_SPLAT_SPLAT_WEIGHTS_H
#define IMGTRAIN_SPLAT_SPLAT_WEIGHTS_H

#include "splat/target.h"

/* Refuses splat.mask where it cannot be: another size than the source's, together with keys that
 * change the size. Reads no more than its header. */
int splat_weights_check(const struct splat_source *source, const struct config *config);

/* Reads it into source->fit and source->full. */
int splat_weights_load(struct splat_source *source, const struct config *config,
                       const char *spill_dir);

#endif
