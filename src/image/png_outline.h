/* Inside src/image: facts from a PNG's chunks, before anything is decoded. */
#ifndef IMGTRAIN_IMAGE_PNG_OUTLINE_H
#define IMGTRAIN_IMAGE_PNG_OUTLINE_H

#include "image/image_format.h"

struct png_outline {
    size_t pixels_end; /* behind the last IDAT chunk that is there as a whole; 0 without any */
    bool ends;         /* a sound IEND was found */
    size_t behind;     /* bytes after it */
    char damaged[5];   /* the first ancillary chunk with a wrong CRC that no pixel depends on */
    char lying[5];     /* ... that pixels depend on */
    int orientation;   /* 1..8: an eXIf chunk's, else that of a "Raw profile type exif" */
};

struct png_outline png_outline_walk(const struct source *source);

#endif
