/* The largest of 2 x 2 pixels, and where it was: one number at a time. */
#ifndef IMGTRAIN_MATH_POOL_PLACE_H
#define IMGTRAIN_MATH_POOL_PLACE_H

#include "base/host_device.h"

#include <stddef.h>

/* Place, in numbers from the block's first one on, of the first of the largest; a NaN is larger
 * than all. */
HOST_DEVICE static inline ptrdiff_t max_pool_place(const float *in, ptrdiff_t row, ptrdiff_t pixel)
{
    const ptrdiff_t places[4] = {0, pixel, row, row + pixel};
    ptrdiff_t best = 0;
    for (int k = 1; k < 4; k++)
        if (in[places[k]] > in[best] || (in[places[k]] != in[places[k]] && in[best] == in[best]))
            best = places[k];
    return best;
}

#endif
