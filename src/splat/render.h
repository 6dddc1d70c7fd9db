/* From Gaussians to an image that can be shown or saved. */
#ifndef IMGTRAIN_SPLAT_RENDER_H
#define IMGTRAIN_SPLAT_RENDER_H

#include "image/rows.h"
#include "splat/model.h"

struct device;

/* The whole image at its own size. */
struct splat_window splat_window_whole(const struct splat_model *model);

/* ERR_USAGE unless the window has pixels and lies inside the image. */
int splat_window_check(const struct splat_window *window);

/* Renders, band by band into the sink, with the model's channels and `type`: gamma undone, colours
 * divided by alpha, clamped to 0..1 and rounded (F32: as it is). A reduced image is rendered large
 * enough for every Gaussian to be seen and averaged down. The rendered image is scaled to width x
 * height (the window's: as it is). `groups`: see splat_model_view. workspace: used when it is large
 * enough, else (or NULL) one is allocated for the call; its staging is used in any case. ERR_USAGE
 * for a window outside the image; ERR_DEVICE_MEMORY; ERR_SYSTEM. */
int splat_render_stream(struct device *device, const struct splat_model *model,
                        float *const *groups, const struct splat_workspace *workspace,
                        const struct splat_window *window, enum sample_type type, int width,
                        int height, const struct image_sink *to);

/* The same without scaling, for `rows` rows at a time, each time with the Gaussians that reach
 * them: the same bits with less memory on the device. */
int splat_render_bands(struct device *device, const struct splat_model *model,
                       const struct splat_window *window, enum sample_type type, int rows,
                       const struct image_sink *to);

/* splat_render_stream into *out (owned by the caller). */
int splat_render_image(struct device *device, const struct splat_model *model, float *const *groups,
                       const struct splat_workspace *workspace, const struct splat_window *window,
                       enum sample_type type, struct image *out);

/* The size that an image is scaled to for its longest side to be max_side at most; 0: any. */
void splat_render_fit_size(int width, int height, int max_side, int *to_width, int *to_height);

/* *out becomes 8-bit RGB: grey is repeated, colour with alpha lies over black, of more than 4
 * channels the first three are shown. Takes *in over. */
int splat_render_preview(struct image *in, struct image *out);

#endif
