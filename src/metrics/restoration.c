/* PSNR and SSIM as BasicSR has them, of RGB and of Y. */
#include "base/error.h"
#include "metrics/compare.h"
#include "metrics/image_metrics.h"

#include <string.h>

/* *cut becomes the RGB bytes of `in` without `border` pixels of each side. */
static int restoration_cut(struct image *cut, const struct image *in, int border)
{
    struct image bytes;
    int width = in->width - 2 * border, height = in->height - 2 * border;
    TRY(image_convert(&bytes, in, SAMPLE_U8));
    int code = image_create(cut, width, height, 3, SAMPLE_U8);
    size_t channels = (size_t)in->channels, row = (size_t)in->width * channels;
    uint8_t *to = cut->data;
    for (int y = 0; y < height && code == OK; y++) {
        const uint8_t *from = (const uint8_t *)bytes.data + (size_t)(y + border) * row;
        from += (size_t)border * channels;
        for (int x = 0; x < width; x++, from += channels)
            for (size_t c = 0; c < 3; c++)
                *to++ = from[channels == 3 ? c : 0];
    }
    image_free(&bytes);
    return code;
}

static int restoration_measure(struct compare_rows *rows, double *psnr, double *ssim)
{
    struct image shape = rows->a;
    struct ssim_sums sums;
    double squares = 0.0;
    shape.channels = compare_channels(rows);
    memset(&sums, 0, sizeof sums);
    TRY(psnr_add(&squares, rows, 0, shape.height));
    TRY(ssim_add(&sums, rows, 0, shape.height));
    ssim_means(&sums, shape.channels);
    *psnr = psnr_of(squares, &shape);
    *ssim = ssim_of(&sums, shape.channels);
    return OK;
}

int metric_restoration(const struct image *a, const struct image *b, int border,
                       struct metric_restoration *scores)
{
    struct image cut_a = {0}, cut_b = {0};
    int code;
    TRY(compare_check(a, b));
    if (a->channels != 1 && a->channels != 3)
        return fail(ERR_USAGE, "images with %d channels are neither grey nor RGB", a->channels);
    if (border < 0 || 2 * (int64_t)border >= a->width || 2 * (int64_t)border >= a->height)
        return fail(ERR_USAGE, "without a border of %d pixels nothing is left of %dx%d", border,
                    a->width, a->height);
    bool is_ready = border == 0 && a->channels == 3 && a->type == SAMPLE_U8 && b->type == SAMPLE_U8;
    if (!is_ready) {
        TRY_CLEANUP(restoration_cut(&cut_a, a, border));
        TRY_CLEANUP(restoration_cut(&cut_b, b, border));
    }
    struct compare_rows rows = is_ready ? compare_whole(a, b) : compare_whole(&cut_a, &cut_b);
    TRY_CLEANUP(restoration_measure(&rows, &scores->psnr, &scores->ssim));
    rows.luma = true;
    TRY_CLEANUP(restoration_measure(&rows, &scores->psnr_y, &scores->ssim_y));
cleanup:
    image_free(&cut_a);
    image_free(&cut_b);
    return code;
}
