/* Words in a PNG: key and value beside the pixels, as tEXt and iTXt chunks. */
#ifndef IMGTRAIN_IMAGE_PNG_TEXT_H
#define IMGTRAIN_IMAGE_PNG_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct png_text {
    char *key, *value; /* UTF-8 */
};
struct png_texts {
    struct png_text *list; /* owned */
    int count, room;
};

/* Copies both. Keys: 1 to 79 letters of ASCII. */
int png_texts_add(struct png_texts *texts, const char *key, const char *value);
const char *png_texts_find(const struct png_texts *texts, const char *key); /* or NULL */
void png_texts_free(struct png_texts *texts); /* accepts a zeroed struct */

/* Adds them to a PNG in memory (malloc), which image_encode_png has made. */
int png_texts_insert(const struct png_texts *texts, uint8_t **png, size_t *bytes);

/* All of a PNG's that are not compressed. ERR_INPUT when the file is missing, ERR_DATA when it is
 * no PNG, cut off or damaged elsewhere than in its pixels. */
int png_texts_read(struct png_texts *texts, const char *path);

#endif
