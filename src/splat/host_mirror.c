#include "splat/host_mirror.h"

#include "base/error.h"
#include "device/device.h"

/* The fit's own arrays. */
static struct splat_host own_arrays(struct splat_fit *fit, float *const *groups)
{
    struct splat_host own = {.born = fit->born, .axes = fit->axes, .moments = fit->moments};
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        own.group[g] = groups[g];
        own.first[g] = fit->first[g];
        own.second[g] = fit->second[g];
    }
    return own;
}

/* Copies rows [from, to) of all arrays, by upload or download. */
static int host_mirror_copy(struct splat_fit *fit, const struct splat_host *to_arrays,
                            const struct splat_host *from_arrays, int64_t from, int64_t to,
                            int (*transfer)(struct device *, void *, const void *, size_t))
{
    struct device *device = fit->device;
    if (to <= from) return OK;
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        int columns = splat_group_columns(&fit->model, g);
        if (columns == 0) continue;
        int64_t at = from * columns;
        size_t bytes = (size_t)((to - from) * columns) * sizeof(float);
        TRY(transfer(device, to_arrays->group[g] + at, from_arrays->group[g] + at, bytes));
        TRY(transfer(device, to_arrays->first[g] + at, from_arrays->first[g] + at, bytes));
        TRY(transfer(device, to_arrays->second[g] + at, from_arrays->second[g] + at, bytes));
    }
    TRY(transfer(device, to_arrays->born + from, from_arrays->born + from,
                 (size_t)(to - from) * sizeof(int32_t)));
    if (fit->in_axes) {
        int64_t n = splat_fit_axes(fit), m = splat_fit_moments(fit);
        TRY(transfer(device, to_arrays->axes + from * n, from_arrays->axes + from * n,
                     (size_t)((to - from) * n) * sizeof(float)));
        TRY(transfer(device, to_arrays->moments + from * m, from_arrays->moments + from * m,
                     (size_t)((to - from) * m) * sizeof(float)));
    }
    return device->synchronize(device);
}

int splat_host_pull(struct splat_fit *fit, float *const *groups)
{
    struct splat_host own = own_arrays(fit, groups ? groups : fit->model.group);
    if (!fit->device->is_host)
        return host_mirror_copy(fit, &fit->host, &own, 0, fit->model.count, fit->device->download);
    fit->host = own;
    return OK;
}

int splat_host_push(struct splat_fit *fit, int64_t from, int64_t to)
{
    struct splat_host own = own_arrays(fit, fit->model.group);
    if (fit->device->is_host) return OK;
    return host_mirror_copy(fit, &own, &fit->host, from, to, fit->device->upload);
}
