/* Images to learn enlarging from: each as it should be (GT) and reduced by a whole factor (LQ), of
 * any size, decoded once into a packed cache, which is then mapped. LQ comes from a second folder,
 * or is made from GT by a bicubic reduction. Alpha over white, grey to RGB; 16 bits stay 16. */
#ifndef IMGTRAIN_DATA_PAIRS_H
#define IMGTRAIN_DATA_PAIRS_H

#include "data/pairs_options.h"
#include "image/image.h"

#include <stddef.h>
#include <stdint.h>

/* One image: [h][w][3] and [h scale][w scale][3], of 8 or 16 bits, borrowed (mapped). Read it by a
 * view, as its samples may not be there yet. */
struct pair {
    const char *name; /* of GT, relative to its folder */
    int w, h;         /* of LQ */
    bool lq_is_16, gt_is_16;
    const void *lq, *gt;            /* lq NULL: it is made while training */
    const struct pair_files *files; /* both are decoded from these; NULL: they are there */
};

/* A pair while it is used: pair has its samples. */
struct pair_view {
    struct pair pair;
    struct image lq, gt; /* empty where they were there */
};

/* Decodes what is not there. ERR_DATA: a file that cannot be decoded, or is not what it was when
 * the set was opened; ERR_SYSTEM ... View *view is to be closed when it could be opened. */
int pair_view_open(struct pair_view *view, const struct pair *pair);
void pair_view_close(struct pair_view *view);
/* What an open view holds: 0 where the samples are there. */
size_t pair_view_bytes(const struct pair *pair);

struct pairs;

/* Everything is checked before any image is decoded: at most ten lines name what does not fit, then
 * the call fails. ERR_INPUT: no such folder; ERR_DATA: no image in it, partners that are missing,
 * sizes that do not fit, all images too small; ERR_STOPPED. Files that cannot be read are named and
 * skipped (uncached: those whose heads cannot). *pairs is owned. */
int pairs_open(struct pairs **pairs, const struct pairs_options *options);
void pairs_close(struct pairs *pairs); /* accepts NULL */
/* As dataset_keep; uncached: nothing. */
int pairs_keep(struct pairs *pairs, const char *cache_dir);

int pairs_count(const struct pairs *pairs);
const struct pair *pairs_at(const struct pairs *pairs, int index);
int pairs_scale(const struct pairs *pairs);
size_t pairs_bytes(const struct pairs *pairs); /* of the cache */
/* A checksum of all images and their order; uncached: 0. */
uint64_t pairs_fingerprint(const struct pairs *pairs);
/* Of their names, sizes and order, cached or not. */
uint64_t pairs_listing(const struct pairs *pairs);

#endif
