/* Decoding one pair of image files: for the cache of a set, or each time that it is used. */
#ifndef IMGTRAIN_DATA_PAIR_DECODE_H
#define IMGTRAIN_DATA_PAIR_DECODE_H

#include <stdbool.h>

struct image;

/* Which files, and what is taken of them. */
struct pair_files {
    const char *gt_folder, *gt;
    const char *lq_folder, *lq; /* lq NULL: it is reduced from GT, */
    bool degraded;              /* or made while training */
    int w, h, scale;            /* of LQ: the upper left part */
};

/* RGB of 8 bits, or of 16 where the file has more; an LQ that is made while training stays empty.
 * ERR_DATA, ERR_SYSTEM ... as image_load, and where the file is smaller than w x h. */
int pair_decode(const struct pair_files *files, struct image *lq, struct image *gt);
/* Whether both files can be read at all, of a pair whose sizes are unknown. */
int pair_decode_broken(const struct pair_files *files);

#endif
