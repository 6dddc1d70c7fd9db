/* Formats and the endings of file names: which files of a folder are looked at. */
#include "image/image_format.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

const struct image_format *const image_formats[IMAGE_FORMATS] = {
    &format_png, &format_jpeg, &format_webp, &format_tiff, &format_pnm, &format_pfm};

static bool is_listed(const char *ending, const char *const *list)
{
    for (; *list; list++)
        if (strcasecmp(ending, *list) == 0) return true;
    return false;
}

static const char *ending_of(const char *name)
{
    const char *slash = strrchr(name, '/'), *dot = strrchr(slash ? slash : name, '.');
    return dot ? dot + 1 : NULL;
}

bool image_name_is_readable(const char *name)
{
    const char *ending = ending_of(name);
    for (int i = 0; ending && i < IMAGE_FORMATS; i++)
        if (image_formats[i]->name && is_listed(ending, image_formats[i]->endings)) return true;
    return false;
}

bool image_name_is_writable(const char *name)
{
    static const char *const endings[] = {"png", "jpg", "jpeg", "ppm", "pgm", "pnm", "pfm", NULL};
    const char *ending = ending_of(name);
    return ending && is_listed(ending, endings);
}

const char *image_name_foreign(const char *name)
{
    static const char *const endings[] = {
        "webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif", "jxl", "jp2", "j2k", "svg",
        "svgz", "ico", "xpm", "tga", "exr",  "hdr",  "psd",  "dng",  "cr2", "nef", "arw", NULL};
    const char *ending = ending_of(name);
    return ending && !image_name_is_readable(name) && is_listed(ending, endings) ? ending : NULL;
}

struct image_format_names image_format_names(void)
{
    struct image_format_names names = {""};
    size_t used = 0;
    for (int i = 0; i < IMAGE_FORMATS; i++) {
        const char *before = i == 0 ? "" : i + 1 < IMAGE_FORMATS ? ", " : " or ";
        if (image_formats[i]->name)
            used += (size_t)snprintf(names.text + used, sizeof names.text - used, "%s%s", before,
                                     image_formats[i]->name);
    }
    return names;
}
