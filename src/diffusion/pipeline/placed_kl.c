#include "diffusion/pipeline/placed_kl.h"

#include "base/error.h"
#include "base/file.h"
#include "store/tensor.h"

#include <stdlib.h>
#include <string.h>

/* Of bands; a convolution sees two rows above and one below besides. */
enum { ROWS_MOST = 512, ROWS_LEAST = 2, ROWS_BESIDE = 3 };

/* ---- the component ---- */

static void placed_kl_list(struct placed_kl *p, const struct placed_kl_setup *setup)
{
    for (int t = 0; t < p->names.parameter_count; t++)
        p->tensors[t] = (struct placement_tensor){
            .name = p->names.parameters[t].name,
            .stored = setup->weights ? setup->weights[t]->type : setup->stored,
            .wanted = TENSOR_F32, /* as convolutions read them */
            .count = p->names.parameters[t].count,
            .in_memory = setup->weights && setup->weights[t]->is_copy};
    p->block_count = kl_list_blocks(&p->names, p->list);
    for (int b = 0; b < p->block_count; b++)
        p->blocks[b] = (struct placement_block){
            .name = p->list[b].name, .first = p->list[b].parameter, .count = p->list[b].parameters};
}

static int placed_kl_build(const struct placed_kl *p, int h, int w, struct net *net)
{
    return p->is_decoder ? kl_build_decoder(net, p->config, h, w)
                         : kl_build_encoder(net, p->config, h, w);
}

int placed_kl_open(struct placed_kl *p, struct placement *placement, struct device *device,
                   const struct placed_kl_setup *setup)
{
    const int side = setup->is_decoder ? 1 : kl_factor(setup->config);
    const char *name = setup->is_decoder ? "decoder" : "encoder";
    *p = (struct placed_kl){.config = setup->config,
                            .is_decoder = setup->is_decoder,
                            .placement = placement,
                            .device = device};
    TRY(placed_kl_build(p, side, side, &p->names));
    p->weights = (struct placed_weights){setup->weights, p->names.parameter_count, setup->shards};
    p->tensors = calloc((size_t)p->names.parameter_count, sizeof *p->tensors);
    p->key = string_format("%s#%s", setup->key, name);
    if (!p->tensors || !p->key) return fail(ERR_SYSTEM, "out of memory");
    placed_kl_list(p, setup);
    const struct placement_source source = {.name = name,
                                            .key = p->key,
                                            .tensors = p->tensors,
                                            .tensor_count = p->names.parameter_count,
                                            .blocks = p->blocks,
                                            .block_count = p->block_count,
                                            .is_file = true,
                                            .open = placed_weights_map,
                                            .read = setup->shards ? placed_weights_read : NULL,
                                            .context = &p->weights};
    return placement_add(placement, &source, &p->component);
}

static void placed_kl_drop_tiles(struct placed_kl *p)
{
    for (int i = 0; i < p->tile_count; i++) {
        kl_bands_close(&p->tiles[i].bands);
        net_free(&p->tiles[i].net);
    }
    p->tile_count = 0;
}

void placed_kl_close(struct placed_kl *p)
{
    placed_kl_drop_tiles(p);
    net_free(&p->names);
    free(p->tensors);
    free(p->key);
    *p = (struct placed_kl){.config = NULL};
}

/* ---- tiles, as diffusers cuts them: a quarter of each lies on the next ---- */

bool placed_kl_has_tiles(const struct kl_config *config, int tile_side, int height, int width)
{
    /* Of other sides its parts do not fit together. */
    return tile_side > 0 && tile_side % (4 * kl_factor(config)) == 0 &&
           (height > tile_side || width > tile_side);
}

/* The part of an axis of n numbers that begins at `from`. */
static int tile_extent(const struct placed_kl *p, int from, int n)
{
    if (p->tile_side == 0) return n;
    return n - from < p->tile_side ? n - from : p->tile_side;
}

static int tile_advance(const struct placed_kl *p, int n)
{
    return p->tile_side == 0 ? n : p->stride;
}

static struct placed_tile *tile_of(struct placed_kl *p, int h, int w)
{
    for (int i = 0; i < p->tile_count; i++)
        if (p->tiles[i].h == h && p->tiles[i].w == w) return &p->tiles[i];
    return NULL;
}

static int tiles_build(struct placed_kl *p, int *count, double *work)
{
    *count = 0;
    *work = 0;
    for (int y = 0; y < p->h; y += tile_advance(p, p->h))
        for (int x = 0; x < p->w; x += tile_advance(p, p->w)) {
            int h = tile_extent(p, y, p->h), w = tile_extent(p, x, p->w);
            struct placed_tile *tile = tile_of(p, h, w);
            if (!tile) {
                if (p->tile_count == PLACED_KL_TILES)
                    return fail(ERR_INTERNAL, "more than %d sizes of tiles", PLACED_KL_TILES);
                tile = &p->tiles[p->tile_count++];
                *tile = (struct placed_tile){.h = h, .w = w};
                TRY(placed_kl_build(p, h, w, &tile->net));
            }
            *work += 2 * net_macs(&tile->net);
            ++*count;
        }
    return OK;
}

/* ---- a stage ---- */

static int placed_kl_declare(void *context, int chunking, struct plan *plan)
{
    struct placed_kl *p = context;
    int phase = 0;
    for (int i = 0; i < p->tile_count; i++) {
        struct placed_tile *tile = &p->tiles[i];
        kl_bands_close(&tile->bands);
        TRY(kl_bands_declare(&tile->bands, &tile->net, p->rows[chunking], p->device, phase, plan));
        phase += tile->net.layer_count; /* one after the other: they share memory */
    }
    return OK;
}

bool placed_kl_has_bands(int height)
{
    return height > ROWS_LEAST + ROWS_BESIDE;
}

/* Heights of bands, falling; 0 is the whole. */
static int choose_rows(struct placed_kl *p, enum kl_tiling tiling)
{
    int count = 0, h = p->is_decoder ? p->h * kl_factor(p->config) : p->h;
    if (tiling != KL_TILING_BANDS) p->rows[count++] = 0;
    if (tiling == KL_TILING_OFF || tiling == KL_TILING_BLEND) return count;
    for (int rows = ROWS_MOST; rows >= ROWS_LEAST; rows /= 2)
        if (rows + ROWS_BESIDE < h) p->rows[count++] = rows;
    if (count == 0) p->rows[count++] = 0;
    return count;
}

int placed_kl_stage(struct placed_kl *p, int h, int w, enum kl_tiling tiling, int tile_side,
                    int images, struct placement_stage *stage)
{
    int factor = kl_factor(p->config), own = p->is_decoder ? factor : 1, count;
    double work;
    placed_kl_drop_tiles(p);
    p->h = h;
    p->w = w;
    p->tile_side = p->stride = 0;
    if (tiling == KL_TILING_BLEND && placed_kl_has_tiles(p->config, tile_side, h * own, w * own)) {
        p->tile_side = tile_side / own;
        p->stride = p->tile_side / 4 * 3;
    }
    TRY(tiles_build(p, &count, &work));
    *stage = (struct placement_stage){.name = p->is_decoder ? "decode" : "encode",
                                      .component = p->component,
                                      .passes = (int64_t)count * images,
                                      .work = work / count,
                                      .declare = placed_kl_declare,
                                      .chunkings = choose_rows(p, tiling),
                                      .context = p};
    return OK;
}

/* ---- at work ---- */

static int placed_kl_acquire(void *context, int block, const float **at)
{
    const struct placed_kl *p = context;
    const void *const *tensors;
    TRY(placement_acquire(p->placement, block, &tensors));
    for (int t = 0; t < p->list[block].parameters; t++)
        at[p->list[block].parameter + t] = tensors[t];
    return OK;
}

static int placed_kl_release(void *context, int block)
{
    const struct placed_kl *p = context;
    return placement_release(p->placement, block);
}

static int run_tile(struct placed_kl *p, struct placed_tile *tile, const float *input,
                    float *output, bool (*stop_requested)(void))
{
    const struct kl_source source = {placed_kl_acquire, placed_kl_release, p};
    tile->bands.source = &source;
    tile->bands.stop_requested = stop_requested;
    return kl_bands_run_host(&tile->bands, input, output);
}

/* A grid of [h][w][c] numbers. */
struct kl_grid {
    float *at;
    int h, w, c;
};

static float *grid_row(const struct kl_grid *g, int y, int x)
{
    return g->at + ((size_t)y * (size_t)g->w + (size_t)x) * (size_t)g->c;
}

/* Goes over from `before` to `tile`, which lies below it, or (beside) to its right, in the tile's
 * first `extent` rows or columns. */
static void tile_blend(const struct kl_grid *before, const struct kl_grid *tile, bool beside,
                       int extent)
{
    int most = beside ? before->w : before->h, own = beside ? tile->w : tile->h;
    if (extent > most) extent = most;
    if (extent > own) extent = own;
    for (int y = 0; y < (beside ? tile->h : extent); y++)
        for (int x = 0; x < (beside ? extent : tile->w); x++) {
            float share = (float)(beside ? x : y) / (float)extent;
            const float *from = beside ? grid_row(before, y, before->w - extent + x)
                                       : grid_row(before, before->h - extent + y, x);
            float *to = grid_row(tile, y, x);
            for (int c = 0; c < tile->c; c++)
                to[c] = from[c] * (1 - share) + to[c] * share;
        }
}

static void grid_copy(const struct kl_grid *to, int to_y, int to_x, const struct kl_grid *from,
                      int from_y, int from_x, int h, int w)
{
    for (int y = 0; y < h; y++)
        memcpy(grid_row(to, to_y + y, to_x), grid_row(from, from_y + y, from_x),
               (size_t)w * (size_t)from->c * sizeof(float));
}

/* A row of tiles and the one above it, of the output; and a tile of the input. */
struct tile_rows {
    int columns;
    struct kl_grid *now, *above; /* [columns] */
    struct kl_grid input;
};

static void tile_rows_free(struct tile_rows *rows)
{
    for (int i = 0; i < rows->columns; i++) {
        if (rows->now) free(rows->now[i].at);
        if (rows->above) free(rows->above[i].at);
    }
    free(rows->now);
    free(rows->above);
    free(rows->input.at);
}

static int tile_rows_open(struct tile_rows *rows, const struct placed_kl *p,
                          const struct kl_grid *input, const struct kl_grid *output)
{
    size_t side = (size_t)p->tile_side, scaled = side * (size_t)output->w / (size_t)input->w;
    *rows = (struct tile_rows){.columns = (input->w + p->stride - 1) / p->stride};
    rows->now = calloc((size_t)rows->columns, sizeof *rows->now);
    rows->above = calloc((size_t)rows->columns, sizeof *rows->above);
    rows->input.at = malloc(side * side * (size_t)input->c * sizeof(float));
    bool there = rows->now && rows->above && rows->input.at;
    for (int i = 0; there && i < rows->columns; i++) {
        size_t bytes = scaled * scaled * (size_t)output->c * sizeof(float);
        rows->now[i].at = malloc(bytes);
        rows->above[i].at = malloc(bytes);
        there = rows->now[i].at && rows->above[i].at;
    }
    return there ? OK : fail(ERR_SYSTEM, "out of memory");
}

/* Of the tile at (y, x) of the input. */
static int tile_make(struct placed_kl *p, struct tile_rows *rows, const struct kl_grid *input,
                     const struct kl_grid *output, int y, int x, bool (*stop_requested)(void))
{
    struct placed_tile *tile = tile_of(p, tile_extent(p, y, p->h), tile_extent(p, x, p->w));
    const struct net_layer *last = &tile->net.layers[tile->net.layer_count - 1];
    int column = x / p->stride, stride = p->stride * output->w / input->w;
    int to_y = y / p->stride * stride, to_x = column * stride;
    struct kl_grid *made = &rows->now[column];
    rows->input.h = tile->h, rows->input.w = tile->w, rows->input.c = input->c;
    made->h = last->h, made->w = last->w, made->c = last->c;
    grid_copy(&rows->input, 0, 0, input, y, x, tile->h, tile->w);
    TRY(run_tile(p, tile, rows->input.at, made->at, stop_requested));
    if (y > 0) tile_blend(&rows->above[column], made, false, stride / 3);
    if (column > 0) tile_blend(&rows->now[column - 1], made, true, stride / 3);
    grid_copy(output, to_y, to_x, made, 0, 0, made->h < stride ? made->h : stride,
              made->w < stride ? made->w : stride);
    return OK;
}

static int run_tiles(struct placed_kl *p, const struct kl_grid *input, const struct kl_grid *output,
                     bool (*stop_requested)(void))
{
    struct tile_rows rows;
    int code = tile_rows_open(&rows, p, input, output);
    for (int y = 0; code == OK && y < p->h; y += p->stride) {
        for (int x = 0; code == OK && x < p->w; x += p->stride)
            code = tile_make(p, &rows, input, output, y, x, stop_requested);
        struct kl_grid *above = rows.above;
        rows.above = rows.now;
        rows.now = above;
    }
    tile_rows_free(&rows);
    return code;
}

int placed_kl_run(struct placed_kl *p, const float *input, float *output,
                  bool (*stop_requested)(void))
{
    int factor = kl_factor(p->config), latents = p->config->latent_channels;
    if (p->tile_side == 0) return run_tile(p, &p->tiles[0], input, output, stop_requested);
    struct kl_grid from = {.at = (float *)(uintptr_t)input, .h = p->h, .w = p->w};
    struct kl_grid to = {.at = output};
    from.c = p->is_decoder ? latents : KL_IMAGE_CHANNELS;
    to.h = p->is_decoder ? p->h * factor : p->h / factor;
    to.w = p->is_decoder ? p->w * factor : p->w / factor;
    to.c = p->is_decoder ? KL_IMAGE_CHANNELS : 2 * latents;
    return run_tiles(p, &from, &to, stop_requested);
}
