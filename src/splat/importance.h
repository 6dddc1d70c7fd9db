/* The importance of each Gaussian: by how much the squared error would grow without it. */
#ifndef IMGTRAIN_SPLAT_IMPORTANCE_H
#define IMGTRAIN_SPLAT_IMPORTANCE_H

#include "device/splat_ops.h"

/* Overwrites importance[view->count], on the host: `view` and the target's data are host memory.
 * The others stay as they are (a Gaussian that would come into the top K in its place is not
 * counted). Below 0: the image would gain without it. The same bits for any number of threads.
 * stop_requested (or NULL) is looked at by all of them: ERR_STOPPED. */
int splat_importance(const struct splat_view *view, const struct splat_blend *blend,
                     const struct splat_target *target, bool (*stop_requested)(void),
                     double *importance);

#endif
