#include "device/conv_library.h"

#include "base/error.h"
#include "base/log.h"
#include "device/device.h"
#include "device/nn_ops.h"

static int open_checked(struct device *device, bool deterministic, bool *used)
{
    const struct conv_library *library = device->nn->conv_library;
    char name[64];
    library->describe(name, sizeof name);
    int code = device->check_library(device);
    if (code == OK) return library->open(device, CONV_AUTO, deterministic, used);
    log_warning("conv: own kernels, as %s fails its self-check: %s", name, error_message());
    return library->open(device, CONV_NEVER, deterministic, used);
}

int conv_library_open(struct device *device, enum conv_use use, bool deterministic, const char *key,
                      bool *used)
{
    const struct conv_library *library = device->nn->conv_library;
    *used = false;
    if (!library && use == CONV_ALWAYS)
        return fail(ERR_DEVICE, "%s: %s has none", key, device->name);
    if (!library) return OK;
    TRY(library->open(device, use, deterministic, used));
    if (use != CONV_AUTO || !*used || !device->check_library) return OK;
    return open_checked(device, deterministic, used);
}
