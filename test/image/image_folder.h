/* A folder for the images of a test. */
#ifndef IMGTRAIN_TEST_IMAGE_IMAGE_FOLDER_H
#define IMGTRAIN_TEST_IMAGE_IMAGE_FOLDER_H

#include "base/error.h"
#include "base/file.h"
#include "image/image.h"
#include "image/image_format.h"
#include "test/image/image_files.h"
#include "test/support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static inline struct image decode(const struct bytes *file)
{
    struct image image;
    int code = image_decode(&image, file->data, file->count, "test");
    ck_assert_msg(code == OK, "%s", error_message());
    return image;
}

static inline void assert_shape(const struct image *image, int width, int height, int channels,
                                enum sample_type type)
{
    ck_assert_int_eq(image->width, width);
    ck_assert_int_eq(image->height, height);
    ck_assert_int_eq(image->channels, channels);
    ck_assert_int_eq((int)image->type, (int)type);
}

/* The value that test images have at a pixel, in `bits` bits. */
static inline unsigned sample_at(int x, int y, int c, int bits)
{
    unsigned h = (unsigned)x * 2654435761u ^ (unsigned)y * 40503u * 65537u ^ (unsigned)c * 97u << 9;
    return (h >> 7 ^ h >> 19) & ((1u << bits) - 1);
}

#endif
