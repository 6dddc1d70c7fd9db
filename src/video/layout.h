/* Inside src/video: places in the images of a video. */
#ifndef IMGTRAIN_VIDEO_LAYOUT_H
#define IMGTRAIN_VIDEO_LAYOUT_H

#include "image/image.h"

#include <stdbool.h>

struct rectangle {
    int x, y, width, height;
};

struct layout {
    int width, height;             /* of the video */
    struct rectangle reference;    /* width 0: there is none */
    struct rectangle render;       /* beside the reference */
    struct rectangle all;          /* both together */
    struct rectangle strip;        /* below them, for the caption; height 0: there is none */
    int text_scale, caption_lines; /* pixels per font dot */
    bool labels;                   /* there is room for them below the images */
    int columns;                   /* of equal width in an image, that have a label each */
};

/* For frames of width x height, the video's longest side at most max_size: side by side, or one
 * above the other where that leaves less of a 16:9 screen empty; images shrink to fit, and grow
 * by whole factors where they would be too small to watch. captions: `count` texts that the strip
 * must hold; 0: no strip. columns: of equal width in an image that stands alone, to be labelled;
 * 0: none. */
void layout_compute(struct layout *layout, int width, int height, bool reference, int columns,
                    int max_size, const char *const *captions, int count);

/* Draws `image` (u8 RGB) into `cell`: scaled to fill it, or to fit into it where its shape is
 * another. ERR_SYSTEM. */
int layout_draw_image(struct image *canvas, const struct rectangle *cell,
                      const struct image *image);

/* Redraws the strip. labels: of reference and render, or of each column, at most 7 letters;
 * NULL: none. progress: 0..1, a line at the lower edge. */
void layout_draw_strip(struct image *canvas, const struct layout *layout, const char *caption,
                       const char (*labels)[8], double progress);

void layout_clear(struct image *canvas); /* to the background's colour */

#endif
