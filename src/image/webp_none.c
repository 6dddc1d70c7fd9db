/* webp.c's place in a build without it. */
#include "image/image_format.h"

struct image_decoder_version image_webp_version(void)
{
    return (struct image_decoder_version){"not built in"};
}

const struct image_format format_webp = {.name = NULL};
