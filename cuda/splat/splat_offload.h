/* Host-resident state of Adam (splat_storage.offload), brought to the update in chunks. */
#ifndef IMGTRAIN_CUDA_SPLAT_SPLAT_OFFLOAD_H
#define IMGTRAIN_CUDA_SPLAT_SPLAT_OFFLOAD_H

#include "cuda/splat/splat_cuda.h"

extern "C" {
#include "device/offload_stream.h"
}

struct splat_offload {
    struct offload_stream offload_stream;
    bool moves;
};

/* Bytes of the staging slot on the device for up to `capacity` Gaussians: a quarter of their state.
 */
size_t splat_offload_staging_bytes(const struct device *device, int channels, int64_t capacity,
                                   const struct splat_storage *storage);

/* The state comes from here on. Without an update, or with the state on the device, nothing does.
 */
int splat_offload_open(struct splat_offload *offload, const struct splat_scene *scene,
                       const struct splat_update *update);
/* splat_gradient_finish for all Gaussians; then the state is back in its place. */
int splat_offload_finish(struct splat_offload *offload, const struct splat_scene *scene,
                         const struct splat_comparison *comparison);

#endif
