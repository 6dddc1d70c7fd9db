#include "cpu/splat/splat_gradient.h"

#include "base/threads.h"

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

static void chain_rule(const struct splat_scene *scene, const struct splat_view *view, int64_t i,
                       const struct splat_gradients *out)
{
    const float *r = scene->record + i * splat_record_floats(scene);
    gaussian_form_adjoint(r, view->scale + 2 * i, view->rot[i], view->sigma_scale, scene->width,
                          scene->height, out->xy + 2 * i, out->scale + 2 * i, &out->rot[i]);
    if (out->weight) out->weight[i] = gaussian_weight_adjoint(r);
    for (int c = 0; c < scene->channels; c++)
        out->feat[i * scene->channels + c] = r[SPLAT_GEOMETRY + c];
}

struct chain_work {
    const struct splat_scene *scene;
    const struct splat_view *view;
    const struct splat_gradients *gradients;
};

static void chain_range(void *context, int64_t from, int64_t to)
{
    const struct chain_work *work = context;
    for (int64_t i = from; i < to; i++)
        chain_rule(work->scene, work->view, i, work->gradients);
}

void splat_gradient_finish(struct splat_scene *scene, const struct splat_view *view,
                           const struct splat_gradients *gradients)
{
    merge_carries(scene);
    struct chain_work work = {scene, view, gradients};
    threads_for(scene->count, threads_grain(64), chain_range, &work);
}
