/* Weighted sums of shifted rows, which is all that blurring and resizing rows do. */
#ifndef IMGTRAIN_SR_DEGRADE_DEGRADE_WEIGH_H
#define IMGTRAIN_SR_DEGRADE_DEGRADE_WEIGH_H

#include <stdbool.h>
#include <stddef.h>

/* to[k] = sum of weights[t] from[t stride + k], in the order of t; added to what is there, or
 * written. The same bits on any machine. */
void degrade_weigh(float *to, const float *from, size_t stride, const float *weights, int count,
                   size_t n, bool add);

#endif
