/* The Gaussians themselves as an image: ellipses of one sigma in their colours. */
#ifndef IMGTRAIN_SPLAT_SHOWN_ELLIPSES_H
#define IMGTRAIN_SPLAT_SHOWN_ELLIPSES_H

#include "splat/render.h"

/* Draws large ones first, with darker rims, on black: 8-bit RGB rows of the window.
 * ERR_USAGE for a window outside the image; ERR_SYSTEM. */
int splat_ellipses_stream(const struct splat_model *model, const struct splat_window *window,
                          const struct image_sink *to);

#endif
