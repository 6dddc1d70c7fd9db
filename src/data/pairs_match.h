/* Which files make the pairs of a data set, and whether their sizes fit: before any is decoded. */
#ifndef IMGTRAIN_DATA_PAIRS_MATCH_H
#define IMGTRAIN_DATA_PAIRS_MATCH_H

#include "data/pair_decode.h"
#include "data/pairs_options.h"
#include "data/scan.h"

/* One pair of files. */
struct pairs_match {
    int gt, lq;     /* in the scans; lq -1: made from GT */
    int w, h;       /* of LQ as it is used; 0 before pairs_check */
    bool is_broken; /* it cannot be read */
    bool lq_is_16, gt_is_16;
};

struct pairs_list {
    struct scan gt, lq; /* lq: empty where there is no such folder */
    struct pairs_match *matches;
    int count;
};

/* Lists both folders and finds each image's partner. *list is to be freed in any case. */
int pairs_list_open(struct pairs_list *list, const struct pairs_options *options);
void pairs_list_free(struct pairs_list *list);
/* A checksum of names, sizes and times of the files, and of the options that the cache follows. */
uint64_t pairs_list_key(const struct pairs_list *list, const struct pairs_options *options);
/* Reads the files' heads and sets the sizes. */
int pairs_check(struct pairs_list *list, const struct pairs_options *options);
/* After that; all of it is borrowed. */
struct pair_files pairs_match_files(const struct pairs_list *list, const struct pairs_match *m,
                                    const struct pairs_options *options);

#endif
