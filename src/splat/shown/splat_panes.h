/* Panes of a frame: target, render and what splat.panes asks for side by side, each as large. */
#ifndef IMGTRAIN_SPLAT_SHOWN_SPLAT_PANES_H
#define IMGTRAIN_SPLAT_SHOWN_SPLAT_PANES_H

#include "splat/fit.h"

struct image;

/* Whether there are any; without them a frame is the render alone. */
bool splat_panes_wanted(const struct splat_fit *fit);

/* Their names from the left, 7 letters at most each; returns how many. */
int splat_panes_names(const struct splat_fit *fit, const char **names);

/* The size of all panes together: at most max_side (0: each at full size). */
void splat_panes_size(const struct splat_fit *fit, int max_side, int *width, int *height);

/* The frame of that size, 8-bit RGB, owned by the caller. */
int splat_panes_draw(struct splat_fit *fit, int max_side, struct image *out);

#endif
