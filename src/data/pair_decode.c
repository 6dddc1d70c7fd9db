#include "data/pair_decode.h"

#include "base/error.h"
#include "base/file.h"
#include "data/flatten.h"
#include "image/image.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The upper left part of w x h of an image file, as RGB of 8 bits, or of 16 where it has more. */
static int decode_rgb(struct image *out, const char *folder, const char *name, int w, int h)
{
    struct image whole = {0};
    char *path = path_join(folder, name);
    int code = path ? image_load(&whole, path) : ERR_SYSTEM;
    enum sample_type type = whole.type == SAMPLE_U8 ? SAMPLE_U8 : SAMPLE_U16;
    TRY_CLEANUP(code);
    if (whole.width < w || whole.height < h)
        TRY_CLEANUP(fail(ERR_DATA, "%s: %dx%d, but %dx%d when it was looked at", path, whole.width,
                         whole.height, w, h));
    size_t pixel = sample_bytes(whole.type) * (size_t)whole.channels;
    for (size_t y = 0; whole.width > w && y < (size_t)h; y++)
        memmove((uint8_t *)whole.data + y * (size_t)w * pixel,
                (uint8_t *)whole.data + y * (size_t)whole.width * pixel, (size_t)w * pixel);
    whole.width = w;
    whole.height = h;
    TRY_CLEANUP(image_create(out, w, h, 3, type));
    flatten_rgb(out->data, type, &whole);
cleanup:
    image_free(&whole);
    free(path);
    return code;
}

/* LQ of 8 bits, rounded once. */
static int pairs_reduce(struct image *out, const struct image *in, int scale)
{
    struct image exact = {0}, reduced = {0};
    int code = OK;
    if (in->type == SAMPLE_U8) return image_resize_bicubic(out, in, 1.0 / scale);
    TRY_CLEANUP(image_convert(&exact, in, SAMPLE_F32));
    TRY_CLEANUP(image_resize_bicubic(&reduced, &exact, 1.0 / scale));
    TRY_CLEANUP(image_convert(out, &reduced, SAMPLE_U8));
cleanup:
    image_free(&exact);
    image_free(&reduced);
    return code;
}

int pair_decode(const struct pair_files *f, struct image *lq, struct image *gt)
{
    TRY(decode_rgb(gt, f->gt_folder, f->gt, f->w * f->scale, f->h * f->scale));
    if (f->lq) return decode_rgb(lq, f->lq_folder, f->lq, f->w, f->h);
    return f->degraded ? OK : pairs_reduce(lq, gt, f->scale);
}

static int decode_only(const char *folder, const char *name)
{
    struct image whole = {0};
    char *path = path_join(folder, name);
    int code = path ? image_load(&whole, path) : ERR_SYSTEM;
    image_free(&whole);
    free(path);
    return code;
}

int pair_decode_broken(const struct pair_files *f)
{
    TRY(decode_only(f->gt_folder, f->gt));
    return f->lq ? decode_only(f->lq_folder, f->lq) : OK;
}
