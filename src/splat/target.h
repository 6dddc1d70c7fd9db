/* The picture to be fitted. */
#ifndef IMGTRAIN_SPLAT_TARGET_H
#define IMGTRAIN_SPLAT_TARGET_H

#include "image/image.h"

struct config;

struct splat_source {
    struct image fit;  /* as it is fitted: reduced, gamma applied, colours multiplied by alpha */
    struct image full; /* at full size for measuring, where `fit` is reduced; else empty */
    int sample_bits;   /* of the file: 8, 16 or 32 */
    bool alpha;        /* the last channel of `fit` is alpha */
};

/* Loads splat.input_path (a file, or a folder as a texture stack), below splat.data_root. */
int splat_source_load(struct splat_source *source, const struct config *config);
/* The same without pixels, for a forecast: of a file with 8 bits. */
void splat_source_assume(struct splat_source *source, const struct config *config, int width,
                         int height, int channels);
void splat_source_free(struct splat_source *source);

/* The path that splat_source_load reads (malloc). */
char *splat_source_path(const struct config *config);

#endif
