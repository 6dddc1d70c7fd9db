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
    return (struct sr_scores){unknown, unknown, unknown, unknown, unknown};
}

void sr_scores_add(struct sr_scores *mean, const struct sr_scores *one, int count)
{
    mean->psnr += one->psnr / count;
    mean->ssim += one->ssim / count;
    mean->psnr_y += one->psnr_y / count;
    mean->ssim_y += one->ssim_y / count;
    mean->colour_shift += one->colour_shift / count;
}

/* LQ; the result, GT; bytes of both. */
size_t sr_measure_floats(int w, int h, int scale)
{
    size_t small = (size_t)w * (size_t)h, large = small * (size_t)scale * (size_t)scale;
    return 3 * small + (3 + 3 + 1 + 1) * large;
}

/* Rounded, without `border` pixels of each side. */
static struct image bytes_within(uint8_t *bytes, const float *samples, int w, int h, int border)
{
    struct image made = {w - 2 * border, h - 2 * border, 3, SAMPLE_U8, bytes};
    for (int y = border; y < h - border; y++) {
        const float *from = samples + ((size_t)y * (size_t)w + (size_t)border) * 3;
        for (size_t i = 0; i < (size_t)made.width * 3; i++) {
            float v = from[i] > 0 ? (from[i] < 1 ? from[i] : 1.0f) : 0.0f; /* NaN: 0 */
            *bytes++ = (uint8_t)(v * 255.0f + 0.5f);
        }
    }
    return made;
}

static double channel_mean(const float *samples, size_t pixels, size_t channel)
{
    double sum = 0;
    for (size_t i = 0; i < pixels; i++)
        sum += fmin(fmax((double)samples[3 * i + channel], 0), 1);
    return sum / (double)pixels;
}

static double colour_shift(const float *lq, size_t small, const float *result, size_t large)
{
    double most = 0;
    for (size_t c = 0; c < 3; c++)
        most = fmax(most, fabs(channel_mean(result, large, c) - channel_mean(lq, small, c)));
    return 255 * most;
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
    float *gt = result + 3 * large;
    uint8_t *bytes = (uint8_t *)(gt + 3 * large);
    struct pair_view view;
    *scores = sr_scores_unknown();
    TRY(pair_view_open(&view, pair));
    crop_read(&view.pair, false, scale, 0, 0, pair->w, pair->h, lq);
    crop_read(&view.pair, true, scale, 0, 0, w, h, gt);
    pair_view_close(&view);
    const struct sr_rows rows = {lq, pair->w, pair->h, 0, pair->h};
    if (enlarge)
        TRY(enlarge(context, &rows, 0, 0, pair->w, pair->h, result));
    else
        TRY(enlarge_bicubic(lq, pair->w, pair->h, scale, result));
    if (2 * border >= w || 2 * border >= h) border = 0;
    const struct image a = bytes_within(bytes, result, w, h, border);
    const struct image b = bytes_within(bytes + 3 * large, gt, w, h, border);
    struct metric_restoration measured;
    TRY(metric_restoration(&a, &b, 0, &measured));
    *scores =
        (struct sr_scores){measured.psnr, measured.ssim, measured.psnr_y, measured.ssim_y,
                           colour_shift(lq, (size_t)pair->w * (size_t)pair->h, result, large)};
    return OK;
}
