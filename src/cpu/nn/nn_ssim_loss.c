/* MS-SSIM as a loss: see struct nn_ssim_loss in device/nn_losses.h. Windows are filtered down the
 * columns, then along the rows; both ways back likewise. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "math/ssim_scales.h"

#include <string.h>

struct ssim_work {
    struct nn_ssim_loss loss;
    struct nn_ssim_layout at;
    int scale;
};

static float *ssim_floats(const struct ssim_work *w, size_t place)
{
    return (float *)w->loss.workspace + place;
}

static double *ssim_doubles(const struct ssim_work *w, size_t place)
{
    return (double *)w->loss.workspace + place;
}

static const float *ssim_image(const struct ssim_work *w, bool target, int scale)
{
    if (scale == 0) return target ? w->loss.target : w->loss.out;
    return ssim_floats(w, target ? w->at.target[scale] : w->at.out[scale]);
}

/* ---- there ---- */

/* Rows of the images at half the side. */
static void ssim_halve(void *context, int64_t from, int64_t to)
{
    const struct ssim_work *w = context;
    int large = w->at.side[w->scale - 1], side = w->at.side[w->scale];
    for (int64_t row = from; row < to; row++)
        for (int target = 0; target < 2; target++) {
            const float *in = ssim_image(w, target, w->scale - 1) + row / side * large * large * 3;
            float *out = ssim_floats(w, target ? w->at.target[w->scale] : w->at.out[w->scale]);
            for (int i = 0; i < 3 * side; i++)
                out[row * side * 3 + i] =
                    ms_ssim_halved(in + i % 3, large, 3, (int)(row % side), i / 3);
        }
}

/* Rows of windows: moments down the columns. */
static void ssim_columns(void *context, int64_t from, int64_t to)
{
    const struct ssim_work *w = context;
    int side = w->at.side[w->scale], windows = side - MS_SSIM_MARGIN;
    ptrdiff_t line = 3 * (ptrdiff_t)side, plane = w->loss.n * windows * line;
    for (int64_t row = from; row < to; row++) {
        ptrdiff_t first = (row / windows * side + row % windows) * line;
        const float *x = ssim_image(w, false, w->scale) + first;
        const float *y = ssim_image(w, true, w->scale) + first;
        float *columns = ssim_floats(w, w->at.columns) + row * line;
        for (ptrdiff_t i = 0; i < line; i++) {
            struct ms_ssim_moments m = ms_ssim_moments_of(x + i, y + i, line);
            columns[i] = m.x;
            columns[plane + i] = m.y;
            columns[2 * plane + i] = m.squares;
            columns[3 * plane + i] = m.product;
        }
    }
}

/* Rows of windows: along them, the sums of each row and the slopes. */
static void ssim_rows(void *context, int64_t from, int64_t to)
{
    const struct ssim_work *w = context;
    int side = w->at.side[w->scale], windows = side - MS_SSIM_MARGIN,
        padded = side + MS_SSIM_MARGIN;
    bool last = w->scale + 1 == w->at.scales;
    ptrdiff_t line = 3 * (ptrdiff_t)side, plane = w->loss.n * windows * line;
    ptrdiff_t slopes_plane = (ptrdiff_t)w->loss.n * padded * padded * 3;
    for (int64_t row = from; row < to; row++) {
        const float *columns = ssim_floats(w, w->at.columns) + row * line;
        float *to_slopes =
            ssim_floats(w, w->at.slopes[w->scale]) +
            ((row / windows * padded + row % windows + MS_SSIM_MARGIN) * padded + MS_SSIM_MARGIN) *
                3;
        double sums[3] = {0};
        for (ptrdiff_t i = 0; i < 3 * windows; i++) {
            float slopes[3];
            struct ms_ssim_moments m = ms_ssim_moments_along(columns + i, plane);
            sums[i % 3] += (double)ms_ssim_window_value(&m, last, slopes);
            for (int k = 0; k < 3; k++)
                to_slopes[k * slopes_plane + i] = slopes[k];
        }
        memcpy(ssim_doubles(w, w->at.rows) + row * 3, sums, sizeof sums);
    }
}

static void ssim_mean(const struct ssim_work *w)
{
    int windows = w->at.side[w->scale] - MS_SSIM_MARGIN;
    for (int n = 0; n < w->loss.n; n++)
        for (int c = 0; c < 3; c++) {
            const double *rows = ssim_doubles(w, w->at.rows) + (ptrdiff_t)n * windows * 3 + c;
            double sum = 0;
            for (int y = 0; y < windows; y++)
                sum += rows[y * 3];
            ssim_doubles(w, w->at.means)[(n * w->at.scales + w->scale) * 3 + c] =
                sum / ((double)windows * windows);
        }
}

/* The loss, and what slopes of each scale are to be multiplied by. */
static void ssim_end(const struct ssim_work *w)
{
    for (int n = 0; n < w->loss.n; n++) {
        ptrdiff_t first = (ptrdiff_t)n * w->at.scales * 3;
        w->loss.sums[n] = ms_ssim_loss(ssim_doubles(w, w->at.means) + first,
                                       ssim_doubles(w, w->at.factors) + first, w->at.side,
                                       w->at.scales, w->loss.weight);
    }
}

/* ---- and back ---- */

static void ssim_columns_back(void *context, int64_t from, int64_t to)
{
    const struct ssim_work *w = context;
    int side = w->at.side[w->scale], padded = side + MS_SSIM_MARGIN;
    ptrdiff_t line = 3 * (ptrdiff_t)padded;
    for (int64_t row = from; row < to; row++)
        for (int k = 0; k < 3; k++) {
            const float *slopes = ssim_floats(w, w->at.slopes[w->scale]) +
                                  ((k * w->loss.n + row / side) * padded + row % side) * line;
            float *columns =
                ssim_floats(w, w->at.columns) + (k * (int64_t)w->loss.n * side + row) * line;
            for (ptrdiff_t i = 0; i < line; i++)
                columns[i] = ms_ssim_filter(slopes + i, line);
        }
}

static void ssim_rows_back(void *context, int64_t from, int64_t to)
{
    const struct ssim_work *w = context;
    int side = w->at.side[w->scale], padded = side + MS_SSIM_MARGIN, half = (side + 1) / 2;
    ptrdiff_t line = 3 * (ptrdiff_t)padded, plane = (ptrdiff_t)w->loss.n * side * line;
    for (int64_t row = from; row < to; row++) {
        ptrdiff_t image = row / side;
        const float *columns = ssim_floats(w, w->at.columns) + row * line;
        const float *x = ssim_image(w, false, w->scale) + row * side * 3;
        const float *y = ssim_image(w, true, w->scale) + row * side * 3;
        const double *factors =
            ssim_doubles(w, w->at.factors) + (image * w->at.scales + w->scale) * 3;
        const float *smaller =
            w->scale + 1 < w->at.scales
                ? ssim_floats(w, w->at.grad[w->scale + 1]) + image * half * half * 3
                : NULL;
        float *grad = w->scale ? ssim_floats(w, w->at.grad[w->scale]) : w->loss.grad;
        for (int i = 0; i < 3 * side; i++) {
            float own = ms_ssim_slope(columns + i, plane, x[i], y[i]) * (float)factors[i % 3];
            if (smaller)
                own += ms_ssim_halved_adjoint(smaller + i % 3, side, 3, (int)(row % side), i / 3);
            grad[row * side * 3 + i] = w->scale ? own : grad[row * side * 3 + i] + own;
        }
    }
}

static int cpu_ssim_loss(struct device *device, const struct nn_ssim_loss *loss)
{
    (void)device;
    TRY(nn_check_ssim_loss(loss));
    struct ssim_work w = {.loss = *loss, .at = nn_ssim_layout_of(loss->n, loss->side)};
    for (w.scale = 0; w.scale < w.at.scales; w.scale++) {
        int side = w.at.side[w.scale], windows = side - MS_SSIM_MARGIN;
        size_t padded = (size_t)side + MS_SSIM_MARGIN;
        int64_t grain = threads_grain(200 * (int64_t)side);
        if (w.scale > 0) threads_for((int64_t)loss->n * side, grain, ssim_halve, &w);
        memset(ssim_floats(&w, w.at.slopes[w.scale]), 0,
               9 * (size_t)loss->n * padded * padded * sizeof(float));
        threads_for((int64_t)loss->n * windows, grain, ssim_columns, &w);
        threads_for((int64_t)loss->n * windows, grain, ssim_rows, &w);
        ssim_mean(&w);
    }
    ssim_end(&w);
    for (w.scale = w.at.scales - 1; w.scale >= 0; w.scale--) {
        int side = w.at.side[w.scale];
        int64_t grain = threads_grain(100 * (int64_t)side);
        threads_for((int64_t)loss->n * side, grain, ssim_columns_back, &w);
        threads_for((int64_t)loss->n * side, grain, ssim_rows_back, &w);
    }
    return OK;
}

void nn_install_ssim_loss(struct nn_ops *ops)
{
    ops->ssim_loss = cpu_ssim_loss;
}
