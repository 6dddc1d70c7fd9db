/* The image to be fitted. */
#ifndef IMGTRAIN_SPLAT_TARGET_H
#define IMGTRAIN_SPLAT_TARGET_H

#include "base/spill.h"
#include "device/splat_ops.h"
#include "image/rows.h"

struct config;

/* The image, decoded once, row by row, into files without a name: it need not fit into memory. */
struct splat_source {
    struct splat_target fit;  /* as it is fitted: reduced, gamma applied, colours multiplied by
                                 alpha; data: mapped host memory */
    struct splat_target full; /* at full size for measuring; the same unless `reduced` */
    bool reduced;
    int sample_bits;           /* of the file: 8, 16 or 32 */
    bool alpha;                /* the last channel is alpha */
    uint64_t samples;          /* checksum of the file's samples, however they were packed */
    struct spill weight_bytes; /* of a mask */
    char *maps; /* names of a stack's images, with / between them; NULL: a single image */
    struct spill fit_bytes, full_bytes;
};

/* Reads splat.input_path (a file, or a folder as a texture stack), below splat.data_root.
 * spill_dir: where the decoded image is kept (NULL: in memory). Of images that cannot be read
 * row by row at most whole_limit bytes are decoded at once (0: any). */
int splat_source_load(struct splat_source *source, const struct config *config,
                      const char *spill_dir, size_t whole_limit);
/* The same without its pixels: sizes from the file's header. */
int splat_source_probe(struct splat_source *source, const struct config *config);
/* The same without a file, for 8 bits. */
void splat_source_assume(struct splat_source *source, const struct config *config, int width,
                         int height, int channels);
/* The same of an image in memory, as it is. */
int splat_source_take(struct splat_source *source, const struct image *image);
void splat_source_free(struct splat_source *source); /* accepts a zeroed one */

/* The image as it is in the file, at full size: from the source where that is the same, else read
 * again. */
int splat_source_stream(const struct splat_source *source, const struct config *config,
                        size_t whole_limit, const struct image_sink *to);

size_t splat_target_bytes(const struct splat_target *target);

/* *to becomes `from` scaled to width x height; its data is in `bytes` (owned by the caller), in a
 * file below spill_dir or (NULL) in memory. ERR_IO, ERR_SYSTEM. */
int splat_target_scale(struct splat_target *to, struct spill *bytes,
                       const struct splat_target *from, int width, int height,
                       const char *spill_dir);

#endif
