/* The table of splat operations on CUDA. Mirrors cpu/splat/splat_cpu.c. */
#include "cuda/splat/splat_cuda.h"
#include "cuda/splat/splat_offload.h"
#include "cuda/splat/splat_show.h"
#include "cuda/splat/target_stream.h"

static size_t splat_cuda_workspace_bytes(const struct device *device, int width, int height,
                                         int channels, int64_t capacity,
                                         const struct splat_storage *storage)
{
    struct splat_scene scene;
    return splat_scene_layout(&scene, device, NULL, width, height, channels, capacity, storage);
}

static size_t staging_bytes(const struct device *device, int width, int height, int channels,
                            const struct splat_storage *storage)
{
    struct splat_scene scene;
    splat_scene_layout(&scene, device, NULL, width, height, channels, 0, storage);
    size_t streamed = 2 * scene.stream_bytes;
    size_t shown = splat_show_staging_bytes(width, height, channels);
    return streamed > shown ? streamed : shown;
}

int splat_cuda_compare(const struct splat_scene *s, const struct splat_comparison *c)
{
    bool gradient = c->gradients != NULL, ssim = gradient ? c->loss->ssim > 0 : true;
    struct splat_loss none = {};
    struct splat_band band;
    struct target_stream stream;
    struct splat_offload offload;
    struct splat_windows windows = {gradient ? c->loss->ssim_rows : SPLAT_SSIM_ALL,
                                    c->update ? c->update->rates : NULL};
    splat_scene_project(s, c->view);
    TRY(splat_offload_open(&offload, s, c->update));
    TRY(target_stream_open(&stream, s, c->target));
    for (int first = 0; splat_scene_band(s, first, ssim, &band); first = band.last) {
        struct splat_target rows;
        splat_tile_render(s, &band, gradient);
        TRY(target_stream_acquire(&stream, &rows));
        if (ssim)
            splat_ssim_band(s, &band, &rows, &windows, gradient ? -(float)c->loss->ssim : 0.0f,
                            c->power);
        splat_tile_compare(s, &band, &rows, gradient ? c->loss : &none, gradient, c->power);
        if (gradient) splat_gradient_band(s, &band);
        TRY(target_stream_release(&stream));
    }
    splat_gradient_sums(s, ssim, &windows, c->check ? c->loss : NULL);
    if (!gradient) return OK;
    if (c->update && c->target->host_resident)
        TRY(cuda_take_error()); /* no update from half an image */
    return splat_offload_finish(&offload, s, c);
}

/* Of the open device: there is one. */
static struct splat_status *statuses, *seen_statuses;

int splat_cuda_statuses(struct device *device, struct splat_status **out,
                        struct splat_status **seen)
{
    enum { BYTES = 2 * sizeof(struct splat_status) };
    if (!statuses) {
        cuda_check(cudaMalloc((void **)&statuses, BYTES));
        cuda_check(cudaMemsetAsync(statuses, 0, BYTES, cuda_stream(device)));
    }
    if (!seen_statuses) {
        cuda_check(cudaHostAlloc((void **)&seen_statuses, BYTES, cudaHostAllocDefault));
        memset(seen_statuses, 0, BYTES);
    }
    *out = statuses;
    *seen = seen_statuses;
    return OK;
}

void splat_cuda_close(void)
{
    splat_train_close();
    if (statuses) cudaFree(statuses);
    if (seen_statuses) cudaFreeHost(seen_statuses);
    statuses = seen_statuses = NULL;
}

/* Compares, waits and reads the sums. */
static int splat_cuda_compare_band(struct device *device, struct splat_scene *scene,
                                   const struct splat_comparison *comparison,
                                   struct splat_sums *sums)
{
    struct splat_status *status;
    TRY(splat_cuda_statuses(device, &scene->status, &status));
    TRY(splat_cuda_compare(scene, comparison));
    TRY(device->download(device, status, scene->status, sizeof *status));
    TRY(device->synchronize(device));
    *sums = status->sums;
    return OK;
}

static int splat_cuda_step(struct device *device, const struct splat_workspace *workspace,
                           const struct splat_view *view, const struct splat_blend *blend,
                           const struct splat_target *target, const struct splat_loss *loss,
                           const struct splat_gradients *gradients, struct splat_sums *sums)
{
    struct splat_scene scene;
    if (target->width != view->width || target->height != view->height)
        return fail(ERR_INTERNAL, "gradients need the target at the model's size");
    TRY(splat_scene_open(&scene, device, workspace, view, blend, target->width, target->height));
    struct splat_comparison comparison = {view, target, loss, gradients, NULL, 0, false};
    return splat_cuda_compare_band(device, &scene, &comparison, sums);
}

static int splat_cuda_evaluate(struct device *device, const struct splat_workspace *workspace,
                               const struct splat_view *view, const struct splat_blend *blend,
                               const struct splat_target *target, float power,
                               struct splat_sums *sums)
{
    struct splat_scene scene;
    TRY(splat_scene_open(&scene, device, workspace, view, blend, target->width, target->height));
    struct splat_comparison comparison = {view, target, NULL, NULL, NULL, power, false};
    return splat_cuda_compare_band(device, &scene, &comparison, sums);
}

/* ---- parameters ---- */

struct splat_rates splat_rates_of(const struct splat_adam *groups, int group_count, int32_t t,
                                  double b2)
{
    struct splat_rates r;
    memset(&r, 0, sizeof r);
    r.t = t;
    r.b2 = b2;
    for (int k = 0; k < group_count; k++) {
        r.rate[k] = groups[k].rate;
        r.unit[k] = groups[k].unit;
        for (int c = 0; c < 2; c++) {
            r.low[k][c] = groups[k].low[c];
            r.high[k][c] = groups[k].high[c];
        }
    }
    return r;
}

static int splat_cuda_adam(struct device *device, const struct splat_adam *groups, int group_count,
                           int64_t count, const struct splat_rows *rows, int32_t t, double b2,
                           int64_t *skipped)
{
    struct cuda_device *d = cuda_of(device);
    struct splat_update update;
    struct splat_rates rates = splat_rates_of(groups, group_count, t, b2);
    int64_t *bad = (int64_t *)d->workspace;
    struct splat_rates *on_device = (struct splat_rates *)(bad + 1);
    memset(&update, 0, sizeof update);
    if (group_count > SPLAT_GROUPS) return fail(ERR_INTERNAL, "%d groups for Adam", group_count);
    for (int k = 0; k < group_count; k++)
        update.group[k] = groups[k];
    update.groups = group_count;
    splat_update_rows(&update, rows);
    update.rates = on_device;
    cuda_check(cudaMemsetAsync(bad, 0, sizeof *bad, d->stream));
    TRY(device->upload(device, on_device, &rates, sizeof rates));
    splat_adam_rows(d, &update, count, bad);
    TRY(device->download(device, skipped, bad, sizeof *skipped));
    return device->synchronize(device);
}

static int fake_quantize(struct device *device, const float *values, int64_t count, int bits,
                         float *out)
{
    struct splat_quantizing q = {{values}, {out}, {count}, {bits}, 1};
    splat_quantize(cuda_of(device), &q);
    return cuda_take_error();
}

static int splat_cuda_count_pairs(struct device *device, const struct splat_view *view,
                                  const struct splat_blend *blend, int64_t *pairs)
{
    size_t bytes = (size_t)view->count * 2 * sizeof(float);
    float *scale = (float *)malloc(bytes + 1);
    *pairs = 0;
    if (!scale) return fail(ERR_SYSTEM, "out of memory for counting pairs");
    int code = device->download(device, scale, view->scale, bytes);
    if (code == OK) code = device->synchronize(device);
    for (int64_t i = 0; code == OK && i < view->count; i++)
        *pairs +=
            (int64_t)gaussian_pixels(scale + 2 * i, view->sigma_scale, (double)splat_cut(blend));
    free(scale);
    return code;
}

const struct splat_ops splat_cuda_ops = {
    .workspace_bytes = splat_cuda_workspace_bytes,
    .staging_bytes = staging_bytes,
    .step = splat_cuda_step,
    .evaluate = splat_cuda_evaluate,
    .render = splat_cuda_render,
    .render_bytes = NULL,
    .show = splat_cuda_show,
    .adam = splat_cuda_adam,
    .train = splat_cuda_train,
    .sample = splat_cuda_sample,
    .importance = splat_cuda_importance,
    .fake_quantize = fake_quantize,
    .count_pairs = splat_cuda_count_pairs,
};
