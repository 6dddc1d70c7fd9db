/* Which patches of a set of pairs make a batch: pure functions of (seed, step, index), so a run has
 * no state of its data. A pixel is equally likely wherever it is, whatever image it is in. */
#ifndef IMGTRAIN_DATA_CROPS_H
#define IMGTRAIN_DATA_CROPS_H

#include "data/pairs.h"

/* What crops are drawn from: some of the pairs, borrowed. */
struct crop_source {
    const struct pair *const *pairs;
    uint64_t *areas; /* [count]: pixels of all up to this one */
    int count, scale;
};

/* ERR_SYSTEM. The array of pairs must stay. */
int crop_source_open(struct crop_source *source, const struct pair *const *pairs, int count,
                     int scale);
void crop_source_close(struct crop_source *source);

enum { CROP_MIRROR = 1, CROP_UPSIDE_DOWN = 2, CROP_TRANSPOSE = 4 };
struct crop {
    const struct pair *pair;
    int x, y;      /* of LQ */
    unsigned turn; /* bits of the above */
};

/* Patch `index` of step `step`, of `side` pixels of LQ, which every pair has. turns: bits that may
 * be drawn. Another side draws the same places, as far as there is room. */
struct crop crop_draw(const struct crop_source *source, uint64_t seed, uint64_t step,
                      uint64_t index, int side, unsigned turns);

/* The patch: lq [side][side][3] and gt [side scale][side scale][3], 0..1. */
void crop_copy(const struct crop_source *source, const struct crop *crop, int side, float *lq,
               float *gt);

/* GT of a window of side + around pixels of LQ a side, turned as the patch of `side` that lies in
 * it at (x, y): out [(side + around) scale][..][3]. Beyond the image's border it is mirrored. */
void crop_copy_around(const struct crop_source *source, const struct crop *crop, int side,
                      int around, int x, int y, float *out);

/* A part of an image, not turned: w x h from (x, y) of `gt` (its scale times larger) or LQ. */
void crop_read(const struct pair *pair, bool gt, int scale, int x, int y, int w, int h, float *out);

#endif
