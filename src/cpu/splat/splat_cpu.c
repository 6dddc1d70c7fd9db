#include "cpu/splat/splat_cpu.h"

#include "base/error.h"
#include "base/threads.h"
#include "cpu/splat/splat_gradient.h"
#include "cpu/splat/splat_pass.h"
#include "cpu/splat/splat_scene.h"
#include "device/device.h"

#include <math.h>

static size_t splat_cpu_workspace_bytes(const struct device *device, int width, int height,
                                        int channels, int64_t capacity,
                                        const struct splat_storage *storage)
{
    (void)device;
    struct splat_scene scene;
    size_t bytes = splat_scene_layout(&scene, NULL, width, height, channels, capacity, storage);
    return storage->forward ? bytes : bytes + splat_sample_bytes(width, height, capacity);
}

static int splat_cpu_step(struct device *device, const struct splat_workspace *workspace,
                          const struct splat_view *view, const struct splat_blend *blend,
                          const struct splat_target *target, const struct splat_loss *loss,
                          const struct splat_gradients *gradients, struct splat_sums *sums)
{
    struct splat_scene scene;
    if (target->width != view->width || target->height != view->height)
        return fail(ERR_INTERNAL, "gradients need the target at the model's size");
    if (workspace->storage.forward)
        return fail(ERR_INTERNAL, "gradients in a workspace that is not for them");
    TRY(splat_scene_prepare(&scene, workspace, view, blend, target->width, target->height));
    struct splat_pass pass = {.scene = &scene,
                              .blend = *blend,
                              .target = target,
                              .loss = loss,
                              .gradients = true,
                              .stop_requested = device->stop_requested};
    TRY(splat_pass_run(&pass));
    splat_gradient_finish(&scene, view, gradients);
    splat_pass_sums(&pass, sums);
    return OK;
}

static int splat_cpu_evaluate(struct device *device, const struct splat_workspace *workspace,
                              const struct splat_view *view, const struct splat_blend *blend,
                              const struct splat_target *target, float power,
                              struct splat_sums *sums)
{
    struct splat_scene scene;
    TRY(splat_scene_prepare(&scene, workspace, view, blend, target->width, target->height));
    struct splat_pass pass = {.scene = &scene,
                              .blend = *blend,
                              .target = target,
                              .inner_ssim = true,
                              .power = power,
                              .stop_requested = device->stop_requested};
    TRY(splat_pass_run(&pass));
    splat_pass_sums(&pass, sums);
    return OK;
}

static int splat_cpu_train(struct device *device, const struct splat_workspace *workspace,
                           const struct splat_training *training, bool wait,
                           struct splat_sums *sums, int64_t *skipped)
{
    (void)wait; /* nothing is ever under way */
    const struct splat_loss *loss = &training->loss;
    *skipped = 0;
    for (int g = 0; g < SPLAT_GROUPS; g++)
        if (training->bits[g] > 0)
            TRY(splat_cpu_fake_quantize(device, training->groups[g].parameter,
                                        training->view.count * training->groups[g].columns,
                                        training->bits[g], training->quantized[g]));
    TRY(splat_cpu_step(device, workspace, &training->view, &training->blend, &training->target,
                       loss, &training->gradients, sums));
    if (!isfinite(splat_loss_of(loss, sums))) return OK;
    return splat_cpu_adam(device, training->groups, SPLAT_GROUPS, training->view.count,
                          &training->rows, (int32_t)training->t, training->b2, skipped);
}

/* A window of a rendered image, interleaved: as floats or as bytes. */
struct window {
    const struct splat_kernels *kernels;
    int x, y, width, channels;
    float *out;
    uint8_t *bytes;
};

static void store_row(void *argument, int y, const float *const *color)
{
    const struct window *w = argument;
    float *row = w->out + (int64_t)(y - w->y) * w->width * w->channels;
    for (int c = 0; c < w->channels; c++)
        for (int x = 0; x < w->width; x++)
            row[(int64_t)x * w->channels + c] = color[c][w->x + x];
}

static void store_bytes(void *argument, int y, const float *const *color)
{
    const struct window *w = argument;
    const float *from[SPLAT_MAX_CHANNELS];
    for (int c = 0; c < w->channels; c++)
        from[c] = color[c] + w->x;
    w->kernels->show_row(from, w->channels, w->width,
                         w->bytes + (int64_t)(y - w->y) * w->width * w->channels);
}

/* Into `out` or, where that is NULL, `bytes`. */
static int render_into(struct device *device, const struct splat_workspace *workspace,
                       const struct splat_view *view, const struct splat_blend *blend,
                       const struct splat_window *w, float *out, uint8_t *bytes)
{
    struct splat_scene scene;
    TRY(splat_scene_prepare(&scene, workspace, view, blend, w->full_width, w->full_height));
    struct window window = {scene.kernels, w->x, w->y, w->width, view->channels, out, bytes};
    struct splat_pass pass = {.scene = &scene,
                              .blend = *blend,
                              .row = out ? store_row : store_bytes,
                              .argument = &window,
                              .first_row = w->y,
                              .last_row = w->y + w->height - 1,
                              .stop_requested = device->stop_requested};
    return splat_pass_run(&pass);
}

static int splat_cpu_render(struct device *device, const struct splat_workspace *workspace,
                            const struct splat_view *view, const struct splat_blend *blend,
                            const struct splat_window *window, float *out)
{
    return render_into(device, workspace, view, blend, window, out, NULL);
}

static int splat_cpu_render_bytes(struct device *device, const struct splat_workspace *workspace,
                                  const struct splat_view *view, const struct splat_blend *blend,
                                  const struct splat_window *window, uint8_t *out)
{
    return render_into(device, workspace, view, blend, window, NULL, out);
}

struct pair_count {
    const struct splat_view *view;
    double cut;
    int64_t pairs;
};

static void count_range(void *context, int64_t from, int64_t to)
{
    struct pair_count *count = context;
    const struct splat_view *view = count->view;
    int64_t pairs = 0;
    for (int64_t i = from; i < to; i++)
        pairs += (int64_t)gaussian_pixels(view->scale + 2 * i, view->sigma_scale, count->cut);
    __atomic_fetch_add(&count->pairs, pairs, __ATOMIC_RELAXED);
}

static int splat_cpu_count_pairs(struct device *device, const struct splat_view *view,
                                 const struct splat_blend *blend, int64_t *pairs)
{
    (void)device;
    struct pair_count count = {view, (double)splat_cut(blend), 0};
    threads_for(view->count, threads_grain(8), count_range, &count);
    *pairs = count.pairs;
    return OK;
}

const struct splat_ops splat_cpu_ops = {
    .workspace_bytes = splat_cpu_workspace_bytes,
    .step = splat_cpu_step,
    .evaluate = splat_cpu_evaluate,
    .render = splat_cpu_render,
    .render_bytes = splat_cpu_render_bytes,
    .adam = splat_cpu_adam,
    .train = splat_cpu_train,
    .sample = splat_cpu_sample,
    .importance = splat_cpu_importance,
    .fake_quantize = splat_cpu_fake_quantize,
    .count_pairs = splat_cpu_count_pairs,
};
