/* tiff.c's place in a build without it. */
#include "image/image_format.h"

struct image_decoder_version image_tiff_version(void)
{
    return (struct image_decoder_version){"not built in"};
}

const struct image_format format_tiff = {.name = NULL};
