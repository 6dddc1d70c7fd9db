/* Choosing the least important Gaussians. */
#ifndef IMGTRAIN_SPLAT_LEAST_IMPORTANT_H
#define IMGTRAIN_SPLAT_LEAST_IMPORTANT_H

#include <stdint.h>

struct splat_candidate {
    double importance;
    int64_t row;
};

/* Brings the `wanted` least important of `count` candidates to the front, sorted; of equally
 * important ones the lower row comes first. The rest is in any order. */
void splat_least_important(struct splat_candidate *candidates, int64_t count, int64_t wanted);

#endif
