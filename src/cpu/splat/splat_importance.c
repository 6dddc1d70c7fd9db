/* The importance of each Gaussian on the CPU: a pass over the image that visits its pixels again,
 * as that of gradients does. */
#include "base/error.h"
#include "cpu/splat/splat_cpu.h"
#include "cpu/splat/splat_pass.h"
#include "device/device.h"

#include <string.h>

int splat_cpu_importance(struct device *device, const struct splat_workspace *workspace,
                         const struct splat_view *view, const struct splat_blend *blend,
                         const struct splat_target *target, double *importance)
{
    struct splat_scene scene;
    if (target->width != view->width || target->height != view->height)
        return fail(ERR_INTERNAL, "importance needs the target at the model's size");
    if (workspace->storage.forward)
        return fail(ERR_INTERNAL, "importance in a workspace that is not for it");
    TRY(splat_scene_prepare(&scene, workspace, view, blend, target->width, target->height));
    int64_t *shares = (int64_t *)(void *)scene.record; /* free between steps */
    memset(shares, 0, (size_t)view->count * sizeof *shares);
    struct splat_pass pass = {.scene = &scene,
                              .blend = *blend,
                              .target = target,
                              .shares = shares,
                              .stop_requested = device->stop_requested};
    TRY(splat_pass_run(&pass));
    for (int64_t i = 0; i < view->count; i++)
        importance[i] = (double)shares[i] * SPLAT_SHARE_UNIT;
    return OK;
}
