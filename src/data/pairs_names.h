/* The list of images that a data set is to be made of, where that is not all of a folder. */
#ifndef IMGTRAIN_DATA_PAIRS_NAMES_H
#define IMGTRAIN_DATA_PAIRS_NAMES_H

#include "data/pairs_options.h"
#include "data/scan.h"

/* Leaves in `scan`, which is of options->gt, what the file options->names has: a name a line,
 * relative to the folder; behind it may stand its size in brackets, or a comma and more (meta_info
 * of BasicSR and Real-ESRGAN). ERR_DATA where one is not there, ten lines at most name them. */
int pairs_choose_named(struct scan *scan, const struct pairs_options *options);

#endif
