#include "cpu/splat/splat_ssim.h"

#include "cpu/splat/splat_mask.h"
#include "math/ssim_window.h"

/* The rows that the windows of the SSIM_BLOCK rows y, y + step, ... reach, of one channel's ring;
 * zeros outside the image and behind row `last`. */
static void window_rows(const struct splat_scene *scene, const struct splat_thread *thread,
                        float *ring, int channel, int y, int step, int last, const float **rows)
{
    for (int k = 0; k < ssim_inputs(step); k++) {
        int row = y + k - SSIM_RADIUS;
        bool outside = row < 0 || row >= scene->height || row > last;
        rows[k] = outside ? thread->zero_row : splat_ring_row(scene, ring, channel, row);
    }
}

/* Sum of S over the windows of a block's columns that lie inside the image. */
static double inner_sum(const struct splat_scene *scene, const struct splat_columns *columns,
                        const float *s, int y)
{
    bool small = scene->width < SSIM_TAPS || scene->height < SSIM_TAPS;
    int margin = small ? 0 : SSIM_RADIUS;
    double sum = 0;
    if (y < margin || y >= scene->height - margin) return 0;
    int from = columns->first > margin ? columns->first : margin;
    int to = columns->end < scene->width - margin ? columns->end : scene->width - margin;
    for (int x = from; x < to; x++)
        sum += (double)s[x - columns->left];
    return sum;
}

void splat_ssim_maps(struct splat_scene *scene, const struct splat_target *target,
                     struct splat_thread *thread, int y, int rows, const struct ssim_wanted *wanted)
{
    const struct splat_columns *columns = &thread->columns;
    int step = splat_ssim_step(wanted->rows), last = y + (rows - 1) * step;
    int width = columns->right - columns->left;
    int from = columns->first - columns->left, to = columns->end - columns->left;
    float *workspace = thread->ssim_workspace;
    for (int c = 0; c < scene->channels; c++) {
        const float *x[SSIM_INPUTS_MOST], *t[SSIM_INPUTS_MOST];
        float *s[SSIM_BLOCK], sums[SSIM_BLOCK];
        window_rows(scene, thread, thread->color, c, y, step, last + SSIM_RADIUS, x);
        window_rows(scene, thread, thread->target, c, y, step, last + SSIM_RADIUS, t);
        for (int o = 0; o < SSIM_BLOCK; o++)
            s[o] = thread->ssim_value + o * scene->pitch;
        scene->kernels->ssim_rows(x, t, width, from, to, rows, step, workspace, s, sums);
        for (int o = 0; o < rows; o++) {
            int row = y + o * step;
            float *slopes[3];
            for (int m = 0; m < 3; m++)
                slopes[m] = ssim_slope_row(workspace, width, o, m);
            if (target->weights)
                sums[o] = (float)splat_mask_ssim_row(
                    s[o], slopes, target->weights + (int64_t)row * scene->width + columns->left,
                    target->unit, width, from, to);
            for (int m = 0; m < 3 && wanted->slopes; m++)
                scene->kernels->ssim_slopes_across(slopes[m], width,
                                                   splat_ring_row(scene, thread->maps[m], c, row));
            if (row < wanted->from || row >= wanted->to) continue;
            scene->row_sums[row].ssim += (double)sums[o];
            double unit = target->weights ? (double)(target->inner_unit / target->unit) : 1;
            if (wanted->inner)
                scene->row_sums[row].ssim_inner += unit * inner_sum(scene, columns, s[o], row);
        }
    }
}

void splat_ssim_gradient(const struct splat_scene *scene, struct splat_thread *thread, int y,
                         int rows, enum splat_ssim_rows of, float factor)
{
    enum { INPUTS = SSIM_BLOCK + 2 * SSIM_RADIUS };
    int width = thread->columns.right - thread->columns.left;
    int step = splat_ssim_step(of), first = 0;
    while (!splat_ssim_has_row(of, y - SSIM_RADIUS + first))
        first++;
    for (int c = 0; c < scene->channels; c++) {
        const float *maps[3 * INPUTS], *x[SSIM_BLOCK], *t[SSIM_BLOCK];
        float *out[SSIM_BLOCK];
        for (int m = 0; m < 3; m++)
            window_rows(scene, thread, thread->maps[m], c, y, 1, y + rows - 1 + SSIM_RADIUS,
                        maps + m * INPUTS);
        for (int o = 0; o < rows; o++) {
            x[o] = splat_ring_row(scene, thread->color, c, y + o);
            t[o] = splat_ring_row(scene, thread->target, c, y + o);
            out[o] = thread->ssim_gradient + ((int64_t)c * SSIM_BLOCK + o) * scene->pitch;
        }
        scene->kernels->ssim_adjoint_rows(maps, x, t, width, rows, step, first, factor, out);
    }
}
