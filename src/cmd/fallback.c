#include "cmd/fallback.h"

#include "base/error.h"
#include "base/log.h"
#include "device/device.h"
#include "registry/devices.h"

#include <stdbool.h>
#include <string.h>

/* The CPU instead, once the error message says why. */
static int open_cpu(struct fallback *fallback)
{
    log_warning("%s: going on with the CPU", error_message());
    fallback->slice = fallback->whole;
    return device_open(&fallback->device, "cpu", 0);
}

int fallback_open(struct fallback *fallback, const char *device, uint64_t limit)
{
    int code = device_open(&fallback->device, device, 0);
    if (code == ERR_DEVICE_MEMORY) return open_cpu(fallback); /* not even room to open it */
    TRY(code);
    fallback->device->limit_bytes = (size_t)limit;
    fallback->slice = fallback->whole;
    return OK;
}

static bool is_cpu(const struct device *device)
{
    return strncmp(device->name, "cpu", 3) == 0;
}

/* The next way to do it, once the error message says why this one failed. */
static int fallback_descend(struct fallback *f)
{
    if (f->slice > f->least) {
        f->slice = (f->slice / 2 + f->least - 1) / f->least * f->least;
        if (f->slice < f->least) f->slice = f->least;
        log_warning("%s: going on with %d %s at a time", error_message(), f->slice, f->unit);
        return OK;
    }
    if (is_cpu(f->device)) return ERR_DEVICE_MEMORY;
    device_close(f->device);
    f->device = NULL;
    return open_cpu(f);
}

int fallback_run(struct fallback *f,
                 int (*attempt)(void *context, struct device *device, int slice), void *context)
{
    for (;;) {
        int code = attempt(context, f->device, f->slice);
        if (code != ERR_DEVICE_MEMORY) return code;
        TRY(fallback_descend(f));
    }
}

void fallback_close(struct fallback *fallback)
{
    device_close(fallback->device);
    fallback->device = NULL;
}
