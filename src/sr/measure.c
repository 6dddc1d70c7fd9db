#include "sr/measure.h"

#include "base/error.h"
#include "data/crops.h"
#include "image/image.h"
#include "metrics/image_metrics.h"

#include <math.h>
#include <string.h>

struct sr_scores sr_scores_unknown(void)
{
    double unknown = (double)NAN;
    return (struct sr_scores){unknown, unknown, unknown, unknown};
}

/* LQ; the result, GT; Y of both. */
size_t sr_measure_floats(int w, int h, int scale)
{
    size_t small = (size_t)w * (size_t)h, large = small * (size_t)scale * (size_t)scale;
    return 3 * small + (3 + 3 + 1 + 1) * large;
}

static void round_to_bytes(float *samples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float v = samples[i] > 0 ? (samples[i] < 1 ? samples[i] : 1.0f) : 0.0f; /* NaN: 0 */
        samples[i] = rintf(v * 255.0f) / 255.0f;
    }
}

/* Leaves out `border` pixels of each side, in place. */
static void cut_border(float *samples, int w, int h, int border)
{
    size_t row = 3 * (size_t)(w - 2 * border);
    for (int y = 0; border > 0 && y < h - 2 * border; y++)
        memmove(samples + (size_t)y * row,
                samples + ((size_t)(y + border) * (size_t)w + (size_t)border) * 3,
                row * sizeof *samples);
}

static void luma_of(float *y, const float *rgb, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++) {
        double r = (double)rgb[3 * i], g = (double)rgb[3 * i + 1], b = (double)rgb[3 * i + 2];
        y[i] = (float)((16 + 65.481 * r + 128.553 * g + 24.966 * b) / 255);
    }
}

static struct image image_around(float *samples, int w, int h, int channels)
{
    return (struct image){
        .width = w, .height = h, .channels = channels, .type = SAMPLE_F32, .data = samples};
}

static int enlarge_bicubic(const float *lq, int w, int h, int scale, float *out)
{
    struct image in = image_around((float *)(uintptr_t)lq, w, h, 3), result = {0};
    TRY(image_resize_bicubic(&result, &in, scale));
    memcpy(out, result.data, image_bytes(&result));
    image_free(&result);
    return OK;
}

int sr_measure(struct sr_scores *scores, const struct pair *pair, int scale, int border,
               sr_enlarge *enlarge, void *context, float *memory)
{
    int w = pair->w * scale, h = pair->h * scale;
    size_t large = (size_t)w * (size_t)h;
    float *lq = memory, *result = lq + 3 * (size_t)pair->w * (size_t)pair->h;
    float *gt = result + 3 * large, *result_y = gt + 3 * large, *gt_y = result_y + large;
    *scores = sr_scores_unknown();
    crop_read(pair, false, scale, 0, 0, pair->w, pair->h, lq);
    crop_read(pair, true, scale, 0, 0, w, h, gt);
    const struct sr_rows rows = {lq, pair->w, pair->h, 0, pair->h};
    if (enlarge)
        TRY(enlarge(context, &rows, 0, 0, pair->w, pair->h, result));
    else
        TRY(enlarge_bicubic(lq, pair->w, pair->h, scale, result));
    round_to_bytes(result, 3 * large);
    if (2 * border >= w || 2 * border >= h) border = 0;
    cut_border(result, w, h, border);
    cut_border(gt, w, h, border);
    w -= 2 * border;
    h -= 2 * border;
    luma_of(result_y, result, (size_t)w * (size_t)h);
    luma_of(gt_y, gt, (size_t)w * (size_t)h);
    const struct image a = image_around(result, w, h, 3), b = image_around(gt, w, h, 3);
    const struct image ay = image_around(result_y, w, h, 1), by = image_around(gt_y, w, h, 1);
    TRY(metric_psnr(&a, &b, &scores->psnr));
    TRY(metric_ssim(&a, &b, &scores->ssim));
    TRY(metric_psnr(&ay, &by, &scores->psnr_y));
    return metric_ssim(&ay, &by, &scores->ssim_y);
}
