/* Curves as inline SVG. */
#ifndef IMGTRAIN_REPORT_CHART_H
#define IMGTRAIN_REPORT_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Points whose x or y is not finite are left out. */
struct chart_curve {
    const char *name; /* "" where there is one curve only */
    const double *x, *y;
    size_t count;
    bool stairs; /* y holds until the next x */
};

/* A dashed line at `x` with a number above it. */
struct chart_mark {
    double x;
    int number;
};

struct chart {
    const char *title, *x_name;
    const struct chart_curve *curves;
    int curve_count;
    const struct chart_mark *marks;
    int mark_count;
    bool bytes;      /* y is bytes, and begins at 0 */
    bool may_be_log; /* a logarithmic axis where the values span much */
};

/* Writes nothing, and says false, where no curve has a point. */
bool chart_write(FILE *out, const struct chart *chart);

/* The colour of curve `index`, as CSS says it. */
struct chart_colour {
    char text[16];
};
struct chart_colour chart_colour(int index);
/* A colour's second curve is. */
bool chart_is_dashed(int index);

#endif
