/* Which images make a set of pairs, and where their cache may lie. */
#ifndef IMGTRAIN_DATA_PAIRS_OPTIONS_H
#define IMGTRAIN_DATA_PAIRS_OPTIONS_H

#include <stdbool.h>

struct pairs_options {
    const char *role;   /* "training" or "validation", for messages */
    const char *gt;     /* folder, read recursively */
    const char *lq;     /* folder of the same relative names; NULL or "": LQ is made from GT */
    const char *naming; /* of LQ files without their endings: {} is the GT's name; NULL: the same */
    const char *names;  /* file with the names of GT to take; NULL or "": all */
    int scale;
    int least;                    /* pixels of LQ's shorter side; smaller ones are left out */
    bool degraded;                /* LQ is made while training where it has no folder */
    bool crop;                    /* both are cut where GT is no whole multiple of LQ */
    const char *cache_dir;        /* where the cache file may be written; NULL: not yet */
    const char *look_dir;         /* where it may lie already, without cache_dir; NULL: nowhere */
    const char *spill_dir;        /* where it is made without a name then; NULL: in memory */
    bool uncached;                /* nothing is kept: an image is decoded each time it is used */
    bool (*stop_requested)(void); /* polled; may be NULL */
};

#endif
