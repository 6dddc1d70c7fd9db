/* The images of a fit: frames, the target beside them, the result. None is ever held whole, but
 * for what is asked to be one. */
#ifndef IMGTRAIN_SPLAT_SHOWN_SPLAT_PREVIEW_H
#define IMGTRAIN_SPLAT_SHOWN_SPLAT_PREVIEW_H

#include "image/rows.h"
#include "splat/fit.h"

/* Renders the fit as it is now as 8-bit RGB, its longest side max_side at most (0: any). */
int splat_show_render(struct splat_fit *fit, int max_side, struct image *out);
/* The same of the target. */
int splat_show_target(const struct splat_fit *fit, int max_side, struct image *out);

/* Renders it at full size, row by row. */
int splat_show_stream(struct splat_fit *fit, enum sample_type type, const struct image_sink *to);
/* The Gaussians as ellipses, 8-bit RGB. */
int splat_show_ellipses(struct splat_fit *fit, int width, int height, struct image *out);

/* Writes the image at full size and the bits of the file that was fitted; of a texture stack its
 * first three channels, and all into PATH-001, ... */
int splat_show_write(struct splat_fit *fit, const char *path);
/* Writes the Gaussians as ellipses. */
int splat_show_write_ellipses(struct splat_fit *fit, const char *path);

#endif
