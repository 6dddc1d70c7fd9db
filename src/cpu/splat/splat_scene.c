#include "cpu/splat/splat_scene.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/threads.h"

#include <string.h>

/* Partial gradients of Gaussians that cross strips may take this much at most. */
static const size_t max_carry_bytes = (size_t)64 << 20;

static float *carve_floats(struct carver *carver, size_t count)
{
    return carve(carver, count * sizeof(float));
}

static int strip_count(int bands, size_t record_bytes, int64_t capacity)
{
    int strips = bands < MAX_STRIPS ? bands : MAX_STRIPS;
    while (strips > 4 && (size_t)strips * (size_t)capacity * record_bytes > max_carry_bytes)
        strips /= 2;
    return strips;
}

static void layout_thread(struct splat_thread *thread, struct carver *carver,
                          const struct splat_scene *scene, size_t count,
                          const struct splat_storage *storage)
{
    struct splat_thread unused;
    if (!thread) thread = &unused;
    size_t pitch = (size_t)scene->pitch, channels = (size_t)scene->channels;
    thread->active_id = carve(carver, count * sizeof(int32_t));
    thread->active_record = carve(carver, count * sizeof(int32_t));
    thread->items[0] = carve(carver, count * sizeof(struct splat_item));
    thread->items[1] = carve(carver, count * sizeof(struct splat_item));
    thread->tile_start = carve(carver, ((size_t)scene->tiles + 2) * sizeof(int32_t));
    thread->tile_order = carve(carver, count * sizeof(int32_t));
    thread->sweep = carve(carver, count * sizeof(int32_t));
    thread->color = carve_floats(carver, channels * RING_ROWS * pitch);
    thread->threshold = carve_floats(carver, RING_ROWS * pitch);
    thread->inverse = carve_floats(carver, RING_ROWS * pitch);
    thread->zero_row = carve_floats(carver, pitch);
    thread->tile_scratch = carve_floats(carver, splat_tile_scratch());
    thread->target = thread->maps[0] = thread->maps[1] = thread->maps[2] = NULL;
    thread->ssim_value = thread->ssim_scratch = NULL;
    thread->gradient = thread->blended = thread->ssim_gradient = NULL;
    if (storage->rows) return;
    thread->target = carve_floats(carver, channels * RING_ROWS * pitch);
    for (int m = 0; m < 3; m++)
        thread->maps[m] = carve_floats(carver, channels * RING_ROWS * pitch);
    thread->ssim_value = carve_floats(carver, SSIM_BLOCK * pitch);
    thread->ssim_scratch =
        carve_floats(carver, SSIM_SCRATCH_ROWS * (size_t)ssim_scratch_pitch(scene->pitch));
    if (storage->forward) return;
    thread->gradient = carve_floats(carver, TILE * channels * pitch);
    thread->blended = carve_floats(carver, TILE * pitch);
    thread->ssim_gradient = carve_floats(carver, channels * SSIM_BLOCK * pitch);
}

/* Where gradients are summed. */
static void layout_records(struct splat_scene *scene, struct carver *carver, size_t count,
                           size_t record)
{
    scene->record = carve(carver, count * record);
    for (int s = 1; s < scene->strips; s++) {
        scene->carry[s] = carve(carver, count * record);
        scene->carry_id[s] = carve(carver, count * sizeof(int32_t));
    }
}

/* Threads whose buffers are laid out: rendering some rows keeps no more busy than they have bands.
 */
static int laid_out_threads(const struct splat_storage *storage)
{
    int threads = threads_count(), bands = (storage->rows + TILE - 1) / TILE;
    return storage->rows && bands < threads ? bands : threads;
}

size_t splat_scene_layout(struct splat_scene *scene, void *memory, int width, int height,
                          int channels, int64_t capacity, const struct splat_storage *storage)
{
    size_t count = (size_t)capacity;
    *scene = (struct splat_scene){.width = width, .height = height, .channels = channels};
    scene->tiles = (width + TILE - 1) / TILE;
    scene->bands = (height + TILE - 1) / TILE;
    scene->pitch = scene->tiles * TILE + PITCH_PAD;
    scene->thread_count = laid_out_threads(storage);
    scene->kernels = splat_kernels_get();
    size_t record = (size_t)splat_record_floats(scene) * sizeof(float);
    scene->strips = strip_count(scene->bands, record + sizeof(int32_t), capacity);

    struct carver carver = {memory, 0};
    scene->projected = carve(&carver, count * sizeof *scene->projected);
    scene->order = carve(&carver, count * sizeof(int32_t));
    scene->band_start = carve(&carver, ((size_t)scene->bands + 1) * sizeof(int32_t));
    if (!storage->forward) layout_records(scene, &carver, count, record);
    if (!storage->rows) scene->row_sums = carve(&carver, (size_t)height * sizeof *scene->row_sums);
    scene->threads = carve(&carver, (size_t)scene->thread_count * sizeof *scene->threads);
    for (int t = 0; t < scene->thread_count; t++)
        layout_thread(scene->threads ? &scene->threads[t] : NULL, &carver, scene, count, storage);
    return carver.used;
}

/* Gaussian i in a picture that is fx, fy times as large as the view's. */
static struct splat_projected project(const struct splat_view *view, int64_t i, double fx,
                                      double fy, const struct splat_scene *scene)
{
    struct splat_projected g = {.band0 = 1, .band1 = 0};
    float top, bottom;
    g.form = gaussian_form_of(view->xy + 2 * i, view->scale + 2 * i, view->rot[i],
                              view->sigma_scale, scene->width, scene->height, fx, fy);
    if (!gaussian_rows(&g.form, scene->cut_power, scene->height, &top, &bottom)) return g;
    top /= TILE;
    bottom /= TILE;
    g.band0 = top > 0 ? (int32_t)top : 0;
    g.band1 = bottom < (float)scene->bands ? (int32_t)bottom : scene->bands - 1;
    return g;
}

/* Counting sort of the Gaussians by their first band; stable. */
static void sort_by_band(struct splat_scene *scene)
{
    int32_t *start = scene->band_start;
    memset(start, 0, ((size_t)scene->bands + 1) * sizeof *start);
    for (int64_t i = 0; i < scene->count; i++)
        if (scene->projected[i].band0 <= scene->projected[i].band1)
            start[scene->projected[i].band0 + 1]++;
    for (int b = 0; b < scene->bands; b++)
        start[b + 1] += start[b];
    for (int64_t i = 0; i < scene->count; i++)
        if (scene->projected[i].band0 <= scene->projected[i].band1)
            scene->order[start[scene->projected[i].band0]++] = (int32_t)i;
    for (int b = scene->bands; b > 0; b--) /* each start has moved to its band's end */
        start[b] = start[b - 1];
    start[0] = 0;
}

struct projection {
    struct splat_scene *scene;
    const struct splat_view *view;
    double fx, fy;
};

static void project_range(void *context, int64_t from, int64_t to)
{
    const struct projection *p = context;
    for (int64_t i = from; i < to; i++)
        p->scene->projected[i] = project(p->view, i, p->fx, p->fy, p->scene);
}

int splat_scene_prepare(struct splat_scene *scene, const struct splat_workspace *workspace,
                        const struct splat_view *view, const struct splat_blend *blend, int width,
                        int height)
{
    size_t bytes = splat_scene_layout(scene, workspace->memory, width, height, view->channels,
                                      workspace->capacity, &workspace->storage);
    if (bytes > workspace->bytes || view->count > workspace->capacity)
        return fail(ERR_INTERNAL, "splat workspace of %zu bytes, %zu needed", workspace->bytes,
                    bytes);
    scene->cut_power = gaussian_cut_power(splat_cut(blend));
    scene->count = view->count;
    scene->feat = view->feat;
    struct projection projection = {scene, view, (double)width / view->width,
                                    (double)height / view->height};
    threads_for(view->count, threads_grain(64), project_range, &projection);
    sort_by_band(scene);
    return OK;
}
