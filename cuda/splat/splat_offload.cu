/* The chunks are rows of all groups: first and second moments, and when a Gaussian was added. */
#include "cuda/splat/splat_offload.h"
#include "math/optimiser.h"

enum { BORN = 2 * SPLAT_GROUPS, AXES, MOMENTS };

static struct offload_range splat_offload_range_of(const struct splat_update *update, size_t rows)
{
    struct offload_range r;
    memset(&r, 0, sizeof r);
    r.rows = rows;
    r.array_count = update->columns > 0 ? MOMENTS + 1 : BORN + 1;
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        const struct splat_adam *group = &update->group[g];
        r.arrays[2 * g].host = group->first;
        r.arrays[2 * g + 1].host = group->second;
        r.arrays[2 * g].row = r.arrays[2 * g + 1].row = (size_t)group->columns * sizeof(float);
    }
    r.arrays[BORN].host = const_cast<int32_t *>(update->rows.born);
    r.arrays[BORN].row = sizeof *update->rows.born;
    r.arrays[BORN].kept = true;
    if (update->columns == 0) return r;
    int n = update->columns;
    r.arrays[AXES].host = update->rows.axes;
    r.arrays[AXES].row = (size_t)(n * n) * sizeof(float);
    r.arrays[MOMENTS].host = update->rows.moments;
    r.arrays[MOMENTS].row = (size_t)axes_moments(n) * sizeof(float);
    return r;
}

size_t splat_offload_staging_bytes(const struct device *device, int channels, int64_t capacity,
                                   const struct splat_storage *storage)
{
    struct splat_update update;
    memset(&update, 0, sizeof update);
    update.group[SPLAT_XY].columns = update.group[SPLAT_SCALE].columns = 2;
    update.group[SPLAT_ROT].columns = 1;
    update.group[SPLAT_FEAT].columns = channels;
    update.group[SPLAT_WEIGHT].columns = storage->weighted;
    if (storage->axes) update.columns = splat_axes_columns(channels, storage->weighted);
    struct offload_range range = splat_offload_range_of(&update, ((size_t)capacity + 3) / 4);
    return offload_stream_staging_bytes(device, &range, 1);
}

int splat_offload_open(struct splat_offload *offload, const struct splat_scene *s,
                       const struct splat_update *update)
{
    offload->moves = update && s->offload_staging_bytes > 0;
    if (!offload->moves) return OK;
    struct offload_range range = splat_offload_range_of(update, (size_t)s->count);
    offload_stream_describe(&offload->offload_stream, &s->device->base, s->offload,
                            s->offload_staging_bytes, &range, 1);
    return offload_stream_begin(&offload->offload_stream);
}

int splat_offload_finish(struct splat_offload *offload, const struct splat_scene *s,
                         const struct splat_comparison *c)
{
    struct offload_chunk chunk;
    if (!offload->moves) {
        splat_gradient_finish(s, c->view, c->gradients, c->update, 0, s->count);
        return OK;
    }
    TRY(offload_stream_start(&offload->offload_stream, 0));
    for (;;) {
        struct splat_update update = *c->update;
        TRY(offload_stream_acquire(&offload->offload_stream, &chunk));
        if (chunk.rows == 0) return offload_stream_end(&offload->offload_stream);
        for (int g = 0; g < SPLAT_GROUPS; g++) {
            update.group[g].first = (float *)chunk.at[2 * g];
            update.group[g].second = (float *)chunk.at[2 * g + 1];
        }
        update.rows.born = (const int32_t *)chunk.at[BORN];
        if (update.columns > 0) {
            update.rows.axes = (float *)chunk.at[AXES];
            update.rows.moments = (float *)chunk.at[MOMENTS];
        }
        update.first = (int64_t)chunk.first;
        splat_gradient_finish(s, c->view, c->gradients, &update, (int64_t)chunk.first,
                              (int64_t)chunk.rows);
    }
}
