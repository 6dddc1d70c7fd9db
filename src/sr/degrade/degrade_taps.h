/* Which samples of a line another line's are made of when it is resized. */
#ifndef IMGTRAIN_SR_DEGRADE_DEGRADE_TAPS_H
#define IMGTRAIN_SR_DEGRADE_DEGRADE_TAPS_H

#include "sr/degrade/degrade.h"

/* Weights of samples first .. first + count - 1, all of which there are. */
struct degrade_taps {
    int first, count;
};

/* The most that a line of `in` samples needs to become one of `out`. */
size_t degrade_taps_most(int in, int out);
/* Of output sample i; weights: degrade_taps_most. */
struct degrade_taps degrade_taps_of(enum degrade_resize mode, int i, int in, int out,
                                    float *weights);

/* Columns of a resize: taps and weights of all of them. */
struct degrade_columns {
    const struct degrade_taps *taps;
    const float *weights;
    size_t most;
    int count;
};

size_t degrade_columns_floats(int w, int out_w);
struct degrade_columns degrade_columns_of(enum degrade_resize mode, int w, int out_w,
                                          float *memory);
/* Three channels of each. One float behind the line is read. */
void degrade_resize_line(float *out, const float *in, const struct degrade_columns *columns);

#endif
