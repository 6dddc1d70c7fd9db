/* The workspace of one pass over an image: the Gaussians projected and sorted by band, and the
 * buffers of every thread, all within the caller's memory. */
#ifndef IMGTRAIN_CPU_SPLAT_SPLAT_SCENE_H
#define IMGTRAIN_CPU_SPLAT_SPLAT_SCENE_H

#include "cpu/splat/splat_kernels.h"
#include "device/splat_ops.h"

#include <stddef.h>
#include <stdint.h>

/* Two bands: SSIM's window and its adjoint's window reach 10 rows, less than one band. */
enum { RING_ROWS = 2 * TILE, MAX_STRIPS = 32 };

/* A comparison goes down the image in blocks of so many tiles' columns at most: what a thread works
 * on then stays in its second-level cache. */
enum { BLOCK_TILES = 32 };

/* The columns that a thread works on: rows of buffers begin with `left`. */
struct splat_columns {
    int first, end;  /* that are compared: first.. end - 1 */
    int left, right; /* that are rendered: with SSIM a tile more on either side */
};

/* Buffers of one thread. Rings hold row y at y % ring_rows. */
struct splat_thread {
    struct splat_columns columns;
    int32_t *active_id, *active_record; /* [count]: Gaussians that reach the current band */
    int active_count;
    struct splat_item *items[2]; /* [count]: those of an even and an odd band */
    int item_count[2];
    int32_t *tile_start;               /* [tiles + 2] counting sort of items by first tile */
    int32_t *tile_order;               /* [count]: where each sorted item comes from */
    int32_t *tile_items;               /* [count]: items that reach the current tile */
    float *color, *target;             /* [channels][ring_rows][pitch] */
    float *maps[3];                    /* likewise: derivatives of SSIM, see splat_ssim.h */
    float *threshold;                  /* [ring_rows][pitch] */
    float *inverse;                    /* [ring_rows][pitch] */
    float *gradient;                   /* [TILE][channels][pitch] */
    float *blended;                    /* [TILE][pitch] */
    float *zero_row;                   /* [pitch] */
    float *ssim_value, *ssim_gradient; /* [SSIM_BLOCK][pitch], the second for each channel */
    float *ssim_workspace;
    float *tile_workspace;
};

/* Sums over one row of pixels and all channels, added up in the order of the rows. */
struct splat_row_sums {
    double pixel[PIXEL_SUMS], ssim, ssim_inner;
};

struct splat_scene {
    int width, height, channels;
    int pitch, ring_rows; /* of a thread's buffers: a block's, or without a target whole rows' */
    int bands, tiles, strips, thread_count;
    float cut_power;
    int64_t count;
    const float *feat;
    const struct splat_kernels *kernels;
    struct splat_projected *projected; /* [count] */
    int32_t *order;                    /* [count]: by first band, then by number */
    int32_t *band_start;               /* [bands + 1] */
    float *record;                     /* [count][SPLAT_GEOMETRY + channels] */
    float *carry[MAX_STRIPS];          /* [count][...]: Gaussians that began in an earlier strip */
    int32_t *carry_id[MAX_STRIPS];     /* [count] */
    int32_t carry_count[MAX_STRIPS];
    struct splat_row_sums *row_sums; /* [height] */
    struct splat_thread *threads;    /* [thread_count] */
};

/* Lays the buffers out in `memory` (NULL: only counts) and returns the bytes they take; those of
 * gradients are NULL with storage->forward. */
size_t splat_scene_layout(struct splat_scene *scene, void *memory, int width, int height,
                          int channels, int64_t capacity, const struct splat_storage *storage);

/* Lays out, projects `view` onto an image of width x height and sorts by band.
 * ERR_INTERNAL when the workspace is too small. */
int splat_scene_prepare(struct splat_scene *scene, const struct splat_workspace *workspace,
                        const struct splat_view *view, const struct splat_blend *blend, int width,
                        int height);

/* First band of strip s; strips share the bands evenly. Their number depends on the image and the
 * capacity alone, so that partial sums do not depend on the number of threads. */
static inline int splat_strip_start(const struct splat_scene *scene, int s)
{
    return (int)((int64_t)scene->bands * s / scene->strips);
}

/* Sets the rows of buffers: for comparing, in blocks of columns; else for rendering whole rows. */
void splat_scene_set_rows(struct splat_scene *scene, bool compares);

static inline int splat_block_count(const struct splat_scene *scene)
{
    return (scene->tiles + BLOCK_TILES - 1) / BLOCK_TILES;
}

/* Columns of block b, with those that `windows` on it reach. */
struct splat_columns splat_block_columns(const struct splat_scene *scene, int b, bool windows);

/* Row y of one channel of a ring. */
static inline float *splat_ring_row(const struct splat_scene *scene, float *ring, int channel,
                                    int y)
{
    return ring + ((int64_t)channel * scene->ring_rows + y % scene->ring_rows) * scene->pitch;
}

/* Samples that a loss is the mean over. */
static inline double splat_scene_samples(const struct splat_scene *scene)
{
    return (double)scene->width * scene->height * scene->channels;
}

static inline int splat_record_floats(const struct splat_scene *scene)
{
    return SPLAT_GEOMETRY + scene->channels;
}

#endif
