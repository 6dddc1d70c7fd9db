/* A curve in a rectangle of cells. */
#ifndef IMGTRAIN_CMD_WATCH_PLOT_H
#define IMGTRAIN_CMD_WATCH_PLOT_H

#include "cmd/watch/watch_canvas.h"

#include <stddef.h>

struct watch_plot {
    const char *title;
    const double *x, *y; /* [count]; a point that is not finite is left out */
    size_t count;
    bool may_be_log; /* a logarithmic axis where the values span much */
    watch_colour colour;
};

struct watch_area {
    int row, column, rows, columns;
};

/* Whether there is a curve: two points of different places. */
bool watch_plot_has_curve(const struct watch_plot *plot);

/* The title in the first row, the steps in the last one, the values' range at the left; dots of
 * Braille, eight a cell, or ASCII. Nothing where it is too small, or there is no curve. */
int watch_plot_draw(struct watch_canvas *canvas, const struct watch_area *area,
                    const struct watch_plot *plot);

#endif
