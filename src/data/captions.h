/* Descriptions of images: the text of NAME.txt beside NAME.png. */
#ifndef IMGTRAIN_DATA_CAPTIONS_H
#define IMGTRAIN_DATA_CAPTIONS_H

#include <stdbool.h>

/* The distinct texts of some images, sorted by their bytes, and which of them each image has. */
struct captions {
    char **texts;
    int text_count;
    int *labels; /* [count of images] */
};

/* Of the images `name(context, i)`, relative to `folder`. White space at a text's ends is left out,
 * within it each piece is one blank. are_tags: of a text and the image's folders, the set of tags
 * (data/tags.h). An image without any has the empty text; how many these are is a warning.
 * ERR_DATA: none has any, or a tag is no UTF-8; ERR_SYSTEM, ERR_IO. *captions is to be freed in any
 * case. */
int captions_read(struct captions *captions, const char *folder, bool are_tags, int count,
                  const char *(*name)(const void *context, int i), const void *context,
                  bool (*stop_requested)(void));
void captions_free(struct captions *captions);

#endif
