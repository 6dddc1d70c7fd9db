/* The target for a pass over the bands of an image: in the device's memory as a whole, or in host
 * memory that may be a mapped file (splat_target.host_resident). Then each band's rows go through
 * one of two pinned buffers into one of two on the device, while the band before is worked on. */
#ifndef IMGTRAIN_CUDA_SPLAT_TARGET_STREAM_H
#define IMGTRAIN_CUDA_SPLAT_TARGET_STREAM_H

#include "cuda/splat/cuda_splat_scene.h"

struct target_stream {
    const struct splat_scene *scene;
    const struct splat_target *target;
    int fetched, taken; /* bands so far */
    int next_row;       /* that the next band to be fetched begins with */
};

/* Bytes of one buffer: a band's rows and what filters need around them, of `pixel` bytes each
 * (splat_storage.streamed_pixel). */
size_t target_stream_bytes(const struct splat_scene *scene, int pixel);

/* Fetches the first band. All bands of splat_scene_band must then be taken, from the first on. */
int target_stream_open(struct target_stream *stream, const struct splat_scene *scene,
                       const struct splat_target *target);
/* The target's rows for the next band, TILE more on either side, as operations that are asked for
 * from here on find them. */
int target_stream_acquire(struct target_stream *stream, struct splat_target *rows);
/* All operations on that band have been asked for. */
int target_stream_release(struct target_stream *stream);

#endif
