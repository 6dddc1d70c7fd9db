/* Images for the host: splat_ops.show and render. */
#ifndef IMGTRAIN_CUDA_SPLAT_SPLAT_SHOW_H
#define IMGTRAIN_CUDA_SPLAT_SPLAT_SHOW_H

#include "cuda/splat/splat_tile.h"

/* Bytes of staging memory for images of this size at most, of any kind of sample. */
size_t splat_show_staging_bytes(int width, int height, int channels);

int splat_cuda_show(struct device *device, const struct splat_workspace *workspace,
                    const struct splat_view *view, const struct splat_blend *blend,
                    const struct splat_window *window, const struct splat_display *display,
                    const struct splat_receiver *to);
int splat_cuda_render(struct device *device, const struct splat_workspace *workspace,
                      const struct splat_view *view, const struct splat_blend *blend,
                      const struct splat_window *window, float *out);

#endif
