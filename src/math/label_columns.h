/* What of a table [e][k] an image's label names: a column, or, where labels are sets of tags, the
 * columns of its tags, whose sum is divided by the square root of their number: independent
 * columns of one spread add up to one of the same. Of no tag it is 0. */
#ifndef IMGTRAIN_MATH_LABEL_COLUMNS_H
#define IMGTRAIN_MATH_LABEL_COLUMNS_H

#include "base/host_device.h"

#include <math.h>
#include <stddef.h>

/* label [n]: a column in [0, k), or, with sets, one of those, of which set l is the columns
 * sets[sets[l]] to sets[sets[l + 1] - 1], each in [0, k) and named once. */
struct nn_labels {
    const int *label;
    const int *sets; /* NULL: labels are columns */
};

struct label_columns {
    const int *column;
    int count;
    float scale;
};

HOST_DEVICE static inline struct label_columns label_columns_of(struct nn_labels labels, int i)
{
    struct label_columns c = {labels.label + i, 1, 1.0f};
    if (labels.sets) {
        const int *place = labels.sets + labels.label[i];
        c.column = labels.sets + place[0];
        c.count = place[1] - place[0];
        c.scale = c.count ? 1.0f / sqrtf((float)c.count) : 0.0f;
    }
    return c;
}

/* The entry of row j. */
HOST_DEVICE static inline float label_entry(struct label_columns c, const float *table, int k,
                                            int j)
{
    float sum = c.count ? table[(ptrdiff_t)j * k + c.column[0]] : 0.0f;
    for (int t = 1; t < c.count; t++)
        sum += table[(ptrdiff_t)j * k + c.column[t]];
    return c.scale * sum;
}

/* Its adjoint: adds a * b, a gradient of the entry of row j, to the table's. */
HOST_DEVICE static inline void label_entry_grad(struct label_columns c, float *table, float a,
                                                float b, int k, int j)
{
    for (int t = 0; t < c.count; t++)
        table[(ptrdiff_t)j * k + c.column[t]] += c.scale * a * b;
}

#endif
