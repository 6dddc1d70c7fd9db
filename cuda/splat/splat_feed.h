/* The target for a pass over the bands of a picture: in the device's memory as a whole, or in host
 * memory that may be a mapped file (splat_target.beside). Then each band's rows go through one of
 * two pinned buffers into one of two on the device, while the band before is worked on. */
#ifndef IMGTRAIN_CUDA_SPLAT_SPLAT_FEED_H
#define IMGTRAIN_CUDA_SPLAT_SPLAT_FEED_H

#include "cuda/splat/cuda_splat_scene.h"

struct splat_feed {
    const struct splat_scene *scene;
    const struct splat_target *target;
    int fetched, taken; /* bands so far */
    int next_row;       /* that the next band to be fetched begins with */
};

/* Bytes of one buffer: a band's rows and what filters need around them. */
size_t splat_feed_bytes(const struct splat_scene *scene, int bits);

/* Fetches the first band. All bands of splat_scene_band must then be taken, from the first on. */
int splat_feed_open(struct splat_feed *feed, const struct splat_scene *scene,
                    const struct splat_target *target);
/* The target's rows for the next band, TILE more on either side, as operations that are asked for
 * from here on find them. */
int splat_feed_take(struct splat_feed *feed, struct splat_target *rows);
/* All operations on that band have been asked for. */
int splat_feed_done(struct splat_feed *feed);

#endif
