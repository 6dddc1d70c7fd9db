/* A rendered image on its way into files, row by row. */
#ifndef IMGTRAIN_SPLAT_SHOWN_OUTPUT_H
#define IMGTRAIN_SPLAT_SHOWN_OUTPUT_H

#include "image/rows.h"

/* One file, which takes some of the channels. */
struct splat_output_part {
    struct image_writer *writer;
    char *path;
    int first, channels;
};

/* Of up to 4 channels NAME.EXT; a texture stack's channels in groups of three in NAME-001.EXT,
 * NAME-002.EXT, ... and, with `also_first`, its first three in NAME.EXT too. */
struct splat_output {
    const char *path; /* borrowed */
    bool also_first;
    int count;
    struct splat_output_part part[(IMAGE_MAX_CHANNELS + 2) / 3 + 2];
};

/* The sink that takes the rows; begin() opens the files, also once more after a passage that
 * failed. */
struct image_sink splat_output_sink(struct splat_output *output);
/* Puts all files into place. */
int splat_output_commit(struct splat_output *output);
void splat_output_close(struct splat_output *output); /* drops what is not committed */

#endif
