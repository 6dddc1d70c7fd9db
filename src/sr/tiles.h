/* A network at work on images of any size, in tiles of bounded memory: each tile sees as much of
 * the image around it as its pixels depend on, so all tile sizes give the same bits. Where that is
 * too dear, or less is asked for, tiles may show at their seams. */
#ifndef IMGTRAIN_SR_TILES_H
#define IMGTRAIN_SR_TILES_H

#include "nn/passes.h"
#include "sr/sr_networks.h"

struct plan;

/* Where tiles begin, and how far they overlap, is a multiple of this, so that a convolution that
 * works on blocks of pixels always cuts an image into the same ones. */
enum { SR_TILE_ALIGNMENT = 4, SR_TILE_DEAR = 64 };

/* How an image is cut, and how often the network sees it. */
struct sr_tile_ways {
    int overlap; /* pixels of LQ that a tile sees around itself: a multiple of SR_TILE_ALIGNMENT */
    bool mixed;  /* sr_design's; changes the result a little */
    bool turns;  /* the mean of what the network makes of all eight turns of the image */
};

struct sr_tiles {
    struct device *device;
    struct sr_design design;
    struct sr_tile_ways ways;
    int most_h, most_w; /* pixels of LQ that a tile reads, overlaps included */
    struct net net;     /* of the tile at hand */
    struct network_pass pass;
    size_t workspace_bytes;
    float *host_in, *host_out; /* where the device has memory of its own */
};

/* What makes tiles of all sizes the same. */
int sr_tiles_exact_overlap(const struct sr_design *design);
/* That, or SR_TILE_DEAR where that is more. */
int sr_tiles_overlap(const struct sr_design *design);
/* Pixels that a tile must be able to read beyond its own on each side. */
int sr_tiles_margin(const struct sr_tile_ways *ways);

/* Declares what a pass over h x w pixels of LQ at most takes, from `phase` on. The struct must stay
 * where it is until sr_tiles_close, which takes it in any case. ways: NULL: sr_tiles_overlap, the
 * image as it is. */
int sr_tiles_declare(struct sr_tiles *tiles, const struct sr_design *design,
                     const struct sr_tile_ways *ways, int h, int w, struct device *device,
                     int phase, struct plan *plan);
void sr_tiles_close(struct sr_tiles *tiles);

/* Some rows of an image of width x height: [rows][width][3] from row `first` on. */
struct sr_rows {
    const float *pixels;
    int width, height, first, rows;
};

/* The part of w x h from (x, y) of LQ, enlarged: out [h scale][w scale][3]. The rows have all that
 * it depends on. x and y are multiples of SR_TILE_ALIGNMENT where bits are to be the same as those
 * of other parts. parameters: of the device. Polls stop_requested (may be NULL): ERR_STOPPED. */
int sr_tiles_enlarge(struct sr_tiles *tiles, const float *parameters, const struct sr_rows *in,
                     int x, int y, int w, int h, float *out, bool (*stop_requested)(void));

#endif
