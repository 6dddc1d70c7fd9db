/* PSNR. */
#include "base/error.h"
#include "base/threads.h"
#include "metrics/compare.h"
#include "metrics/image_metrics.h"

#include <math.h>
#include <stdlib.h>

/* Sums in blocks, which stay in cache and keep the buffers small for any width. weights: of the
 * row's pixels, or NULL. */
static double row_squares(const struct compare_rows *rows, size_t first, size_t count,
                          const uint8_t *weights)
{
    enum { BLOCK = 1024 };
    double x[BLOCK], y[BLOCK], sum = 0.0;
    size_t channels = (size_t)compare_channels(rows);
    for (size_t done = 0; done < count; done += BLOCK) {
        size_t n = count - done < BLOCK ? count - done : BLOCK;
        compare_row_samples(x, rows, &rows->a, first + done, n);
        compare_row_samples(y, rows, &rows->b, first + done, n);
        for (size_t i = 0; i < n; i++) {
            double square = (x[i] - y[i]) * (x[i] - y[i]);
            sum += weights ? square * weights[(done + i) / channels] : square;
        }
    }
    return sum;
}

struct psnr_work {
    const struct compare_rows *rows;
    int from;
    double *sums; /* of rows `from` on */
};

static void psnr_sum_rows(void *context, int64_t from, int64_t to)
{
    const struct psnr_work *work = context;
    const struct compare_rows *rows = work->rows;
    size_t row = (size_t)rows->a.width * (size_t)compare_channels(rows);
    for (int64_t i = from; i < to; i++) {
        int64_t y = work->from + i;
        const uint8_t *weights = rows->weights ? rows->weights + y * rows->a.width : NULL;
        work->sums[i] = row_squares(rows, (size_t)(y - rows->first) * row, row, weights);
    }
}

/* Summed row by row, and the rows in order. */
int psnr_add(double *squares, const struct compare_rows *rows, int from, int to)
{
    double *sums = malloc((size_t)(to - from) * sizeof *sums);
    if (!sums) return fail(ERR_SYSTEM, "out of memory for PSNR");
    struct psnr_work work = {rows, from, sums};
    threads_for(to - from, threads_grain((int64_t)rows->a.width * compare_channels(rows)),
                psnr_sum_rows, &work);
    for (int y = from; y < to; y++)
        *squares += sums[y - from];
    free(sums);
    return OK;
}

double psnr_of(double squares, const struct image *shape)
{
    double samples = (double)((size_t)shape->width * (size_t)shape->channels) * shape->height;
    return squares > 0.0 ? 10.0 * log10(samples / squares) : (double)INFINITY;
}

int metric_psnr(const struct image *a, const struct image *b, double *psnr)
{
    TRY(compare_check(a, b));
    struct compare_rows rows = compare_whole(a, b);
    double squares = 0.0;
    TRY(psnr_add(&squares, &rows, 0, a->height));
    *psnr = psnr_of(squares, a);
    return OK;
}
