/* PSNR, and what all metrics share. */
#include "base/error.h"
#include "image/compare.h"
#include "image/metrics.h"

#include <math.h>
#include <stdlib.h>

int compare_check(const struct image *a, const struct image *b)
{
    if (a->width == b->width && a->height == b->height && a->channels == b->channels) return OK;
    return fail(ERR_USAGE, "pictures differ in shape: %dx%d with %d channels, %dx%d with %d",
                a->width, a->height, a->channels, b->width, b->height, b->channels);
}

void compare_samples(double *to, const struct image *image, size_t first, size_t count)
{
    const uint8_t *u8 = (const uint8_t *)image->data + first;
    const uint16_t *u16 = (const uint16_t *)image->data + first;
    const float *f32 = (const float *)image->data + first;
    switch (image->type) {
    case SAMPLE_U8:
        for (size_t i = 0; i < count; i++)
            to[i] = u8[i] * (1.0 / 255.0);
        break;
    case SAMPLE_U16:
        for (size_t i = 0; i < count; i++)
            to[i] = u16[i] * (1.0 / 65535.0);
        break;
    case SAMPLE_F32:
        for (size_t i = 0; i < count; i++) {
            double v = (double)f32[i];
            to[i] = v > 0.0 ? (v < 1.0 ? v : 1.0) : 0.0;
        }
        break;
    }
}

/* In blocks, which stay in cache and keep the buffers small for any width. */
static double row_squares(const struct image *a, const struct image *b, size_t first, size_t count)
{
    enum { BLOCK = 1024 };
    double x[BLOCK], y[BLOCK], sum = 0.0;
    for (size_t done = 0; done < count; done += BLOCK) {
        size_t n = count - done < BLOCK ? count - done : BLOCK;
        compare_samples(x, a, first + done, n);
        compare_samples(y, b, first + done, n);
        for (size_t i = 0; i < n; i++)
            sum += (x[i] - y[i]) * (x[i] - y[i]);
    }
    return sum;
}

int metric_psnr(const struct image *a, const struct image *b, double *psnr)
{
    TRY(compare_check(a, b));
    size_t row = (size_t)a->width * (size_t)a->channels;
    double *sums = malloc((size_t)a->height * sizeof *sums); /* one a row: added in fixed order */
    if (!sums) return fail(ERR_SYSTEM, "out of memory for PSNR");
#pragma omp parallel for schedule(static)
    for (int y = 0; y < a->height; y++)
        sums[y] = row_squares(a, b, (size_t)y * row, row);
    double sum = 0.0;
    for (int y = 0; y < a->height; y++)
        sum += sums[y];
    free(sums);
    *psnr = sum > 0.0 ? 10.0 * log10((double)row * a->height / sum) : (double)INFINITY;
    return OK;
}
