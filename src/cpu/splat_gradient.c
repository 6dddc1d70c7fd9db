#include "cpu/splat_gradient.h"

#include "base/error.h"
#include "math/real.h"

#include <math.h>

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) FMA_F32(a, b, c)
#include "math/gaussian.h"

/* Adds the carry records to those of the strips in which their Gaussians began, strip by strip. */
static void merge_carries(struct splat_scene *scene)
{
    int floats = splat_record_floats(scene);
    for (int s = 1; s < scene->strips; s++)
        for (int k = 0; k < scene->carry_count[s]; k++) {
            float *to = scene->record + (int64_t)scene->carry_id[s][k] * floats;
            const float *from = scene->carry[s] + (int64_t)k * floats;
            for (int f = 0; f < floats; f++)
                to[f] += from[f];
        }
}

/* From the sums over pixels to the gradient by the parameters of Gaussian i. With v = dL/dp for
 * the power p = ln alpha = -q / 2:
 *   dL/da = -sum v dx^2 / 2, dL/db = -sum v dx dy, dL/dd = -sum v dy^2 / 2,
 *   dL/dmx = sum v (a dx + b dy), dL/dmy = sum v (b dx + d dy). */
static void chain_rule(const struct splat_scene *scene, const struct splat_view *view, int64_t i,
                       const struct splat_gradients *out)
{
    const float *r = scene->record + i * splat_record_floats(scene);
    float ix = view->scale[2 * i], iy = view->scale[2 * i + 1];
    if (view->sigma_scale) {
        ix = 1.0f / ix;
        iy = 1.0f / iy;
    }
    float cosine = cosf(view->rot[i]), sine = sinf(view->rot[i]), a, b, d, gix, giy;
    gaussian_conic_f32(ix, iy, cosine, sine, &a, &b, &d);
    out->xy[2 * i] = (a * r[0] + b * r[1]) * (float)scene->width;
    out->xy[2 * i + 1] = (b * r[0] + d * r[1]) * (float)scene->height;
    gaussian_conic_adjoint_f32(ix, iy, cosine, sine, -0.5f * r[2], -r[3], -0.5f * r[4], &gix, &giy,
                               &out->rot[i]);
    /* sigma = 1 / ix: d ix / d sigma = -ix^2 */
    out->scale[2 * i] = view->sigma_scale ? -gix * ix * ix : gix;
    out->scale[2 * i + 1] = view->sigma_scale ? -giy * iy * iy : giy;
    for (int c = 0; c < scene->channels; c++)
        out->feat[i * scene->channels + c] = r[SPLAT_GEOMETRY + c];
}

void splat_gradient_finish(struct splat_scene *scene, const struct splat_view *view,
                           const struct splat_gradients *gradients)
{
    merge_carries(scene);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < scene->count; i++)
        chain_rule(scene, view, i, gradients);
}
