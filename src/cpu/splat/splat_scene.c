#include "cpu/splat/splat_scene.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/threads.h"

#include <math.h>
#include <string.h>

/* Partial gradients of Gaussians that cross strips may take this much at most. */
static const size_t max_carry_bytes = (size_t)64 << 20;

static float *arena_take_floats(struct arena *arena, size_t count)
{
    return arena_take(arena, count * sizeof(float));
}

static int strip_count(int bands, size_t record_bytes, int64_t capacity)
{
    int strips = bands < MAX_STRIPS ? bands : MAX_STRIPS;
    while (strips > 4 && (size_t)strips * (size_t)capacity * record_bytes > max_carry_bytes)
        strips /= 2;
    return strips;
}

/* Of a row of a block's columns with a tile on either side, or of a whole one. */
static int pitch_of(const struct splat_scene *scene, bool block)
{
    int tiles = block && scene->tiles > BLOCK_TILES + 2 ? BLOCK_TILES + 2 : scene->tiles;
    return tiles * TILE + PITCH_PAD;
}

void splat_scene_set_rows(struct splat_scene *scene, bool compares)
{
    scene->pitch = pitch_of(scene, compares);
    scene->ring_rows = compares ? RING_ROWS : TILE;
}

struct splat_columns splat_block_columns(const struct splat_scene *scene, int b, bool windows)
{
    int64_t tiles = scene->tiles, blocks = splat_block_count(scene);
    int first = (int)(tiles * b / blocks), end = (int)(tiles * (b + 1) / blocks);
    int left = windows && first > 0 ? first - 1 : first;
    int right = windows && end < scene->tiles ? end + 1 : end;
    struct splat_columns columns = {first * TILE, end * TILE, left * TILE, right * TILE};
    if (columns.end > scene->width) columns.end = scene->width;
    if (columns.right > scene->width) columns.right = scene->width;
    return columns;
}

static void layout_thread(struct splat_thread *thread, struct arena *arena,
                          const struct splat_scene *scene, size_t count,
                          const struct splat_storage *storage)
{
    struct splat_thread unused;
    if (!thread) thread = &unused;
    size_t channels = (size_t)scene->channels, pitch = (size_t)pitch_of(scene, true);
    size_t wide = (size_t)pitch_of(scene, false), ring = RING_ROWS * pitch;
    if (storage->rows || ring < TILE * wide) ring = TILE * wide;
    thread->active_id = arena_take(arena, count * sizeof(int32_t));
    thread->active_record = arena_take(arena, count * sizeof(int32_t));
    thread->items[0] = arena_take(arena, count * sizeof(struct splat_item));
    thread->items[1] = arena_take(arena, count * sizeof(struct splat_item));
    thread->tile_start = arena_take(arena, ((size_t)scene->tiles + 2) * sizeof(int32_t));
    thread->tile_order = arena_take(arena, count * sizeof(int32_t));
    thread->tile_items = arena_take(arena, count * sizeof(int32_t));
    thread->color = arena_take_floats(arena, channels * ring);
    thread->threshold = arena_take_floats(arena, ring);
    thread->inverse = arena_take_floats(arena, ring);
    thread->zero_row = arena_take_floats(arena, wide);
    thread->tile_workspace = arena_take_floats(arena, splat_tile_workspace());
    thread->target = thread->maps[0] = thread->maps[1] = thread->maps[2] = NULL;
    thread->ssim_value = thread->ssim_workspace = NULL;
    thread->gradient = thread->blended = thread->ssim_gradient = NULL;
    if (storage->rows) return;
    thread->target = arena_take_floats(arena, channels * RING_ROWS * pitch);
    for (int m = 0; m < 3; m++)
        thread->maps[m] = arena_take_floats(arena, channels * RING_ROWS * pitch);
    thread->ssim_value = arena_take_floats(arena, SSIM_BLOCK * pitch);
    thread->ssim_workspace = arena_take_floats(
        arena, SSIM_WORKSPACE_ROWS * (size_t)ssim_row_pitch((int)pitch - PITCH_PAD));
    if (storage->forward) return;
    thread->gradient = arena_take_floats(arena, TILE * channels * pitch);
    thread->blended = arena_take_floats(arena, TILE * pitch);
    thread->ssim_gradient = arena_take_floats(arena, channels * SSIM_BLOCK * pitch);
}

/* Lays out the records in which gradients are summed. */
static void layout_records(struct splat_scene *scene, struct arena *arena, size_t count,
                           size_t record)
{
    scene->record = arena_take(arena, count * record);
    for (int s = 1; s < scene->strips; s++) {
        scene->carry[s] = arena_take(arena, count * record);
        scene->carry_id[s] = arena_take(arena, count * sizeof(int32_t));
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
    scene->thread_count = laid_out_threads(storage);
    scene->kernels = splat_kernels_get();
    size_t record = (size_t)splat_record_floats(scene) * sizeof(float);
    scene->strips = strip_count(scene->bands, record + sizeof(int32_t), capacity);

    struct arena arena = {memory, 0};
    scene->projected = arena_take(&arena, count * sizeof *scene->projected);
    scene->order = arena_take(&arena, count * sizeof(int32_t));
    scene->band_start = arena_take(&arena, ((size_t)scene->bands + 1) * sizeof(int32_t));
    if (!storage->forward) layout_records(scene, &arena, count, record);
    if (!storage->rows)
        scene->row_sums = arena_take(&arena, (size_t)height * sizeof *scene->row_sums);
    scene->threads = arena_take(&arena, (size_t)scene->thread_count * sizeof *scene->threads);
    for (int t = 0; t < scene->thread_count; t++)
        layout_thread(scene->threads ? &scene->threads[t] : NULL, &arena, scene, count, storage);
    return arena.used;
}

/* Gaussian i in an image that is fx, fy times as large as the view's. */
static struct splat_projected splat_scene_project_one(const struct splat_view *view, int64_t i,
                                                      double fx, double fy,
                                                      const struct splat_scene *scene)
{
    struct splat_projected g = {.band0 = 1, .band1 = 0};
    float top, bottom;
    if (view->weight) g.weight = view->weight[i];
    g.form = gaussian_form_of(view->xy + 2 * i, view->scale + 2 * i, view->rot[i],
                              view->sigma_scale, scene->width, scene->height, fx, fy);
    if (!gaussian_rows(&g.form, scene->cut_power, scene->height, &top, &bottom)) return g;
    float reach = sqrtf(scene->cut_power * g.form.C * g.form.inverse_A / g.form.row_power);
    g.left = g.form.mx - (reach * 1.0001f + 0.001f);
    g.right = g.form.mx + (reach * 1.0001f + 0.001f);
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
        p->scene->projected[i] = splat_scene_project_one(p->view, i, p->fx, p->fy, p->scene);
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
