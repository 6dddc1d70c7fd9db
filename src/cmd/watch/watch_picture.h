/* A frame as a thumbnail: cells of two halves, sixel or kitty's graphics protocol. */
#ifndef IMGTRAIN_CMD_WATCH_PICTURE_H
#define IMGTRAIN_CMD_WATCH_PICTURE_H

#include "cmd/watch/watch_plot.h"
#include "cmd/watch/watch_terminal.h"
#include "image/image.h"

struct watch_picture {
    struct image image; /* u8, three channels; no data: nothing to show */
    char *path;         /* of the file that it is */
};

/* Reads the image of `path` (NULL: none) unless it is the one that is there. One that cannot be
 * read is none. ERR_SYSTEM. */
int watch_picture_load(struct watch_picture *picture, const char *path);
void watch_picture_free(struct watch_picture *picture);

/* Makes `area` as small as the picture's shape asks for. */
void watch_picture_fit(const struct watch_picture *picture, const struct watch_terminal *terminal,
                       struct watch_area *area);
/* Draws it into cells, or keeps these free for watch_picture_write. */
int watch_picture_draw(struct watch_canvas *canvas, const struct watch_area *area,
                       const struct watch_picture *picture, enum watch_graphics graphics);
/* Writes the escape sequences of sixel or kitty, at the area's place. */
int watch_picture_write(FILE *out, const struct watch_area *area,
                        const struct watch_picture *picture, const struct watch_terminal *terminal);

#endif
