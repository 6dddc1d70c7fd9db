/* The images of a data set, their size, and where their cache may lie. */
#ifndef IMGTRAIN_DATA_DATASET_OPTIONS_H
#define IMGTRAIN_DATA_DATASET_OPTIONS_H

#include "data/scan.h"

#include <stdbool.h>
#include <stdint.h>

/* RGB: alpha over white. RGBA: RGB times alpha and alpha. GREY: brightness alone. AUTO: whichever
 * the images want. */
enum dataset_channels { DATASET_RGB, DATASET_RGBA, DATASET_GREY, DATASET_AUTO };

struct dataset_options {
    const char *folder;      /* read recursively, in the order of the names' bytes */
    int width, height;       /* pixels of every image of the cache */
    enum scan_labels labels; /* whether each sub-folder directly below `folder` is a class */
    const char *label_file;  /* of SCAN_LABELS_FILE */
    bool grey;               /* of RGB: their brightness alone, three times */
    enum dataset_channels channels;
    int must;  /* with DATASET_AUTO: channels that are needed whatever the images want; 0: none */
    bool flip; /* mirror half of the images of each epoch left to right */
    uint64_t seed;                /* which images are held out, and every draw */
    const char *cache_dir;        /* where the cache file may be written; NULL: not yet */
    const char *look_dir;         /* where it may lie already, without cache_dir; NULL: nowhere */
    const char *spill_dir;        /* where it is made without a name then; NULL: in memory */
    bool (*stop_requested)(void); /* polled; may be NULL */
};

#endif
