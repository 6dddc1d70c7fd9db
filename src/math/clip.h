/* Clipping a gradient by its norm, as torch.nn.utils.clip_grad_norm_ does it. */
#ifndef IMGTRAIN_MATH_CLIP_H
#define IMGTRAIN_MATH_CLIP_H

#include "base/host_device.h"

#include <math.h>

/* What a range is multiplied by whose squares add up to norm2, so that its norm is `most` at most.
 * A norm that is no number changes nothing: it is to be found. */
HOST_DEVICE static inline float clip_factor(double norm2, double most)
{
    double factor = most / (sqrt(norm2) + 1e-6);
    return factor < 1 ? (float)factor : 1.0f;
}

#endif
