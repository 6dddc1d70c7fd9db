/* Attention by online softmax. Scores of a query come in blocks; with m the largest so far, l the
 * sum of exp(score - m) and o the like sum of values, a block with the largest score b makes m' =
 * max(m, b), and l and o are multiplied by exp(m - m') before the block's terms are added. lse = m
 * + log l.
 *
 * Adjoint: p = exp(score - lse), delta = sum of d_o o over the head's numbers; dv = sum of p d_o,
 * dscore = p (d_o v - delta), dq = scale sum of dscore k, dk = scale sum of dscore q. */
#ifndef IMGTRAIN_MATH_ATTENTION_H
#define IMGTRAIN_MATH_ATTENTION_H

#include "base/host_device.h"

#include <math.h>

/* Keys that a query of its sample sees: 0 .. result - 1. length: of the sample, at most k_tokens.
 */
HOST_DEVICE static inline int attention_keys(int k_tokens, int length, int causal, int position)
{
    int keys = length < k_tokens ? length : k_tokens;
    return causal && position + 1 < keys ? position + 1 : keys;
}

/* What sums so far are multiplied by when the largest score rises to `most`; 0 before the first. */
HOST_DEVICE static inline float attention_rescale(float before, float most)
{
    return before > -INFINITY ? expf(before - most) : 0;
}

HOST_DEVICE static inline float attention_weight(float score, float lse)
{
    return expf(score - lse);
}

HOST_DEVICE static inline float attention_dscore(float weight, float dweight, float delta)
{
    return weight * (dweight - delta);
}

#endif
