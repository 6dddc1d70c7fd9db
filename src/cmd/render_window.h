/* The part of a model's image, and the kind of pixels, that somebody asks for. */
#ifndef IMGTRAIN_CMD_RENDER_WINDOW_H
#define IMGTRAIN_CMD_RENDER_WINDOW_H

#include "image/image.h"
#include "splat/model.h"

/* size: "WxH" of the whole image, else `scale` times the model's (NaN: its own); crop: "X,Y,W,H" of
 * that, else all. NULL: not given. ERR_USAGE; whether the part lies inside is told by rendering. */
int render_window_read(struct splat_window *window, const struct splat_model *model,
                       const char *size, double scale, const char *crop);

/* By the ending of the file's name: .jpg takes 8-bit RGB, .pfm floats, others as many bits as the
 * model was fitted to. */
enum sample_type render_window_type(const char *name, const struct splat_model *model);

#endif
